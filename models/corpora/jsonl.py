"""JSON lines: ``{"id", "text", "entities": [{"start", "end", "label"}], "meta": {...}}``.

``meta`` may hold ``patient`` (keeps a patient's documents together), ``labels`` (what the annotators looked for, as a
list of names; else what occurs in the file) and strata: note_type, specialty, author_role, language, age_band, sex,
ethnicity. Names and shapes of common tools (doccano, spaCy, Label Studio's plain export) are read as well.

Flags exported from a feedback store have this shape too. An entity may then carry ``verdict``: what a person found wrong
is no entity (``wrong``), what was ``right``, ``missed`` or corrected (``changed``) is one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.errors import SettingsError
from engine.records import Label
from models.corpora.document import Document, Gold, Notices, read_exactly, without_overlaps
from models.corpora.names import LabelMap, normal

_IDS = ("id", "note_id", "doc_id", "document_id")
_ENTITIES = ("entities", "spans", "annotations", "label", "labels")
_STARTS, _ENDS = ("start", "begin", "start_offset"), ("end", "stop", "end_offset")
_LABELS = ("label", "type", "entity", "entity_group", "tag")
#: Verdicts of a person on an entity, and whether it then is one.
VERDICTS = {"": True, "right": True, "missed": True, "changed": True, "wrong": False}


def read_jsonl(path: Path, names: LabelMap, notices: Notices) -> list[Document]:
    """One file.

    Raises:
        SettingsError: a line is no JSON object of that shape, or an offset is outside of its text.
    """
    rows = list(_rows(path))
    gold = [_gold(path, number, row, names, notices) for number, row in rows]
    occurring = frozenset(item.label for found in gold for item in found)
    return [
        _document(path, number, row, found, occurring, names)
        for (number, row), found in zip(rows, gold, strict=True)
    ]


def holds_texts(path: Path) -> bool:
    """Whether the first line, or the whole file as one list or object, has a text: else it is about something else."""
    try:
        return any("text" in row for _, row in _rows(path, first=True))
    except SettingsError:
        return True  # to be read, and told what is wrong with it


def _rows(path: Path, *, first: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:
    content = read_exactly(path)
    if content.lstrip().startswith("[") and path.suffix.lower() == ".json":
        yield from (
            (at, _row(path, at, row, first=first)) for at, row in enumerate(_json(path, 1, content), 1)
        )
        return
    if path.suffix.lower() == ".json" and content.strip():
        yield 1, _row(path, 1, _json(path, 1, content), first=first)
        return
    for number, line in enumerate(content.split("\n"), 1):
        if line.strip():
            yield number, _row(path, number, _json(path, number, line), first=first)
            if first:
                return


def _json(path: Path, number: int, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise _bad(path, number, "is no JSON") from None


def _row(path: Path, number: int, row: Any, *, first: bool) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise _bad(path, number, "is no object")
    if first:
        return row
    if not isinstance(row.get("text"), str):
        raise _bad(path, number, "has no text")
    if not isinstance(row.get("meta") or {}, dict) or not isinstance(_first(row, _ENTITIES) or [], list):
        raise _bad(path, number, "has meta that is no object, or entities that are no list")
    return row


def _first(row: dict[str, Any], keys: tuple[str, ...]) -> Any:
    return next((row[key] for key in keys if key in row), None)


def _gold(path: Path, number: int, row: dict[str, Any], names: LabelMap, notices: Notices) -> list[Gold]:
    found = []
    for entity in _first(row, _ENTITIES) or ():
        start, end, name, verdict = _entity(path, number, entity)
        if not 0 <= start < end <= len(row["text"]):
            raise _bad(path, number, "has offsets outside of its text")
        if verdict not in VERDICTS:
            raise _bad(path, number, f"has a verdict that is none of {', '.join(filter(None, VERDICTS))}")
        label = notices.label(name, names)
        if label is not None and VERDICTS[verdict]:
            found.append(Gold(start, end, label))
    return found


def _entity(path: Path, number: int, entity: Any) -> tuple[int, int, str, str]:
    try:
        if isinstance(entity, dict):
            start, end, name = (_first(entity, keys) for keys in (_STARTS, _ENDS, _LABELS))
            return (
                int(start),
                int(end),
                str(name[0] if isinstance(name, list) else name),
                str(entity.get("verdict") or ""),
            )
        start, end, name = entity[:3]
        return int(start), int(end), str(name), ""
    except (KeyError, TypeError, ValueError, IndexError):
        raise _bad(path, number, "has an entity without start, end and label") from None


def _document(
    path: Path,
    number: int,
    row: dict[str, Any],
    found: list[Gold],
    occurring: frozenset[Label],
    names: LabelMap,
) -> Document:
    meta = row.get("meta") or {}
    named = _first(row, _IDS)
    document_id = str(named if named is not None else f"{path.name}#{number}")
    declared = meta.get("labels")
    annotated = occurring
    if isinstance(declared, list):
        mapped = (names.get(normal(str(name))) for name in declared)
        annotated = frozenset(label for label in mapped if label is not None)
    strata = {key: str(value) for key, value in meta.items() if key not in {"patient", "labels"} and value}
    group = (
        f"patient:{meta['patient']}" if meta.get("patient") else (document_id if named is not None else "")
    )
    return Document(document_id, row["text"], without_overlaps(found), annotated, group, strata)


def _bad(path: Path, number: int, what: str) -> SettingsError:
    return SettingsError(
        f"Line {number} {what}",
        location=path.name,
        action='Write {"id", "text", "entities": [{"start", "end", "label"}], "meta": {...}} on one line.',
    )
