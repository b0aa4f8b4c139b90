"""Tokens in columns (commas, semicolons or tabs) with a header that names the columns: ``sentence,token,label``.

A sentence ends where its column changes (an empty cell goes on with the one before), at an empty row, or nowhere; a document
where its column changes, else after :data:`models.corpora.iob.BLOCK` sentences, as in token files without documents.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from engine.errors import SettingsError
from models.corpora.document import Document, Notices, read_exactly
from models.corpora.iob import BLOCK, Draft, documents_of, tag_of
from models.corpora.names import LabelMap, normal

_NAMES: Mapping[str, frozenset[str]] = {
    "token": frozenset(("token", "tokens", "word", "words")),
    "tag": frozenset(
        ("label", "labels", "tag", "tags", "ner", "ner_tag", "ner_tags", "iob", "bio", "entity")
    ),
    "sentence": frozenset(("sentence", "sentence_id", "sentence_#", "sent", "sent_id")),
    "document": frozenset(
        ("doc", "doc_id", "document", "document_id", "note", "note_id", "file", "filename")
    ),
    "patient": frozenset(("patient", "patient_id", "subject", "subject_id")),
}


@dataclass(frozen=True, slots=True)
class Header:
    """Which column is which; ``columns`` has ``token`` and ``tag`` and, if there, ``sentence``, ``document``, ``patient``."""

    delimiter: str
    columns: Mapping[str, int]


def header_of(lines: Sequence[str]) -> Header | None:
    """What the first line names, or None if it names no tokens and tags."""
    first = next((line for line in lines if line.strip()), "").lstrip("\ufeff")
    for delimiter in (",", ";", "\t"):
        cells = next(csv.reader([first], delimiter=delimiter), [])
        named = [normal(cell) for cell in cells]
        columns = {
            kind: at
            for kind, names in _NAMES.items()
            if (at := next((at for at, name in enumerate(named) if name in names), -1)) >= 0
        }
        if len(cells) > 1 and {"token", "tag"} <= columns.keys():
            return Header(delimiter, columns)
    return None


def read_csv_tokens(path: Path, header: Header, names: LabelMap, notices: Notices) -> list[Document]:
    """One file. What its annotators looked for is what occurs in it.

    Raises:
        SettingsError: a row has too few columns or a cell that is no tag, quotes do not close, or the file is no text.
    """
    return documents_of(_drafts(path, header, names, notices))


def _drafts(path: Path, header: Header, names: LabelMap, notices: Notices) -> Iterator[Draft]:
    draft, made, new_line = Draft(f"{path.name}#1", ""), 1, True
    last = {"sentence": "", "document": "", "patient": ""}
    for row in _rows(path, header):
        if row is None:
            draft.sentences += not new_line
            new_line = True
            continue
        number, cells = row
        told = {kind: cells[at].strip() for kind, at in header.columns.items()}
        ends = bool(told.get("sentence")) and told["sentence"] != last["sentence"] and not new_line
        changes = any(told.get(kind) and told[kind] != last[kind] for kind in ("document", "patient"))
        draft.sentences += ends
        new_line = new_line or ends
        if changes or ("document" not in header.columns and new_line and draft.sentences >= BLOCK):
            yield draft
            made += 1
            name = told.get("document") or str(made)
            group = f"patient:{told['patient']}" if told.get("patient") else ""
            whole = f"{path.name}#{name}" if told.get("document") else ""
            draft, new_line = Draft(f"{path.name}#{name}", group or whole), True
        last |= {kind: told[kind] for kind in last if told.get(kind)}
        read = tag_of(told["tag"], names)
        if read is None:
            raise _broken(path, number, "has no tag in its column")
        mark, label_name = read
        if told["token"]:
            label = notices.label(label_name, names) if label_name else None
            draft.add(told["token"], mark, label, new_line=new_line)
            new_line = False
    yield draft


def _rows(path: Path, header: Header) -> Iterator[tuple[int, list[str]] | None]:
    """Number and cells of each row behind the header; None for an empty one, where a sentence ends."""
    lines = iter(read_exactly(path).splitlines(keepends=True))
    first = next((line for line in lines if line.strip()), "")
    reader = csv.reader(chain([first], lines), delimiter=header.delimiter, strict=True)
    width = max(header.columns.values()) + 1
    try:
        next(reader)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                yield None
            elif len(cells) < width:
                raise _broken(
                    path, reader.line_num, f"has {len(cells)} columns, and the header names {width}"
                )
            else:
                yield reader.line_num, cells
    except csv.Error as error:
        raise _broken(path, reader.line_num, f"is no CSV: {error}") from error


def _broken(path: Path, number: int, what: str) -> SettingsError:
    return SettingsError(
        f"Line {number} {what}",
        location=path.name,
        action="Write a header such as document,sentence,token,label and quote a token that is a comma.",
    )
