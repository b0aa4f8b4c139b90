"""JSON lines: ``{"id", "text", "entities": [{"start", "end", "label"}], "meta": {...}}``.

``meta`` may hold ``patient`` (keeps a patient's documents together), ``labels`` (what the annotators looked for, as a
list of names; else what occurs in the file) and strata: note_type, specialty, author_role, language, age_band, sex,
ethnicity. Flags exported from the feedback store have this shape.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engine.errors import SettingsError
from engine.records import Label
from models.corpora.document import Document, Gold, read_exactly, without_overlaps
from models.corpora.names import LabelMap, normal


def read_jsonl(path: Path, names: LabelMap, unknown: set[str]) -> list[Document]:
    """One file.

    Raises:
        SettingsError: a line is no JSON object of that shape, or an offset is outside of its text.
    """
    rows: list[tuple[int, dict[str, Any]]] = []
    for number, line in enumerate(read_exactly(path).split("\n"), 1):
        if line.strip():
            rows.append((number, _row(path, number, line)))
    gold = [_gold(path, number, row, names, unknown) for number, row in rows]
    occurring = frozenset(item.label for found in gold for item in found)
    return [
        _document(path, number, row, found, occurring, names)
        for (number, row), found in zip(rows, gold, strict=True)
    ]


def _row(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        raise _bad(path, number, "is no JSON") from None
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise _bad(path, number, "has no text")
    if not isinstance(row.get("meta") or {}, dict) or not isinstance(row.get("entities") or [], list):
        raise _bad(path, number, "has meta that is no object, or entities that are no list")
    return row


def _gold(path: Path, number: int, row: dict[str, Any], names: LabelMap, unknown: set[str]) -> list[Gold]:
    found = []
    for entity in row.get("entities") or ():
        try:
            start, end, name = int(entity["start"]), int(entity["end"]), str(entity["label"])
        except (KeyError, TypeError, ValueError):
            raise _bad(path, number, "has an entity without start, end and label") from None
        if not 0 <= start < end <= len(row["text"]):
            raise _bad(path, number, "has offsets outside of its text")
        if normal(name) not in names:
            unknown.add(name)
        label = names.get(normal(name))
        if label is not None:
            found.append(Gold(start, end, label))
    return found


def _document(
    path: Path,
    number: int,
    row: dict[str, Any],
    found: list[Gold],
    occurring: frozenset[Label],
    names: LabelMap,
) -> Document:
    meta = row.get("meta") or {}
    document_id = str(row.get("id") or f"{path.name}#{number}")
    declared = meta.get("labels")
    annotated = occurring
    if isinstance(declared, list):
        mapped = (names.get(normal(str(name))) for name in declared)
        annotated = frozenset(label for label in mapped if label is not None)
    strata = {key: str(value) for key, value in meta.items() if key not in {"patient", "labels"} and value}
    group = f"patient:{meta['patient']}" if meta.get("patient") else (document_id if row.get("id") else "")
    return Document(document_id, row["text"], without_overlaps(found), annotated, group, strata)


def _bad(path: Path, number: int, what: str) -> SettingsError:
    return SettingsError(
        f"Line {number} {what}",
        location=path.name,
        action='Write {"id", "text", "entities": [{"start", "end", "label"}], "meta": {...}} on one line.',
    )
