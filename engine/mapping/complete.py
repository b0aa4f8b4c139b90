"""What a map can't say row by row: required elements that the source leaves open."""

from __future__ import annotations

from functools import cache
from typing import Any

from engine.fhir import schema
from engine.records import Issue, Severity

ABSENT_REASON = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
_ABSENT_CODING = {
    "system": "http://terminology.hl7.org/CodeSystem/data-absent-reason",
    "code": "unknown",
    "display": "Unknown",
}


def fill_required(resource: dict[str, Any], location: str) -> list[Issue]:
    """Say "unknown" in required elements that the source leaves open, as FHIR provides (R4 §2.1.0.2).

    A CodeableConcept gets the code ``unknown``, any other element that may carry an extension gets
    data-absent-reason. Codes with a required binding are the tables' business: each has a default row.
    """
    filled = _fill(resource, resource["resourceType"])
    if resource["resourceType"] == "Appointment":
        filled += _fill_times(resource)
    return [
        Issue(
            Severity.INFORMATION,
            "required-absent",
            location,
            f"{resource['resourceType']}.{name} is required and the message does not tell it; it was marked as unknown",
        )
        for name in filled
    ]


def _fill_times(appointment: dict[str, Any]) -> list[str]:
    """Start and end come together (app-2), and only what is not yet or no more booked has neither (app-3)."""
    absent = [n for n in ("start", "end") if n not in appointment and f"_{n}" not in appointment]
    free = appointment.get("status") in {"proposed", "cancelled", "waitlist"}
    if free and len(absent) == 2:
        return []
    for name in absent:
        appointment[f"_{name}"] = {"extension": [{"url": ABSENT_REASON, "valueCode": "unknown"}]}
    return absent


def _fill(holder: dict[str, Any], type_name: str) -> list[str]:
    """Fill the missing required elements of one object; returns their names."""
    filled = []
    for name, twin, element in _required(type_name):
        if name in holder or twin in holder:
            continue
        kind = element.types[0]
        absent: dict[str, Any] = {"extension": [{"url": ABSENT_REASON, "valueCode": "unknown"}]}
        if kind == "CodeableConcept":
            absent = {"coding": [dict(_ABSENT_CODING)]}
        elif kind == "BackboneElement":
            absent = {}
            _fill(absent, element.content)
            if not absent:
                continue
        elif kind in schema.PRIMITIVES:
            name = twin  # noqa: PLW2901 - the twin of a primitive carries the extension
        elif kind not in {"Reference", "Attachment"}:
            continue
        holder[name] = [absent] if element.max is None else absent
        filled.append(name.lstrip("_"))
    return filled


@cache
def _required(type_name: str) -> tuple[tuple[str, str, schema.Element], ...]:
    """(name, name of its twin, element) of what must be there and has no codes of its own."""
    return tuple(
        (name, f"_{name}", element)
        for name, element in schema.elements(type_name).items()
        if element.min and element.codes is None
    )
