"""Finds the terms of the word lists in a text: listed, put together, or told by their ending."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from engine.nlp.phrases import PhraseTable, Tokens
from engine.records import Label
from models.lexicon.lists import Head, Lists

_MAX_MODIFIERS = 3  # words before a head: "left middle cerebral artery infarct" has four and loses one
_WORDS_KEPT = 65_536  # of the cache of endings; a language has fewer
_SHORT_WORD = 5  # letters; a listed word as short is less sure
_NOTHING: frozenset[str] = frozenset()
_IS_WORD = re.compile(r"[a-z][a-z-]+")


class Rule(StrEnum):
    """Which kind of rule found a term; each kind has its own score."""

    LISTED = "listed"  # a term of several words, or one of six letters or more
    SHORT = "short"  # a listed word of five letters or fewer, in lower case
    ABBREVIATION = "abbreviation"  # listed, to be written in capitals
    BUILT = "built"  # a head or listed term with words before it
    EPONYM = "eponym"  # "Kawasaki disease"
    LACK = "lack"  # "<any word> deficiency"
    ENDING = "ending"  # "-itis"
    PATTERN = "pattern"  # a regular expression with a unit or a fixed form
    ADJACENT = "adjacent"  # of its kind because of what it stands beside
    BARE = "bare"  # a value with a unit but without a test
    OTHER_LANGUAGE = "other-language"  # a term of the lists for Malay, Mandarin and Tamil


class Found(NamedTuple):
    """A candidate: offsets, what it is, and by which rule; if it is not English, its language (BCP 47) and what it means in English."""

    start: int
    end: int
    label: Label
    rule: Rule
    language: str = ""
    english: str = ""


# What may stand before a listed term of a label and belongs to it.
_TAKES = {
    Label.PROBLEM: frozenset(("body", "kind")),
    Label.TEST: frozenset(("specimen",)),
    Label.PROCEDURE: frozenset(("body",)),
    Label.ANATOMY: frozenset(("side", "body")),
    Label.MEDICATION: frozenset[str](),
}
_REGIONAL = frozenset(("ct", "mri", "mra", "us", "uss", "ultrasound", "xr", "x-ray", "ray", "pet"))
_SALTS = frozenset(
    (
        "sodium", "potassium", "hydrochloride", "hcl", "sulfate", "maleate", "besylate", "besilate", "tartrate", "succinate",
        "phosphate", "acetate", "fumarate", "mesylate", "citrate", "hydrobromide", "bromide", "nitrate", "gluconate",
        "furoate", "propionate", "trihydrate",
    )
)  # fmt: skip
_AND = frozenset(("and", "&", "/"))
_LACK = "deficiency"
_EPONYM_HEADS = frozenset(("disease", "syndrome", "disorder", "anomaly"))
# Words before "disease" or "deficiency" that are no part of its name.
_NOT_NAMES = frozenset(
    (
        "the", "this", "that", "his", "her", "a", "an", "no", "any", "past", "other", "such", "these", "our", "and", "of", "with",
        "for", "in", "chronic", "acute", "severe", "known", "current", "underlying", "active", "stable", "concomitant", "associated",
        "clinical", "rare", "common", "major", "minor", "same", "new", "their", "its", "has", "had", "was", "is", "if", "when",
    )
)  # fmt: skip


class _Terms(NamedTuple):
    """The listed terms of one text: which tokens they cover, and by first and last token."""

    covered: list[bool]
    by_first: dict[int, tuple[int, Label]]  # first token: token after the last, label
    by_last: dict[int, tuple[int, Label]]  # last token: first token, label


class WordRules:
    """The word lists, ready to search. Compiled once; keeps nothing of the texts."""

    def __init__(self, lists: Lists) -> None:
        self._listed: PhraseTable[tuple[Label, bool]] = PhraseTable(
            (phrase, (label, phrase.startswith("="))) for phrase, label in lists.terms
        )
        self._heads = lists.heads
        self._classes = lists.classes
        self._endings = lists.endings
        self._beginnings = lists.beginnings
        self._exceptions = lists.exceptions
        self._by_ending = lru_cache(maxsize=_WORDS_KEPT)(self._label_by_ending)

    def find(self, tokens: Tokens) -> Iterator[Found]:
        """Candidates, which may overlap."""
        matches = list(self._listed.find(tokens))
        terms = _Terms([False] * len(tokens.words), {}, {})
        for match in matches:
            terms.by_first[match.first] = (match.last, match.value[0])
            terms.by_last[match.last - 1] = (match.first, match.value[0])
            terms.covered[match.first : match.last] = [True] * (match.last - match.first)
        for match in matches:
            label, exact = match.value
            first = self._extended_left(tokens, terms, match.first, _TAKES[label])
            last = self._extended_right(tokens, terms, match.last, label)
            built = (first, last) != (match.first, match.last)
            yield _found(
                tokens,
                first,
                last,
                label,
                Rule.BUILT if built else _rule(tokens, match.first, match.last, exact=exact),
            )
        for at, word in enumerate(tokens.words):
            if not terms.covered[at]:
                yield from self._unlisted(tokens, terms, at, word)

    def _unlisted(self, tokens: Tokens, terms: _Terms, at: int, word: str) -> Iterator[Found]:
        head = self._heads.get(word)
        if head is not None:
            yield from self._headed(tokens, terms, at, head)
        elif word == _LACK:
            yield from self._lack(tokens, terms, at)
        if head is None or not head.free:
            if word in _EPONYM_HEADS:
                yield from self._eponym(tokens, at)
            label = self._by_ending(word)
            if label is not None:
                first = self._extended_left(tokens, terms, at, _TAKES[label])
                yield _found(tokens, first, at + 1, label, Rule.ENDING)

    def _headed(self, tokens: Tokens, terms: _Terms, at: int, head: Head) -> Iterator[Found]:
        first = at
        before = terms.by_last.get(at - 1)
        if "analyte" in head.takes and before is not None and before[1] is Label.TEST and tokens.joined[at]:
            first = before[0]
        first = self._extended_left(tokens, terms, first, head.takes)
        if first < at:
            yield _found(tokens, first, at + 1, head.label, Rule.BUILT)
        elif head.free:
            yield _found(tokens, at, at + 1, head.label, _rule(tokens, at, at + 1, exact=False))

    def _lack(self, tokens: Tokens, terms: _Terms, at: int) -> Iterator[Found]:
        if at == 0 or not tokens.joined[at]:
            return
        before = terms.by_last.get(at - 1)
        first = before[0] if before is not None else at - 1
        if _IS_WORD.fullmatch(tokens.words[first]) and tokens.words[first] not in _NOT_NAMES:
            yield _found(tokens, first, at + 1, Label.PROBLEM, Rule.LACK)

    def _eponym(self, tokens: Tokens, at: int) -> Iterator[Found]:
        first = at
        while first > 0 and at - first < 2 and tokens.joined[first] and _is_name(tokens, first - 1):
            first -= 1
        if first < at:
            yield _found(tokens, first, at + 1, Label.PROBLEM, Rule.EPONYM)

    def _extended_left(self, tokens: Tokens, terms: _Terms, first: int, takes: frozenset[str]) -> int:
        """First token once the words before it that belong to it are taken in."""
        for _ in range(_MAX_MODIFIERS):
            if first == 0 or not tokens.joined[first]:
                break
            before = terms.by_last.get(first - 1)
            if before is not None and before[1] is Label.ANATOMY and "body" in takes:
                first = before[0]
            elif self._classes.get(tokens.words[first - 1], _NOTHING) & takes:
                first -= 1
            else:
                break
        return first

    def _extended_right(self, tokens: Tokens, terms: _Terms, last: int, label: Label) -> int:
        """Token after the last once a salt ("metoprolol tartrate") or a region ("CT brain") is taken in."""
        if last >= len(tokens.words) or not tokens.joined[last]:
            return last
        if label is Label.MEDICATION and tokens.words[last] in _SALTS:
            return last + 1
        if label is Label.TEST and tokens.words[last - 1] in _REGIONAL:
            return self._region(tokens, terms, last)
        return last

    def _region(self, tokens: Tokens, terms: _Terms, last: int) -> int:
        while last < len(tokens.words) and tokens.joined[last]:
            skip = 1 if tokens.words[last] in _AND and last + 1 < len(tokens.words) else 0
            term = terms.by_first.get(last + skip)
            if term is not None and term[1] is Label.ANATOMY:
                last = term[0]
            elif skip == 0 and "body" in self._classes.get(tokens.words[last], _NOTHING):
                last += 1
            else:
                break
        return last

    def _label_by_ending(self, word: str) -> Label | None:
        if not _IS_WORD.fullmatch(word) or word in self._exceptions:
            return None
        return next(
            (e.label for e in self._endings if len(word) >= e.shortest and word.endswith(e.text)),
            next(
                (e.label for e in self._beginnings if len(word) >= e.shortest and word.startswith(e.text)),
                None,
            ),
        )


def _found(tokens: Tokens, first: int, last: int, label: Label, rule: Rule) -> Found:
    return Found(tokens.starts[first], tokens.ends[last - 1], label, rule)


def _rule(tokens: Tokens, first: int, last: int, *, exact: bool) -> Rule:
    if exact:
        return Rule.ABBREVIATION
    return Rule.LISTED if last - first > 1 or len(tokens.words[first]) > _SHORT_WORD else Rule.SHORT


def _is_name(tokens: Tokens, at: int) -> bool:
    written = tokens.text[tokens.starts[at] : tokens.ends[at]]
    return len(written) > 3 and written.istitle() and tokens.words[at] not in _NOT_NAMES
