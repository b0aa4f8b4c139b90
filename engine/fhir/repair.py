"""Taking the smallest broken part out of a resource, so that the rest can be used.

Rules, in this order, until the resource is valid:

1. a value that a rule of :mod:`engine.fhir.mends` can save is saved: ``"5"`` for 5, one value for an array;
2. an element that a resource or a part of one demands and that is missing or was lost is declared unknown: by the
   code ``unknown`` if the value set has it, by the data-absent-reason of a concept, else by the extension of that
   name. So one bad element never takes its resource along;
3. whatever else is broken is taken out; so is what is left empty by that, and a data type that can't do without it.

Every step is reported. A resource goes only when it tells nothing, or when a rule over all of it can't be kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.fhir import schema
from engine.fhir.findings import Finding, Where, action_for
from engine.fhir.mends import Mend, mend_code, mend_concept, mend_format, mend_object, mend_type
from engine.fhir.sure import surely_valid
from engine.fhir.walk import validate
from engine.fhir.workcopy import Items, WorkCopy, tracked
from engine.records import Issue, Severity

Json = dict[str, Any]

ABSENT_REASON = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
_ABSENT_CODING = {
    "system": "http://terminology.hl7.org/CodeSystem/data-absent-reason",
    "code": "unknown",
    "display": "Unknown",
}
_MAX_ROUNDS = 64
"""Each round mends or removes what the one before uncovered; depth is bounded by the reader, so this is never met."""

_VALUE_MENDS: dict[str, tuple[Mend, ...]] = {
    "wrong-type": (mend_type, mend_object),
    "format": (mend_format,),
    "code": (mend_code, mend_concept),
}
_NOTHING_LOST = frozenset({"empty", "null"})
_EITHER = {
    "apr-1": ("AppointmentResponse", "actor"),
    "ipn-1": ("InsurancePlan", "name"),
    "org-1": ("Organization", "name"),
    "ppc-1": ("Consent", "policyRule"),
}
"""Rules over a whole resource that ask for one of two elements, and the one that is declared unknown."""
_NO_CONTENT = frozenset({"resourceType", "id", "meta", "implicitRules", "language"})
"""What a resource may have that says nothing of its own."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """What repair made of a resource.

    Attributes:
        resource: valid, or None when it can't be saved.
        issues: one for each thing done; the last names the reason when nothing was saved.
        lost: FHIRPaths (in the source) of the values that are no longer there, with the reason.
    """

    resource: Json | None
    issues: tuple[Issue, ...] = ()
    lost: tuple[tuple[str, str], ...] = ()


def repair(resource: Json) -> tuple[Json | None, list[Issue]]:
    """The resource without its broken parts, and what was done; None when it can't be saved.

    The argument is never changed; a valid resource is returned as it is.
    """
    done = repaired(resource)
    return done.resource, list(done.issues)


def repaired(resource: Json) -> Repaired:
    """As :func:`repair`, with the places of what was lost."""
    if surely_valid(resource):
        return Repaired(resource)
    findings = _errors(resource)
    if not findings:
        return Repaired(resource)
    work = _Repair(resource)
    for _ in range(_MAX_ROUNDS):
        if not work.round(findings):
            break
        findings = _errors(work.tree)
        if not findings:
            return Repaired(work.plain(), tuple(work.issues), tuple(work.lost))
    reason = work.fatal or findings[0]
    work.note(reason, Severity.ERROR, "the resource can't be used without it")
    return Repaired(None, tuple(work.issues), tuple(work.lost))


def _errors(resource: Json) -> list[Finding]:
    return [finding for finding in validate(resource) if finding.severity is Severity.ERROR]


class _Repair(WorkCopy):
    """The copy that is mended, and the record of what was done to it."""

    def __init__(self, resource: Json) -> None:
        super().__init__(resource)
        self.issues: list[Issue] = []
        self.lost: list[tuple[str, str]] = []
        self.fatal: Finding | None = None

    def round(self, findings: list[Finding]) -> bool:
        """Mend or take out every finding; False when the resource itself would have to go."""
        doomed: dict[Where, Finding] = {}
        for finding in findings:
            if not self._mend(finding):
                for place in finding.blame or (finding.where,):
                    doomed[place[:-1] if finding.code == "missing" else place] = finding
        self.fatal = doomed.get(())
        if self.fatal is not None:
            return False
        for place in sorted(doomed, key=_position, reverse=True):
            if not any(place[:cut] in doomed for cut in range(1, len(place))):
                self._take_out(place, doomed[place])
        return bool(self.tree)

    def note(self, finding: Finding, severity: Severity, done: str, place: Where | None = None) -> None:
        path = self.source_path(finding.where if place is None else place)
        self.issues.append(
            Issue(severity, finding.code, path, f"{finding.message}; {done}", action_for(finding.code))
        )

    # -- mending -------------------------------------------------------------------------------------

    def _mend(self, finding: Finding) -> bool:
        done = self._mended(finding)
        if done:
            self.note(finding, Severity.WARNING, done)
        return bool(done)

    def _mended(self, finding: Finding) -> str:
        special = _SPECIAL.get(finding.code)
        if special is not None:
            return special(self, finding)
        element = self.element_at(finding.where)
        if element is None:
            return ""
        for rule in _VALUE_MENDS.get(finding.code, ()):
            found = rule(self.at(finding.where), element)
            if found is not None:
                self.put(finding.where, tracked(found[0]))
                return found[1]
        return ""

    def wrap(self, finding: Finding) -> str:
        self.put(finding.where, Items([self.at(finding.where)], [None]))
        return "it was put into an array"

    def unwrap(self, finding: Finding) -> str:
        """Only one value fits: the first is kept."""
        items = self.at(finding.where)
        if not items or isinstance(items[0], list):
            return ""
        self.lost += [
            (self.source_path((*finding.where, index)), "only one value is allowed")
            for index in range(1, len(items))
        ]
        self.put(finding.where, items[0])
        return "the first value was kept" if len(items) > 1 else "it was taken out of its array"

    def align(self, finding: Finding) -> str:
        twins = self.at(finding.where)
        name = str(finding.where[-1])[1:]
        values = self.at((*finding.where[:-1], name))
        longest = max(len(values), len(twins))
        for items in (values, twins):
            missing = longest - len(items)
            items.extend([None] * missing)
            items.origin.extend([None] * missing)
        return "the shorter one was filled with null"

    def declare_unknown(self, finding: Finding) -> str:
        """A required element of a resource or backbone element: say that it is not known.

        Nothing is declared of what tells nothing else, and nothing within data types: they go as a whole.
        """
        place = finding.where[:-1]
        element = self.element_at(place)
        holder = self.at(place)
        if element is None or element.content == "Resource":
            kind = str(holder.get("resourceType")) if element is not None or not place else ""
            known = schema.is_resource(kind)
        else:
            kind, known = element.content, element.types[0] == "BackboneElement"
        if not known or not holder.keys() - _NO_CONTENT:
            return ""
        name, value = _unknown(kind, str(finding.where[-1]))
        holder[name] = tracked(value)
        return "it was marked as unknown"

    def presume_active(self, finding: Finding) -> str:
        """ait-1. An allergy that nobody has called inactive or resolved must not be lost, nor look inactive."""
        return self._set_status(finding, "allergyintolerance-clinical", "active")

    def presume_inactive(self, finding: Finding) -> str:
        """con-4. What has abated is inactive, the code above resolved and remission; a status that says otherwise stays."""
        return self._set_status(finding, "condition-clinical", "inactive")

    def _set_status(self, finding: Finding, system: str, code: str) -> str:
        holder = self.at(finding.where)
        if "clinicalStatus" in holder:
            return ""
        coding = {"system": f"http://terminology.hl7.org/CodeSystem/{system}", "code": code}
        holder["clinicalStatus"] = tracked({"coding": [coding]})
        return f"clinicalStatus was set to {code}"

    def other_contact(self, finding: Finding) -> str:
        """cpt-2. A number whose kind nobody told is still a way to reach someone."""
        self.at(finding.where)["system"] = "other"
        return "its system was set to other"

    def code_as_unit(self, finding: Finding) -> str:
        """qty-3. A code of no stated system is a unit for people."""
        holder = self.at(finding.where)
        code = holder.get("code")
        if "unit" in holder or not isinstance(code, str):
            return ""
        holder["unit"] = holder.pop("code")
        return "the code was made the unit"

    def reference_as_display(self, finding: Finding) -> str:
        """What is no reference still says to a person what was meant."""
        holder = self.at(finding.where[:-1])
        if "display" in holder:
            return ""
        holder["display"] = holder.pop("reference")
        return "it was made the display"

    def either_unknown(self, finding: Finding) -> str:
        """A rule that asks for one of two elements: the likelier one is declared unknown."""
        kind, name = _EITHER[finding.code]
        named, value = _unknown(kind, name)
        self.at(finding.where)[named] = tracked(value)
        return f"the {name} was marked as unknown"

    # -- removing ------------------------------------------------------------------------------------

    def _take_out(self, place: Where, finding: Finding) -> None:
        try:
            self.at(place)
        except (KeyError, IndexError):
            return  # it went with something else of this round
        empty = finding.code in _NOTHING_LOST
        if not empty:
            self.lost.append((self.source_path(place), finding.message))
        done = (
            "it was left out" if finding.where[: len(place)] == place else "what breaks the rule was left out"
        )
        self.note(
            finding, Severity.INFORMATION if empty else Severity.WARNING, done, None if empty else place
        )
        self.remove(place)


def _position(place: Where) -> tuple[tuple[int, str], ...]:
    """Order of places in which later array items come later."""
    return tuple((step, "") if isinstance(step, int) else (0, step) for step in place)


def _absent() -> Json:
    return {"extension": [{"url": ABSENT_REASON, "valueCode": "unknown"}]}


def _unknown(kind: str, name: str) -> tuple[str, Any]:
    """(JSON name, value) that declares a required element of a resource unknown (FHIR R4 §2.24.0.1, §2.6.2.3)."""
    if name.endswith("[x]"):
        members = schema.elements(kind)
        options = next(c.options for c in schema.choices(kind) if c.name == name[:-3])
        ways = [_unknown_element(members[option]) for option in options]
        dated = (way for way in ways if way[0].startswith("_") and way[0].endswith("DateTime"))
        concept = (way for way in ways if way[0].endswith("CodeableConcept"))
        return next(dated, None) or next(concept, None) or ways[0]
    return _unknown_element(schema.elements(kind)[name])


def _unknown_element(element: schema.Element) -> tuple[str, Any]:
    """A code or concept says ``unknown`` where its value set has that; anything else carries the extension."""
    name, kind = element.name, element.types[0]
    value: Any = _absent()
    if kind == "code" and element.codes is not None and "unknown" in element.codes:
        value = "unknown"
    elif kind == "CodeableConcept" and element.codes is None:
        value = {"coding": [dict(_ABSENT_CODING)]}
    elif kind in schema.PRIMITIVES:
        name = f"_{name}"
    elif kind == "BackboneElement":
        value = _unknown_parts(element.content) or value
    return name, value if element.max == 1 else [value]


def _unknown_parts(kind: str) -> Json:
    """What a backbone element demands, all of it unknown."""
    names = [name for name, element in schema.elements(kind).items() if element.min]
    names += [f"{choice.name}[x]" for choice in schema.choices(kind) if choice.min]
    return dict(_unknown(kind, name) for name in names)


_SPECIAL: dict[str, Callable[[_Repair, Finding], str]] = {
    "array-expected": _Repair.wrap,
    "single-expected": _Repair.unwrap,
    "misaligned": _Repair.align,
    "missing": _Repair.declare_unknown,
    "reference-format": _Repair.reference_as_display,
    "cpt-2": _Repair.other_contact,
    "qty-3": _Repair.code_as_unit,
    "ait-1": _Repair.presume_active,
    "con-4": _Repair.presume_inactive,
    **dict.fromkeys(_EITHER, _Repair.either_unknown),
}
