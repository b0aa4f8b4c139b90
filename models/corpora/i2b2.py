"""i2b2/VA 2010: ``x.con`` beside (or in a folder next to that of) ``x.txt``; a line is ``c="words" 3:4 3:6||t="problem"``.

Places are line (from 1) and token (from 0); tokens are parted by blanks.
"""

from __future__ import annotations

import re
from pathlib import Path

from models.corpora.document import Document, Gold, Notices, read_exactly, same_words
from models.corpora.files import read_pairs
from models.corpora.names import LabelMap

_CONCEPT = re.compile(
    r'c="(?P<words>.*)" (?P<line>\d+):(?P<first>\d+) (?P<last_line>\d+):(?P<last>\d+)\|\|t="(?P<name>[^"|]+)"'
)
_TOKEN = re.compile(r"\S+")


def read_i2b2(folder: Path, names: LabelMap, notices: Notices) -> list[Document]:
    """All pairs under a folder. What its annotators looked for is what occurs in any of them.

    Raises:
        SettingsError: a file is no text.
    """
    return read_pairs(pairs_in(folder), _gold, names, notices)


def pairs_in(folder: Path) -> dict[Path, Path]:
    """Each file of concepts and its text; those without a text are left out."""
    concepts = sorted(path for path in folder.rglob("*.con") if path.is_file())
    texts = {path.stem: path for path in sorted(folder.rglob("*.txt"), reverse=True)} if concepts else {}
    beside = {path: path.with_suffix(".txt") for path in concepts}
    return {
        path: beside[path] if beside[path].is_file() else texts[path.stem]
        for path in concepts
        if beside[path].is_file() or path.stem in texts
    }


def _gold(concepts: Path, text: str, names: LabelMap, notices: Notices) -> list[Gold]:
    tokens: list[list[tuple[int, int]]] = []
    at = 0
    for line in text.split("\n"):
        tokens.append([(at + match.start(), at + match.end()) for match in _TOKEN.finditer(line)])
        at += len(line) + 1
    gold = []
    for number, line in enumerate(read_exactly(concepts, notices).splitlines(), 1):
        if not line.strip():
            continue
        match = _CONCEPT.match(line)
        if match is None:
            notices.faults.append(f"{concepts.name} line {number}: no concept")
            continue
        label = notices.label(match["name"], names)
        try:
            start = _token(tokens, match["line"], match["first"])[0]
            end = _token(tokens, match["last_line"], match["last"])[1]
        except IndexError:
            notices.faults.append(f"{concepts.name} line {number}: place outside of its text")
            continue
        if not same_words(text[start:end], match["words"]):
            notices.faults.append(f"{concepts.name} line {number}: other words stand at its place")
        elif label is not None:
            gold.append(Gold(start, end, label))
    return gold


def _token(tokens: list[list[tuple[int, int]]], line: str, token: str) -> tuple[int, int]:
    if int(line) < 1:
        raise IndexError
    return tokens[int(line) - 1][int(token)]
