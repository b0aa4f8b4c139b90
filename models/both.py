"""Rules and model side by side, each where it reads better: the model reads publications, the rules read notes of wards.

A model learns from published reports and abstracts. In prose of that kind it beats the rules by far; in notes of wards and clinics,
and in notes that switch between languages, the rules do better, even in what is told in sentences there (docs/decisions/0016 has
the figures). Which of both a text is, is told in two ways: shorthand leaves out articles, pronouns and forms of "to be" and "to have", and a
note that is told in sentences still has headings, abbreviations and doses as only wards and clinics write them.

In prose without any of these the model alone answers. In other notes the rules do, and the model's sure findings come in where the
rules found nothing and the text is English. Each span names who found it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from engine.nlp.aside import Aside
from engine.nlp.language import foreign_text
from engine.nlp.reading import read_note
from engine.nlp.triggers import words_for_relatives
from engine.ports import EntityExtractor
from engine.records import Label, ModelInfo, Note, Span
from models.baseline import SHORTHAND_SCORES, RuleExtractor
from models.ner import OnnxExtractor

#: Share of function words below which a note is shorthand. Of 1,618 abstracts and reports one lies below, of ward notes few above.
PROSE = 0.05
#: So many different marks of wards and clinics make a note one of theirs. No publication of 1,711 has two, two have one.
MARKS = 2
#: A finding that the model alone has in a note of the wards counts from this calibrated score on.
SURE = 0.8

_RELATIVE = re.compile(
    rf"\b(?:{'|'.join(re.escape(word) for word in words_for_relatives() if word.isascii())}|family|familial|relatives?)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[A-Za-z']+")
# Shorthand that is no word, no gene and no unit anywhere else; how letters begin and end; headings with a line or a colon of their own.
_MARK = re.compile(
    r"\b(?:(?:c/o|s/p|h/o|r/o|d/w|f/u|u/c|a/w|p/w|b/g|PMHx?|PSHx?|FHx?|DHx|SHx|HPI|HOPC|Hx|Ix|Rx|Mx|Imp|TCU|KIV|TRO|NKDA|TDS|QDS|PRN|A/P|[Oo]/[Ee]"
    r"|tmr|rpt|prn|tds|[Nn]il|[Pp]t)\b|(?:mg|mcg|g|ml|units|tab|puffs) ?(?:OM|ON|BD|OD|om|on|bd|od)\b|x ?\d{1,2}/(?:7|52|12)\b|BP \d{2,3}/\d{2,3}"
    r"|(?:[Hh]e|[Ss]he) (?:takes|denies)\b|Dear (?:Dr|Prof|Sir|[Cc]olleague)|[Tt]hank you for (?:seeing|referring|asking)|[Yy]ours (?:sincerely|faithfully))"
    r"|(?m:^[ \t#*]{0,9}(?i:plan|impression|medications?(?: on discharge)?|(?:current|home|discharge) medications|meds|(?:drug )?allerg(?:y|ies)"
    r"|(?:(?:principal|discharge|other) )?diagnos[ie]s|past (?:medical|surgical) history|family history|social history|assessment(?: and plan)?"
    r"|(?:physical )?exam(?:ination)?|follow[ -]up|specimen|clinical (?:history|details|information)|microscopy|macroscopy|comparison|chief complaint|discharge summary|(?:hospital )?progress|review of systems)[ \t*]{0,9}(?::|\r?$))"
)
_FUNCTION = frozenset(
    [
        "a",
        "an",
        "are",
        "as",
        "be",
        "been",
        "by",
        "had",
        "he",
        "her",
        "his",
        "is",
        "it",
        "she",
        "that",
        "the",
        "these",
        "this",
        "was",
        "we",
        "were",
        "which",
    ]
)


def is_prose(text: str) -> bool:
    """Whether a text is written in sentences, and not in the shorthand of wards."""
    words = _WORD.findall(text.lower())
    return sum(word in _FUNCTION for word in words) >= PROSE * max(1, len(words))


def is_of_wards(text: str) -> bool:
    """Whether a text is a note of a ward or clinic: in shorthand, or with marks that publications have not."""
    if not is_prose(text):
        return True
    seen: set[str] = set()
    for mark in _MARK.finditer(text):
        seen.add(mark.group().strip().lower())
        if len(seen) == MARKS:
            return True
    return False


class BothExtractor:
    """An :class:`engine.ports.EntityExtractor` of a model and the rules.

    Attributes:
        model: reads every note; it can be swapped.
    """

    def __init__(self, model: OnnxExtractor, rules: RuleExtractor | None = None) -> None:
        self.model = model
        self._rules = rules or RuleExtractor(SHORTHAND_SCORES)
        self._aside = Aside()

    @property
    def info(self) -> ModelInfo:
        return self.model.info

    @property
    def languages(self) -> frozenset[str]:
        return self.model.languages

    async def extract(self, notes: Sequence[Note]) -> list[list[Span]]:
        """Spans of each note. What the rules found says so in ``by``."""
        answers = await self.model.extract(notes)
        return [
            await self._with_rules(note, spans)
            if is_of_wards(note.text)
            else self._with_others(note.text, spans)
            for note, spans in zip(notes, answers, strict=True)
        ]

    async def _with_rules(self, note: Note, spans: Sequence[Span]) -> list[Span]:
        found = (await self._rules.extract([note]))[0]
        return await self._aside.run(len(note.text), lambda: self._joined(note.text, found, spans))

    def _joined(self, text: str, found: Sequence[Span], spans: Sequence[Span]) -> list[Span]:
        taken = [(span.start, span.end) for span in found]
        taken += [(part.start, part.end) for part in foreign_text(text, self.languages)]
        held = bytearray(len(text))
        for start, end in taken:
            held[start:end] = b"\1" * (end - start)
        sure = [span for span in spans if span.score >= SURE and not any(held[span.start : span.end])]
        own = [replace(span, by=span.by or self._rules.info) for span in found]
        return sorted([*own, *sure], key=lambda span: (span.start, span.end))

    def _with_others(self, text: str, spans: list[Span]) -> list[Span]:
        """The model's spans of a text in prose, with what it was taught to pass over: other languages, and diseases of relatives."""
        others = [*self._rules.of_other_languages(text), *self._of_relatives(text, spans)]
        if not others:
            return spans
        held = bytearray(len(text))
        for span in others:
            held[span.start : span.end] = b"\1" * (span.end - span.start)
        rest = [span for span in spans if not any(held[span.start : span.end])]
        return sorted([*others, *rest], key=lambda span: (span.start, span.end))

    def _of_relatives(self, text: str, spans: Sequence[Span]) -> list[Span]:
        """The rules' problems that are said of a relative, where the model found nothing."""
        if _RELATIVE.search(text) is None:
            return []
        found = self._rules.spans(text)
        reading = read_note(Note("", text), found)
        held = bytearray(len(text))
        for span in spans:
            held[span.start : span.end] = b"\1" * (span.end - span.start)
        of_relatives = {
            (entity.start, entity.end)
            for entity, context in zip(reading.entities, reading.contexts, strict=True)
            if context.kin and entity.label is Label.PROBLEM and not any(held[entity.start : entity.end])
        }
        return [
            replace(span, by=span.by or self._rules.info)
            for span in found
            if (span.start, span.end) in of_relatives
        ]


def onnx_of(reader: EntityExtractor) -> OnnxExtractor | None:
    """The model in a reader, if it has one."""
    if isinstance(reader, BothExtractor):
        return reader.model
    return reader if isinstance(reader, OnnxExtractor) else None
