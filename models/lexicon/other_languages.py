"""Finds what English notes of Singapore say in Malay, Mandarin and Tamil, and what it means in English.

Word lists of our own (malay.txt, mandarin.txt, tamil.txt), not readers of these languages: what is in none of them stays unread and is told
so. Malay is found by words, without its endings (-nya, -lah) and not in names; Mandarin has no spaces between words, so the longest term
at a place counts; a Tamil word is met in its inflected forms, since endings melt into it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from engine.nlp.language import function_words
from engine.nlp.phrases import Match, PhraseTable, Tokens, fold, tokens_of
from engine.records import Label
from models.lexicon.words import Found, Rule

FILES = {"ms": "malay.txt", "zh": "mandarin.txt", "ta": "tamil.txt"}
"""The word list of each language, by BCP 47 primary tag."""

_BODY = "{body}"
_NOTHING = "-"
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_TAMIL = re.compile("[\u0b80-\u0bff]")
_NEAR_WORDS = 4  # how far from other Malay a word counts that is also a name or English
_ENDINGS = ("nya", "lah", "kah", "pun")
_SHORTEST_STEM = 4  # letters
_NAMES = frozenset(("bin", "binte", "binti", "bte", "bt", "s/o", "d/o", "dr", "mr", "mdm", "mrs", "ms", "encik", "puan", "cik"))  # fmt: skip
_SHOUTED = 4  # letters: shorter words in capitals are abbreviations

# Endings of Tamil: case, number, "and", "or", "because of", "with"; by what they do to the end of a word. They begin with the sign of a vowel
# where the word ends in a bare consonant or loses its u.
_SIGNS = "ுடன்|ுடனும்|ால்|ாலும்|ின்|ை|ையும்|ுக்கு|ுக்கும்|ில்|ிலும்|ும்|ோ|ே|ா|ாக|ான|ினால்|ுகள்|ுகளும்|ுகளுடன்"
_AFTER_CONSONANT = re.compile(f"(?:்(?:கள்|களும்|களுடன்)?|{_SIGNS}|(?=ில்லை))(?![\u0b80-\u0bff])|(?=ில்லை)")
_AFTER_U = re.compile(f"(?:ு(?:[கசதப]்)?|{_SIGNS})(?![\u0b80-\u0bff])|(?=ில்லை)")
_AFTER_AM = re.compile(
    "(?:ம்(?:[கசதப]்)?|மும்|மோ|மே|மா|மாக|மான|த்தை|த்தால்|த்தின்|த்தில்|த்துக்கு|த்திற்கு|த்துடன்|ங்கள்)(?![\u0b80-\u0bff])|ம(?=ில்லை)"
)
_AFTER_VOWEL = re.compile(
    "(?:[கசதப]்|[யவ](?:ுடன்|ுடனும்|ால்|ாலும்|ின்|ை|ில்|ும்|ோ|ே|ா|ாக|ான)|க்கு|க்கும்|கள்|களும்|களுடன்)?(?![\u0b80-\u0bff])|[யவ](?=ில்லை)"
)

_AMOUNT = r"\d{1,5}(?:[.]\d{1,3})?"
_HAN_DOSE = re.compile(
    rf"(?:{_AMOUNT}|[一二两三四五半])[ ]?(?:毫克|微克|克|毫升|单位|單位|片|粒|颗|顆|喷|噴|滴)(?!/)"
    r"(?:[ ，,、]{0,2}(?:口服)?(?:[每一](?:天|日|晚)[ ]?[一二两兩三四1-4][ ]?次|每(?:晚|早|天|日)|早晚(?:各一次)?|睡前|[饭飯][前后後]))*"
    r"|[每一][天日][ ]?[一二两兩三四1-4][ ]?次"
)
_MALAY_DOSE = re.compile(
    r"(?<![\w.])(?:(?:\d{1,4}(?:[.]\d{1,2})?[ ]?(?:mg|ml|mcg|g|unit)|(?:\d|se|dua|satu|tiga)[ ]?(?:biji|sudu|sedut|titis|titik)|sebiji|sesudu)[ ])?"
    r"(?:(?:se|satu|dua|tiga|empat)[ ]?kali[ ](?:sehari|seminggu)|sekali[ ](?:sehari|seminggu)|setiap[ ](?:pagi|malam|petang|hari)|sebelum[ ]tidur)(?!\w)"
    r"|(?<![\w.])(?:\d|dua|satu|tiga)[ ]?biji(?!\w)",
    re.IGNORECASE,
)


class Term(NamedTuple):
    """What a phrase stands for; ``label`` is None where it is no finding. ``unsure``: counts only beside other words of its language."""

    language: str
    label: Label | None
    english: str
    unsure: bool = False


class OtherLanguages:
    """The three word lists, ready to search. Keeps nothing of the texts; safe to share."""

    def __init__(self) -> None:
        terms = {language: list(_terms(language)) for language in FILES}
        self._malay: PhraseTable[Term] = PhraseTable(terms["ms"])
        self._malay_words = frozenset(word for phrase, _ in terms["ms"] for word in tokens_of(phrase).words)
        self._malay_first = frozenset(tokens_of(phrase).words[0] for phrase, _ in terms["ms"])
        self._han: PhraseTable[Term] = PhraseTable(terms["zh"])
        stems = [
            (form, (term, tail))
            for phrase, term in terms["ta"]
            for form, tail in _stems(phrase)
        ]  # fmt: skip
        self._tamil: PhraseTable[tuple[Term, re.Pattern[str]]] = PhraseTable(stems)

    def find(self, tokens: Tokens) -> Iterator[Found]:
        """Candidates, which may overlap those of English."""
        text = tokens.text
        yield from self._in_malay(tokens)
        if text.isascii():
            return
        if _HAN.search(text):
            yield from self._in_mandarin(tokens)
        if _TAMIL.search(text):
            yield from self._in_tamil(tokens)

    def _in_mandarin(self, tokens: Tokens) -> Iterator[Found]:
        for match in self._han.find(tokens):
            found = _found(tokens, match, match.value)
            if found is not None:
                yield found
        for dose in _HAN_DOSE.finditer(tokens.text):
            yield Found(dose.start(), dose.end(), Label.DOSAGE, Rule.OTHER_LANGUAGE, "zh")

    def _in_tamil(self, tokens: Tokens) -> Iterator[Found]:
        text = tokens.text
        for match in self._tamil.find(tokens):
            term, tail = match.value
            start, end = tokens.starts[match.first], tokens.ends[match.last - 1]
            rest = tail.match(text, end)
            if rest is None or term.label is None or (start > 0 and _TAMIL.match(text, start - 1)):
                continue
            yield Found(start, rest.end(), term.label, Rule.OTHER_LANGUAGE, "ta", term.english)

    def _in_malay(self, tokens: Tokens) -> Iterator[Found]:
        if self._malay_first.isdisjoint(tokens.words) and not any(
            word.endswith(_ENDINGS) for word in tokens.words
        ):
            return
        matches = list(self._malay.find(tokens._replace(words=[self._stem(word) for word in tokens.words])))
        if not matches:
            return
        sure = _sure_malay(tokens, matches)
        for match in matches:
            if _is_malay(tokens, match, sure):
                found = _found(tokens, _repeated(tokens, match), match.value)
                if found is not None:
                    yield found
        for dose in _MALAY_DOSE.finditer(tokens.text):
            yield Found(dose.start(), dose.end(), Label.DOSAGE, Rule.OTHER_LANGUAGE, "ms")

    def _stem(self, word: str) -> str:
        """A word without its ending, where what is left is in the list."""
        if word in self._malay_words:
            return word
        for ending in _ENDINGS:
            stem = fold(word.removesuffix(ending))
            if word.endswith(ending) and len(stem) >= _SHORTEST_STEM and stem in self._malay_words:
                return stem
        return word


def _found(tokens: Tokens, match: Match[Term], term: Term) -> Found | None:
    if term.label is None:
        return None
    start, end = tokens.starts[match.first], tokens.ends[match.last - 1]
    return Found(start, end, term.label, Rule.OTHER_LANGUAGE, term.language, term.english)


def _written(tokens: Tokens, match: Match[Term]) -> str:
    return tokens.text[tokens.starts[match.first] : tokens.ends[match.last - 1]]


def _sure_malay(tokens: Tokens, matches: Sequence[Match[Term]]) -> list[int]:
    """Tokens that are Malay without doubt: in small letters, and no English word or name."""
    known = function_words()
    sure = [
        at
        for at, word in enumerate(tokens.words)
        if "ms" in known.get(word, ()) and tokens.text[tokens.starts[at] : tokens.ends[at]].islower()
    ]
    for match in matches:
        if not match.value.unsure and _written(tokens, match).islower():
            sure.extend(range(match.first, match.last))
    return sure


def _is_malay(tokens: Tokens, match: Match[Term], sure: Sequence[int]) -> bool:
    """Whether a phrase is no name and no abbreviation; where it may be, it counts beside other Malay."""
    written = _written(tokens, match)
    if _is_of_a_name(tokens, match):
        return False
    is_plain = written.islower() or (written[1:].islower() and _opens(tokens, match.first))
    if is_plain and not match.value.unsure:
        return True
    if not is_plain and match.last - match.first == 1 and (not written.isupper() or len(written) < _SHOUTED):
        return False
    return any(_is_beside(match, at) for at in sure)


def _repeated(tokens: Tokens, match: Match[Term]) -> Match[Term]:
    """With its second half: "gatal-gatal" is one word."""
    last = match.last
    if (
        last < len(tokens.words)
        and tokens.words[last] == tokens.words[last - 1]
        and tokens.text[tokens.ends[last - 1] : tokens.starts[last]] == "-"
    ):
        return Match(match.first, last + 1, match.value)
    return match


def _is_beside(match: Match[Term], at: int) -> bool:
    return match.first - _NEAR_WORDS <= at < match.first or match.last <= at < match.last + _NEAR_WORDS


def _opens(tokens: Tokens, first: int) -> bool:
    """Whether a word stands at the beginning of a line or statement, where every word has a capital."""
    before = tokens.text[: tokens.starts[first]].rstrip(" \t")[-1:]
    return not before or before in "\n\r.:;!?-*•#>/(\"'。：；！？，" or tokens.words[first - 1].isdigit()


def _is_of_a_name(tokens: Tokens, match: Match[Term]) -> bool:
    """Whether a name goes on before or after it: "Siti binte Demam", "Mata Ikan"."""
    first = tokens.text[tokens.starts[match.first]]
    if first.islower():
        return False
    if match.first and tokens.words[match.first - 1] in _NAMES:
        return True
    at = match.last
    if at < len(tokens.words) and tokens.joined[at] and match.last - match.first == 1:
        following = tokens.text[tokens.starts[at] : tokens.ends[at]]
        return following.istitle() and len(following) > 1
    return False


@cache
def _stems(phrase: str) -> tuple[tuple[str, re.Pattern[str]], ...]:
    """A Tamil phrase without what changes at its end, and what may stand there; as it is typed, with composed and with decomposed vowels."""
    if phrase.endswith("ம்"):
        stem, tail = phrase[:-2], _AFTER_AM
    elif phrase.endswith("்"):
        stem, tail = phrase[:-1], _AFTER_CONSONANT
    elif phrase.endswith("ு"):
        stem, tail = phrase[:-1], _AFTER_U
    else:
        stem, tail = phrase, _AFTER_VOWEL
    forms = dict.fromkeys(unicodedata.normalize(form, stem) for form in ("NFC", "NFD"))
    return tuple((form, tail) for form in forms)


def _terms(language: str) -> Iterator[tuple[str, Term]]:
    """(phrase, what it stands for): what is written out first, so that it wins over what is built.

    Raises ValueError naming file and line when a line is wrong.
    """
    bodies: list[tuple[str, str]] = []
    built: list[tuple[str, Label | None, str]] = []
    name = FILES[language]
    for number, line in enumerate(files(__package__).joinpath(name).read_text("utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = [field.strip() for field in line.split("|")]
        if len(fields) != 3:
            raise ValueError(f"{name} line {number}: label | English | phrases are expected")
        label = None if fields[0] == _NOTHING else Label(fields[0])
        for phrase in fields[2].split(","):
            bare = phrase.strip().lstrip("~*+")
            marks = phrase.strip().removesuffix(bare)
            if _BODY in bare:
                built.append((bare, label, fields[1]))
                continue
            if "*" in marks or "+" in marks:
                bodies.append((bare, fields[1]))
            if "+" not in marks:
                yield bare, Term(language, label, fields[1], "~" in marks)
    for pattern, label, english in built:
        for body, english_body in bodies:
            yield pattern.replace(_BODY, body), Term(language, label, english.replace(_BODY, english_body))
