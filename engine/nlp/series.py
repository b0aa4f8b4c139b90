"""The values that a note gives of one test, taken apart: "180 -> 120 umol/L" is two, and both are in umol/L."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence

from engine.nlp.quantities import Value, parse_value
from engine.records import Assertion, Entity

_ARROW = re.compile(r"[ \t]*(?:(?P<on>-{1,2}>|=>|→)|<-{1,2}|←)[ \t]*")
# Between two values of one test that share the unit written once.
_SHARES_UNIT = re.compile(
    r"[\s,(\[]*(?:-{1,2}>|=>|→|<-{1,2}|←|to|from|(?:to|from|now|prev(?:ious(?:ly)?)?|was|baseline|last|then)[ :=]*)?[\s(\[]*",
    re.IGNORECASE,
)
_DENIED = re.compile(r"\b(?:not|non|never|isn't|wasn't)[ \t-]{1,2}$", re.IGNORECASE)
_LOOK_BACK = 10  # characters; longer than any of these words

Parsed = tuple[Entity, Value]


def values_of(text: str, parts: Sequence[Entity]) -> list[Parsed]:
    """Each value of one test with what it says.

    Args:
        text: of the note.
        parts: the values of a test, sorted by start.
    """
    pieces = [_with_denial(text, piece) for part in parts for piece in _pieces(part)]
    found = [(piece, parse_value(piece.text)) for piece in pieces]
    for at in range(len(found) - 1, 0, -1):
        found[at - 1] = _with_unit_of(found[at - 1], found[at], text)
    for at in range(1, len(found)):
        found[at] = _with_unit_of(found[at], found[at - 1], text)
    return found


def _pieces(part: Entity) -> Iterator[Entity]:
    """A span with arrows in it, as its values: all but the latest are of the past."""
    at = 0
    marks = list(_ARROW.finditer(part.text))
    if not marks or not all(
        parse_value(text).low is not None for text in _ARROW.sub("\n", part.text).split("\n")
    ):
        yield part
        return
    for mark in (*marks, None):
        text = part.text[at : mark.start() if mark else len(part.text)]
        is_past = mark["on"] is not None if mark else marks[-1]["on"] is None
        yield dataclasses.replace(
            part,
            start=part.start + at,
            end=part.start + at + len(text),
            text=text,
            assertion=Assertion.HISTORICAL if is_past else part.assertion,
        )
        at = mark.end() if mark else at


def _with_denial(text: str, part: Entity) -> Entity:
    """Words with the "not" before them: "not raised" is no "raised"."""
    back = max(0, part.start - _LOOK_BACK)
    denied = _DENIED.search(text[back : part.start])
    if denied is None or any(character.isdigit() for character in part.text):
        return part
    start = back + denied.start()
    return dataclasses.replace(part, start=start, text=text[start : part.end])


def _with_unit_of(one: Parsed, other: Parsed, text: str) -> Parsed:
    """``one`` with the unit of its neighbour, if it has none and nothing but an arrow or the like is between them."""
    (part, value), (neighbour, known) = one, other
    between = text[min(part.end, neighbour.end) : max(part.start, neighbour.start)]
    if (
        value.low is None
        or known.low is None
        or value.unit.text
        or not known.unit.text
        or value.pair != known.pair
        or _SHARES_UNIT.fullmatch(between) is None
    ):
        return one
    return part, dataclasses.replace(value, unit=known.unit)
