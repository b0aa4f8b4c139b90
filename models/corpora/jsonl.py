"""JSON lines: ``{"id", "text", "entities": [{"start", "end", "label"}], "meta": {...}}``.

``meta`` may hold ``patient`` (keeps a patient's documents together), ``labels`` (what the annotators looked for, as a
list of names; else what occurs in the file) and strata: note_type, specialty, author_role, language, age_band, sex,
ethnicity. Names and shapes of common tools (doccano, spaCy, prodigy, Label Studio) are read as well, and so are lists of words
with a list of tags (``tokens`` and ``ner_tags``, as data sets on hubs have them): :mod:`models.corpora.shapes`.

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
from models.corpora.bioc import is_bioc
from models.corpora.document import Document, Gold, Notices, read_exactly, without_overlaps
from models.corpora.names import LabelMap, normal
from models.corpora.shapes import has_text, plain_row

_IDS = ("id", "note_id", "doc_id", "document_id")
_ENTITIES = ("entities", "spans", "annotations", "label", "labels")
_STARTS, _ENDS = ("start", "begin", "start_offset", "from"), ("end", "stop", "end_offset", "to")
_LABELS = ("label", "type", "entity", "entity_group", "tag", "labels", "category", "entity_type")
_NO_ENTITY = "has an entity without start, end and label"
#: Verdicts of a person on an entity, and whether it then is one.
VERDICTS = {"": True, "right": True, "missed": True, "changed": True, "wrong": False}


def read_jsonl(path: Path, names: LabelMap, notices: Notices) -> list[Document]:
    """One file.

    Raises:
        SettingsError: a line is no JSON object of that shape.
    """
    rows = list(_rows(path, notices))
    gold = [_gold(path, number, row, names, notices) for number, row in rows]
    occurring = frozenset(item.label for found in gold for item in found)
    return [
        _document(path, number, row, found, occurring, names)
        for (number, row), found in zip(rows, gold, strict=True)
    ]


def holds_texts(path: Path) -> bool:
    """Whether the first line, or the whole file as one list or object, has a text: else it is about something else."""
    try:
        return any(has_text(row) or is_bioc(row) for _, row in values_in(path, first=True))
    except SettingsError:
        return True  # to be read, and told what is wrong with it


def _rows(path: Path, notices: Notices) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, value in values_in(path, notices):
        try:
            row = plain_row(value)
        except ValueError as error:
            raise _bad(path, number, str(error)) from None
        if row is None:
            raise _bad(path, number, "is no object with a text")
        if not isinstance(row.get("meta") or {}, dict) or not isinstance(_first(row, _ENTITIES) or [], list):
            raise _bad(path, number, "has meta that is no object, or entities that are no list")
        yield number, row


def values_in(
    path: Path, notices: Notices | None = None, *, first: bool = False
) -> Iterator[tuple[int, Any]]:
    """The values in a file with the line or place in its list of each; with ``first`` no more of its lines than one.

    Raises:
        SettingsError: a line is no JSON.
    """
    content = read_exactly(path, notices)
    start = content.lstrip()[:1]
    if path.suffix.lower() == ".json" or start == "[":
        whole = _whole(content)
        if whole is not None:
            yield from enumerate(whole, 1)
            return
    for number, line in enumerate(content.split("\n"), 1):
        if line.strip():
            yield number, _json(path, number, line)
            if first:
                return


def _whole(content: str) -> list[Any] | None:
    """A file that is one list of texts, or one object; None if it is none, as JSON lines are."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if isinstance(found, dict):
        return [found]
    # One line of spaCy's pairs is a list, too.
    return found if isinstance(found, list) and not has_text(found) else None


def _json(path: Path, number: int, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise _bad(path, number, "is no JSON") from None


def _first(row: dict[str, Any], keys: tuple[str, ...]) -> Any:
    return next((row[key] for key in keys if key in row), None)


def _gold(path: Path, number: int, row: dict[str, Any], names: LabelMap, notices: Notices) -> list[Gold]:
    found = []
    for entity in _first(row, _ENTITIES) or ():
        start, end, name, verdict = _entity(path, number, entity)
        if not 0 <= start < end <= len(row["text"]):
            notices.faults.append(f"{path.name} line {number}: offsets outside of its text")
            continue
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
            if start is None and "offset" in entity:
                start, end = entity["offset"], int(entity["offset"]) + int(entity["length"])
            name = name[0] if isinstance(name, list) else name
            if isinstance(name, str):
                return int(start), int(end), name, str(entity.get("verdict") or "")
            raise _bad(path, number, _NO_ENTITY)
        start, end, name = entity[:3]
        return int(start), int(end), str(name), ""
    except (KeyError, TypeError, ValueError, IndexError):
        raise _bad(path, number, _NO_ENTITY) from None


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
    return Document(
        document_id,
        row["text"],
        without_overlaps(found),
        annotated,
        group,
        strata,
        isinstance(declared, list),
    )


def _bad(path: Path, number: int, what: str) -> SettingsError:
    return SettingsError(
        f"Line {number} {what}",
        location=path.name,
        action='Write {"id", "text", "entities": [{"start", "end", "label"}], "meta": {...}} on one line.',
    )
