"""Whether the text says that a finding is so: present, negated, possible, hypothetical, historical, family.

The rules of ConText (Harkema et al., J Biomed Inform 2009; i2b2 2010 for the classes): a trigger speaks of
the findings within its reach, which ends with the sentence or at a word such as "but". What no trigger
speaks of takes the meaning of its section: a diabetes under "Family history" is not the patient's.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from engine.nlp.phrases import tokens_of
from engine.nlp.sections import Section, section_at
from engine.nlp.sentences import sentences_of
from engine.nlp.statements import KINDS, Statement
from engine.nlp.triggers import Meaning
from engine.records import Assertion, Label, Span

# What a section says of findings that no trigger speaks of.
_PLANNED = dict.fromkeys((Label.TEST, Label.PROCEDURE), Assertion.HYPOTHETICAL)
_ALL_HISTORICAL = dict.fromkeys((Label.PROBLEM, Label.PROCEDURE), Assertion.HISTORICAL)
SECTION_MEANS: Mapping[str, Mapping[Label, Assertion]] = {
    "family-history": dict.fromkeys(Label, Assertion.FAMILY),
    "past-medical-history": _ALL_HISTORICAL,
    "past-surgical-history": _ALL_HISTORICAL,
    "differential-diagnosis": {Label.PROBLEM: Assertion.POSSIBLE},
    "discharge-instructions": dict.fromkeys(
        (Label.PROBLEM, Label.TEST, Label.PROCEDURE), Assertion.HYPOTHETICAL
    ),
    "plan": _PLANNED,
    "follow-up": _PLANNED,
}

# When several triggers reach a finding. A relative comes after all this: see _settle.
_PRECEDENCE = (
    (Meaning.HYPOTHETICAL, Assertion.HYPOTHETICAL),
    (Meaning.NEGATED, Assertion.NEGATED),
    (Meaning.POSSIBLE, Assertion.POSSIBLE),
    (Meaning.HISTORICAL, Assertion.HISTORICAL),
)

_BY_NAME = re.compile(
    r"(?:[-*•]\s*)?(?:the |this |our )?(?:patient|pt|(?:mr|mrs|ms|mdm|mdm\.|mr\.|mrs\.|ms\.)[ \t]+[A-Z]\w*)(?![\w'’])",
    re.IGNORECASE,
)
# What is told of patients and of no relative: "FHx: nil of note. Presented with fever."
_BY_COMPLAINT = re.compile(
    r"(?:[-*•]\s*)?(?:present(?:ed|s|ing)|c/o|p/w|a/w|complain(?:s|ed|ing)|admitted|referred|came|on examination|o/e|started on|treated)\b",
    re.IGNORECASE,
)
_BY_PRONOUN = re.compile(r"(?:[-*•]\s*)?(?:he|she)(?![\w'’])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Context:
    """How a finding is meant.

    Attributes:
        assertion: one of the six. A denied finding of a relative is NEGATED, with ``kin`` set.
        kin: HL7 v3-RoleCode of the relative it is said of, "" for the patient.
        allergy: it stands as the cause, or among the effects, of an allergy.
    """

    assertion: Assertion = Assertion.PRESENT
    kin: str = ""
    allergy: bool = False


_ORDER = re.compile(
    r"[\s\d.)*\u2022-]*(?:(?:please|pls|kindly)\s+)?(?:repeat|rpt|chase|send(?:\s+off)?|order|book|arrange|check|get|do)\s+"
    r"(?:(?:a|an|the|for|urgent|stat|another)\s+)*",
    re.IGNORECASE,
)
"""How a statement begins that asks for what follows."""
_ORDER_GOES_ON = re.compile(
    r"\s*(?:$|[.;]|(?:,|/|&|\+|and\b)\s*|(?:mane|tomorrow|tmr|tonight|later|stat|daily|urgently|next|in\s+\d|at\s+\d|if|prior|before|"
    r"this\s+(?:am|pm|afternoon|evening)|results?)\b)",
    re.IGNORECASE,
)
"""What may follow it: nothing, another one, or when. "Repeat CT showed a bleed" was done."""


def contexts_of(
    text: str, spans: Sequence[Span], sections: Sequence[Section], measured: Collection[int] = ()
) -> list[Context]:
    """How each of the spans, sorted by start, is meant.

    DOSAGE, TEST_VALUE and ANATOMY claim nothing of their own and are PRESENT. ``measured`` holds the indexes
    of the tests that have a value: those were done, even where they stand under "Plan".
    """
    contexts = [Context()] * len(spans)
    first = 0
    about = _About("", of_patient=True)
    bodies = {section.start: section.body for section in sections}
    for start, end in _statements(text, sections):
        last = first
        body = min(bodies.get(start, start), end)  # behind the heading that opens the statement, if one does
        about = about.then(text[body:end].lstrip(), section_at(sections, body))
        while last < len(spans) and spans[last].start < end:
            last += 1
        if any(span.label in KINDS for span in spans[first:last]):
            statement = Statement(tokens_of(text, start, end), spans[first:last])
            for at in range(first, last):
                if spans[at].label in KINDS:
                    section = "" if at in measured else section_at(sections, spans[at].start)
                    if section == "family-history" and about.of_patient:
                        section = ""
                    context = _settle(statement.meanings(spans[at]), spans[at].label, section)
                    if (
                        spans[at].label is Label.TEST
                        and at in measured
                        and context.assertion is Assertion.NEGATED
                    ):
                        # "COVID PCR: not detected": the result is denied, the test was done.
                        context = replace(context, assertion=Assertion.PRESENT)
                    contexts[at] = context
            for at in _asked_for(text, body, end, spans, range(first, last)):
                if at not in measured and contexts[at].assertion is Assertion.PRESENT:
                    contexts[at] = replace(contexts[at], assertion=Assertion.HYPOTHETICAL)
        first = last
    return contexts


def _asked_for(text: str, start: int, end: int, spans: Sequence[Span], within: range) -> Iterator[int]:
    """Tests and procedures that a statement does nothing but ask for: "Repeat FBC, U/E/Cr mane", "Chase MRI spine"."""
    order = _ORDER.match(text, start, end)
    at = order.end() if order else -1
    for index in within:
        span = spans[index]
        if span.start != at or span.label not in {Label.TEST, Label.PROCEDURE}:
            return
        after = _ORDER_GOES_ON.match(text, span.end, end)
        if after is None:
            return
        yield index
        at = after.end()


@dataclass(frozen=True, slots=True)
class _About:
    """Whom a statement of a family history speaks of by its first words.

    "Patient denies chest pain" is the patient's own wherever it stands. "She" is whoever was spoken of last.
    """

    section: str
    of_patient: bool
    named: bool = False

    def then(self, statement: str, section: str) -> _About:
        if section != "family-history":
            return _About(section, of_patient=False)
        named = self.named if self.section == section else False
        last = self.of_patient if self.section == section else False
        if _BY_NAME.match(statement) or _BY_COMPLAINT.match(statement):
            return _About(section, of_patient=True, named=True)
        if _BY_PRONOUN.match(statement):
            return _About(section, of_patient=last or not named, named=named)
        return _About(section, of_patient=False, named=True)


def _statements(text: str, sections: Sequence[Section]) -> Iterator[tuple[int, int]]:
    """Sentences, cut where a section begins: "FHx: mother DM   Allergies: penicillin" is two."""
    cuts = [section.start for section in sections]
    for start, end in sentences_of(text):
        within = cuts[bisect_right(cuts, start) : bisect_left(cuts, end)]
        yield from pairwise((start, *within, end))


def _settle(meanings: Mapping[Meaning, str], label: Label, section: str) -> Context:
    """One context from all that reaches a finding."""
    if label is Label.MEDICATION and {Meaning.HYPOTHETICAL, Meaning.HISTORICAL} <= meanings.keys():
        # "Suggest withhold warfarin": what is planned is its end.
        meanings = {meaning: kin for meaning, kin in meanings.items() if meaning is not Meaning.HYPOTHETICAL}
    said = next((assertion for meaning, assertion in _PRECEDENCE if meaning in meanings), None)
    implied = SECTION_MEANS.get(section, {}).get(label)
    allergy = Meaning.ALLERGY in meanings or section == "allergies"
    if Meaning.FAMILY in meanings or implied is Assertion.FAMILY:
        kin = meanings.get(Meaning.FAMILY) or "FAMMEMB"
        # "No family history of X" says nothing of the patient and must not become a relative's X.
        denied = said in {Assertion.NEGATED, Assertion.HYPOTHETICAL}
        return Context(said if said is not None and denied else Assertion.FAMILY, kin, allergy)
    return Context(said or implied or Assertion.PRESENT, "", allergy)
