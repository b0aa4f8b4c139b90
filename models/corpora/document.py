"""What every reader of a corpus gives: a text, its entities, and what its annotators looked for at all."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import SettingsError
from engine.records import Label
from models.corpora.names import LabelMap, normal

#: A file or folder of fewer documents says too little of what its annotators looked for.
ENOUGH_DOCUMENTS = 5


@dataclass(frozen=True, slots=True, order=True)
class Gold:
    """An annotated entity: ``text[start:end]`` in code points."""

    start: int
    end: int
    label: Label


@dataclass(frozen=True, slots=True)
class Document:
    """One annotated text.

    Attributes:
        document_id: unique within what was read; names the file, never a patient.
        text: the text.
        gold: its entities sorted by start; none overlaps another.
        annotated: the labels its annotators looked for. Any other label is unknown here, not absent.
        group: what must not be torn apart by a split: the patient, else the document; "" if it can't be told.
        meta: strata such as ``note_type`` or ``sex``.
        declared: whether the data say so what ``annotated`` is; else it is what occurs.
    """

    document_id: str
    text: str
    gold: tuple[Gold, ...]
    annotated: frozenset[Label]
    group: str = ""
    meta: Mapping[str, str] = field(default_factory=dict)
    declared: bool = False


@dataclass(slots=True)
class Notices:
    """What was noticed while corpora were read, for the person who gave them.

    Attributes:
        unknown: label names that no table knows; their entities are left out.
        faults: what else was left out, and where; no text of a note.
        guesses: what was taken for what it is not said to be, and where.
    """

    unknown: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    guesses: list[str] = field(default_factory=list)

    def label(self, name: str, names: LabelMap) -> Label | None:
        """Our label of a name; one that nobody knows is noted. Of several (MedMentions' ``T109,T121``) the first that has one."""
        known = [each for each in (name, *name.split(",")) if normal(each) in names]
        if not known:
            self.unknown.add(name)
        return next((names[normal(each)] for each in known if names[normal(each)]), None)


def read_exactly(path: Path, notices: Notices | None = None) -> str:
    """A file's text without a byte order mark and with its line ends as they are: offsets count them.

    What is not UTF-8 is taken for Windows-1252, one byte a character, and noted.

    Raises:
        SettingsError: it is neither.
    """
    content = path.read_bytes()
    try:
        return content.decode(
            "utf-16" if content[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE} else "utf-8-sig"
        )
    except UnicodeDecodeError as error:
        wrong = error.start
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError:
        raise SettingsError(
            f"Byte {wrong} is not UTF-8", location=path.name, action="Convert the file to UTF-8."
        ) from None
    if notices is not None:
        notices.guesses.append(f"{path.name} is not UTF-8 (byte {wrong}): read as Windows-1252")
    return text


def same_words(one: str, other: str) -> bool:
    """Whether two stretches of text say the same, apart from blanks, line ends and case."""
    return one.casefold().split() == other.casefold().split()


def without_overlaps(found: list[Gold]) -> tuple[Gold, ...]:
    """The longer of two that overlap, the first of two that are alike; sorted by start."""
    kept: list[Gold] = []
    taken = bytearray(max((gold.end for gold in found), default=0))
    for gold in sorted(set(found), key=lambda g: (g.start - g.end, g.start, g.label)):
        if not any(taken[gold.start : gold.end]):
            taken[gold.start : gold.end] = b"\1" * (gold.end - gold.start)
            kept.append(gold)
    return tuple(sorted(kept))
