"""Token-per-line corpora (CoNLL, IOB, BILOU, BIOES, IO; two columns or more) to running text with offsets.

Which column holds the tags and which the words is told from what they hold. The text is put together again: a space
between words, none around the punctuation that is written without. Sentences are joined to documents: at ``-DOCSTART-``
or a ``# newdoc``/``# doc_id`` line where the file has them, else in blocks of :data:`BLOCK` sentences, about an
abstract. A block keeps the context a reader would have but is no document: such a file can't be split (``group`` is "").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import SettingsError
from engine.records import Label
from models.corpora.document import Document, Gold, Notices, read_exactly, without_overlaps
from models.corpora.names import LabelMap, normal

#: Sentences joined where a file does not say where documents end; BC5CDR's abstracts have nine on average.
BLOCK = 10

# Share of lines that must look alike: a broken one is told when it is read, and does not hide the file.
_MOST = 0.9
# A column with so many times fewer different cells than another holds no words: the name of the file, say.
_FEW = 3
_TAG = re.compile(r"(?:[BIELSUMW][-_].+|O)$")
#: Marks without a name, as corpora of one type have them; ``--labels ENTITY=PROBLEM`` says what they mean.
_BARE = frozenset("BIELSUMWO")
UNNAMED = "ENTITY"
_NEW_DOCUMENT = re.compile(
    r"(?:-DOCSTART-|#\s*(?:newdoc(?:\s+id)?|doc_?id|document)\b)\s*[=:]?\s*(?P<id>\S*)", re.IGNORECASE
)
#: What CoNLL's own files write in the other columns of a -DOCSTART- line.
_NO_NAMES = frozenset(("", "O", "-X-", "X", "_"))
_PATIENT = re.compile(r"#\s*(?:patient|patient_?id|subject)\s*[=:]\s*(?P<id>\S+)", re.IGNORECASE)
_NO_SPACE_BEFORE = set(",.;:)]}?!%")
_NO_SPACE_AFTER = set("([{")
_GLUE = set("-/'’")
# What tools write for brackets (Penn Treebank).
_BRACKETS = {"-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]", "-LCB-": "{", "-RCB-": "}"}


@dataclass(frozen=True, slots=True)
class Columns:
    """How a file's lines are cut.

    Attributes:
        separator: between columns; None is any white space.
        word, tag: their columns; ``tag`` may count from the end (-1).
        header: whether the first line names the columns.
    """

    separator: str | None
    word: int
    tag: int
    header: bool = False

    def cut(self, line: str) -> list[str]:
        return [cell.strip() for cell in line.split(self.separator)]


@dataclass(slots=True)
class Draft:
    """A document under way: tokens are put together again, and their tags become entities."""

    document_id: str
    group: str
    parts: list[str] = field(default_factory=list)
    length: int = 0
    tail: str = ""
    gold: list[Gold] = field(default_factory=list)
    open: tuple[int, Label] | None = None
    sentences: int = 0

    def add(self, token: str, mark: str, label: Label | None, *, new_line: bool) -> None:
        gap = "\n" if new_line and self.length else gap_before(self.tail, token)
        start = self.length + len(gap)
        goes_on = mark in "IELM" and self.open is not None and self.open[1] is label
        self.parts += [gap, token]
        self.length = start + len(token)
        self.tail = (self.tail + gap + token)[-2:]
        if not goes_on:
            self.open = (start, label) if label is not None else None
        if self.open is not None and label is not None:
            if goes_on:
                self.gold.pop()
            self.gold.append(Gold(self.open[0], self.length, label))
        if mark in "ESULW":
            self.open = None


def columns_of(lines: Sequence[str], names: LabelMap) -> Columns | None:
    """How the lines of a token file are cut; None if they are of no such file."""
    told = [line.rstrip("\r\n") for line in lines if _is_row(line)]
    for rows, header in ((told, False), (told[1:], True)):
        found = _columns(rows, names)
        if found is not None:
            return Columns(found.separator, found.word, found.tag, header)
    return None


def _is_row(line: str) -> bool:
    return bool(line.strip()) and not _NEW_DOCUMENT.match(line) and not _is_comment(line)


def _is_comment(line: str) -> bool:
    """``# text``; a hash with a tag behind it is a word."""
    return line.startswith("# ") or (line.startswith("#") and "=" in line and "\t" not in line)


def _columns(rows: Sequence[str], names: LabelMap) -> Columns | None:
    separator = "\t" if sum("\t" in row for row in rows) >= _MOST * len(rows) else None
    table = [
        cells for cells in ([cell.strip() for cell in row.split(separator)] for row in rows) if len(cells) > 1
    ]
    if not table or len(table) < _MOST * len(rows):
        return None
    width = min(map(len, table))
    # The last column first: it holds the tags in nearly all corpora. Words may hold blanks only where tabs part them.
    for tag in (-1, *range(width - 1)):
        cells = [row[tag] for row in table]
        if all(map(_TAG.match, cells)) or _are_names(cells, names) or (tag == -1 and _are_bare(cells)):
            return Columns(separator, _word_column(table, tag % len(table[0])), tag)
    return None


def _are_names(cells: Sequence[str], names: LabelMap) -> bool:
    """Whether a column holds labels without marks (IO). One that is all ``O`` would have been taken as tags."""
    return "O" in cells and all(cell == "O" or normal(cell) in names for cell in cells)


def _are_bare(cells: Sequence[str]) -> bool:
    return {"B", "O"} <= set(cells) <= _BARE


def _word_column(table: Sequence[Sequence[str]], tag: int) -> int:
    """The first column that is neither the tags, nor a running number, nor the name of the document."""
    others = [at for at in range(min(map(len, table))) if at != tag]
    various = {at: len({row[at] for row in table}) for at in others}
    words = [at for at in others if not all(row[at].isdigit() for row in table)]
    most = max((various[at] for at in words), default=0)
    return next((at for at in words if various[at] * _FEW > most), others[0])


def read_iob(
    path: Path, columns: Columns, names: LabelMap, notices: Notices, *, block: int = BLOCK
) -> list[Document]:
    """One file. What its annotators looked for is what occurs in it.

    Raises:
        SettingsError: a line has no tag in its column, or the file is not UTF-8.
    """
    return documents_of(_drafts(path, columns, names, notices, block))


def documents_of(begun: Iterable[Draft]) -> list[Document]:
    """The drafts of one file as documents, but for those without text; annotated is what occurs in any of them."""
    drafts = list(begun)
    annotated = frozenset(gold.label for draft in drafts for gold in draft.gold)
    return [
        Document(
            draft.document_id, "".join(draft.parts), without_overlaps(draft.gold), annotated, draft.group
        )
        for draft in drafts
        if draft.length
    ]


def _drafts(path: Path, columns: Columns, names: LabelMap, notices: Notices, block: int) -> Iterator[Draft]:
    draft = Draft(f"{path.name}#1", "")
    made, new_line, marked, header = 1, True, False, columns.header
    for number, raw in enumerate(read_exactly(path, notices).split("\n"), 1):
        line = raw.rstrip("\r")
        marks = line.startswith(("#", "-"))  # nearly no line does, and there may be millions
        begins = _NEW_DOCUMENT.match(line) if marks else None
        patient = _PATIENT.match(line) if marks else None
        if begins or (not line.strip() and not marked and draft.sentences + 1 >= block and not new_line):
            marked = marked or begins is not None
            yield draft
            made += 1
            name = (begins and begins["id"] not in _NO_NAMES and begins["id"]) or str(made)
            group = f"{path.name}#{name}" if marked else ""
            draft, new_line = Draft(f"{path.name}#{name}", group), True
        elif patient:
            draft.group = f"patient:{patient['id']}"
        elif not line.strip():
            draft.sentences += not new_line
            new_line = True
        elif marks and not _is_row(line):
            continue
        elif header:
            header = False
        else:
            token, mark, label = _row(columns, line, names, notices, path, number)
            if token:
                draft.add(token, mark, label, new_line=new_line)
                new_line = False
    yield draft


def _row(
    columns: Columns, line: str, names: LabelMap, notices: Notices, path: Path, number: int
) -> tuple[str, str, Label | None]:
    cells = columns.cut(line)
    tag = cells[columns.tag] if len(cells) > max(columns.word, columns.tag) and len(cells) > 1 else ""
    read = tag_of(tag, names)
    if read is None:
        raise SettingsError(
            f"Line {number} has no tag in its column",
            location=path.name,
            action="Write a token, then its tag: O, B-Label, I-Label (also E, L, S, U); blank lines end sentences.",
        )
    mark, name = read
    token = _BRACKETS.get(cells[columns.word], cells[columns.word])
    return token, mark, notices.label(name, names) if name else None


def tag_of(tag: str, names: LabelMap) -> tuple[str, str] | None:
    """Mark and name of a tag, "" as the name of ``O``; None if it is none."""
    if _TAG.match(tag):
        return tag[0], tag[2:]
    if tag in _BARE:
        return tag, UNNAMED
    return ("I", tag) if normal(tag) in names else None


def gap_before(tail: str, token: str) -> str:
    """What stands between a text that ends with ``tail`` and the token that follows it."""
    if not tail:
        return ""
    last = tail[-1]
    if token[0] in _NO_SPACE_BEFORE or last in _NO_SPACE_AFTER or token in _GLUE or last in _GLUE:
        return ""
    return "" if last == "." and tail[-2:-1].isdigit() and token[0].isdigit() else " "
