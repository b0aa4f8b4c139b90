"""The explicit null through to FHIR: which elements ``""`` in a field clears, and the patch that does it.

HL7 v2 has three states of a field (v2.5.1 §2.5.3): absent leaves what the receiver holds, ``""`` deletes
it, a value replaces it. A PUT knows two: what the resource does not hold is gone. So where a sender uses
nulls in an update, the resource is written as a FHIRPath Patch (FHIR R4 §3.1.0.9.2) that deletes what was
nulled, replaces what was sent, and leaves the rest alone. docs/decisions/0009 says what that means for
receivers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from engine.fhir import schema
from engine.fhir.bundle import BASE

if TYPE_CHECKING:
    from engine.mapping.compiler import Rule, SegmentTable

Json = dict[str, Any]
Applies = Callable[["Rule"], bool]

_UNTOUCHED = frozenset({"resourceType", "id", "meta", "text", "contained", "implicitRules", "language"})
_NARROWED = frozenset({"Extension", "Identifier", "ContactPoint"})
"""Types whose items are replaced one by one, by what tells them apart."""
_NESTED = re.compile(r"(.*\.extension\.where\(url = '[^']*')\)\.extension\.where\(")
_BY_ROLE = frozenset({"Encounter.participant", "Coverage.class", "Coverage.costToBeneficiary"})
"""Backbone elements whose items are told apart by the code of their type."""
_BY_TARGET = frozenset({"Patient.generalPractitioner"})
"""References that are told apart by what they refer to: a clinic (PD1-3), a doctor (PD1-4), a part played (ROL)."""
_TEMPORARY = "http://hl7.org/fhir/StructureDefinition/subject-locationClassification"
"""What a temporary place of a visit bears beside its status."""
_LABEL = re.compile(r"\[[^\]]*\]$")
_FHIRPATH_QUOTE = str.maketrans({"\\": "\\\\", "'": "\\'"})


def cleared_paths(table: SegmentTable, type_name: str, number: int, applies: Applies) -> list[str]:
    """FHIRPaths that a null in field ``number`` clears; [] when the tables can't tell one element from its like.

    A path goes as deep as it must to hold nothing of another field: the county of an address, not the address.

    Args:
        table: of the segment.
        type_name: of the resource.
        number: of the field.
        applies: whether a row's condition holds in this message: the marks that it would give an item tell the item.
    """
    rules = _rules_of(table, number)
    if not rules or _path(table, rules[0], type_name, applies) is None:
        return []
    paths = [path for rule in rules if (path := _path(table, rule, type_name, applies)) is not None]
    # An extension whose last part has gone is none any more (ext-1).
    hollow = [f"{match[1]} and extension.empty())" for path in paths if (match := _NESTED.match(path))]
    return list(dict.fromkeys([*paths, *hollow]))


def replaced_elements(table: SegmentTable, type_name: str, number: int, *, part: bool) -> list[str]:
    """Elements that a field writes into and that a patch sets anew, if the message holds them at all.

    Args:
        table, type_name, number: as for :func:`cleared_paths`.
        part: the null is in a part of a value: then also those count whose items are replaced one by one.
    """
    known = schema.elements(type_name)
    names = {rule.target.steps[0].name for rule in _rules_of(table, number) if rule.target.steps}
    return sorted(n for n in names if n in known and (part or known[n].types[0] not in _NARROWED))


def _rules_of(table: SegmentTable, number: int) -> list[Rule]:
    return [rule for rule in table.rules if rule.field == number and rule.convert is not None]


def _path(table: SegmentTable, rule: Rule, type_name: str, applies: Applies) -> str | None:
    """Path of what a rule writes, narrowed where several rules write into one array; None if that can't be told."""
    path, holder = type_name, type_name
    for step in rule.target.steps:
        if step.url:
            if _owned_before(table, rule):
                return None
            path, holder = f"{path}.extension.where(url = '{_quoted(step.url)}')", "Extension"
        else:
            name = step.name.lstrip("_")
            element = schema.elements(holder)[name]
            holder = element.content or element.types[0]
            path += f".{element.choice or name}"
            if step.many:
                selector = _selector_of(table, rule, step.key, applies)
                if selector is None:
                    return None
                path += selector
        if step.many and (not _shared(table, rule, step.key) or _needed(rule, step.key, holder)):
            return path  # the whole item is this field's, or is nothing without it
    return path


def _shared(table: SegmentTable, rule: Rule, key: str) -> bool:
    """Whether other fields write other parts of the item that a path with labels leads to."""
    return any(
        other.field != rule.field
        and other.convert is not None
        and other.target.text != rule.target.text
        and _below(other.target.text, key)
        for other in table.rules
    )


def _needed(rule: Rule, key: str, holder: str) -> bool:
    """Whether the part that a rule writes is one that its item must have."""
    part = rule.target.text.removeprefix(key).lstrip(".").partition(".")[0].partition("[")[0]
    element = schema.elements(holder).get(part) if part and holder != "Extension" else None
    return element is not None and element.min > 0


def _below(target: str, key: str) -> bool:
    return target == key or target.startswith(f"{key}.")


def _owned_before(table: SegmentTable, rule: Rule) -> bool:
    """Whether an earlier field writes to the very place, of which this one is only the understudy."""
    for other in table.rules:
        if other is rule:
            return False
        if other.field not in {0, rule.field} and other.target.text == rule.target.text:
            return True
    return False


def _selector_of(table: SegmentTable, rule: Rule, key: str, applies: Applies) -> str | None:
    """What tells a rule's items of an array from those of other fields: "" if there are none, None if nothing does."""
    if rule.target.text == key and (own := _by_defaults(rule)):
        return f".where({own})"
    array = _unlabelled(key)
    mine = _marks(table, key, applies)
    tests = list(mine)
    others = {
        step.key: other
        for other in table.rules
        for step in other.target.steps
        if step.many
        and step.key != key
        and other.convert is not None
        and other.field != rule.field
        and _unlabelled(step.key) == array
    }
    plain = rule.target.text == key == array
    rivals = [
        other
        for other in table.rules
        if other.target.text == key and other.field != rule.field and other.convert is not None
    ]
    if plain and rivals:
        kind = _referred(rule)
        told_apart = kind and all(_referred(other) not in {"", kind} for other in rivals)
        return f".where(reference.startsWith('{kind}/'))" if told_apart else None
    for label, other in others.items():
        theirs = _marks(table, label, applies)
        if not theirs and other.target.text == label and (default := _by_defaults(other)):
            theirs = {default: f"({default}).not()"}
        if not mine.keys() <= theirs.keys():
            continue
        extra = [negation for mark, negation in theirs.items() if mark not in mine]
        if not extra:
            return None
        tests.append(extra[0])
    return f".where({' and '.join(dict.fromkeys(tests))})" if tests else ""


def _referred(rule: Rule) -> str:
    """Type of the resource that ``Reference(XCN-Practitioner)`` refers to; "" for what is no reference."""
    kind = rule.line["using"].removesuffix(")").rpartition("-")[2]
    return kind if rule.line["using"].startswith("Reference(") and schema.is_resource(kind) else ""


def _unlabelled(key: str) -> str:
    """``location[now]`` as ``location``."""
    return _LABEL.sub("", key)


def _by_defaults(rule: Rule) -> str:
    """``XTN-ContactPoint(use=home)`` tells its items by their use."""
    using = rule.line["using"]
    if "(" not in using or using.startswith("Reference("):
        return ""
    name, _, value = using[using.index("(") + 1 : -1].split(";")[0].partition("=")
    return f"{name.strip()} = '{_quoted(value.strip())}'"


def _marks(table: SegmentTable, key: str, applies: Applies) -> dict[str, str]:
    """Fixed values that rows write into an item: tests that it passes, each with the test that others pass."""
    found: dict[str, str] = {}
    names: set[str] = set()
    for other in table.rules if "[" in key else ():
        target = other.target.text
        if other.convert is not None or other.placeholders or not target.startswith(f"{key}."):
            continue
        name, fixed = target.removeprefix(f"{key}."), other.fixed
        if name in names or not applies(other):
            continue  # a value for other circumstances
        names.add(name)
        if name.startswith("extension("):
            url = next(step.url for step in other.target.steps if step.url)
            test = f"extension.where(url = '{_quoted(url)}')"
        elif isinstance(fixed, dict):
            coding = fixed["coding"][0] if "coding" in fixed else fixed
            test = f"{name}.coding.where(code = '{_quoted(coding['code'])}')"
        elif isinstance(fixed, str) and "." not in name and name != "system":
            found[f"{name} = '{_quoted(fixed)}'"] = f"({name} = '{_quoted(fixed)}').not()"
            continue
        else:
            continue
        found[f"{test}.exists()"] = f"{test}.empty()"
    if not found and applies is not _always:
        # A condition that asks for the field itself fails where the field is null.
        return _marks(table, key, _always)
    return found


def _always(_rule: Rule) -> bool:
    return True


def _quoted(text: str) -> str:
    return text.translate(_FHIRPATH_QUOTE)


def patch_entry(resource: Json, cleared: Iterable[str]) -> Json:
    """An entry that deletes what was nulled, replaces what the resource holds, and leaves the rest alone."""
    kind, resource_id = resource["resourceType"], resource["id"]
    operations = [_operation("delete", path) for path in dict.fromkeys(cleared)]
    known = schema.elements(kind)
    for name in dict.fromkeys(key.removeprefix("_") for key in resource):
        if name not in _UNTOUCHED and name in known:
            operations += _replacement(kind, name, resource.get(name), resource.get(f"_{name}"), known[name])
    url = f"{kind}/{resource_id}"
    return {
        "fullUrl": BASE + url,
        "resource": {"resourceType": "Parameters", "parameter": operations},
        "request": {"method": "PATCH", "url": url},
    }


def _replacement(kind: str, name: str, value: Any, twin: Any, element: schema.Element) -> list[Json]:
    """Operations that make an element what the message says, without touching what it does not speak of.

    ``twin`` holds the extensions of a primitive one, such as what was sent in place of a date that exists.
    """
    stem = element.choice or name
    items, twins = ([x] if not isinstance(x, list) else x for x in (value, twin))
    pairs = list(zip_longest(items, twins))
    by_target = f"{kind}.{stem}" in _BY_TARGET
    paths = [
        f"{kind}.{stem}{_by_target(item) if by_target else _selector(element.types[0], item)}"
        for item, _ in pairs
    ]
    operations = [_operation("delete", path) for path in dict.fromkeys(paths)]
    type_name = element.content or element.types[0]
    return operations + [
        _operation("add", kind, stem, _with_twin(type_name, item, extras)) for item, extras in pairs
    ]


def _with_twin(type_name: str, item: Any, extras: Any) -> Json:
    part = _value(type_name, item) if item is not None else {}
    return {**part, f"_value{type_name[:1].upper()}{type_name[1:]}": extras} if extras is not None else part


def _selector(type_name: str, item: Any) -> str:
    """Which of the items that a receiver may hold is replaced by this one; "" is all of them."""
    if type_name == "Extension":
        return f".where(url = '{_quoted(item['url'])}')"
    if type_name == "Identifier" and "system" in item:
        return f".where(system = '{_quoted(item['system'])}')"
    if type_name == "ContactPoint":
        return f".where(use = '{_quoted(item['use'])}')" if "use" in item else ".where(use.empty())"
    if type_name in _BY_ROLE and (codes := list(_codes(item.get("type")))):
        return f".where(type.coding.where(code = '{_quoted(codes[0])}').exists())"
    if type_name == "Encounter.location" and "status" in item:
        kept = any(e["url"] == _TEMPORARY for e in item.get("extension", ()))
        temporary = f"extension.where(url = '{_TEMPORARY}').{'exists' if kept else 'empty'}()"
        return f".where(status = '{_quoted(item['status'])}' and {temporary})"
    return ""


def _by_target(item: Any) -> str:
    kind = item.get("reference", "").partition("/")[0]
    return f".where(reference.startsWith('{kind}/'))" if kind else ""


def _codes(concepts: Any) -> Iterator[str]:
    """Codes of a CodeableConcept, or of several."""
    for concept in concepts if isinstance(concepts, list) else [concepts] if concepts else []:
        yield from (coding["code"] for coding in concept.get("coding", ()) if "code" in coding)


def _operation(what: str, path: str, name: str = "", value: Json | None = None) -> Json:
    parts: list[Json] = [{"name": "type", "valueCode": what}, {"name": "path", "valueString": path}]
    if name:
        parts.append({"name": "name", "valueString": name})
    if value is not None:
        parts.append({"name": "value", **value})
    return {"name": "operation", "part": parts}


def _value(kind: str, value: Any) -> Json:
    """A value part: ``value[x]``, or parts where Parameters has no such type (backbone elements)."""
    name = f"value{kind[:1].upper()}{kind[1:]}"
    if name in schema.elements("Parameters.parameter"):
        return {name: value}
    names = dict.fromkeys(key.removeprefix("_") for key in value)
    return {
        "part": [part for key in names for part in _parts(kind, key, value.get(key), value.get(f"_{key}"))]
    }


def _parts(kind: str, key: str, inner: Any, twin: Any) -> Iterator[Json]:
    """Parts of one element; ``twin`` holds the extensions of a primitive one (FHIR R4 §2.6.2)."""
    element = schema.elements(kind)[key]
    type_name = element.content or element.types[0]
    items, twins = ([x] if not isinstance(x, list) else x for x in (inner, twin))
    for item, extras in zip_longest(items, twins):
        yield {"name": element.choice or key, **_with_twin(type_name, item, extras)}
