"""The quick answer: is this resource surely valid? Nearly all that a feed makes is, and needs no more than a yes.

:mod:`engine.fhir.walk` tells what is wrong and where. This module asks the same rules in the same words, and
stops at the first doubt: a "no" means only that the walk must look. It knows less on purpose (contained
resources, resources in resources, arrays of primitives with extensions are the walk's), so that what it does know is
one small object a type, made when a type is first met. That both never disagree on what is valid is held by
``tests/property/test_fhir_sure.py``.
"""

from __future__ import annotations

from typing import Any

from engine.fhir import schema
from engine.fhir.checks import (
    URI,
    Bound,
    Check,
    Extension,
    Grammar,
    Id,
    Kind,
    Later,
    Listed,
    Member,
    Object,
    Other,
    Profiled,
    Reference,
    Text,
)
from engine.fhir.compiled import Slot, rule_for
from engine.fhir.invariants import ADVICE
from engine.fhir.primitives import EXISTS, TESTS, Test

Json = dict[str, Any]

_ADVICE = frozenset(ADVICE)
_COMING_AGAIN = frozenset({"Device", "Location", "Organization", "Practitioner", "PractitionerRole"})
_KNOWN_RESOURCES = 2048
_LONGEST_RESOURCE = 2048
"""Characters of the texts of the longest that is remembered."""
_KNOWN: dict[str, Json] = {}
"""Valid resources of those types, by id."""
_MADE: dict[str, Check] = {}
"""Check of each type met so far; the number of types bounds it."""


def surely_valid(resource: Json) -> bool:
    """Whether the walk would find no error. False says nothing: ask :func:`engine.fhir.walk.validate`."""
    kind = resource.get("resourceType")
    if not isinstance(kind, str):
        return False
    check = _MADE.get(kind)
    if check is None:
        if not schema.is_resource(kind):
            return False
        check = _check_of(kind)
    try:
        return check.ok(resource) if kind not in _COMING_AGAIN else _known_or_good(resource, check)
    except (TypeError, AttributeError):
        return False


def _known_or_good(resource: Json, check: Check) -> bool:
    """Of what is said again and again word for word, seeing that it is the same is quicker."""
    made = resource.get("id")
    if not isinstance(made, str):
        return check.ok(resource)
    if resource == _KNOWN.get(made):
        return True
    if not check.ok(resource):
        return False
    kept = _texts(resource) if _length(resource) <= _LONGEST_RESOURCE else None
    if kept is not None:
        if len(_KNOWN) >= _KNOWN_RESOURCES:
            _KNOWN.clear()
        _KNOWN[made] = kept
    return True


def _length(value: Any) -> int:
    """Characters of all texts in nested content."""
    if isinstance(value, dict):
        return sum(map(_length, value.values()))
    if isinstance(value, list):
        return sum(map(_length, value))
    return len(value) if isinstance(value, str) else 1


def _texts(value: Any) -> Any:
    """A copy of objects and arrays of texts; None if there is anything else, for True equals 1 and 1 equals 1.0."""
    if isinstance(value, str):
        return value
    parts: Any
    if isinstance(value, dict):
        parts = {name: _texts(part) for name, part in value.items()}
        return None if None in parts.values() else parts
    if isinstance(value, list):
        parts = [_texts(part) for part in value]
        return None if None in parts else parts
    return None


_TEXTS = Text()
_QUICK: dict[str, Check] = {
    "string": _TEXTS,
    "markdown": _TEXTS,
    "id": Id(),
    **dict.fromkeys(("uri", "url", "canonical"), URI),
    **{name: Grammar(schema.PRIMITIVES[name].fullmatch) for name in ("code", "oid", "uuid", "time")},
    **{name: Grammar(exists) for name, exists in EXISTS.items()},
}


def _check_of(type_name: str) -> Check:
    """The check of a type; one that is just being made stands for itself."""
    found = _MADE.get(type_name)
    if found is None:
        _MADE[type_name] = Later(type_name, _MADE)
        found = _MADE[type_name] = _of_type(type_name)
    return found


def _of_type(type_name: str) -> Check:
    rule = rule_for(type_name)
    bits = {name: 1 << n for n, name in enumerate(dict.fromkeys([*rule.required, *_choices(type_name)]))}
    single = sum(bits[name] for name in _choices(type_name))
    needed = sum(bits[name] for name in (*rule.required, *rule.choices))
    members: dict[str, Member] = {}
    if rule.is_resource:
        members["resourceType"] = Member(Kind(), 0, many=False)
    for name, slot in rule.known.items():
        if slot.content == "Resource":
            continue  # never sure
        bit = bits.get(slot.choice or name, 0)
        check = _primitive(slot) or _of_object(slot, nested=type_name == "Extension")
        members[name] = Member(check, bit, many=slot.many)
        if slot.test is not None and not slot.many and type_name != "Extension":
            members[f"_{name}"] = Member(_check_of("Element"), bit, many=False)
    invariants = [i.test for i in rule.invariants if i not in _ADVICE]
    if type_name == "Extension":
        invariants = [_plain_extension(test) for test in invariants]
    return Object(members, invariants, single, needed, is_resource=rule.is_resource)


def _plain_extension(ext_1: Test) -> Test:
    """An url and one thing more is what ext-1 asks for, and what nearly every extension is."""
    return lambda node: (len(node) == 2 and "id" not in node) or ext_1(node)


def _choices(type_name: str) -> list[str]:
    return [choice.name for choice in schema.choices(type_name)]


def _primitive(slot: Slot) -> Check | None:
    """The check of a primitive; None for an object."""
    if slot.test is None:
        return None
    if slot.listed is not None:
        return Listed(slot.listed)
    quick = _QUICK.get(slot.type)
    return quick if quick is not None and slot.test is TESTS[slot.type] else Other(slot.test)


def _of_object(slot: Slot, *, nested: bool) -> Check:
    """An object with what its place demands beside its type, as the walk's ``_child`` has it."""
    whole = _check_of(slot.content)
    if slot.content == "Reference":
        return Reference(slot.targets, whole, _extension(_check_of("Extension")))
    if slot.codes is not None:
        return Bound(slot, whole)
    if slot.profile is not None:
        return Profiled(whole, slot.profile.test)
    if slot.content == "Extension" and not nested:
        return _extension(whole)
    return whole


def _extension(whole: Check) -> Check:
    known = rule_for("Extension").known.values()
    values = {slot.name: check for slot in known if slot.choice and (check := _primitive(slot)) is not None}
    return Extension(whole, values)
