"""What each STU3 resource needs to become R4: moves, renamings and changes of form, as a table of steps."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

Json = dict[str, Any]
ENCOUNTER = "Encounter"
Step = Callable[[Json], None]

TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
EXTENSION = "http://hl7.org/fhir/StructureDefinition/"


def _rename(old: str, new: str) -> Step:
    """Another name for the same content; an element that has the new name already wins."""

    def step(node: Json) -> None:
        for before, after in ((old, new), (f"_{old}", f"_{new}")):
            if before in node and after not in node:
                node[after] = node.pop(before)

    return step


def _to_list(name: str) -> Step:
    def step(node: Json) -> None:
        if name in node and not isinstance(node[name], list):
            node[name] = [node[name]]

    return step


def _from_list(name: str) -> Step:
    """One value instead of a list of one; of several none is chosen, and they are reported."""

    def step(node: Json) -> None:
        if isinstance(node.get(name), list) and len(node[name]) == 1:
            node[name] = node[name][0]

    return step


def _concept(name: str, system: str) -> Step:
    """A code becomes a CodeableConcept of a code system."""

    def step(node: Json) -> None:
        if isinstance(node.get(name), str):
            node[name] = {"coding": [{"system": TERMINOLOGY + system, "code": node[name]}]}

    return step


def _within(name: str, *steps: Step) -> Step:
    """The steps in each object of an element."""

    def step(node: Json) -> None:
        for item in objects(node.get(name)):
            for inner in steps:
                inner(item)

    return step


def _flatten(name: str, inner: str) -> Step:
    """``{inner: {...}, x}`` becomes the inner object; what stood beside it goes along, to be reported if R4 has no place."""

    def flat(item: Any) -> Any:
        if not isinstance(item, dict) or not isinstance(item.get(inner), dict):
            return item
        return {**item[inner], **{key: part for key, part in item.items() if key != inner}}

    def step(node: Json) -> None:
        value = node.get(name)
        if value is not None:
            node[name] = [flat(item) for item in value] if isinstance(value, list) else flat(value)

    return step


def objects(value: Any) -> Iterable[Json]:
    return (v for v in (value if isinstance(value, list) else [value]) if isinstance(v, dict))


def _encounter(node: Json) -> None:
    """``context`` is an Encounter or an EpisodeOfCare; only the first has an element of its own in R4."""
    context = node.get("context")
    if not isinstance(context, dict) or "encounter" in node:
        return
    reference = context.get("reference")
    if not isinstance(reference, str):
        return
    if "Encounter/" in reference or context.get("type") == ENCOUNTER:
        node["encounter"] = {key: part for key, part in node.pop("context").items() if key != "type"}


def tell_encounters(resource: Json, encounters: frozenset[str]) -> None:
    """Mark a ``context`` that is an Encounter of its own Bundle: an address such as urn:uuid does not say so."""
    context = resource.get("context")
    if _encounter in STEPS.get(resource.get("resourceType", ""), ()) and isinstance(context, dict):
        reference = context.get("reference")
        if isinstance(reference, str) and reference in encounters:
            resource["context"] = {**context, "type": ENCOUNTER}


def _dose(node: Json) -> None:
    """Dose and rate of a Dosage stand in ``doseAndRate``."""
    names = [n for n in node if re.fullmatch(r"(?:dose|rate)(?:Range|Quantity|SimpleQuantity|Ratio)", n)]
    if names and "doseAndRate" not in node:
        node["doseAndRate"] = [{n.replace("SimpleQuantity", "Quantity"): node.pop(n) for n in names}]


def _not_done(name: str, status: str) -> Step:
    """A flag that the thing did not happen becomes its status."""

    def step(node: Json) -> None:
        if node.get(name) is True:
            node["status"] = status
        if isinstance(node.get(name), bool):
            del node[name]

    return step


def _not_taken(node: Json) -> None:
    """``taken`` "n" is a status in R4; the other codes have no place there and are reported."""
    if node.get("taken") == "n":
        node["status"] = "not-taken"
        del node["taken"]


def _recode(name: str, codes: dict[str, str]) -> Step:
    def step(node: Json) -> None:
        value = node.get(name)
        if isinstance(value, str):
            node[name] = codes.get(value, value)

    return step


def _comment(node: Json) -> None:
    if isinstance(node.get("comment"), str):
        node.setdefault("note", []).append({"text": node.pop("comment")})


def _related(node: Json) -> None:
    """Only members and sources of a value are told in R4; other kinds stay and are reported."""
    rest = []
    for item in node.get("related") or ():
        kind = {"has-member": "hasMember", "derived-from": "derivedFrom"}.get(
            item.get("type", "") if isinstance(item, dict) else ""
        )
        if kind and isinstance(item.get("target"), dict):
            node.setdefault(kind, []).append(item["target"])
        else:
            rest.append(item)
    if rest:
        node["related"] = rest
    else:
        node.pop("related", None)


def _extension(name: str, url: str, value: str) -> Step:
    """What R4 keeps in a standard extension."""

    def step(node: Json) -> None:
        if name in node:
            node.setdefault("extension", []).append({"url": EXTENSION + url, value: node.pop(name)})

    return step


def _animal(node: Json) -> None:
    animal = node.get("animal")
    if not isinstance(animal, dict) or not set(animal) <= {"species", "breed", "genderStatus"}:
        return
    parts = [{"url": n, "valueCodeableConcept": v} for n, v in animal.items()]
    node.setdefault("extension", []).append({"url": f"{EXTENSION}patient-animal", "extension": parts})
    del node["animal"]


def _explanation(node: Json) -> None:
    explanation = node.get("explanation")
    if isinstance(explanation, dict):
        if "reason" in explanation and "reasonCode" not in node:
            node["reasonCode"] = explanation.pop("reason")
        refused = explanation.get("reasonNotGiven")
        if isinstance(refused, list) and len(refused) == 1 and "statusReason" not in node:
            node["statusReason"] = explanation.pop("reasonNotGiven")[0]
        if not explanation:
            del node["explanation"]


def _context_of_document(node: Json) -> None:
    for context in objects(node.get("context")):
        _to_list("encounter")(context)
        _flatten("related", "ref")(context)


def _package(node: Json) -> None:
    """What a package held: R4 has one batch of a medicine, and no package."""
    package = node.get("package")
    batches = package.get("batch") if isinstance(package, dict) else None
    if isinstance(package, dict) and isinstance(batches, list) and len(batches) == 1 and "batch" not in node:
        node["batch"] = batches[0]
        del package["batch"]
        if not package:
            del node["package"]


def _device(node: Json) -> None:
    udi = node.get("udi")
    if isinstance(udi, dict) and "udiCarrier" not in node:
        if isinstance(udi.get("name"), str):
            name = {"name": udi.pop("name"), "type": "udi-label-name"}
            node.setdefault("deviceName", []).append(name)
        node["udiCarrier"] = [node.pop("udi")]
    if isinstance(node.get("version"), str):
        node["version"] = [{"value": node["version"]}]


_ACHIEVEMENT = {
    "in-progress": ("active", "in-progress"),
    "on-target": ("active", "in-progress"),
    "ahead-of-target": ("active", "in-progress"),
    "behind-target": ("active", "in-progress"),
    "sustaining": ("active", "sustaining"),
    "achieved": ("completed", "achieved"),
}
"""Status of a goal in STU3: in R4 its life cycle, and how far it is achieved."""


def _goal_status(node: Json) -> None:
    status = node.get("lifecycleStatus")
    if isinstance(status, str) and status in _ACHIEVEMENT and "achievementStatus" not in node:
        node["lifecycleStatus"], code = _ACHIEVEMENT[status]
        coding = {"system": f"{TERMINOLOGY}goal-achievement", "code": code}
        node["achievementStatus"] = {"coding": [coding], "text": status}


_DOSAGE = (_within("dosage", _dose), _within("dosageInstruction", _dose))
_ORDER = (_encounter, _flatten("requester", "agent"), _to_list("performer"))
NEW_TYPES = {"ProcedureRequest": "ServiceRequest", "ReferralRequest": "ServiceRequest"}
STEPS: dict[str, tuple[Step, ...]] = {
    "Account": (_rename("period", "servicePeriod"), _to_list("subject")),
    "AllergyIntolerance": (
        _concept("clinicalStatus", "allergyintolerance-clinical"),
        _concept("verificationStatus", "allergyintolerance-verification"),
        _rename("assertedDate", "recordedDate"),
    ),
    "Appointment": (
        _rename("reason", "reasonCode"),
        _rename("indication", "reasonReference"),
        _rename("incomingReferral", "basedOn"),
    ),
    "CarePlan": (_encounter,),
    "CareTeam": (_encounter, _within("participant", _to_list("role"))),
    "Composition": (
        _rename("class", "category"),
        _to_list("category"),
        _within("attester", _from_list("mode")),
    ),
    "Condition": (
        _encounter,
        _concept("clinicalStatus", "condition-clinical"),
        _concept("verificationStatus", "condition-ver-status"),
        _extension("assertedDate", "condition-assertedDate", "valueDateTime"),
        _to_list("stage"),
    ),
    "Device": (_device, _rename("model", "modelNumber")),
    "DiagnosticReport": (
        _encounter,
        _flatten("performer", "actor"),
        _rename("image", "media"),
        _rename("codedDiagnosis", "conclusionCode"),
    ),
    "DocumentReference": (
        _rename("class", "category"),
        _to_list("category"),
        _rename("indexed", "date"),
        _context_of_document,
    ),
    "Encounter": (
        _rename("reason", "reasonCode"),
        _rename("incomingReferral", "basedOn"),
        _within("diagnosis", _rename("role", "use")),
    ),
    "Goal": (_rename("status", "lifecycleStatus"), _goal_status, _to_list("target")),
    "Immunization": (
        _not_done("notGiven", "not-done"),
        _rename("date", "occurrenceDateTime"),
        _rename("practitioner", "performer"),
        _within("performer", _rename("role", "function")),
        _explanation,
        _rename("vaccinationProtocol", "protocolApplied"),
        _within(
            "protocolApplied",
            _rename("doseSequence", "doseNumberPositiveInt"),
            _rename("seriesDoses", "seriesDosesPositiveInt"),
        ),
    ),
    "Medication": (_within("ingredient", _rename("amount", "strength")), _package),
    "MedicationAdministration": (
        _not_done("notGiven", "not-done"),
        _rename("prescription", "request"),
        _rename("reasonNotGiven", "statusReason"),
        _within("dosage", _rename("rateSimpleQuantity", "rateQuantity")),
    ),
    "MedicationDispense": (
        _not_done("notDone", "declined"),
        _rename("notDoneReasonCodeableConcept", "statusReasonCodeableConcept"),
        _rename("notDoneReasonReference", "statusReasonReference"),
        *_DOSAGE,
    ),
    "MedicationRequest": (
        _encounter,
        _flatten("requester", "agent"),
        _to_list("category"),
        _within("substitution", _rename("allowed", "allowedBoolean")),
        *_DOSAGE,
    ),
    "MedicationStatement": (
        _not_taken,
        _rename("reasonNotTaken", "statusReason"),
        *_DOSAGE,
    ),
    "Observation": (_encounter, _comment, _related),
    "Patient": (_animal,),
    "Procedure": (
        _encounter,
        _not_done("notDone", "not-done"),
        _rename("notDoneReason", "statusReason"),
        _recode("status", {"aborted": "stopped", "suspended": "on-hold"}),
        _within("performer", _rename("role", "function")),
    ),
    "ProcedureRequest": _ORDER,
    "ReferralRequest": (
        *_ORDER,
        _rename("recipient", "performer"),
        _rename("serviceRequested", "code"),
        _from_list("code"),
    ),
    "RelatedPerson": (_to_list("relationship"),),
}
