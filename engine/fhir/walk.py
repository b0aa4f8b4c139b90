"""The walk that tells whether a resource is valid FHIR R4: structure, formats, codes, references and invariants.

Rules are compiled from :mod:`engine.fhir.schema` and the invariant tables when a type is first met; then a
resource is walked once as plain dicts and lists. Locations are made only for what is found, so that a
valid resource costs little. Profiles, terminology beyond required bindings and the existence of targets
outside of a Bundle are not checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.fhir import references, schema
from engine.fhir.compiled import Rule, Slot, rule_for
from engine.fhir.contained import contained_types, containment
from engine.fhir.findings import Finding, Where, fhirpath
from engine.fhir.invariants import ADVICE, Invariant, Json
from engine.fhir.primitives import TESTS, element_id, fault, kind_of
from engine.fhir.references import Form
from engine.records import Severity

_ADVICE = frozenset(ADVICE)


def validate(resource: Json) -> list[Finding]:
    """All breaches of R4 in a resource, in the order of the source; empty when it is valid.

    Args:
        resource: JSON object as the reader gives it. A Bundle is validated with all that it holds; how
            its entries belong together is :func:`engine.fhir.bundle_rules.validate_bundle`'s to say.
    """
    findings: list[Finding] = []
    _Walk(root_of(resource), findings).resource(resource, ())
    return findings


def root_of(resource: Json) -> str:
    """What FHIRPaths of a resource begin with: its type, or ``Resource`` when R4 has no such type."""
    kind = resource.get("resourceType")
    return kind if isinstance(kind, str) and schema.is_resource(kind) else "Resource"


class _Walk:
    """One walk over one resource; a contained or bundled resource gets its own rules of containment."""

    __slots__ = ("contained", "findings", "root")

    def __init__(self, root: str, findings: list[Finding]) -> None:
        self.root = root
        self.findings = findings
        self.contained: dict[str, str] = {}

    def add(self, code: str, message: str, where: Where, *, blame: tuple[Where, ...] = ()) -> None:
        self.findings.append(Finding(fhirpath(self.root, where), code, message, where=where, blame=blame))

    # -- resources -----------------------------------------------------------------------------------

    def resource(self, node: Json, where: Where) -> None:
        """A resource that is its own root of containment: the outermost, or one in a Bundle or Parameters."""
        outer = self.contained
        self.contained = contained = contained_types(node)
        self._typed(node, where)
        if contained:
            for code, message, place in containment(node):
                self.add(code, message, (*where, *place))
        self.contained = outer

    def _typed(self, node: Json, where: Where) -> None:
        kind = node.get("resourceType")
        if isinstance(kind, str) and schema.is_resource(kind):
            self.node(node, rule_for(kind), where)
        else:
            self.add(
                "resource-type",
                "resourceType names no resource of R4",
                (*where, "resourceType"),
                blame=(where,),
            )

    # -- elements ------------------------------------------------------------------------------------

    def node(self, node: Json, rule: Rule, where: Where) -> None:
        """Everything about one object: its elements, what is missing, and its invariants."""
        if not node or (len(node) == 1 and "id" in node and not rule.is_resource):
            self.add("empty", "An object without elements (ele-1)", where)
            return
        self._elements(node, rule, where)

    def _elements(self, node: Json, rule: Rule, where: Where) -> None:
        known = rule.known
        chosen: dict[str, str] = {}
        for name, value in node.items():
            slot = known.get(name)
            if slot is None:
                slot = self._stranger(node, name, rule, where)
                if slot is None:
                    continue
            elif slot.test is None or slot.many:
                self._value(slot, value, node, (*where, name))
            elif not slot.test(value):
                self._bad_primitive(slot, value, (*where, name))
            if slot.choice and chosen.setdefault(slot.choice, slot.name) != slot.name:
                self.add("choice", f"Only one type of {slot.choice}[x] may be there", (*where, name))
        self._whole(node, rule, chosen, where)

    def _whole(self, node: Json, rule: Rule, chosen: dict[str, str], where: Where) -> None:
        """What only the whole object shows: elements that are missing, and rules over several."""
        for name in rule.required:
            if name not in node and f"_{name}" not in node:
                self.add("missing", "The element is required", (*where, name))
        for name in rule.choices:
            if name not in chosen:
                self.add("missing", "One type of the choice is required", (*where, f"{name}[x]"))
        for invariant in rule.invariants:
            if not invariant.test(node):
                self._breach(invariant, node, where)

    def _value(self, slot: Slot, value: Any, node: Json, where: Where) -> None:
        if slot.many:
            if not isinstance(value, list) or not value:
                self._bad_array(value, where)
            elif slot.test is not None:
                self._primitives(slot, value, node, where)
            else:
                for index, item in enumerate(value):
                    self._child(slot, item, (*where, index))
        else:
            self._child(slot, value, where)

    def _stranger(self, node: Json, name: str, rule: Rule, where: Where) -> Slot | None:
        """A name that is no element: resourceType, the twin of a primitive, or unknown."""
        if name == "resourceType" and rule.is_resource:
            return None
        slot = rule.known.get(name[1:]) if name.startswith("_") else None
        if slot is None or slot.test is None:
            self.add("unknown-element", "R4 has no such element here", (*where, name))
            return None
        value = node[name]
        if not slot.many:
            self._twin(value, node.get(slot.name), (*where, name))
        elif isinstance(value, list) and value:
            beside = node.get(slot.name)
            values = beside if isinstance(beside, list) else []
            for index, item in enumerate(value):
                if item is not None:
                    self._twin(item, values[index] if index < len(values) else None, (*where, name, index))
            self._aligned(value, beside, where, slot.name)
        else:
            self._bad_array(value, (*where, name))
        return slot

    def _twin(self, value: Any, beside: Any, where: Where) -> None:
        """The id and extensions of a primitive (FHIR R4 §2.6.2.3); beside a value an id alone is enough (ele-1)."""
        if isinstance(value, dict):
            check = self._elements if beside is not None and value.keys() == {"id"} else self.node
            check(value, rule_for("Element"), where)
        else:
            self._bad_object(value, where)

    def _aligned(self, twins: list[Any], values: Any, where: Where, name: str) -> None:
        if all(twin is None for twin in twins):
            self.add("empty", "An array of nulls", (*where, f"_{name}"))
        elif isinstance(values, list) and len(values) != len(twins):
            self.add("misaligned", "The array and its underscore twin differ in length", (*where, f"_{name}"))

    def _primitives(self, slot: Slot, values: list[Any], node: Json, where: Where) -> None:
        test = slot.test
        assert test is not None
        for index, value in enumerate(values):
            if not test(value) and not (value is None and _has_twin(node, slot.name, index)):
                self._bad_primitive(slot, value, (*where, index))

    def _child(self, slot: Slot, value: Any, where: Where) -> None:
        content = slot.content
        if value.__class__ is not dict and not isinstance(value, dict):
            self._bad_object(value, where)
            return
        if content == "Resource":
            if slot.name == "contained":
                self._typed(value, where)
            else:
                self.resource(value, where)
            return
        self.node(value, slot.rule, where)
        if content == "Reference":
            self._reference(slot, value, where)
        elif slot.codes is not None:
            self._bound(slot, value, where)
        elif slot.profile is not None and not slot.profile.test(value):
            self._breach(slot.profile, value, where)
        elif content == "Extension" and ":" not in str(value.get("url", ":")) and not _is_nested(where):
            self.add("ext-url", "The url of an extension is absolute", (*where, "url"), blame=(where,))

    # -- values --------------------------------------------------------------------------------------

    def _reference(self, slot: Slot, value: Json, where: Where) -> None:
        text = value.get("reference")
        if not isinstance(text, str) or not text:
            return
        target = references.parse_reference(text)
        place = (*where, "reference")
        if target.form is Form.BAD:
            self.add("reference-format", "The reference has none of the forms that R4 knows", place)
            return
        kind = target.type
        if target.form is Form.CONTAINED and target.id:
            if target.id not in self.contained:
                self.add("ref-1", "No contained resource has this id", place)
                return
            kind = self.contained[target.id]
        if kind and slot.targets and kind not in slot.targets:
            self.add("target", f"A reference to {kind} is not allowed here", place)

    def _bound(self, slot: Slot, value: Json, where: Where) -> None:
        """A required binding of a Coding or CodeableConcept: one coding is of the value set."""
        codings = [value] if slot.type == "Coding" else value.get("coding")
        if codings is None and "extension" in value and "text" not in value:
            return
        assert slot.codes is not None
        for coding in codings if isinstance(codings, list) else ():
            if not isinstance(coding, dict) or coding.get("system") != slot.system:
                continue
            code = coding.get("code")
            if isinstance(code, str) and code in slot.codes:
                return
        self.add("code", "No coding is of the required value set", where)

    def _breach(self, invariant: Invariant, node: Json, where: Where) -> None:
        severity = Severity.WARNING if invariant in _ADVICE else Severity.ERROR
        blame = tuple(place for name in invariant.blame for place in _blamed(name, node, where))
        path = fhirpath(self.root, where)
        self.findings.append(Finding(path, invariant.key, invariant.message, severity, where, blame))

    def _bad_primitive(self, slot: Slot, value: Any, where: Where) -> None:
        if self._nothing(value, where):
            return
        if isinstance(value, list):
            self.add("single-expected", "An array where the element may not repeat", where)
            return
        code, message = fault(slot.type, value)
        if code == "format" and slot.test not in (TESTS[slot.type], element_id):
            code, message = "code", "The code is not of the required value set"
        self.add(code, message, where)

    def _bad_object(self, value: Any, where: Where) -> None:
        if not self._nothing(value, where):
            if isinstance(value, list):
                self.add("single-expected", "An array where the element may not repeat", where)
            else:
                self.add("wrong-type", f"Expected an object, not {kind_of(value)}", where)

    def _bad_array(self, value: Any, where: Where) -> None:
        if not self._nothing(value, where):
            self.add("array-expected", f"Expected an array, not {kind_of(value)}", where)

    def _nothing(self, value: Any, where: Where) -> bool:
        """Report a value that says nothing, whatever belongs in its place."""
        if value is None:
            self.add("null", "JSON null is no value", where)
        elif value == []:
            self.add("empty", "An empty array", where)
        elif isinstance(value, str) and not value.strip():
            self.add("empty", "The value is an empty string, or blanks alone", where)
        else:
            return False
        return True


def _is_nested(where: Where) -> bool:
    """Whether an extension stands in an extension; only there its url may be relative (FHIR R4 §2.5.1.1)."""
    return len(where) >= 4 and where[-4] in {"extension", "modifierExtension"} and isinstance(where[-3], int)


def _blamed(name: str, node: Json, where: Where) -> Iterator[Where]:
    """Places that an invariant's ``blame`` names within an object."""
    if name.endswith("[x]"):
        stem = name[:-3]
        names = [
            k for k in node if k.lstrip("_").startswith(stem) and k.lstrip("_")[len(stem) :][:1].isupper()
        ]
        yield from ((*where, k) for k in names)
        return
    if "=" in name:
        path, wanted = name.split("=")
        array, leaf = path.split(".")
        items = enumerate(node[array])
        yield from (
            (*where, array, i, leaf)
            for i, item in items
            if isinstance(item, dict) and item.get(leaf) == wanted
        )
        return
    yield from ((*where, k) for k in (name, f"_{name}") if k in node)


def _has_twin(node: Json, name: str, index: int) -> bool:
    twins = node.get(f"_{name}")
    return isinstance(twins, list) and index < len(twins) and twins[index] is not None
