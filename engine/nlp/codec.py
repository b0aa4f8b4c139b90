"""Notes as the bytes of the topic notes.clinical: one JSON object, and back."""

from __future__ import annotations

import dataclasses
from typing import Any

import orjson

from engine.errors import ReadError
from engine.records import Note

_FIELDS = frozenset(field.name for field in dataclasses.fields(Note))
_REQUIRED = frozenset(("note_id", "text"))
_ACTION = "Only the ingest stages may write to notes.clinical; see docs/topics.md for the form of a note."


def note_to_json(note: Note) -> bytes:
    """UTF-8 JSON with the fields of :class:`engine.records.Note`; empty ones are left out."""
    fields = dataclasses.asdict(note).items()
    return orjson.dumps({key: value for key, value in fields if value != "" or key in _REQUIRED})


def note_from_json(payload: bytes) -> Note:
    """The note of :func:`note_to_json`.

    Fields of a newer writer that are not known here are passed over: readers are updated after writers too.
    Raises:
        ReadError: it is no note. The message names fields, never their content.
    """
    try:
        found: Any = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise ReadError("The record of a note is no JSON in UTF-8", action=_ACTION) from error
    if not isinstance(found, dict) or not found.keys() >= _REQUIRED:
        raise ReadError("The record of a note lacks note_id or text", action=_ACTION)
    fields = {key: value for key, value in found.items() if key in _FIELDS}
    wrong = sorted(key for key, value in fields.items() if not isinstance(value, str))
    if wrong:
        raise ReadError(
            f"The record of a note has fields that are no text: {', '.join(wrong)}", action=_ACTION
        )
    return Note(**fields)
