"""FHIR R5 among resources that nobody called so: what R4 would gut is refused by name.

R5 tells a medicine, a reason or a reaction as a CodeableReference, which R4 has no place for: read as R4, a prescription
would lose its medicine. What R5 only adds is no sign; it is taken out and reported like any element that R4 lacks.
"""

from __future__ import annotations

from typing import Any

_PARTS = frozenset({"concept", "reference", "id", "extension"})
_TOLD_SO = frozenset({"addresses", "code", "manifestation", "medication", "reason", "serviceType"})
"""Elements of R5 that may hold a CodeableReference with a reference alone; R4 has objects like it elsewhere."""


def r5_place(document: dict[str, Any]) -> str:
    """Path of the first CodeableReference in a resource, or in a Bundle's resources; "" if there is none."""
    kind = document.get("resourceType")
    return _of_object(document, kind, "") if isinstance(kind, str) else ""


def _of_object(value: dict[str, Any], path: str, name: str) -> str:
    told = isinstance(value.get("concept"), dict)
    if (told or (name in _TOLD_SO and isinstance(value.get("reference"), dict))) and value.keys() <= _PARTS:
        return path
    for below, part in value.items():
        if part.__class__ is dict and (found := _of_object(part, f"{path}.{below}", below)):
            return found
        if part.__class__ is list:
            for index, item in enumerate(part):
                if item.__class__ is dict and (found := _of_object(item, f"{path}.{below}[{index}]", below)):
                    return found
    return ""
