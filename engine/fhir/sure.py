"""The quick answer: is this resource surely valid? Nearly all that a feed makes is, and needs no more than a yes.

:mod:`engine.fhir.walk` tells what is wrong and where. This module asks the same rules in the same words, and
stops at the first doubt: a "no" means only that the walk must look. It knows less on purpose (contained
resources, resources in resources, arrays of primitives with extensions are the walk's), so that what it does know is
one function a type, made when a type is first met. That both never disagree on what is valid is held by
``tests/property/test_fhir_sure.py``.
"""

from __future__ import annotations

import marshal
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from engine.fhir import schema
from engine.fhir.compiled import Slot, rule_for
from engine.fhir.invariants import ADVICE
from engine.fhir.primitives import EXISTS, TESTS, Test, element_id
from engine.fhir.references import Form, parse_reference

Json = dict[str, Any]
Verdict = Callable[[Any], object]
"""True and what stands for it is a yes; a match is one."""

_ADVICE = frozenset(ADVICE)
_KNOWN_URIS = 4096
"""URIs remembered as well formed: those of code systems, authorities and extensions come again and again."""
_COMING_AGAIN = frozenset(
    {"CodeableConcept", "Device", "Location", "Organization", "Practitioner", "PractitionerRole"}
)
_KNOWN_CONTENTS = 4096
"""Valid objects remembered of each such type; then it begins anew."""
_LONGEST_CONTENT = 1024
"""Bytes of the longest; what is longer does not come again."""
_NO_REFERENCES = 1
"""The version of marshal that writes equal values as equal bytes."""
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}").fullmatch
_TEXT = re.compile(r"(?!\s)[^\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]+").fullmatch
_URI = lru_cache(maxsize=_KNOWN_URIS)(schema.PRIMITIVES["uri"].fullmatch)
_QUICK: dict[str, Verdict] = {
    "string": _TEXT,
    "markdown": _TEXT,
    **dict.fromkeys(("uri", "url", "canonical"), _URI),
    **{name: schema.PRIMITIVES[name].fullmatch for name in ("code", "id", "oid", "uuid", "time")},
    **EXISTS,
}
"""Functions of the interpreter's own for what nearly every text is; what starts with a blank is left to the walk."""
_MADE: dict[str, Test] = {}
"""Test of each type met so far; the number of types bounds it."""


def surely_valid(resource: Json) -> bool:
    """Whether the walk would find no error. False says nothing: ask :func:`engine.fhir.walk.validate`."""
    kind = resource.get("resourceType")
    test = _MADE.get(kind) if kind.__class__ is str else None
    if test is None:
        if not isinstance(kind, str) or not schema.is_resource(kind):
            return False
        test = _test_of(kind)
    try:
        return test(resource)
    except (TypeError, AttributeError):
        return False


def _test_of(type_name: str) -> Test:
    """The test of a type; one that is just being made stands for itself, for types hold themselves."""
    found = _MADE.get(type_name)
    if found is None:
        _MADE[type_name] = _met_again(type_name)
        made = _of_type(type_name)
        found = _MADE[type_name] = _remembering(made) if type_name in _COMING_AGAIN else made
    return found


def _remembering(test: Test) -> Test:
    """The test of what comes again and again with the same content: codes, and who and where everything is."""
    valid: set[bytes] = set()

    def known(value: Any) -> bool:
        try:
            content = marshal.dumps(value, _NO_REFERENCES)
        except ValueError:  # it holds a number that is exact
            return test(value)
        if content in valid:
            return True
        if not test(value):
            return False
        if len(content) <= _LONGEST_CONTENT:
            if len(valid) >= _KNOWN_CONTENTS:
                valid.clear()
            valid.add(content)
        return True

    return known


def _met_again(type_name: str) -> Test:
    def test(value: Any) -> bool:
        return _MADE[type_name](value)

    return test


def _of_type(type_name: str) -> Test:
    rule = rule_for(type_name)
    bits = {name: 1 << n for n, name in enumerate(dict.fromkeys([*rule.required, *_choices(type_name)]))}
    single = sum(bits[name] for name in _choices(type_name))
    needed = sum(bits[name] for name in (*rule.required, *rule.choices))
    members: dict[str, tuple[Verdict, bool, int]] = {}
    if rule.is_resource:
        members["resourceType"] = (bool, False, 0)
    for name, slot in rule.known.items():
        if slot.content == "Resource":
            continue  # never sure
        bit = bits.get(slot.choice or name, 0)
        members[name] = _quick(slot) or _of_object(slot, nested=type_name == "Extension"), slot.many, bit
        if slot.test is not None and not slot.many and type_name != "Extension":
            members[f"_{name}"] = _test_of("Element"), False, bit
    invariants = [i.test for i in rule.invariants if i not in _ADVICE]
    if type_name == "Extension":
        invariants = [_plain_extension(test) for test in invariants]
    return _walk(members, invariants, single, needed, is_resource=rule.is_resource)


def _plain_extension(ext_1: Test) -> Test:
    """An url and one thing more is what ext-1 asks for, and what nearly every extension is."""
    return lambda node: (len(node) == 2 and "id" not in node) or ext_1(node)


def _choices(type_name: str) -> list[str]:
    return [choice.name for choice in schema.choices(type_name)]


def _walk(  # noqa: C901 - the hot loop: one pass without calls
    members: dict[str, tuple[Verdict, bool, int]],
    invariants: list[Test],
    single: int,
    needed: int,
    *,
    is_resource: bool,
) -> Test:
    """The test of an object.

    Args:
        members: by name: the test, whether it is one of each item, and the bit of what is needed or stands once.
        invariants: rules over several elements.
        single: bits of the choices, of which one type may be there.
        needed: bits of what must be there.
        is_resource: whether an id alone is content.
    """
    find = members.get
    find_plain = {
        name: one for name, (one, many, bit) in members.items() if not many and not bit
    }.get  # most elements: a value, that may be there or not

    def test(node: Any) -> bool:  # noqa: C901, PLR0912
        if node.__class__ is not dict:
            return False
        seen = 0
        for name, value in node.items():
            plain = find_plain(name)
            if plain is not None:
                if not plain(value):
                    return False
                continue
            member = find(name)
            if member is None:
                return False
            test_one, many, bit = member
            if many:
                if value.__class__ is not list or not value:
                    return False
                for item in value:
                    if not test_one(item):
                        return False
            elif not test_one(value):
                return False
            if bit:
                if seen & bit & single:
                    return False
                seen |= bit
        if seen & needed != needed:
            return False
        for invariant in invariants:
            if not invariant(node):
                return False
        return len(node) > 1 or (len(node) == 1 and (is_resource or "id" not in node))

    return test


def _quick(slot: Slot) -> Verdict | None:
    """The test of a primitive without a frame of Python where it can be; a value of another type raises TypeError."""
    if slot.test is None or slot.test is element_id:
        return slot.test
    if slot.listed is not None:
        return slot.listed.__contains__
    return _QUICK.get(slot.type, slot.test) if slot.test is TESTS[slot.type] else slot.test


def _of_object(slot: Slot, *, nested: bool) -> Test:
    """An object with what its place demands beside its type, as the walk's ``_child`` has it."""
    whole = _test_of(slot.content)
    if slot.content == "Reference":
        return _reference(slot, whole)
    if slot.codes is not None:
        return _bound(slot, whole)
    if slot.profile is not None:
        profile = slot.profile.test
        return lambda value: whole(value) and profile(value)
    if slot.content == "Extension" and not nested:
        return _extension(whole)
    return whole


def _extension(whole: Test) -> Test:
    """An extension whose url must be absolute; nearly all are that and one plain value."""
    values = {
        slot.name: quick
        for slot in rule_for("Extension").known.values()
        if slot.choice and (quick := _quick(slot))
    }

    def test(value: Any) -> bool:
        if len(value) == 2 and "url" in value:
            for name, content in value.items():
                if name in values:
                    url = value["url"]
                    return bool(values[name](content)) and ":" in url and bool(_URI(url))
        return bool(whole(value)) and ":" in value.get("url", ":")

    return test


def _reference(slot: Slot, whole: Test) -> Test:
    targets = slot.targets
    usual = targets or schema.resource_types()
    extension = _extension(_test_of("Extension"))

    def test(value: Any) -> bool:
        text = value.get("reference")
        if text is None:
            return bool(whole(value))
        kind, _, rest = text.partition("/")
        if kind in usual and _ID(rest) is not None:
            if len(value) == 1:
                return True  # a reference and nothing beside it, as nearly all are
            if len(value) == 2 and "extension" in value:
                beside = value["extension"]
                if beside.__class__ is list and len(beside) == 1:
                    return extension(beside[0])
        if not whole(value):
            return False
        if kind in usual and _ID(rest) is not None:
            return True
        target = parse_reference(text)
        if target.form is Form.BAD or target.form is Form.CONTAINED:
            return False
        return not targets or not target.type or target.type in targets

    return test


def _bound(slot: Slot, whole: Test) -> Test:
    """A required binding: one coding is of the value set."""
    codes, system, single = slot.codes or frozenset(), slot.system, slot.type == "Coding"

    def test(value: Any) -> bool:
        if not whole(value):
            return False
        for coding in (value,) if single else value.get("coding", ()):
            if coding.get("system") == system and coding.get("code") in codes:
                return True
        return False

    return test
