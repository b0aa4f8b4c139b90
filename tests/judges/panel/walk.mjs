/** Every resource of a Bundle, those within others too: the Bundle itself first. */
export function resourcesOf(bundle) {
  const found = [{ resource: bundle, path: "Bundle", root: bundle }];
  for (const { resource } of bundle.entry ?? []) if (resource) collect(resource, resource.resourceType, resource, found);
  return found;
}

function collect(resource, path, root, found) {
  found.push({ resource, path, root });
  (resource.contained ?? []).forEach((item) => collect(item, `${path}.contained`, root, found));
  for (const entry of resource.resourceType === "Bundle" ? (resource.entry ?? []) : []) {
    if (entry.resource) collect(entry.resource, entry.resource.resourceType, entry.resource, found);
  }
  for (const part of resource.parameter ?? []) if (part.resource) collect(part.resource, part.resource.resourceType, part.resource, found);
}

/** The value that a list of names and indexes leads to. */
export function valueAt(node, steps) {
  return steps.reduce((value, step) => (value === null || value === undefined ? undefined : value[step]), node);
}
