"""Folders and files of annotated texts, whatever their format."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from engine.errors import SettingsError
from models.corpora.brat import read_brat
from models.corpora.document import Document
from models.corpora.iob import looks_like_iob, read_iob
from models.corpora.jsonl import read_jsonl
from models.corpora.names import LabelMap, label_map, parse_labels

_TOKEN_FILES = re.compile(r"\.(?:tsv|iob2?|conll|bio|txt)$", re.IGNORECASE)
_JSON_FILES = re.compile(r"\.(?:jsonl|ndjson)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Corpus:
    """What was read, and the label names nobody mapped: their entities were left out."""

    documents: tuple[Document, ...]
    unknown: frozenset[str]


def read_corpora(paths: Iterable[Path], labels: str = "") -> Corpus:
    """All documents under the paths; brat, IOB/TSV and JSONL are told apart by what the files hold.

    Args:
        paths: files and folders.
        labels: ``NAME=LABEL,...`` on top of the built-in names. What it names counts as annotated in every document.

    Raises:
        SettingsError: a path does not exist, holds nothing that can be read, or a file is broken.
    """
    names = label_map(labels)
    named = frozenset(label for label in parse_labels(labels).values() if label is not None)
    documents: list[Document] = []
    unknown: set[str] = set()
    for path in paths:
        found = _read(path, names, unknown)
        if not found:
            raise SettingsError(
                f"{path} holds no annotated text",
                location="--data",
                action="Give a folder of brat pairs (.txt with .ann), token files (.tsv, .iob, .conll) or .jsonl files.",
            )
        documents += (replace(doc, annotated=doc.annotated | named) for doc in found)
    return Corpus(_with_unique_ids(documents), frozenset(unknown))


def _read(path: Path, names: LabelMap, unknown: set[str]) -> list[Document]:
    if not path.exists():
        raise SettingsError(f"There is no {path}", location="--data", action="Correct the path.")
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    found: list[Document] = []
    if path.is_dir():
        found += read_brat(path, names, unknown)
    for file in files:
        if _JSON_FILES.search(file.name):
            found += read_jsonl(file, names, unknown)
        elif _TOKEN_FILES.search(file.name) and not file.with_suffix(".ann").exists() and _is_iob(file):
            found += read_iob(file, names, unknown)
    return found


def _is_iob(path: Path) -> bool:
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        return looks_like_iob(list(islice(lines, 60)))


def _with_unique_ids(documents: list[Document]) -> tuple[Document, ...]:
    """Two folders may hold files of one name; scores and error lists need to tell them apart."""
    seen: dict[str, int] = {}
    out = []
    for doc in documents:
        count = seen[doc.document_id] = seen.get(doc.document_id, 0) + 1
        out.append(doc if count == 1 else replace(doc, document_id=f"{doc.document_id}~{count}"))
    return tuple(out)
