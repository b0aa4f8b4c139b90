"""Folders and files of annotated texts, whatever their format."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from engine.errors import SettingsError
from models.corpora import brat, i2b2, piped
from models.corpora.bioc import is_bioc, looks_like_bioc_xml, read_bioc_json, read_bioc_xml
from models.corpora.csv_tokens import header_of, read_csv_tokens
from models.corpora.document import ENOUGH_DOCUMENTS, Document, Notices
from models.corpora.i2b2_xml import looks_like_i2b2_xml, read_i2b2_xml
from models.corpora.iob import columns_of, read_iob
from models.corpora.jsonl import holds_texts, read_jsonl, values_in
from models.corpora.names import LabelMap, label_map, parse_labels
from models.corpora.pubtator import looks_like_pubtator, read_pubtator

#: Lines of a file by which its format is told.
LOOKED_AT = 400
_COMPRESSED = frozenset((".gz", ".zip", ".bz2", ".xz", ".zst", ".tgz", ".tar", ".7z"))
_JSON_FILES = re.compile(r"\.(?:jsonl|ndjson|json)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Corpus:
    """What was read.

    Attributes:
        documents: the texts.
        unknown: label names nobody mapped: their entities were left out.
        faults: what else was left out, and where.
        guesses: what was taken for what it is not said to be, and where.
    """

    documents: tuple[Document, ...]
    unknown: frozenset[str]
    faults: tuple[str, ...] = ()
    guesses: tuple[str, ...] = ()


def read_corpora(paths: Iterable[Path], labels: str = "") -> Corpus:
    """All documents under the paths; brat, i2b2, ShARe, token files, CSV, JSON, PubTator and BioC are told apart by what the files hold.

    Args:
        paths: files and folders.
        labels: ``NAME=LABEL,...`` on top of the built-in names. What it names counts as annotated in every document.

    Raises:
        SettingsError: a path does not exist, holds nothing that can be read, or a file is broken.
    """
    names = label_map(labels)
    named = frozenset(label for label in parse_labels(labels).values() if label is not None)
    documents: list[Document] = []
    notices = Notices()
    for path in paths:
        told = len(notices.faults)
        found = _read(path, names, notices)
        if not found:
            faults = "; ".join(notices.faults[told : told + 3])
            raise SettingsError(
                f"{path} holds no annotated text" + (f" ({faults})" if faults else ""),
                location="--data",
                action="Give a folder of brat pairs (.txt with .ann), i2b2 pairs (.txt with .con) or XML, ShARe pairs (.txt with "
                ".pipe), token files (.tsv, .iob, .conll, .csv with a header), JSON lines, PubTator or BioC files.",
            )
        documents += (replace(doc, annotated=doc.annotated | named) for doc in found)
    return Corpus(
        _with_unique_ids(documents),
        frozenset(notices.unknown),
        tuple(notices.faults),
        tuple(dict.fromkeys(notices.guesses)),
    )


def _read(path: Path, names: LabelMap, notices: Notices) -> list[Document]:
    if not path.exists():
        raise SettingsError(f"There is no {path}", location="--data", action="Correct the path.")
    if path.is_file():
        if path.suffix.lower() in _COMPRESSED:
            raise SettingsError(f"{path} is compressed", location="--data", action="Unpack it first.")
        return _read_file(path, names, notices)
    found = (
        brat.read_brat(path, names, notices)
        + i2b2.read_i2b2(path, names, notices)
        + piped.read_piped(path, names, notices)
    )
    pairs = {**i2b2.pairs_in(path), **piped.pairs_in(path), **brat.pairs_in(path)}
    paired = {*pairs, *pairs.values()}
    bare = 0
    small: dict[tuple[Path, str], list[Document]] = {}
    for file in sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith(".")):
        ending = file.suffix.lower()
        # A folder may hold other files: what has no text in it is none of ours.
        if file in paired or ending == ".ann" or (_JSON_FILES.search(file.name) and not holds_texts(file)):
            continue
        if ending in _COMPRESSED:
            notices.faults.append(f"{file.name} is compressed: unpack it")
            continue
        texts = _read_file(file, names, notices)
        bare += bool(pairs) and ending == ".txt" and not texts
        if len(texts) < ENOUGH_DOCUMENTS:
            small.setdefault((file.parent, ending), []).extend(texts)
        else:
            found += texts
    for texts in small.values():
        found += _looked_for_alike(texts)
    if bare:
        notices.faults.append(f"{bare} .txt file(s) without annotations")
    return found


def _looked_for_alike(documents: list[Document]) -> list[Document]:
    """Files of one folder with a document or few each: what their annotators looked for is what occurs in any of them."""
    together = frozenset(label for doc in documents for label in doc.annotated if not doc.declared)
    return [doc if doc.declared else replace(doc, annotated=together) for doc in documents]


def _read_file(path: Path, names: LabelMap, notices: Notices) -> list[Document]:
    if _JSON_FILES.search(path.name):
        if _is_bioc_json(path):
            return read_bioc_json(path, [value for _, value in values_in(path, notices)], names, notices)
        return read_jsonl(path, names, notices)
    lines = _first_lines(path)
    if looks_like_bioc_xml(lines):
        return read_bioc_xml(path, names, notices)
    if looks_like_i2b2_xml(lines):
        return read_i2b2_xml(path, names, notices)
    header = header_of(lines)
    if header is not None:
        return read_csv_tokens(path, header, names, notices)
    if looks_like_pubtator(lines):
        return read_pubtator(path, names, notices)
    columns = columns_of(lines, names)
    return read_iob(path, columns, names, notices) if columns is not None else []


def _is_bioc_json(path: Path) -> bool:
    try:
        first = [value for _, value in values_in(path, first=True)]
    except SettingsError:
        return False  # to be read as JSON lines, and told what is wrong with it
    return bool(first) and all(map(is_bioc, first))


def _first_lines(path: Path) -> list[str]:
    """None of a file that is no text."""
    with path.open("rb") as file:
        start = file.read(4)
    encoding = "utf-16" if start[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE} else "utf-8-sig"
    with path.open(encoding=encoding, errors="replace", newline="\n") as file:
        lines = [line[:10_000] for line in islice(file, LOOKED_AT)]
    return [] if any("\0" in line for line in lines) else lines


def _with_unique_ids(documents: list[Document]) -> tuple[Document, ...]:
    """Two folders may hold files of one name; scores and error lists need to tell them apart."""
    seen: dict[str, int] = {}
    out = []
    for doc in documents:
        count = seen[doc.document_id] = seen.get(doc.document_id, 0) + 1
        out.append(doc if count == 1 else replace(doc, document_id=f"{doc.document_id}~{count}"))
    return tuple(out)
