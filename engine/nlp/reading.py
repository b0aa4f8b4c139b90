"""What the rules make of a note once its spans are known: one reading, whoever found the spans."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.nlp.assertion import Context, contexts_of
from engine.nlp.language import ForeignText, foreign_text, language_issues
from engine.nlp.relations import relations_of
from engine.nlp.sections import Section, find_sections, section_at
from engine.records import Assertion, Entity, Issue, Label, ModelInfo, Note, Span

# "HbA1c 7.4% (prev 8.1%)": the second value is of another day.
_EARLIER = re.compile(
    r"\b(?:prev(?:ious(?:ly)?)?|last|baseline|prior|was|from|ago)[ :=]{0,3}$|<-{1,2}[ ]?$|←[ ]?$",
    re.IGNORECASE,
)
# "Cr 180 -> 120", "CRP fell from 186 to 24", "EF 35% in 2021": the first is what it was.
_GOES_TO = re.compile(r"[^\S\n]{0,2}(?:-{1,2}>|=>|→|(?:in|on)[ ](?:[A-Z][a-z]{2,8}[ ])?(?:19|20)\d\d\b)")
_FROM = re.compile(r"\bfrom[ ]$", re.IGNORECASE)
# A reader may take the doubt into the finding: "TRO appendicitis".
_DOUBT = re.compile(
    r"(?:\?|(?:tro|r/o|rule out|to rule out|possible|probable|suspected|likely|query)\b)[ \t]*(?=\w)",
    re.IGNORECASE,
)
_LOOK_BACK = 16  # characters


@dataclass(frozen=True, slots=True)
class Reading:
    """One note, read.

    Attributes:
        entities: sorted by start.
        contexts: of each entity, in the same order: the relative it is said of, allergy.
        sections: of the note.
        foreign: stretches of text in a language no reader reads.
        issues: what a person should know about this reading; no text of the note.
        models: who read it; the first read the whole.
        by: who found each entity, in the order of the entities; empty where all are the first model's.
        language: BCP 47 primary tag of the language most of the note is in, "" if nobody looked.
    """

    note: Note
    entities: tuple[Entity, ...]
    contexts: tuple[Context, ...]
    sections: tuple[Section, ...]
    foreign: tuple[ForeignText, ...]
    issues: tuple[Issue, ...]
    models: tuple[ModelInfo, ...] = ()
    by: tuple[ModelInfo, ...] = ()
    language: str = ""

    def as_json(self) -> dict[str, Any]:
        """For people and programs that asked for this one note: it holds its words."""
        return {
            "note_id": self.note.note_id,
            "language": self.language,
            "models": [
                {"id": model.model_id, "version": model.version, "provider": model.provider}
                for model in self.models
            ],
            "entities": [entity.as_json() for entity in self.entities],
            "languages_not_read": [dataclasses.asdict(stretch) for stretch in self.foreign],
            "issues": [issue.as_json() for issue in self.issues],
        }


def read_note(
    note: Note,
    spans: Sequence[Span],
    languages: frozenset[str] = frozenset({"en"}),
    *,
    models: tuple[ModelInfo, ...] = (),
    by: Sequence[ModelInfo] = (),
    language: str = "",
    foreign: tuple[ForeignText, ...] | None = None,
) -> Reading:
    """Sections, assertion, relations and foreign text of a note.

    ``spans`` in any order, ``by`` in the same; ``languages`` are the BCP 47 primary tags that the extractor reads,
    ``foreign`` what is in none of them, if that is known already.
    Raises ValueError on a span outside of the text: the extractor has broken its contract.
    """
    text = note.text
    order = sorted(range(len(spans)), key=lambda at: (spans[at].start, spans[at].end, spans[at].label))
    ordered = [spans[at] for at in order]
    for span in ordered:
        if not 0 <= span.start < span.end <= len(text):
            raise ValueError(f"span {span.start}-{span.end} is outside of a note of {len(text)} characters")
    ordered = [_without_doubt(text, span) for span in ordered]
    sections = find_sections(text)
    related = relations_of(text, ordered)
    contexts = contexts_of(text, ordered, sections, measured=related.keys())
    for whole, parts in related.items():
        for place, part in enumerate(parts):
            contexts[part] = contexts[whole]
            before = text[max(0, ordered[part].start - _LOOK_BACK) : ordered[part].start]
            is_first_of_more = place == 0 and len(parts) > 1 and ordered[part].label is Label.TEST_VALUE
            if (
                (place > 0 and _EARLIER.search(before))
                or (is_first_of_more and _FROM.search(before))
                or _GOES_TO.match(text, ordered[part].end)
            ):
                contexts[part] = dataclasses.replace(contexts[part], assertion=Assertion.HISTORICAL)
    if foreign is None:
        foreign = foreign_text(text, languages)
    return Reading(
        note,
        tuple(
            Entity(
                start=span.start,
                end=span.end,
                text=text[span.start : span.end],
                label=span.label,
                score=span.score,
                assertion=context.assertion,
                section=section_at(sections, span.start),
                related=related.get(at, ()),
                language=span.language,
                english=span.english,
            )
            for at, (span, context) in enumerate(zip(ordered, contexts, strict=True))
        ),
        tuple(contexts),
        sections,
        foreign,
        language_issues(note, foreign, languages),
        models,
        tuple(by[at] for at in order) if set(by) - set(models[:1]) else (),
        language,
    )


def _without_doubt(text: str, span: Span) -> Span:
    doubt = _DOUBT.match(text, span.start, span.end) if span.label is Label.PROBLEM else None
    return span if doubt is None else dataclasses.replace(span, start=doubt.end())


def read_spans(note: Note, spans: Sequence[Span]) -> tuple[Entity, ...]:
    """The entities of :func:`read_note` alone."""
    return read_note(note, spans).entities
