"""Words and phrases of clinical text: how text is cut, folded to one spelling, and searched.

Lexicons, assertion triggers and code tables all compare text by the same folding, so "Haemorrhages"
in a note meets "hemorrhage" in a table. Offsets are never changed by it: they index the original text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Generic, NamedTuple, TypeVar

T = TypeVar("T")

# Latin words and digits only: in code-switched text a Chinese character borders a word as a space does.
_TOKEN = re.compile(r"[A-Za-z0-9\u00c0-\u024fµμ]+(?:['’]s(?![A-Za-z]))?|[^\s\-‐‑–'’]")
# What may stand between two words of one phrase: a space or two, a hyphen, or one wrapped line.
_GAP = re.compile(r"[ \t\xa0]{0,2}|[ \t]?[-‐‑–'’][ \t]?|[-‐‑–]?[ \t]*\r?\n[ \t]*")
_SIMPLE_GAPS = frozenset(("", " ", "-"))

# British to American, the letters that differ. Longer keys first.
_SPELLING = (
    ("haem", "hem"),
    ("aemi", "emi"),
    ("oede", "ede"),
    ("oesoph", "esoph"),
    ("oestr", "estr"),
    ("rrhoe", "rrhe"),
    ("tumour", "tumor"),
    ("paed", "ped"),
    ("anaes", "anes"),
    ("gynae", "gyne"),
    ("faec", "fec"),
    ("foet", "fet"),
    ("caec", "cec"),
    ("aetio", "etio"),
    ("sulph", "sulf"),
    ("leuco", "leuko"),
    ("pnoea", "pnea"),
    ("coeli", "celi"),
    ("colour", "color"),
    ("fibre", "fiber"),
    ("litre", "liter"),
)
_CACHE_WORDS = 65_536  # a language has fewer words than that; a bound all the same
_MAX_FOLDED = 64  # characters; nothing longer is in any table


def _simplified() -> dict[str, str]:
    """Simplified characters by traditional ones: tables/traditional.txt."""
    lines = files("engine.nlp").joinpath("tables/traditional.txt").read_text("utf-8").splitlines()
    pairs = [pair for line in lines if not line.startswith("#") for pair in line.split()]
    return {pair[0]: pair[1] for pair in pairs if pair[0] != pair[1]}


_SIMPLIFIED = _simplified()


@lru_cache(maxsize=_CACHE_WORDS)
def fold(word: str) -> str:
    """One word in the form tables are keyed by: lower case, no accents, one spelling, singular."""
    word = word[:_MAX_FOLDED].lower()
    if word.endswith(("'s", "’s")):
        word = word[:-2]
    if not word.isascii():
        word = word.replace("µ", "u").replace("μ", "u")
        bare = "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))
        word = bare or word  # a lone combining mark, as Tamil has, stays what it is
        word = _SIMPLIFIED.get(word, word)
    for british, american in _SPELLING:
        if british in word:
            word = word.replace(british, american)
    return _singular(word)


def _singular(word: str) -> str:
    """A simple plural's singular. What it does to "diabetes" is odd but the same everywhere."""
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes")):
        return word[:-2]
    return word[:-1]


class Tokens(NamedTuple):
    """The words and marks of a text, as parallel lists.

    ``joined[i]`` says whether token i may continue a phrase that token i-1 is part of.
    """

    text: str
    starts: list[int]
    ends: list[int]
    words: list[str]
    joined: list[bool]


def tokens_of(text: str, start: int = 0, end: int | None = None) -> Tokens:
    """Cuts ``text[start:end]``; offsets index the whole text."""
    out = Tokens(text, [], [], [], [])
    last = start
    for match in _TOKEN.finditer(text, start, len(text) if end is None else end):
        at = match.start()
        gap = text[last:at]
        out.starts.append(at)
        last = match.end()
        out.ends.append(last)
        out.words.append(fold(match.group()))
        out.joined.append(gap in _SIMPLE_GAPS or _GAP.fullmatch(gap) is not None)
    return out


def folded(text: str) -> str:
    """A term in the form that tables are keyed by: its folded words with one space between."""
    return " ".join(tokens_of(text).words)


@dataclass(frozen=True, slots=True)
class Match(Generic[T]):
    """Tokens ``first`` to ``last`` (exclusive) are a phrase of the table, which stands for ``value``."""

    first: int
    last: int
    value: T


class _End(NamedTuple):
    """Marks the end of a phrase in the tree; ``exact`` is the one way it may be written, if any."""

    value: Any
    exact: str


class PhraseTable(Generic[T]):
    """Finds the longest of many phrases at each word, in time linear in the text.

    A tree of words, so borders are word borders by construction. A phrase that starts with ``=`` must be
    written exactly so: ``=ALL`` is a leukaemia, "all" is not.
    """

    _END = ""  # no word is empty

    def __init__(self, phrases: Iterable[tuple[str, T]]) -> None:
        self._root: dict[str, Any] = {}
        for phrase, value in phrases:
            exact = phrase.startswith("=")
            written = phrase.removeprefix("=")
            node = self._root
            for word in tokens_of(written).words:
                node = node.setdefault(word, {})
            if node is self._root:
                raise ValueError(f"a phrase without a word: {phrase!r}")
            node.setdefault(self._END, []).append(_End(value, written if exact else ""))

    def find(self, tokens: Tokens) -> Iterator[Match[T]]:
        """The longest phrases, from the left, none overlapping another."""
        at = 0
        count = len(tokens.words)
        root = self._root
        words = tokens.words
        while at < count:
            if words[at] in root:
                match = self._longest(tokens, at)
                if match is not None:
                    yield match
                    at = match.last
                    continue
            at += 1

    def _longest(self, tokens: Tokens, first: int) -> Match[T] | None:
        best: Match[T] | None = None
        node = self._root
        for at in range(first, len(tokens.words)):
            if at > first and not tokens.joined[at]:
                break
            if tokens.words[at] not in node:
                break
            node = node[tokens.words[at]]
            for end in node.get(self._END, ()):
                if not end.exact or tokens.text[tokens.starts[first] : tokens.ends[at]] == end.exact:
                    best = Match(first, at + 1, end.value)
                    break
        return best
