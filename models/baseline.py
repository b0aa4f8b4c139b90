"""The rule baseline: reads notes by word lists and patterns, without learning.

It is what a trained model must beat, and what reads notes where no model is configured. It knows no grammar:
:mod:`engine.nlp` decides whether a finding is denied or the mother's.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files

from engine.nlp.aside import Aside
from engine.nlp.phrases import PhraseTable, Tokens, tokens_of
from engine.nlp.sections import find_sections
from engine.records import Label, ModelInfo, Note, Span
from models.lexicon import lists, patterns
from models.lexicon.other_languages import OtherLanguages
from models.lexicon.words import Found, Rule, WordRules

MODEL_ID = "wardstream-rules"
LEXICON_ID = "wardstream-lexicon"
"""Who found what is said in Malay, Mandarin or Tamil: a word list, and nobody who reads these languages."""

# How often each kind of rule is right. Rough: between its precision on the development corpora, which draw spans
# their own way (bench/eval_baseline.py --rules), and on this project's ward notes, where it is near 1.
SCORES: dict[Rule, float] = {
    Rule.LISTED: 0.8,
    Rule.BUILT: 0.6,
    Rule.ABBREVIATION: 0.75,
    Rule.SHORT: 0.65,
    Rule.EPONYM: 0.85,
    Rule.LACK: 0.55,
    Rule.ENDING: 0.65,
    Rule.PATTERN: 0.8,
    Rule.ADJACENT: 0.75,
    Rule.BARE: 0.5,
    Rule.OTHER_LANGUAGE: 0.85,
}

#: The same in the shorthand of wards, which is what the rules were made for and all they read beside a model
#: (models/both.py). Their precision on 300 made-up notes (tools/make_ward_notes.py --count 300 --seed 99).
SHORTHAND_SCORES: dict[Rule, float] = SCORES | {
    Rule.LISTED: 0.93,
    Rule.BUILT: 0.74,
    Rule.ABBREVIATION: 0.92,
    Rule.SHORT: 0.75,
    Rule.PATTERN: 0.92,
    Rule.ADJACENT: 0.97,
    Rule.OTHER_LANGUAGE: 0.92,  # 73 of 73 in the notes held out, which one hand wrote: less is promised
    Rule.BARE: 0.8,  # 19 of 19 there: too few to say more
}

# What wins when findings of one length overlap. A value right behind its test is surer than a dose.
_RANK = (
    (Label.MEDICATION, None),
    (Label.PROCEDURE, None),
    (Label.TEST, None),
    (Label.PROBLEM, None),
    (Label.TEST_VALUE, Rule.PATTERN),
    (Label.DOSAGE, None),
    (Label.TEST_VALUE, None),
    (Label.ANATOMY, None),
)
# What an answer depends on: their digest is the version.
_SOURCES = {
    "models": ("baseline.py",),
    "models.lexicon": ("words.py", "patterns.py", "lists.py", "other_languages.py"),
    "engine.nlp": ("phrases.py", "sections.py"),
}


class RuleExtractor:
    """An :class:`engine.ports.EntityExtractor` without a model. Safe to share; keeps no state of notes.

    Args:
        scores: how often each kind of rule is right in the texts that will be read.
    """

    def __init__(self, scores: Mapping[Rule, float] = SCORES) -> None:
        known = lists.load()
        self._words = WordRules(known)
        self._short_tests: PhraseTable[Label] = PhraseTable((name, Label.TEST) for name in known.short_tests)
        self._others = OtherLanguages()
        self._aside = Aside()
        self._scores = scores
        self._info = ModelInfo(MODEL_ID, _version(known.digest, scores), "rules")
        self._lexicon = ModelInfo(LEXICON_ID, self._info.version, "rules")

    @property
    def info(self) -> ModelInfo:
        return self._info

    @property
    def languages(self) -> frozenset[str]:
        return frozenset({"en"})

    async def extract(self, notes: Sequence[Note]) -> list[list[Span]]:
        """Spans of each note. Takes no time-out and has no queue: about a millisecond a note."""
        return await self._aside.run(
            sum(len(note.text) for note in notes), lambda: [self.spans(note.text) for note in notes]
        )

    def spans(self, text: str) -> list[Span]:
        """Spans of one text, sorted by start; none overlaps another."""
        return [self._span(found) for found in self.findings(text)]

    def of_other_languages(self, text: str) -> list[Span]:
        """Those spans alone that are not in English; for texts that another reads."""
        others = list(self._others.find(tokens_of(text)))
        return [self._span(found) for found in _without_overlaps(others)]

    def _span(self, found: Found) -> Span:
        score = self._scores[found.rule]
        if not found.language:
            return Span(found.start, found.end, found.label, score)
        return Span(found.start, found.end, found.label, score, self._lexicon, found.language, found.english)

    def findings(self, text: str) -> list[Found]:
        """The same with the rule that found each."""
        tokens = tokens_of(text)
        words = list(self._words.find(tokens))
        plain = patterns.plain(text)
        words += self._short(tokens, plain)
        words += patterns.find_glued(plain)
        words += self._others.find(tokens)
        named = _without_overlaps(words)
        medications = [found for found in named if found.label is Label.MEDICATION]
        tests = [found for found in named if found.label is Label.TEST]
        parts = patterns.find_dosages(plain, medications) + patterns.find_values(plain, tests)
        named_parts = _without_overlaps([*named, *parts])
        return _outside_headings(text, named_parts)

    def _short(self, tokens: Tokens, plain: str) -> list[Found]:
        return [
            Found(tokens.starts[match.first], tokens.ends[match.last - 1], Label.TEST, Rule.PATTERN)
            for match in self._short_tests.find(tokens)
            if patterns.has_value(plain, tokens.ends[match.last - 1])
        ]


def _without_overlaps(found: Iterable[Found]) -> list[Found]:
    """The longest findings first; whatever overlaps one already taken goes. Sorted by start."""
    ordered = sorted(set(found), key=lambda f: (f.start - f.end, _rank(f), f.start, -SCORES[f.rule]))
    taken = bytearray(max((f.end for f in ordered), default=0))
    kept: list[Found] = []
    for item in ordered:
        if not any(taken[item.start : item.end]):
            taken[item.start : item.end] = b"\1" * (item.end - item.start)
            kept.append(item)
    return sorted(kept)


def _outside_headings(text: str, found: list[Found]) -> list[Found]:
    """Without what is part of a known heading: "Surgery:" is none."""
    headings = [(section.start, section.body) for section in find_sections(text) if section.name]
    starts = [start for start, _ in headings]
    kept = []
    for item in found:
        at = bisect_right(starts, item.start) - 1
        if at < 0 or item.start >= headings[at][1]:
            kept.append(item)
    return kept


def _rank(found: Found) -> int:
    pair = (found.label, found.rule)
    return next(at for at, (label, rule) in enumerate(_RANK) if label is pair[0] and rule in {None, pair[1]})


def _version(lists_digest: str, scores: Mapping[Rule, float]) -> str:
    """Changes whenever a list or a rule does, so that the answers of two versions can be told apart."""
    digest = hashlib.sha256(lists_digest.encode())
    digest.update(repr(sorted(scores.items())).encode())
    for package, names in _SOURCES.items():
        for name in names:
            digest.update(files(package).joinpath(name).read_bytes())
    return digest.hexdigest()[:12]
