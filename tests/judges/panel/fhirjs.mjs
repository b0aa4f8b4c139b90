/** Judge 3: Lantana's `fhir`: codes of required bindings with their systems, types of reference targets. */
import { createRequire } from "node:module";
import { valueAt } from "./walk.mjs";

const { Fhir } = createRequire(import.meta.url)("fhir");
const fhir = new Fhir();

export const name = "fhirjs";

/** It walks into contained resources itself, and takes a Bundle's entries for part of the Bundle: they go one by one. */
export function judge(bundle) {
  const { entry = [], ...shell } = bundle;
  const wrapped = { ...shell, ...(entry.length && { entry: entry.map(({ resource: _, ...rest }) => rest) }) };
  return [wrapped, ...entry.map((item) => item.resource).filter(Boolean)].flatMap((resource) =>
    fhir
      .validate(resource, { errorOnUnexpected: true })
      .messages.filter((message) => ["error", "fatal"].includes(message.severity))
      .map(({ location, message }) => {
        const [, wrong, reference] = /^(.*?)(?: (?:value|reference) ([{"].*))?$/s.exec(message);
        const steps = location.replace(/\[(\d+)\]/g, ".$1").split(".").slice(1);
        return {
          type: location.split(/[.[]/)[0] || String(resource.resourceType),
          path: location,
          message: wrong.replace(/^Code ".*?" /, "Code "),
          // A required primitive may be there by its extensions alone: what they say is shown.
          value: reference ?? valueAt(resource, steps) ?? valueAt(resource, [...steps.slice(0, -1), `_${steps.at(-1)}`]),
        };
      }),
  );
}
