"""FHIR STU3 (3.0.2) resources as R4, for the types that hospitals send; by HL7's STU3-to-R4 notes of each resource.

What is here moves, is renamed or changes its form. What R4 has no place for stays where it is, so that
validation takes it out and reports it with its path. Resources of other types and versions pass unchanged.

R4B (4.3.0) needs nothing: the types that it has in common with R4 are the same there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from engine.fhir.stu3_steps import ENCOUNTER, NEW_TYPES, STEPS, TERMINOLOGY, objects, tell_encounters
from engine.records import Issue, Severity

Json = dict[str, Any]

STU3 = "3.0"
READ_AS_R4 = frozenset({"4.0", "4.3"})
"""What fhirVersion of a Content-Type says (FHIR R4 §3.1.0.1.12): publication and major version."""


def from_stu3(
    resource: Json, place: str = "", declared: str = "", encounters: frozenset[str] = frozenset()
) -> tuple[Json, list[Issue]]:
    """The resource as R4, and an issue when it was STU3.

    Args:
        resource: as read; it is not changed.
        place: FHIRPath of the resource; "" when it is the document itself.
        declared: version that the sender stated, as ``3.0``; with "" the resource itself is asked.
        encounters: addresses (fullUrl) of the Encounters of its Bundle.
    """
    kind = resource.get("resourceType")
    if not isinstance(kind, str) or not (declared == STU3 if declared else is_stu3(resource)):
        return resource, []
    made: Json = _copied(resource)
    tell_encounters(made, encounters)
    made["resourceType"] = NEW_TYPES.get(kind, kind)
    for step in STEPS.get(kind, ()):
        step(made)
    if isinstance(made.get("contained"), list):
        made["contained"] = [
            from_stu3(c, declared=declared)[0] if isinstance(c, dict) else c for c in made["contained"]
        ]
    issue = Issue(
        Severity.INFORMATION,
        "fhir-version",
        place or made["resourceType"],
        f"A {kind} of FHIR STU3 was converted to R4",
        "Send FHIR R4 (4.0.1), to be sure of what each element means.",
    )
    return made, [issue]


def document_from_stu3(document: Json, declared: str = "") -> tuple[Json, list[Issue]]:
    """A resource, or a Bundle with all that it holds, as R4; see :func:`from_stu3`."""
    entries = document.get("entry")
    if document.get("resourceType") != "Bundle" or not isinstance(entries, list):
        return from_stu3(document, declared=declared)
    issues: list[Issue] = []
    made = []
    encounters = _encounters(entries)
    for index, entry in enumerate(entries):
        held = entry.get("resource") if isinstance(entry, dict) else None
        if isinstance(held, dict):
            resource, found = from_stu3(held, f"Bundle.entry[{index}].resource", declared, encounters)
            issues += found
            entry = {**entry, "resource": resource} if found else entry  # noqa: PLW2901 - the same entry as R4
        made.append(entry)
    if not issues:
        return document, []
    return {**document, "entry": [_renamed_entry(entry) for entry in made]}, issues


def _encounters(entries: list[Any]) -> frozenset[str]:
    """Addresses of the Encounters among the entries of a Bundle."""
    return frozenset(
        entry["fullUrl"]
        for entry in objects(entries)
        if isinstance(entry.get("fullUrl"), str)
        and isinstance(entry.get("resource"), dict)
        and entry["resource"].get("resourceType") == ENCOUNTER
    )


def _renamed_entry(entry: Any) -> Any:
    """Also what is R4 already may refer to what has another type now."""
    if not isinstance(entry, dict):
        return entry
    found = {name: _references(part) for name, part in entry.items()}
    if isinstance(found.get("fullUrl"), str):
        found["fullUrl"] = _with_new_type(found["fullUrl"])
    request = found.get("request")
    if isinstance(request, dict) and isinstance(request.get("url"), str):
        found["request"] = {**request, "url": _with_new_type(request["url"])}
    return found


def _with_new_type(url: str) -> str:
    return re.sub(r"\b(?:ProcedureRequest|ReferralRequest)(?=/|\?|$)", "ServiceRequest", url)


def _references(value: Any) -> Any:
    if isinstance(value, list):
        return [_references(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _with_new_type(part) if name == "reference" and isinstance(part, str) else _references(part)
        for name, part in value.items()
    }


def is_stu3(resource: Json) -> bool:
    """Whether a resource is of STU3, by its profiles or by what only STU3 writes in that way."""
    kind = resource.get("resourceType")
    if not isinstance(kind, str) or kind not in STEPS:
        return False
    meta = resource.get("meta")
    profiles = meta.get("profile") if isinstance(meta, dict) else None
    told = (p for p in profiles if isinstance(p, str)) if isinstance(profiles, list) else ()
    if any(re.search(r"\|3\.0(\.\d)?$|/(?:stu3|3\.0)/", p, re.IGNORECASE) for p in told):
        return True
    if kind in NEW_TYPES or any(sign(resource) for sign in _SIGNS.get(kind, ())):
        return True
    contained = resource.get("contained")
    return isinstance(contained, list) and any(is_stu3(c) for c in contained if isinstance(c, dict))


def _copied(value: Any) -> Any:
    """A copy whose code systems and references have their R4 names."""
    if isinstance(value, list):
        return [_copied(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {name: _copied(part) for name, part in value.items()}
    if isinstance(found.get("system"), str):
        found["system"] = system_of_r4(found["system"])
    if isinstance(found.get("reference"), str):
        found["reference"] = _with_new_type(found["reference"])
    return found


_MOVED = frozenset(
    {
        "admit-source", "allergy-clinical-status", "allergy-verification-status", "condition-category",
        "condition-clinical", "condition-ver-status", "contactentity-type", "data-absent-reason", "diagnosis-role",
        "discharge-disposition", "encounter-type", "immunization-origin", "location-physical-type",
        "observation-category", "organization-type", "participant-type", "referencerange-meaning",
    }
)  # fmt: skip
"""Code systems of HL7 that stood under hl7.org/fhir in STU3."""
_RENAMED = {
    "allergy-clinical-status": "allergyintolerance-clinical",
    "allergy-verification-status": "allergyintolerance-verification",
}


def system_of_r4(url: str) -> str:
    """URL of a code system as R4 has it: HL7's own moved to terminology.hl7.org."""
    match = re.fullmatch(r"http://hl7\.org/fhir/(?:(v[23])/)?([\w-]+)", url)
    if match is None:
        return url
    family, name = match.groups()
    if family:
        return f"{TERMINOLOGY}{family}-{name}"
    return TERMINOLOGY + _RENAMED.get(name, name) if name in _MOVED else url


def _has(*names: str) -> Callable[[Json], bool]:
    return lambda node: any(name in node for name in names)


def _code(*names: str) -> Callable[[Json], bool]:
    return lambda node: any(isinstance(node.get(name), str) for name in names)


def _object(*names: str) -> Callable[[Json], bool]:
    return lambda node: any(isinstance(node.get(name), dict) for name in names)


def _inside(name: str, *inner: str) -> Callable[[Json], bool]:
    return lambda node: any(part in item for item in objects(node.get(name)) for part in inner)


_DOSES = (
    "doseQuantity",
    "doseSimpleQuantity",
    "doseRange",
    "rateQuantity",
    "rateSimpleQuantity",
    "rateRange",
    "rateRatio",
)
_SIGNS: dict[str, tuple[Callable[[Json], bool], ...]] = {
    "Account": (_has("period", "active", "balance"), _object("subject")),
    "AllergyIntolerance": (_has("assertedDate"), _code("clinicalStatus", "verificationStatus")),
    "Appointment": (_has("reason", "indication", "incomingReferral"),),
    "CarePlan": (_has("context"),),
    "CareTeam": (_has("context"),),
    "Composition": (
        _has("class"),
        lambda node: any(isinstance(a.get("mode"), list) for a in objects(node.get("attester"))),
    ),
    "Condition": (_has("assertedDate", "context"), _code("clinicalStatus", "verificationStatus")),
    "Device": (_has("udi", "model"), _code("version")),
    "DiagnosticReport": (_has("context", "image", "codedDiagnosis"), _inside("performer", "actor", "role")),
    "DocumentReference": (_has("class", "indexed", "created"),),
    "Encounter": (_has("reason", "incomingReferral"), _inside("diagnosis", "role")),
    "Goal": (_has("status"),),
    "Immunization": (_has("notGiven", "date", "practitioner", "explanation", "vaccinationProtocol"),),
    "Medication": (_has("isBrand", "isOverTheCounter", "package"), _inside("ingredient", "amount")),
    "MedicationAdministration": (_has("notGiven", "prescription", "reasonNotGiven"),),
    "MedicationDispense": (_has("notDone"), _inside("dosageInstruction", *_DOSES)),
    "MedicationRequest": (
        _has("context"),
        _inside("requester", "agent"),
        _object("category"),
        _inside("dosageInstruction", *_DOSES),
    ),
    "MedicationStatement": (_has("taken", "reasonNotTaken"), _inside("dosage", *_DOSES)),
    "Observation": (_has("context", "comment", "related"),),
    "Patient": (_has("animal"),),
    "Procedure": (_has("context", "notDone", "notDoneReason"), _inside("performer", "role")),
    "RelatedPerson": (_object("relationship"),),
}
"""What R4 does not have, or has in another form: each shows that a resource is of STU3."""
