"""What validation finds: one record, its FHIRPath, and what to do about each kind."""

from __future__ import annotations

import re
from dataclasses import dataclass

from engine.records import Issue, Severity

Where = tuple[str | int, ...]
"""JSON keys and array indexes from the resource down to a value."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")


def fhirpath(root: str, where: Where) -> str:
    """A location as FHIRPath over JSON names: ``Patient.name[0].given[1]``.

    Choice elements keep their JSON name (``Observation.valueQuantity``), which is what the reader of an
    error has before their eyes. The underscore of ``_birthDate`` is left out, as FHIRPath does. A key that
    is no name may hold anything, patient data too, so it is shown as `` `?` ``.
    """
    parts = [root]
    for step in where:
        if isinstance(step, int):
            parts[-1] += f"[{step}]"
        else:
            name = step.removeprefix("_").removesuffix("[x]")
            parts.append(name if _NAME.fullmatch(name) else "`?`")
    return ".".join(parts)


@dataclass(frozen=True, slots=True)
class Finding:
    """One breach of R4's rules.

    Attributes:
        path: FHIRPath from the resource validated.
        code: ``unknown-element``, ``wrong-type``, ... or the key of the invariant (``obs-6``).
        message: what is wrong; never the value.
        severity: error when the resource is not valid R4, else warning.
        where: the same place as JSON keys and indexes.
        blame: the places whose removal mends it, when that is not ``where`` itself.
    """

    path: str
    code: str
    message: str
    severity: Severity = Severity.ERROR
    where: Where = ()
    blame: tuple[Where, ...] = ()

    def as_issue(self) -> Issue:
        return Issue(self.severity, self.code, self.path, self.message, action_for(self.code))


ACTIONS: dict[str, str] = {
    "unknown-element": "Correct the name, or send it as an extension; R4 has no such element here.",
    "wrong-type": "Send the JSON type that R4 demands.",
    "array-expected": "Send an array: the element may repeat.",
    "single-expected": "Send one value instead of an array: the element may not repeat.",
    "missing": "Send the element: R4 demands it.",
    "empty": "Leave the element out when it has no value.",
    "null": "Leave the element out when it has no value.",
    "format": "Send a value of the form that R4 demands.",
    "code": "Send a code of the required value set.",
    "choice": "Send just one type of the choice.",
    "reference-format": "Send Type/id, an absolute URL, urn:uuid:, or #id of a contained resource.",
    "target": "Refer to a resource of a type that R4 allows here.",
    "misaligned": "Give the array and its underscore twin the same length; fill with null.",
    "resource-type": "Send the resourceType of an R4 resource.",
    "ref-unresolved": "Add the resource to the Bundle, or send an absolute URL or a logical identifier.",
    "duplicate-full-url": "Give each entry a fullUrl of its own.",
    "full-url": "Make fullUrl agree with the resource's id and the request's url.",
}

_INVARIANT_ACTION = "Correct the elements that R4's rule names."


def action_for(code: str) -> str:
    """What the sender should do about a finding of that code."""
    return ACTIONS.get(code, _INVARIANT_ACTION)
