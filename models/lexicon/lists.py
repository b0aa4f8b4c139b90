"""Reads the word lists beside this module: plain text, one entry a line, ``#`` for comments."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import NamedTuple

from engine.nlp.phrases import fold
from engine.records import Label

LEXICONS = {
    "problems.txt": Label.PROBLEM,
    "medications.txt": Label.MEDICATION,
    "tests.txt": Label.TEST,
    "procedures.txt": Label.PROCEDURE,
    "anatomy.txt": Label.ANATOMY,
}
FILES = (
    *LEXICONS,
    "tests_with_value.txt",
    "heads.txt",
    "modifiers.txt",
    "suffixes.txt",
    "malay.txt",
    "mandarin.txt",
    "tamil.txt",
)


class Head(NamedTuple):
    """A word that makes a finding together with the words before it."""

    label: Label
    free: bool
    takes: frozenset[str]


class Ending(NamedTuple):
    """What an ending (or a beginning) of a word says it is."""

    text: str
    label: Label
    shortest: int


@dataclass(frozen=True, slots=True)
class Lists:
    """All word lists, parsed.

    Attributes:
        terms: (phrase, label) of the five lexicons.
        short_tests: names that are tests only where a value follows.
        heads: by folded word.
        classes: classes of each folded modifier.
        endings, beginnings, exceptions: for words in no lexicon.
        digest: SHA-256 of all files, hexadecimal: changes when any entry does.
    """

    terms: tuple[tuple[str, Label], ...]
    short_tests: tuple[str, ...]
    heads: dict[str, Head]
    classes: dict[str, frozenset[str]]
    endings: tuple[Ending, ...]
    beginnings: tuple[Ending, ...]
    exceptions: frozenset[str]
    digest: str


def load() -> Lists:
    """Reads all lists. Raises ValueError naming file and line when an entry is wrong."""
    terms = tuple((line, label) for name, label in LEXICONS.items() for _, line in _lines(name))
    endings = list(_endings())
    return Lists(
        terms=terms,
        short_tests=tuple(line for _, line in _lines("tests_with_value.txt")),
        heads=dict(_heads()),
        classes=_classes(terms),
        # The longest ending decides: "-carcinoma" before "-oma".
        endings=tuple(sorted((e for e in endings if not e.text.endswith("-")), key=lambda e: -len(e.text))),
        beginnings=tuple(Ending(e.text[:-1], *e[1:]) for e in endings if e.text.endswith("-")),
        exceptions=frozenset(
            fold(line[1:].strip()) for _, line in _lines("suffixes.txt") if line.startswith("!")
        ),
        digest=_digest(),
    )


def _lines(name: str) -> Iterator[tuple[int, str]]:
    text = files(__package__).joinpath(name).read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            yield number, stripped


def _fields(name: str, number: int, line: str, count: int) -> list[str]:
    fields = [field.strip() for field in line.split("|")]
    if len(fields) != count:
        raise ValueError(f"{name} line {number}: {count} fields are expected, {len(fields)} found")
    return fields


def _heads() -> Iterator[tuple[str, Head]]:
    for number, line in _lines("heads.txt"):
        word, label, how, takes = _fields("heads.txt", number, line, 4)
        if how not in {"free", "bound"}:
            raise ValueError(f"heads.txt line {number}: free or bound is expected")
        yield fold(word), Head(Label(label), how == "free", frozenset(takes.split()))


def _endings() -> Iterator[Ending]:
    for number, line in _lines("suffixes.txt"):
        if not line.startswith("!"):
            text, label, shortest = _fields("suffixes.txt", number, line, 3)
            yield Ending(text.removeprefix("-"), Label(label), int(shortest))


def _classes(terms: tuple[tuple[str, Label], ...]) -> dict[str, frozenset[str]]:
    classes: dict[str, set[str]] = {}
    for number, line in _lines("modifiers.txt"):
        name, word = _fields("modifiers.txt", number, line, 2)
        classes.setdefault(fold(word), set()).add(name)
    for term, label in terms:
        if label is Label.ANATOMY and " " not in term and not term.startswith("="):
            classes.setdefault(fold(term), set()).add("body")
    return {word: frozenset(names) for word, names in classes.items()}


def _digest() -> str:
    digest = hashlib.sha256()
    for name in sorted(FILES):
        digest.update(name.encode() + b"\0" + files(__package__).joinpath(name).read_bytes())
    return digest.hexdigest()
