"""Which parts of a note are in a language its reader does not read.

A light guess: by script, where the script tells, and for Malay by its function words, which written English
does not have. It finds enough to say "a part of this note was not read"; it does not name languages for sure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from engine.nlp.phrases import Tokens, tokens_of
from engine.nlp.sentences import sentences_of
from engine.records import Issue, Note, Severity

_KANA = "\u3040-\u30ff"
# BCP 47 tag: the characters that give it away. Japanese has Han characters too: see _by_script.
_SCRIPTS = {
    "zh": f"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002ffff{_KANA}",
    "ko": "\u1100-\u11ff\uac00-\ud7af",
    "ta": "\u0b80-\u0bff",
    "hi": "\u0900-\u097f",
    "bn": "\u0980-\u09ff",
    "te": "\u0c00-\u0c7f",
    "ml": "\u0d00-\u0d7f",
    "th": "\u0e00-\u0e7f",
    "my": "\u1000-\u109f",
    "ar": "\u0600-\u06ff\u0750-\u077f\ufb50-\ufdff\ufe70-\ufeff",
    "ru": "\u0400-\u04ff",
}
# A run may hold marks, blanks and digits between its letters, and ends with a letter.
_RUNS = re.compile(
    "|".join(
        f"(?P<{tag}>[{letters}](?:[\\s\\d、，。；：！？,.·-]{{0,3}}[{letters}])*)"
        for tag, letters in _SCRIPTS.items()
    )
)
_HAS_KANA = re.compile(f"[{_KANA}]")
# Function words of Malay that are no words of English, nor drug names or shorthand.
_MALAY = frozenset(
    (
        "saya", "aku", "anda", "awak", "dia", "kami", "kita", "mereka", "yang", "dan", "atau", "tetapi", "tapi", "dengan",
        "untuk", "dari", "daripada", "pada", "kepada", "dalam", "ini", "itu", "tidak", "tak", "bukan", "belum", "sudah",
        "telah", "akan", "boleh", "ada", "tiada", "adalah", "ialah", "sangat", "sakit", "demam", "batuk", "pening", "muntah",
        "kepala", "perut", "dada", "kaki", "tangan", "hari", "minggu", "bulan", "makan", "ubat", "doktor", "rasa", "lagi",
        "juga", "sejak", "semalam", "sebab", "kerana", "macam", "banyak", "sikit", "kencing", "manis", "darah", "tinggi",
        "susah", "nafas", "mak", "bapak", "anak", "rumah", "kalau", "jika", "jangan", "sahaja", "saja", "nak", "mahu",
        "pun", "sini", "sana", "bila", "mana", "kenapa", "apa", "siapa", "lepas", "sebelum", "selepas",
    )
)  # fmt: skip
_MALAY_WORDS = 3  # of them within _MALAY_REACH words make a stretch of Malay; two may be names
_MALAY_REACH = 8


@dataclass(frozen=True, slots=True)
class ForeignText:
    """A stretch of text: offsets in code points, and the language it is guessed to be in."""

    start: int
    end: int
    language: str


def foreign_text(text: str, read: frozenset[str] = frozenset({"en"})) -> tuple[ForeignText, ...]:
    """The stretches that are in none of the languages ``read``, in order."""
    found = [span for span in _by_script(text) if span.language not in read]
    if "ms" not in read:
        found += _malay(text)
    return tuple(sorted(found, key=lambda span: span.start))


def language_issues(note: Note, foreign: tuple[ForeignText, ...], read: frozenset[str]) -> tuple[Issue, ...]:
    """One warning for each language that was found and not read; of the text, only where it stands."""
    issues: list[Issue] = []
    named = note.language.split("-")[0].lower()
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
        f"Have a person who reads {language} look at the note, or configure a model for it.",
    )


def _by_script(text: str) -> Iterator[ForeignText]:
    if text.isascii():
        return
    for match in _RUNS.finditer(text):
        language = match.lastgroup or ""
        if language == "zh" and _HAS_KANA.search(match.group()):
            language = "ja"
        yield ForeignText(match.start(), match.end(), language)


def _malay(text: str) -> Iterator[ForeignText]:
    for start, end in sentences_of(text):
        tokens = tokens_of(text, start, end)
        hits = [at for at, word in enumerate(tokens.words) if word in _MALAY and _is_no_name(tokens, at)]
        group: list[int] = []
        for at in [*hits, len(tokens.words) + _MALAY_REACH]:
            if group and at - group[-1] > _MALAY_REACH:
                if len(group) >= _MALAY_WORDS:
                    yield ForeignText(tokens.starts[group[0]], tokens.ends[group[-1]], "ms")
                group = []
            group.append(at)


def _is_no_name(tokens: Tokens, at: int) -> bool:
    """A capital inside of a sentence makes a name of it: Dr Dan is no "and"."""
    return at == 0 or tokens.text[tokens.starts[at]].islower()
