"""The quick answer: is this resource surely valid? Nearly all that a feed makes is, and needs no more than a yes.

:mod:`engine.fhir.walk` tells what is wrong and where. This module asks the same rules in the same words, and
stops at the first doubt: a "no" means only that the walk must look. It knows less on purpose (contained
resources, resources in resources, arrays of primitives with extensions are the walk's), so that what it does know is
one small object a type, made when a type is first met. That both never disagree on what is valid is held by
``tests/property/test_fhir_sure.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from engine.fhir import schema
from engine.fhir.compiled import Slot, rule_for
from engine.fhir.invariants import ADVICE
from engine.fhir.primitives import EXISTS, TESTS, Test
from engine.fhir.references import Form, parse_reference

Json = dict[str, Any]
Match = Callable[[str], object]
"""What stands for true is a yes; a match is one."""

_ADVICE = frozenset(ADVICE)
_KNOWN_TEXTS = 4096
"""Texts of a grammar remembered as well formed, for each: codes, URIs and the times of a message come again and again."""
_LONGEST_TEXT = 256
"""Characters of the longest that is remembered; what is longer does not come again."""
_FIRST = "!"
"""The first character that can be seen."""
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}").fullmatch
_TEXT = re.compile(r"(?!\s)[^\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]+").fullmatch
_COMING_AGAIN = frozenset({"Device", "Location", "Organization", "Practitioner", "PractitionerRole"})
_KNOWN_RESOURCES = 2048
_KNOWN: dict[str, Json] = {}
"""Valid resources of those types, by id."""
_TYPES: dict[str, str] = {}
"""The type that a reference names, of those met last: a message refers to one patient many times."""
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
    kept = _texts(resource)
    if kept is not None:
        if len(_KNOWN) >= _KNOWN_RESOURCES:
            _KNOWN.clear()
        _KNOWN[made] = kept
    return True


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


class Check:
    """Whether a value is surely good where it stands. A value of another JSON type is a no, or raises TypeError or AttributeError."""

    def ok(self, value: Any) -> bool:
        raise NotImplementedError


class _Text(Check):
    """A string or markdown; what starts with a blank is left to the walk."""

    def ok(self, value: Any) -> bool:
        if not isinstance(value, str):
            return False
        if value.isprintable():
            return value >= _FIRST  # neither empty nor with a blank before it
        return _TEXT(value) is not None


class _Id(Check):
    def ok(self, value: Any) -> bool:
        return isinstance(value, str) and _ID(value) is not None


class _Form(Check):
    """A text of a grammar."""

    def __init__(self, match: Match) -> None:
        self.match = match
        self.known: set[str] = set()

    def ok(self, value: Any) -> bool:
        if not isinstance(value, str):
            return False
        if value in self.known:
            return True
        if not self.match(value):
            return False
        if len(value) <= _LONGEST_TEXT:
            if len(self.known) >= _KNOWN_TEXTS:
                self.known.clear()
            self.known.add(value)
        return True


class _Listed(Check):
    """A code of a required binding."""

    def __init__(self, codes: frozenset[str]) -> None:
        self.codes = codes

    def ok(self, value: Any) -> bool:
        return value in self.codes


class _Other(Check):
    """A primitive that is seldom met."""

    def __init__(self, test: Test) -> None:
        self.test = test

    def ok(self, value: Any) -> bool:
        return self.test(value)


class _Kind(Check):
    """The name of the type, which is what the check was chosen by."""

    def ok(self, value: Any) -> bool:
        return bool(value)


class _Later(Check):
    """Stands for a type that is just being made: types hold themselves."""

    def __init__(self, type_name: str) -> None:
        self.type_name = type_name

    def ok(self, value: Any) -> bool:
        return _MADE[self.type_name].ok(value)


class _Member:
    """What one JSON name may hold.

    Attributes:
        many: whether it is an array, whose items ``check`` is for.
        bit: of what must be there or may be there once; 0 for most.
    """

    def __init__(self, check: Check, bit: int, *, many: bool) -> None:
        self.check = check
        self.bit = bit
        self.many = many


class _Object(Check):
    """An object of a type.

    Args:
        members: by JSON name.
        invariants: rules over several elements.
        single: bits of the choices, of which one type may be there.
        needed: bits of what must be there.
        is_resource: whether an id alone is content.
    """

    def __init__(
        self,
        members: dict[str, _Member],
        invariants: list[Test],
        single: int,
        needed: int,
        *,
        is_resource: bool,
    ) -> None:
        self.members = members
        self.invariants = invariants
        self.single = single
        self.needed = needed
        self.is_resource = is_resource

    def ok(self, value: Any) -> bool:  # noqa: C901, PLR0912 - the hot loop: one pass with few calls
        if not isinstance(value, dict):
            return False
        seen = 0
        members = self.members
        for name, part in value.items():
            member = members.get(name)
            if member is None:
                return False
            if member.many:
                if not isinstance(part, list) or not part:
                    return False
                for item in part:
                    if not member.check.ok(item):
                        return False
            elif not member.check.ok(part):
                return False
            if member.bit:
                if seen & member.bit & self.single:
                    return False
                seen |= member.bit
        if seen & self.needed != self.needed:
            return False
        for invariant in self.invariants:
            if not invariant(value):
                return False
        return len(value) > 1 or (len(value) == 1 and (self.is_resource or "id" not in value))


class _Extension(Check):
    """An extension whose url must be absolute; nearly all are that and one plain value."""

    def __init__(self, whole: Check, values: dict[str, Check]) -> None:
        self.whole = whole
        self.values = values

    def ok(self, value: Any) -> bool:
        if not isinstance(value, dict):
            return False
        url = value.get("url")
        if not isinstance(url, str) or ":" not in url:
            return False
        if len(value) == 2:
            for name, part in value.items():
                plain = self.values.get(name)
                if plain is not None:
                    return plain.ok(part) and _URI.ok(url)
        return self.whole.ok(value)


class _Reference(Check):
    """A reference to one of the types that its place allows; nearly all are that and nothing more."""

    def __init__(self, targets: frozenset[str], whole: Check, extension: Check) -> None:
        self.targets = targets
        self.usual = targets or schema.resource_types()
        self.whole = whole
        self.extension = extension

    def ok(self, value: Any) -> bool:
        if not isinstance(value, dict):
            return False
        text = value.get("reference")
        if not isinstance(text, str):
            return self.whole.ok(value)
        kind = _TYPES.get(text) or _type_of(text)
        usual = kind in self.usual
        if usual and len(value) == 1:
            return True
        if usual and len(value) == 2 and "extension" in value:
            beside = value["extension"]
            if isinstance(beside, list) and len(beside) == 1:
                return self.extension.ok(beside[0])
        if not self.whole.ok(value):
            return False
        if usual:
            return True
        target = parse_reference(text)
        if target.form is Form.BAD or target.form is Form.CONTAINED:
            return False
        return not self.targets or not target.type or target.type in self.targets


class _Bound(Check):
    """A required binding: one coding is of the value set."""

    def __init__(self, slot: Slot, whole: Check) -> None:
        self.codes = slot.codes or frozenset()
        self.system = slot.system
        self.single = slot.type == "Coding"
        self.whole = whole

    def ok(self, value: Any) -> bool:
        if not self.whole.ok(value):
            return False
        for coding in (value,) if self.single else value.get("coding", ()):
            if coding.get("system") == self.system and coding.get("code") in self.codes:
                return True
        return False


class _Profiled(Check):
    """An object with what its place demands beside its type."""

    def __init__(self, whole: Check, profile: Test) -> None:
        self.whole = whole
        self.profile = profile

    def ok(self, value: Any) -> bool:
        return self.whole.ok(value) and self.profile(value)


def _type_of(reference: str) -> str:
    """``Type`` of ``Type/id``; "" of any other reference."""
    kind, _, rest = reference.partition("/")
    if _ID(rest) is None:
        return ""
    if len(_TYPES) >= _KNOWN_TEXTS:
        _TYPES.clear()
    _TYPES[reference] = kind
    return kind


_TEXTS = _Text()
_URI = _Form(schema.PRIMITIVES["uri"].fullmatch)
_QUICK: dict[str, Check] = {
    "string": _TEXTS,
    "markdown": _TEXTS,
    "id": _Id(),
    **dict.fromkeys(("uri", "url", "canonical"), _URI),
    **{name: _Form(schema.PRIMITIVES[name].fullmatch) for name in ("code", "oid", "uuid", "time")},
    **{name: _Form(exists) for name, exists in EXISTS.items()},
}


def _check_of(type_name: str) -> Check:
    """The check of a type; one that is just being made stands for itself."""
    found = _MADE.get(type_name)
    if found is None:
        _MADE[type_name] = _Later(type_name)
        found = _MADE[type_name] = _of_type(type_name)
    return found


def _of_type(type_name: str) -> Check:
    rule = rule_for(type_name)
    bits = {name: 1 << n for n, name in enumerate(dict.fromkeys([*rule.required, *_choices(type_name)]))}
    single = sum(bits[name] for name in _choices(type_name))
    needed = sum(bits[name] for name in (*rule.required, *rule.choices))
    members: dict[str, _Member] = {}
    if rule.is_resource:
        members["resourceType"] = _Member(_Kind(), 0, many=False)
    for name, slot in rule.known.items():
        if slot.content == "Resource":
            continue  # never sure
        bit = bits.get(slot.choice or name, 0)
        check = _primitive(slot) or _of_object(slot, nested=type_name == "Extension")
        members[name] = _Member(check, bit, many=slot.many)
        if slot.test is not None and not slot.many and type_name != "Extension":
            members[f"_{name}"] = _Member(_check_of("Element"), bit, many=False)
    invariants = [i.test for i in rule.invariants if i not in _ADVICE]
    if type_name == "Extension":
        invariants = [_plain_extension(test) for test in invariants]
    return _Object(members, invariants, single, needed, is_resource=rule.is_resource)


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
        return _Listed(slot.listed)
    quick = _QUICK.get(slot.type)
    return quick if quick is not None and slot.test is TESTS[slot.type] else _Other(slot.test)


def _of_object(slot: Slot, *, nested: bool) -> Check:
    """An object with what its place demands beside its type, as the walk's ``_child`` has it."""
    whole = _check_of(slot.content)
    if slot.content == "Reference":
        return _Reference(slot.targets, whole, _extension(_check_of("Extension")))
    if slot.codes is not None:
        return _Bound(slot, whole)
    if slot.profile is not None:
        return _Profiled(whole, slot.profile.test)
    if slot.content == "Extension" and not nested:
        return _extension(whole)
    return whole


def _extension(whole: Check) -> Check:
    known = rule_for("Extension").known.values()
    values = {slot.name: check for slot in known if slot.choice and (check := _primitive(slot)) is not None}
    return _Extension(whole, values)
