"""What every reader of a corpus gives: a text, its entities, and what its annotators looked for at all."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import SettingsError
from engine.records import Label
from models.corpora.names import LabelMap, normal


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
    """

    document_id: str
    text: str
    gold: tuple[Gold, ...]
    annotated: frozenset[Label]
    group: str = ""
    meta: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Notices:
    """What was noticed while corpora were read, for the person who gave them.

    Attributes:
        unknown: label names that no table knows; their entities are left out.
        faults: what else was left out, and where; no text of a note.
    """

    unknown: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)

    def label(self, name: str, names: LabelMap) -> Label | None:
        """Our label of a name; one that nobody knows is noted."""
        if normal(name) not in names:
            self.unknown.add(name)
        return names.get(normal(name))


def read_exactly(path: Path) -> str:
    """A file's text without a byte order mark and with its line ends as they are: offsets count them.

    Raises:
        SettingsError: it is not UTF-8.
    """
    try:
        content = path.read_bytes()
        return content.decode(
            "utf-16" if content[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE} else "utf-8-sig"
        )
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"Byte {error.start} is not UTF-8", location=path.name, action="Convert the file to UTF-8."
        ) from error


def without_overlaps(found: list[Gold]) -> tuple[Gold, ...]:
    """The longer of two that overlap, the first of two that are alike; sorted by start."""
    kept: list[Gold] = []
    taken = bytearray(max((gold.end for gold in found), default=0))
    for gold in sorted(set(found), key=lambda g: (g.start - g.end, g.start, g.label)):
        if not any(taken[gold.start : gold.end]):
            taken[gold.start : gold.end] = b"\1" * (gold.end - gold.start)
            kept.append(gold)
    return tuple(sorted(kept))
