/**
 * Judge 4, ours: what none of the others looks for. Nothing empty stands anywhere, ids and URLs of entries agree,
 * and every reference finds its target. It shares no code with the engine, which has rules of its own.
 */
import { resourcesOf } from "./walk.mjs";

export const name = "own";

/** R4 lets any URN pass for a uri; HL7's own validator does not. What a FHIR sender wrote is left as it was. */
const MALFORMED = /^urn:(?!oid:[0-2](\.(0|[1-9]\d*))+$|uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$)(oid|uuid):/i;

/**
 * @param closed whether the Bundle must hold everything that it refers to: so for HL7 v2. A FHIR sender may
 *   refer to what the receiving server has, by `Type/id`.
 */
export function judge(bundle, { closed }) {
  const findings = [];
  const add = (type, path, message, value) => findings.push({ type, path, message, value });
  const entries = bundle.entry ?? [];
  const held = new Map();
  for (const { resource, request, fullUrl } of entries) {
    // A PATCH is about a resource on the server; what the entry holds is the patch.
    const key = request?.method === "PATCH" ? request.url : `${resource?.resourceType}/${resource?.id}`;
    if (held.has(key)) add("Bundle", "Bundle.entry", "two entries of one resource", key);
    held.set(key, fullUrl);
    if (!fullUrl) add("Bundle", "Bundle.entry.fullUrl", "missing", key);
    if (!request?.url || !request?.method) add("Bundle", "Bundle.entry.request", "no method or url", key);
    if (request?.method === "PUT" && request.url !== key) {
      add("Bundle", "Bundle.entry.request.url", "names another resource", request.url);
    }
  }
  const urls = new Set(entries.map((entry) => entry.fullUrl));
  if (urls.size !== entries.length) add("Bundle", "Bundle.entry.fullUrl", "is not unique");
  for (const { resource, path, root } of resourcesOf(bundle)) {
    if (resource === bundle) continue;
    const inside = new Set((root.contained ?? []).map((item) => item.id));
    walk(resource, path, (node, where, twin) => {
      const empty = emptiness(node, twin);
      if (empty) add(resource.resourceType, where, empty, node);
      if (closed && MALFORMED.test(node) && /\.(system|endpoint|url|valueUri|source)$/.test(where)) {
        add(resource.resourceType, where, "a URN that is none", node);
      }
      if (node !== null && typeof node === "object" && typeof node.reference === "string") {
        const wrong = unresolved(node, { held, urls, inside, closed });
        if (wrong) add(resource.resourceType, `${where}.reference`, wrong, node.reference);
      }
    });
  }
  return findings;
}

function emptiness(node, twin) {
  if (node === null) return "null";
  if (Array.isArray(node)) {
    if (node.length === 0) return "empty array";
    // An item may be null where its extensions stand in the twin of the array: `_given` beside `given`.
    return node.some((item, index) => item === null && !twin?.[index]) ? "null in an array" : "";
  }
  if (typeof node === "string") return node.trim() === "" ? "empty string" : "";
  return typeof node === "object" && Object.keys(node).length === 0 ? "empty object" : "";
}

function unresolved({ reference, identifier }, { held, urls, inside, closed }) {
  if (reference.startsWith("#")) return reference === "#" || inside.has(reference.slice(1)) ? "" : "nothing contained has this id";
  if (urls.has(reference)) return "";
  if (reference.startsWith("urn:")) return "no entry has this URN as its fullUrl";
  if (/^[a-z][a-z0-9+.-]*:/i.test(reference)) return ""; // an absolute URL is the server's to find
  if (/^[A-Z][A-Za-z]+\?./.test(reference)) return ""; // conditional: the server's to find
  if (held.has(reference.replace(/\/_history\/.*$/, ""))) return "";
  return closed && !identifier ? "no entry holds it" : "";
}

/** Calls `look(value, path, twin)` for all values below, except resources within: they come by themselves. */
function walk(node, path, look, twin) {
  look(node, path, twin);
  if (Array.isArray(node)) {
    node.forEach((item, index) => item !== null && walk(item, `${path}[${index}]`, look));
  } else if (node !== null && typeof node === "object") {
    for (const [name, value] of Object.entries(node)) {
      if (name === "contained" || (value && value.resourceType)) continue;
      walk(value, `${path}.${name}`, look, node[name.startsWith("_") ? name.slice(1) : `_${name}`]);
    }
  }
}
