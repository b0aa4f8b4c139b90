"""Flags and the texts they are about, joined to what a training reads: one JSON line a note."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from engine.nlp.flags import Finding, Flag
from engine.records import Label, Note, Span


def standing(flags: Iterable[Flag]) -> list[Flag]:
    """The flags of one note that still stand: of those about overlapping places the latest does."""
    kept: list[Flag] = []
    for flag in sorted(flags, key=lambda flag: flag.time):
        kept = [old for old in kept if not _overlap(old, flag)]
        kept.append(flag)
    return kept


def training_row(note: Note, flags: Sequence[Flag], spans: Sequence[Span]) -> dict[str, Any] | None:
    """One text with its entities, as ``wardstream models train`` and ``evaluate`` read it.

    Where nobody flagged anything the reader's spans stand: a text without its other findings would teach that they are
    none. What was found wrong stays in it with its verdict, and is read as no entity.

    Args:
        note: the text.
        flags: those that stand; see :func:`standing`.
        spans: what a reader finds in the text.

    Returns:
        The row; None if a flag's offsets are outside of the text, so that it is about another one.
    """
    places = [found for flag in flags for found in _findings(flag)]
    if any(place.end > len(note.text) for place in places):
        return None
    entities = [
        {"start": span.start, "end": span.end, "label": span.label.value}
        for span in spans
        if not any(span.start < place.end and place.start < span.end for place in places)
    ]
    for flag in flags:
        found = flag.should or flag.was
        if found is not None:
            entities.append({**found.as_json(), "verdict": flag.verdict.value})
    meta = {
        "patient": note.patient,
        "note_type": note.kind,
        "language": note.language,
        "author_role": note.author_role,
    }
    return {
        "id": note.note_id,
        "text": note.text,
        "entities": sorted(entities, key=lambda entity: (entity["start"], entity["end"])),
        "meta": {
            **{name: value for name, value in meta.items() if value},
            "labels": [label.value for label in Label],
        },
    }


def _findings(flag: Flag) -> list[Finding]:
    return [found for found in (flag.was, flag.should) if found is not None]


def _overlap(one: Flag, other: Flag) -> bool:
    return any(a.start < b.end and b.start < a.end for a in _findings(one) for b in _findings(other))
