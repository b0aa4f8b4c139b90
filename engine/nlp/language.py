"""Which languages a note is in, and which parts of it its reader does not read.

A light guess without a dependency: by script where the script tells, else by function words that written English does
not have. It finds enough to choose a reader and to say "a part of this note was not read"; it does not name languages
for sure. Why no package does it: docs/decisions/0012-languages-of-notes.md.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from engine.nlp.sentences import sentences_of
from engine.records import Issue, Note, Severity

ENGLISH = "en"
UNKNOWN = "und"
"""BCP 47's tag for "not known": a script that is in no table here."""

_KANA = "\u3040-\u30ff\uff66-\uff9f"
# BCP 47 tag: the characters that give it away. Japanese has Han characters too: see _by_script.
_SCRIPTS = {
    "zh": f"\u3100-\u312f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002ffff{_KANA}",
    "ko": "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af",
    "ta": "\u0b80-\u0bff",
    "hi": "\u0900-\u097f",
    "bn": "\u0980-\u09ff",
    "pa": "\u0a00-\u0a7f",
    "gu": "\u0a80-\u0aff",
    "te": "\u0c00-\u0c7f",
    "kn": "\u0c80-\u0cff",
    "ml": "\u0d00-\u0d7f",
    "si": "\u0d80-\u0dff",
    "th": "\u0e00-\u0e7f",
    "lo": "\u0e80-\u0eff",
    "my": "\u1000-\u109f",
    "km": "\u1780-\u17ff",
    "he": "\u0590-\u05ff",
    "ar": "\u0600-\u06ff\u0750-\u077f\ufb50-\ufdff\ufe70-\ufefe",
    "ru": "\u0400-\u052f",
    "el": "\u0370-\u03ff\u1f00-\u1fff",
}
# Letters that say nothing of a language: Latin, phonetic, letter-like and full-width ones, mathematical alphabets.
_PLAIN = "\u0000-\u036f\u1d00-\u1eff\u2000-\u2bff\u2c60-\u2c7f\ua720-\ua7ff\uab30-\uab6f\uff00-\uff65\U0001d400-\U0001d7ff"
# A run may hold marks, blanks and digits between its letters, and ends with a letter.
_BETWEEN = "(?:[\\s\\d、，。；：！？,.·-]{0,3}"
_RUNS = re.compile(
    "|".join(f"(?P<{tag}>[{letters}]{_BETWEEN}[{letters}])*)" for tag, letters in _SCRIPTS.items())
    + f"|(?P<{UNKNOWN}>(?:(?![{_PLAIN}])[^\\W\\d_])+)"
)
_ODD = re.compile(f"[^{_PLAIN}]")  # without one there is no run
_HAS_KANA = re.compile(f"[{_KANA}]")
# Greek letters name units, vitamins and receptors in English text, never three in a row.
_LEAST = {"el": 3, UNKNOWN: 2}

# How many letters of an alphabet a character stands for, when it is asked what most of a note is in.
_SAYS = {"zh": 3, "ja": 2, "ko": 2}

_WORD = re.compile(r"[^\W\d_](?:[^\W\d_]|[\u0300-\u036f])*")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f\u1e00-\u1eff]")
_HITS = 3  # function words within _REACH words make a stretch of another language; two may be names
_REACH = 8
_BESIDE = 2  # words: how near to a telling word others of its language belong to its stretch
_SHOUTED = 4  # letters: in a line of capitals alone, shorter words are more likely abbreviations
_ENGLISH_WORDS = 3  # in a row: fewer are names and medicines, which are written so in any language


@dataclass(frozen=True, slots=True)
class ForeignText:
    """A stretch of text: offsets in code points, and the language it is guessed to be in."""

    start: int
    end: int
    language: str


def foreign_text(
    text: str, read: frozenset[str] = frozenset({ENGLISH}), found: Sequence[ForeignText] | None = None
) -> tuple[ForeignText, ...]:
    """The stretches that are in none of the languages ``read``, in order; none overlaps another.

    ``found`` is what :func:`stretches_of` found in the text, if it was asked already.
    """
    found = stretches_of(text) if found is None else found
    if ENGLISH not in read:
        found = sorted([*found, *_english(text, found)], key=lambda span: span.start)
    return tuple(span for span in found if span.language not in read)


def language_of(note: Note, found: Sequence[ForeignText] | None = None) -> str:
    """BCP 47 primary tag of the language most of a note is in.

    What the text shows wins over what its source declares, since systems declare one language for all they send;
    where the text shows nothing the declaration holds, and without one it is English. ``found`` as above.
    """
    letters: Counter[str] = Counter()
    for span in stretches_of(note.text) if found is None else found:
        letters[span.language] += sum(map(str.isalpha, note.text[span.start : span.end]))
    said = Counter({language: count * _SAYS.get(language, 1) for language, count in letters.items()})
    if said:
        rest = sum(map(str.isalpha, note.text)) - letters.total()
        language, count = said.most_common(1)[0]
        if count > rest and language != UNKNOWN:
            return language
    return primary(note.language) or ENGLISH


def primary(tag: str) -> str:
    """``zh`` of ``zh-Hans-SG`` and of ``zh_SG``; "" of nothing."""
    return re.split("[-_]", tag.strip(), maxsplit=1)[0].lower()


def language_issues(note: Note, foreign: Sequence[ForeignText], read: frozenset[str]) -> tuple[Issue, ...]:
    """One warning for each language that was found and not read; of the text, only where it stands."""
    issues: list[Issue] = []
    named = primary(note.language)
    if named and named not in read:
        issues.append(
            _issue(named, note.element, "The note is declared to be in a language its reader does not read.")
        )
    for language in dict.fromkeys(span.language for span in foreign):
        spans = [span for span in foreign if span.language == language]
        size = sum(span.end - span.start for span in spans)
        issues.append(
            _issue(
                language,
                note.element,
                f"{size} characters in {len(spans)} place(s) look like {language} and were not read.",
            )
        )
    return tuple(issues)


def _issue(language: str, location: str, message: str) -> Issue:
    return Issue(
        Severity.WARNING,
        "language-not-read",
        location,
        message,
        f"Have a person who reads {language} look at the note, or configure a model for it (nlp.by_language).",
    )


def stretches_of(text: str) -> list[ForeignText]:
    """All that is not English, as far as it can be told, in order."""
    by_script = list(_by_script(text))
    # Vietnamese and the like may stand next to a script of its own; a place has one language, and scripts are surer.
    taken = {at for span in by_script for at in range(span.start, span.end)}
    by_words = [s for s in _by_words(text) if not any(at in taken for at in range(s.start, s.end))]
    return sorted([*by_script, *by_words], key=lambda span: span.start)


def _by_script(text: str) -> Iterator[ForeignText]:
    if text.isascii() or _ODD.search(text) is None:
        return
    for match in _RUNS.finditer(text):
        language = match.lastgroup or ""
        if sum(map(str.isalpha, match.group())) < _LEAST.get(language, 1):
            continue
        if language == "zh" and _HAS_KANA.search(match.group()):
            language = "ja"
        yield ForeignText(match.start(), match.end(), language)


def _by_words(text: str) -> Iterator[ForeignText]:
    known, telling = function_words(), telling_words()
    hits = [word for word in _WORD.findall(_folded(text)) if word in known]
    if len(hits) < _HITS and telling.isdisjoint(hits):
        return
    for start, end in sentences_of(text):
        words = list(_WORD.finditer(text, start, end))
        shouted = text[start:end].isupper()
        hits_at = [
            at
            for at, word in enumerate(words)
            if _folded(word.group()) in known and _counts(word.group(), first=at == 0, shouted=shouted)
        ]
        spelt = {at: _folded(words[at].group()) for at in hits_at}
        for group in _near(hits_at, _REACH):
            if _most(known[spelt[at]] for at in group)[1] >= _HITS:
                parts = [group]
            else:
                least = 2 if shouted else 1  # in capitals a word may be a name
                parts = [
                    part
                    for part in _near(group, _BESIDE)
                    if len(part) >= least and any(spelt[at] in telling for at in part)
                ]
            for part in parts:
                language, _ = _most(known[spelt[at]] for at in part)
                yield ForeignText(words[part[0]].start(), words[part[-1]].end(), language)


def _most(tags: Iterable[tuple[str, ...]]) -> tuple[str, int]:
    return Counter(tag for each in tags for tag in each).most_common(1)[0]


def _folded(word: str) -> str:
    return word.lower() if word.isascii() else unicodedata.normalize("NFC", word).lower()


def _counts(word: str, *, first: bool, shouted: bool) -> bool:
    """A capital inside of a sentence makes a name or an abbreviation of a word: Dr Dan is no "and", LA no "the"."""
    if shouted:
        return len(word) >= _SHOUTED
    return word.islower() or (first and not word.isupper())


def _near(hits: Sequence[int], reach: int) -> Iterator[list[int]]:
    group: list[int] = []
    for hit in hits:
        if group and hit - group[-1] > reach:
            yield group
            group = []
        group.append(hit)
    if group:
        yield group


def _english(text: str, others: Iterable[ForeignText]) -> Iterator[ForeignText]:
    """What lies between the others and has a few words in Latin letters, for readers that do not read English."""
    done = 0
    for start, end in [*((span.start, span.end) for span in others), (len(text), len(text))]:
        words = [word for word in _WORD.finditer(text, done, start) if _LATIN.match(word.group())]
        if len(words) >= _ENGLISH_WORDS:
            yield ForeignText(words[0].start(), words[-1].end(), ENGLISH)
        done = end


@cache
def function_words() -> dict[str, tuple[str, ...]]:
    """Each word of ``tables/function_words.txt`` and the languages that have it."""
    found: dict[str, list[str]] = {}
    for tag, words in _table():
        for word in words:
            found.setdefault(word, []).append(tag.rstrip(_TELLING))
    return {word: tuple(dict.fromkeys(tags)) for word, tags in found.items()}


@cache
def telling_words() -> frozenset[str]:
    """Those of them that tell their language alone."""
    return frozenset(word for tag, words in _table() if tag.endswith(_TELLING) for word in words)


_TELLING = "!"


def _table() -> Iterator[tuple[str, list[str]]]:
    text = files("engine.nlp").joinpath("tables/function_words.txt").read_text("utf-8")
    for line in text.splitlines():
        tag, colon, words = line.partition(":")
        if colon and not line.startswith("#"):
            yield tag, words.split()
