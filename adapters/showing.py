"""A reading of a note as people and programs want to see it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, TextIO

from engine.fhir.writer import dumps
from engine.records import Assertion, Entity, Label

if TYPE_CHECKING:
    from engine.nlp.reading import Reading


class Shape(StrEnum):
    """How entities are printed."""

    JSONL = "jsonl"
    JSON = "json"
    TEXT = "text"


# Terminal colours (ECMA-48 SGR): what is not present is dimmed, what is negated struck through as well.
_COLOURS = {
    Label.PROBLEM: "31",
    Label.MEDICATION: "32",
    Label.DOSAGE: "36",
    Label.TEST: "34",
    Label.TEST_VALUE: "35",
    Label.PROCEDURE: "33",
    Label.ANATOMY: "37",
}
_MARKS = {Assertion.PRESENT: "", Assertion.NEGATED: ";2;9"}


def write(reading: Reading, shape: Shape, out: TextIO, *, colour: bool) -> None:
    """Print a reading."""
    if shape is Shape.JSON:
        out.write(dumps(reading.as_json()).decode() + "\n")
    elif shape is Shape.JSONL:
        out.writelines(dumps(entity.as_json()).decode() + "\n" for entity in reading.entities)
    else:
        out.write(shown(reading, colour=colour))


def shown(reading: Reading, *, colour: bool) -> str:
    """The text with its entities marked: ``[LABEL assertion: words]``, or in colours."""
    text, out, done = reading.note.text, [], 0
    for entity in reading.entities:
        if entity.start < done:
            continue  # readers give no overlaps; if one did, the first is shown
        out += [_harmless(text[done : entity.start]), _marked(entity, colour=colour)]
        done = entity.end
    whole = "".join([*out, _harmless(text[done:])])
    return whole if whole.endswith("\n") else whole + "\n"


def _marked(entity: Entity, *, colour: bool) -> str:
    kind = entity.label.value
    if entity.assertion is not Assertion.PRESENT:
        kind += f" {entity.assertion.value}"
    words = _harmless(entity.text)
    if not colour:
        return f"[{kind}: {words}]"
    code = _COLOURS[entity.label] + _MARKS.get(entity.assertion, ";2")
    return f"\x1b[{code}m{words}\x1b[0m\x1b[2m({kind})\x1b[0m"


def _harmless(text: str) -> str:
    """Without what a terminal obeys: a note may hold escape sequences of anyone's making."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else "" if c == "\r" else "\N{REPLACEMENT CHARACTER}"
        for c in text
    )
