"""PubTator: ``id|t|title``, ``id|a|abstract``, then ``id<tab>start<tab>end<tab>words<tab>label`` (BioCreative V).

Offsets count the title, one character, and the abstract.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from models.corpora.document import Document, Gold, Notices, read_exactly, same_words, without_overlaps
from models.corpora.names import LabelMap

_TEXT = re.compile(r"(?P<id>[^|\t]+)\|(?P<part>[ta])\|(?P<text>.*)")


def looks_like_pubtator(lines: Sequence[str]) -> bool:
    """Whether the first line with anything on it is a title."""
    first = next((line for line in lines if line.strip()), "")
    match = _TEXT.match(first.lstrip("\ufeff"))
    return match is not None and match["part"] == "t"


def read_pubtator(path: Path, names: LabelMap, notices: Notices) -> list[Document]:
    """One file. What its annotators looked for is what occurs in it.

    Raises:
        SettingsError: the file is not UTF-8.
    """
    texts: dict[str, dict[str, str]] = {}
    found: dict[str, list[tuple[int, int, int, str, str]]] = {}
    for number, raw in enumerate(read_exactly(path, notices).split("\n"), 1):
        line = raw.rstrip("\r")
        if match := _TEXT.match(line):
            texts.setdefault(match["id"], {})[match["part"]] = match["text"]
            continue
        cells = line.split("\t")
        # Relations have an id and a name in these places.
        if len(cells) >= 5 and cells[1].isdigit() and cells[2].isdigit():
            found.setdefault(cells[0], []).append((number, int(cells[1]), int(cells[2]), cells[3], cells[4]))
    documents = []
    for name, parts in texts.items():
        text = "\n".join(parts[part] for part in "ta" if part in parts)
        gold = []
        for number, start, end, words, label_name in found.get(name, ()):
            label = notices.label(label_name, names)
            if not 0 <= start < end <= len(text):
                notices.faults.append(f"{path.name} line {number}: offsets outside of its text")
            elif not same_words(text[start:end], words):
                notices.faults.append(f"{path.name} line {number}: other words stand at its place")
            elif label is not None:
                gold.append(Gold(start, end, label))
        documents.append((name, text, without_overlaps(gold)))
    annotated = frozenset(item.label for _, _, gold in documents for item in gold)
    return [Document(name, text, gold, annotated, name) for name, text, gold in documents]
