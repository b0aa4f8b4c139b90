"""What is left unread of a stretch in another language, once the words that are known there are taken out.

A word list finds a part of what a fragment says. The rest is still told as not read: only findings, the words that say how they are
meant, and words that carry no finding ("since", 患者, ஒரு) count as understood.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files

from engine.nlp.language import ForeignText
from engine.nlp.phrases import PhraseTable, tokens_of
from engine.nlp.statements import TRIGGERS
from engine.nlp.triggers import Meaning
from engine.records import Span

_LETTER = re.compile(r"[^\W\d_]")
_TAMIL = re.compile("[\u0b80-\u0bff]")


def unread(text: str, foreign: Sequence[ForeignText], spans: Iterable[Span]) -> tuple[ForeignText, ...]:
    """The parts of ``foreign`` that hold a word which nobody understood, in order.

    ``spans`` are what was found in the text; those with a language were read by a word list.
    """
    if not foreign:
        return ()
    known = bytearray(len(text))
    for span in spans:
        if span.language:
            known[span.start : span.end] = b"\1" * (span.end - span.start)
    return tuple(part for stretch in foreign for part in _rest(text, stretch, known))


def _rest(text: str, stretch: ForeignText, known: bytearray) -> Iterator[ForeignText]:
    table = _table().get(stretch.language)
    if table is not None:
        tokens = tokens_of(text, stretch.start, stretch.end)
        # A pseudo-trigger, such as "not taking it" or "no better", says something that nobody makes anything of.
        said = [m for m in TRIGGERS.find(tokens) if all(t.meaning is not Meaning.NOTHING for t in m.value)]
        places = [*((m.first, m.last) for m in table.find(tokens)), *((m.first, m.last) for m in said)]
        single: list[int] = []
        for first, last in places:
            start, end = tokens.starts[first], tokens.ends[last - 1]
            if stretch.language == "zh" and end - start == 1:
                single.append(start)
            elif stretch.language != "ta" or _is_whole(text, start, end, known):
                known[start:end] = b"\1" * (end - start)
        _add_single(text, stretch, sorted(single), known)
    begin = stretch.start
    for at in range(stretch.start, stretch.end + 1):
        if at == stretch.end or known[at]:
            letters = list(_LETTER.finditer(text, begin, at))
            if len(letters) > 1 or any(not letter.group().isascii() for letter in letters):
                yield replace(
                    stretch, start=letters[0].start(), end=_end_of_word(text, letters[-1].end(), at)
                )
            begin = at + 1


def _add_single(text: str, stretch: ForeignText, single: Sequence[int], known: bytearray) -> None:
    """Characters that are a word alone, unless they stand within an unknown one: 年 in 两年 and not in 拜年."""
    for at in range(len(single)):
        if at and single[at] == single[at - 1] + 1:
            continue
        last = at
        while last + 1 < len(single) and single[last + 1] == single[last] + 1:
            last += 1
        start, end = single[at], single[last] + 1
        before = start == stretch.start or known[start - 1] or not text[start - 1].isalpha()
        after = end == stretch.end or known[end] or not text[end].isalpha()
        if before and after:
            known[start:end] = b"\1" * (end - start)


def _end_of_word(text: str, at: int, end: int) -> int:
    """With the marks that belong to a last letter, as Tamil vowels do."""
    while at < end and _TAMIL.match(text, at):
        at += 1
    return at


def _is_whole(text: str, start: int, end: int, known: bytearray) -> bool:
    """Whether a Tamil word, or what is left of it, begins and ends there; within another it is none."""
    begins = start == 0 or known[start - 1] or _TAMIL.match(text, start - 1) is None
    return bool(begins) and _TAMIL.match(text, end) is None


@cache
def _table() -> dict[str, PhraseTable[bool]]:
    """``tables/understood.txt``, by language."""
    words: dict[str, list[str]] = {}
    for line in files("engine.nlp").joinpath("tables/understood.txt").read_text("utf-8").splitlines():
        language, colon, listed = line.partition(":")
        if colon and not line.startswith("#"):
            words.setdefault(language, []).extend(listed.split())
    return {language: PhraseTable((word, True) for word in listed) for language, listed in words.items()}
