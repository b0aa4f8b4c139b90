"""Values with holes: the object that a conversion makes, but for the texts that it only passes on.

A value is converted once with a word of ours in each hole. Where the words turn up in it is where the texts go.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from engine.hl7v2.delimiters import Delimiters
from engine.hl7v2.escapes import unescape
from engine.hl7v2.tree import NULL
from engine.mapping.templates import Template, template

_SALT = secrets.token_hex(8)
"""What no sender can know: a word of ours never stands in a message."""
_WORD = re.compile(rf"(Wz\d+x{_SALT}z)")


@dataclass(frozen=True, slots=True)
class Shape:
    """A value with holes.

    Attributes:
        template: makes it of the texts in the holes, in order.
        rivals: texts that would stand twice in one array if a hole held one of them.
    """

    template: Template
    rivals: frozenset[str]


def token(number: int) -> str:
    """The word for a hole."""
    return f"Wz{number}x{_SALT}z"


def passed_on(raw: str, delimiters: Delimiters) -> str:
    """The text of a component that stands in FHIR as it came, and in no way that depends on what it says; "" for others."""
    if raw.isalnum():  # no delimiter is a letter or digit
        return raw
    _, _, _, escape, subcomponent, _ = delimiters
    if subcomponent and subcomponent in raw:
        return ""
    text = unescape(raw, delimiters) if escape and escape in raw else raw
    return text if text and text.isprintable() and text[0] != " " and text[-1] != " " and _plain(text) else ""


def _plain(text: str) -> bool:
    """No null, nothing by which a template would be filled twice, or make a URN."""
    return text != NULL and "{" not in text and text[:4] != "urn:"


def shape_of(value: Any, words: list[str]) -> Shape | None:
    """The shape of a value that holds these words; None where other texts could make it look otherwise."""
    rivals: set[str] = set()
    if not _arrays_hold(value, rivals):
        return None
    numbers = {word: n for n, word in enumerate(words)}
    return Shape(template(value, numbers, _WORD.split), frozenset(rivals))


def _holed(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_holed(part) for part in value.values())
    if isinstance(value, list):
        return any(_holed(part) for part in value)
    return isinstance(value, str) and _WORD.search(value) is not None


def _arrays_hold(value: Any, rivals: set[str]) -> bool:
    """Whether items of arrays differ whatever the holes hold, but for the texts put into ``rivals``."""
    if isinstance(value, dict):
        return all(_arrays_hold(part, rivals) for part in value.values())
    if not isinstance(value, list):
        return True
    holed = [item for item in value if _holed(item)]
    if not holed or len(value) == 1:
        return all(_arrays_hold(item, rivals) for item in value)
    if all(isinstance(item, str) for item in value):
        rivals.update(item for item in value if not _WORD.search(item))
        return all(_WORD.fullmatch(item) for item in holed)  # holes of the same text are never filled
    return all(
        isinstance(one, dict) and isinstance(other, dict) and _differ(one, other)
        for one, other in combinations(value, 2)
    ) and all(_arrays_hold(item, rivals) for item in value)


def _differ(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two objects differ in what is fixed in both."""
    return any(
        one[name] != other[name] and not _holed(one[name]) and not _holed(other[name])
        for name in one.keys() & other.keys()
    )
