"""Rules of contained resources: dom-2 to dom-5 (FHIR R4 §2.3.0.2, §2.27.4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.fhir.findings import Where

Json = dict[str, Any]

_NOT_ITS_OWN = (("versionId", "dom-4"), ("lastUpdated", "dom-4"), ("security", "dom-5"))
"""A contained resource has no life of its own: these belong to the resource that holds it."""


def contained_types(resource: Json) -> dict[str, str]:
    """The resourceType of each contained resource by its id."""
    inner = resource.get("contained")
    if not isinstance(inner, list):
        return {}
    found = ((i.get("id"), i.get("resourceType")) for i in inner if isinstance(i, dict))
    return {key: kind for key, kind in found if isinstance(key, str) and isinstance(kind, str)}


def containment(resource: Json) -> Iterator[tuple[str, str, Where]]:
    """(invariant, message, place) of each breach by the contained resources."""
    mentioned = {text[1:] for text in _strings(resource) if text.startswith("#")}
    for index, inner in enumerate(resource["contained"]):
        if not isinstance(inner, dict):
            continue
        place: Where = ("contained", index)
        if "contained" in inner:
            yield "dom-2", "A contained resource contains none itself", (*place, "contained")
        meta = inner.get("meta")
        for name, key in _NOT_ITS_OWN:
            if isinstance(meta, dict) and name in meta:
                yield key, f"A contained resource has no meta.{name}", (*place, "meta", name)
        if str(inner.get("id")) not in mentioned and "#" not in set(_strings(inner)):
            yield "dom-3", "A contained resource is referred to from the resource that contains it", place


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
