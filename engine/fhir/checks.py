"""What surely good values are, by the place where they stand: the small objects that :mod:`engine.fhir.sure` puts together."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from engine.fhir import schema
from engine.fhir.compiled import Slot
from engine.fhir.primitives import Test
from engine.fhir.references import Form, parse_reference

Match = Callable[[str], object]
"""What stands for true is a yes; a match is one."""

_KNOWN_TEXTS = 4096
"""Texts of a grammar remembered as well formed, for each: codes, URIs and the times of a message come again and again."""
_LONGEST_TEXT = 256
"""Characters of the longest that is remembered; what is longer does not come again."""
_FIRST = "!"
"""The first character that can be seen."""
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}").fullmatch
_TEXT = re.compile(r"(?!\s)[^\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]+").fullmatch
_TYPES: dict[str, str] = {}
"""The type that a reference names, of those met last: a message refers to one patient many times."""


class Check:
    """Whether a value is surely good where it stands. A value of another JSON type is a no, or raises TypeError or AttributeError."""

    def ok(self, value: Any) -> bool:
        raise NotImplementedError


class Text(Check):
    """A string or markdown; what starts with a blank is left to the walk."""

    def ok(self, value: Any) -> bool:
        if not isinstance(value, str):
            return False
        if value.isprintable():
            return value >= _FIRST  # neither empty nor with a blank before it
        return _TEXT(value) is not None


class Id(Check):
    def ok(self, value: Any) -> bool:
        return isinstance(value, str) and _ID(value) is not None


class Grammar(Check):
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


class Listed(Check):
    """A code of a required binding."""

    def __init__(self, codes: frozenset[str]) -> None:
        self.codes = codes

    def ok(self, value: Any) -> bool:
        return value in self.codes


class Other(Check):
    """A primitive that is seldom met."""

    def __init__(self, test: Test) -> None:
        self.test = test

    def ok(self, value: Any) -> bool:
        return self.test(value)


class Kind(Check):
    """The name of the type, which is what the check was chosen by."""

    def ok(self, value: Any) -> bool:
        return bool(value)


class Later(Check):
    """Stands for a type that is just being made: types hold themselves."""

    def __init__(self, type_name: str, made: dict[str, Check]) -> None:
        self.type_name = type_name
        self.made = made

    def ok(self, value: Any) -> bool:
        return self.made[self.type_name].ok(value)


class Member:
    """What one JSON name may hold.

    Attributes:
        many: whether it is an array, whose items ``check`` is for.
        bit: of what must be there or may be there once; 0 for most.
    """

    def __init__(self, check: Check, bit: int, *, many: bool) -> None:
        self.check = check
        self.bit = bit
        self.many = many


class Object(Check):
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
        members: dict[str, Member],
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


class Extension(Check):
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
                    return plain.ok(part) and URI.ok(url)
        return self.whole.ok(value)


class Reference(Check):
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


class Bound(Check):
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


class Profiled(Check):
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
    if len(reference) <= _LONGEST_TEXT:
        if len(_TYPES) >= _KNOWN_TEXTS:
            _TYPES.clear()
        _TYPES[reference] = kind
    return kind


URI = Grammar(schema.PRIMITIVES["uri"].fullmatch)
