"""Token-per-line corpora (CoNLL, IOB, BILOU; two columns or more) to running text with offsets.

The text is put together again: a space between words, none around the punctuation that is written without. Sentences
are joined to documents: at ``-DOCSTART-`` or a ``# newdoc``/``# doc_id`` line where the file has them, else in blocks of
:data:`BLOCK` sentences, about an abstract. A block keeps the context a reader would have but is no document: such a
file can't be split (``group`` is "").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import SettingsError
from engine.records import Label
from models.corpora.document import Document, Gold, read_exactly, without_overlaps
from models.corpora.names import LabelMap, normal

#: Sentences joined where a file does not say where documents end; BC5CDR's abstracts have nine on average.
BLOCK = 10

_TAG = re.compile(r"(?:[BIELSU]-.+|O)$")
_NEW_DOCUMENT = re.compile(
    r"(?:-DOCSTART-|#\s*(?:newdoc(?:\s+id)?|doc_?id|document)\b)\s*[=:]?\s*(?P<id>\S*)", re.IGNORECASE
)
_PATIENT = re.compile(r"#\s*(?:patient|patient_?id|subject)\s*[=:]\s*(?P<id>\S+)", re.IGNORECASE)
_NO_SPACE_BEFORE = set(",.;:)]}?!%")
_NO_SPACE_AFTER = set("([{")
_GLUE = set("-/'’")


@dataclass(slots=True)
class _Draft:
    """A document under way."""

    document_id: str
    group: str
    text: str = ""
    tail: str = ""
    gold: list[Gold] = field(default_factory=list)
    open: tuple[int, Label] | None = None
    sentences: int = 0

    def add(self, token: str, mark: str, label: Label | None, *, new_line: bool) -> None:
        gap = "\n" if new_line and self.text else _gap(self.text, token)
        start = len(self.text) + len(gap)
        goes_on = mark in "IEL" and self.open is not None and self.open[1] is label
        self.text += gap + token
        if not goes_on:
            self.open = (start, label) if label is not None else None
        if self.open is not None and label is not None:
            if goes_on:
                self.gold.pop()
            self.gold.append(Gold(self.open[0], len(self.text), label))
        if mark in "ESUL":
            self.open = None


def looks_like_iob(lines: list[str]) -> bool:
    """Whether the last column of the first lines are tags."""
    rows = [line.split() for line in lines if line.strip() and not line.startswith(("#", "-DOCSTART-"))]
    return bool(rows) and all(len(row) >= 2 and _TAG.match(row[-1]) for row in rows[:50])


def read_iob(path: Path, names: LabelMap, unknown: set[str], *, block: int = BLOCK) -> list[Document]:
    """One file. What its annotators looked for is what occurs in it.

    Raises:
        SettingsError: a line has no tag in its last column.
    """
    drafts = list(_drafts(path, names, unknown, block))
    annotated = frozenset(gold.label for draft in drafts for gold in draft.gold)
    return [
        Document(draft.document_id, draft.text, without_overlaps(draft.gold), annotated, draft.group)
        for draft in drafts
        if draft.text
    ]


def _drafts(path: Path, names: LabelMap, unknown: set[str], block: int) -> Iterator[_Draft]:
    draft = _Draft(f"{path.name}#1", "")
    made, new_line, marked = 1, True, False
    for number, raw in enumerate(read_exactly(path).split("\n"), 1):
        line = raw.rstrip("\r")
        begins = _NEW_DOCUMENT.match(line)
        patient = _PATIENT.match(line)
        if begins or (not line.strip() and not marked and draft.sentences + 1 >= block and not new_line):
            marked = marked or begins is not None
            yield draft
            made += 1
            name = (begins and begins["id"]) or str(made)
            group = f"{path.name}#{name}" if marked else ""
            draft, new_line = _Draft(f"{path.name}#{name}", group), True
        elif patient:
            draft.group = f"patient:{patient['id']}"
        elif not line.strip():
            draft.sentences += not new_line
            new_line = True
        elif not line.startswith("# "):
            token, mark, label = _row(line, path, number, names, unknown)
            draft.add(token, mark, label, new_line=new_line)
            new_line = False
    yield draft


def _row(
    line: str, path: Path, number: int, names: LabelMap, unknown: set[str]
) -> tuple[str, str, Label | None]:
    columns = line.split("\t") if "\t" in line else line.split()
    if len(columns) < 2 or not _TAG.match(columns[-1]):
        raise SettingsError(
            f"Line {number} has no tag in its last column",
            location=path.name,
            action="Write a token, then its tag: O, B-Label, I-Label (also E, L, S, U); blank lines end sentences.",
        )
    mark, _, name = columns[-1].partition("-")
    if mark == "O":
        return columns[0], "O", None
    if normal(name) not in names:
        unknown.add(name)
    return columns[0], mark, names.get(normal(name))


def _gap(text: str, token: str) -> str:
    """What stands between ``text`` and the token that follows it."""
    if not text:
        return ""
    last = text[-1]
    if token[0] in _NO_SPACE_BEFORE or last in _NO_SPACE_AFTER or token in _GLUE or last in _GLUE:
        return ""
    return "" if last == "." and text[-2:-1].isdigit() and token[0].isdigit() else " "
