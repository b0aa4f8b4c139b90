"""Which part of a note a finding stands in: "Past Medical History", "FHx:", "Ix:", "Plan".

A heading alone does not make a patient's disease: a diabetes under "Family history" is the mother's.
The table names what is seen in discharge letters, clerking sheets and Singapore ward shorthand; a heading
it does not know still ends the section before it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from engine.nlp.phrases import folded
from engine.nlp.sentences import looks_wrapped

# Normalised name: the ways it is written. Abbreviations need a colon or a line of their own, as all do.
HEADINGS: dict[str, tuple[str, ...]] = {
    "chief-complaint": (
        "chief complaint", "chief complaints", "presenting complaint", "presenting complaints", "cc", "pc",
        "complaint", "complaints", "reason for visit", "reason for admission", "reason for consultation",
        "reason for referral",
    ),
    "history-of-present-illness": (
        "history of present illness", "history of presenting illness", "history of presenting complaint",
        "history of the present illness", "present illness", "hpi", "hopi", "hpc", "history", "hx",
        "clinical history", "subjective", "interval history",
    ),
    "past-medical-history": (
        "past medical history", "past history", "medical history", "past medical and surgical history",
        "past medical / surgical history", "pmh", "pmhx", "pmhs", "comorbidities", "co-morbidities",
        "comorbids", "background", "background history", "known", "known case of", "premorbids",
        "significant past medical history", "significant medical history", "bg", "phx", "obstetric history",
        "past medical hx", "past hx",
    ),
    "past-surgical-history": (
        "past surgical history", "surgical history", "psh", "pshx", "past procedures", "previous operations",
        "past surgical hx",
    ),
    "family-history": (
        "family history", "family medical history", "family hx", "fh", "fhx", "fam hx", "famhx",
    ),
    "social-history": (
        "social history", "social hx", "shx", "sh", "soc hx", "social", "social and functional history",
        "functional status", "premorbid function", "lifestyle", "smoking", "alcohol",
        "occupational history", "travel history", "travel and contact history",
    ),
    "medications": (
        "medications", "medication", "current medications", "home medications", "medication history",
        "drug history", "medication list", "medications on admission", "admission medications", "meds",
        "current meds", "dhx", "dh", "mhx", "regular medications", "drugs", "long term medications",
        "prescriptions", "rx", "treatment", "tx", "current treatment", "medication prior to admission",
    ),
    "discharge-medications": (
        "medications on discharge", "discharge medications", "discharge medication", "discharge meds",
        "tto", "ttos", "tta", "ttas", "medication on discharge", "take home medications", "meds on discharge",
        "medications at discharge", "discharge prescription",
    ),
    "allergies": (
        "allergies", "allergy", "drug allergies", "drug allergy", "known allergies", "allergic history",
        "allergies and adverse reactions", "allergies / adrs", "adverse drug reactions", "adrs",
        "drug allergies / adr", "da", "allergies/intolerances", "medication allergies",
    ),
    "review-of-systems": (
        "review of systems", "ros", "systemic review", "systems review", "review of system",
    ),
    "vital-signs": (
        "vital signs", "vitals", "vital sign", "parameters", "para", "obs", "observations", "vs", "v/s",
    ),
    "examination": (
        "physical examination", "physical exam", "examination", "on examination", "o/e", "oe", "exam", "pe",
        "objective", "clinical examination", "examination findings", "physical findings", "general examination",
    ),
    "investigations": (
        "investigations", "investigation", "ix", "labs", "laboratory", "laboratory data", "laboratory results",
        "lab results", "results", "bloods", "blood results", "pertinent results", "significant results",
        "blood tests", "lab investigations", "laboratory findings", "test results", "biochemistry",
        "haematology", "microbiology", "tests", "macroscopy", "microscopy", "macroscopic description",
        "microscopic description", "gross description", "immunohistochemistry",
    ),
    "imaging": (
        "imaging", "radiology", "imaging studies", "radiological findings", "imaging findings", "scans",
        "findings", "technique",
    ),
    "diagnosis": (
        "diagnosis", "diagnoses", "dx", "primary diagnosis", "principal diagnosis", "secondary diagnosis",
        "secondary diagnoses", "admitting diagnosis", "admission diagnosis", "provisional diagnosis",
        "working diagnosis", "final diagnosis", "other diagnoses", "active problems", "problem list",
        "problems", "active issues", "issues", "current issues", "medical problems",
    ),
    "discharge-diagnosis": (
        "discharge diagnosis", "discharge diagnoses", "diagnosis on discharge", "diagnoses on discharge",
    ),
    "differential-diagnosis": (
        "differential diagnosis", "differential diagnoses", "differentials", "ddx", "d/dx", "dd",
    ),
    "assessment": (
        "assessment", "impression", "imp", "clinical impression", "conclusion", "conclusions", "summary",
        "a", "opinion", "assessment and diagnosis",
    ),
    "assessment-plan": (
        "assessment and plan", "assessment & plan", "assessment / plan", "a/p", "a&p", "a / p", "ap",
        "impression and plan", "impression / plan", "imp/plan", "assessment/plan",
    ),
    "plan": (
        "plan", "plans", "mx", "management", "management plan", "treatment plan", "recommendations",
        "recommendation", "plan of care", "to do", "p", "action plan", "proposed plan", "orders",
    ),
    "hospital-course": (
        "hospital course", "course in hospital", "course in ward", "brief hospital course", "progress",
        "clinical course", "inpatient progress", "progress in ward", "hospitalisation course",
        "summary of hospital stay", "ward progress", "clinical summary",
    ),
    "procedures": (
        "procedures", "procedure", "operations", "operation", "operative procedures", "procedures performed",
        "operations performed", "surgery", "surgeries", "procedures done", "operation performed",
    ),
    "follow-up": (
        "follow up", "follow-up", "follow up plan", "tcu", "f/u", "appointments", "follow up appointments",
    ),
    "discharge-instructions": (
        "discharge instructions", "instructions", "patient instructions", "advice", "advice given",
        "discharge advice", "return advice", "return precautions", "safety net", "safety netting",
        "patient education",
    ),
}  # fmt: skip

# When such a heading has text on its own line ("FHx: mother DM"), it holds for that line and the ones
# that plainly go on from it; the next plain line speaks of the patient's present again.
_INLINE = frozenset(
    (
        "family-history", "allergies", "past-medical-history", "past-surgical-history", "social-history",
        "differential-diagnosis", "follow-up", "discharge-instructions",
    )
)  # fmt: skip
# And these end at a blank line as well: what they say must never leak onto the patient.
_BLOCK = frozenset(("family-history", "allergies"))
# Shorthand that opens a line without a colon: "PMHx DM, HTN", "O/E alert".
_BARE = ("PMHx", "PMH", "PSHx", "DHx", "SHx", "O/E", "Ix", "Imp")

_NAMES = {folded(name): section for section, names in HEADINGS.items() for name in names}
# Runs are bounded, so that a note of blanks costs no more than another (limits, not clinical facts).
_LEAD = r"[ \t]{0,20}(?:(?:[#*•>=-]{1,6}|\d{1,2}[.)])[ \t]{0,8})?"
_CANDIDATE = re.compile(
    rf"(?:(?:^|(?<=[\r\n])){_LEAD}|(?<=[.;|,])[ \t]{{1,4}}|[ \t]{{2,8}})"
    r"(?P<name>[A-Za-z][A-Za-z&/'-]{0,24}(?: [A-Za-z&/'-]{1,24}){0,6}?)\*{0,3}[ \t]{0,8}"
    r"(?P<mark>:+|(?<=[ \t])[-–](?=[ \t])|={2,}|(?=[\r\n])|$)[:*]{0,3}"
)
_BARE_START = re.compile(rf"(?:^|(?<=[\r\n])){_LEAD}(?P<name>{'|'.join(_BARE)})(?=[ \t])", re.IGNORECASE)
_MARKDOWN = re.compile(r"(?:^|(?<=[\r\n]))[ \t]{0,8}#{1,4}[ \t]+(?P<name>[^\r\n]{1,80})")
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)?")
_REST_IS_BLANK = re.compile(r"[ \t]*(?:\r|\n|$)")
# "FHx: father DM. Skin: no rash": a name with a colon opens something else on the same line, whatever it is.
_NEXT_TOPIC = re.compile(
    r"[.;][ \t]{1,4}(?P<name>(?!(?:Father|Mother|Brother|Sister|Mat|Pat|Maternal|Paternal|Mom|Dad)\b)[A-Z][A-Za-z/]{1,24}(?: [A-Za-z/]{1,24})?:)[ \t]"
)
_GOES_ON = re.compile(r"[ \t]*(?:[-*•–+]|\(?\d{1,2}[.)])|[ \t]+\S")


@dataclass(frozen=True, slots=True)
class Section:
    """One section.

    Attributes:
        name: normalised, a key of :data:`HEADINGS`; "" under a heading that is not known.
        start, end: offsets of all of it, heading included.
        body: offset at which its text begins.
    """

    name: str
    start: int
    end: int
    body: int


def find_sections(text: str) -> tuple[Section, ...]:
    """The sections of a note, in order. Text before the first heading is in none."""
    marks = _headings(text)
    sections: list[Section] = []
    for position, (name, start, body) in enumerate(marks):
        end = marks[position + 1][1] if position + 1 < len(marks) else len(text)
        sections.append(Section(name, start, _body_end(text, name, body, end), body))
    return tuple(sections)


def section_at(sections: Sequence[Section], offset: int) -> str:
    """Name of the section that ``offset`` stands in, "" if none."""
    at = bisect_right(sections, offset, key=lambda section: section.body) - 1
    if at < 0 or offset >= sections[at].end:
        return ""
    return sections[at].name


def _headings(text: str) -> list[tuple[str, int, int]]:
    """(section name, start, body offset) of each heading, in order."""
    found: dict[int, tuple[str, int, int]] = {}
    for match in _CANDIDATE.finditer(text):
        name = _NAMES.get(folded(match["name"]))
        if name is None and match["mark"] and _has_line_to_itself(text, match):
            name = ""
        # "A" and "PE" alone are words; with a colon they are headings.
        if name is not None and (match["mark"] or (_starts_line(text, match) and len(match["name"]) > 2)):
            found[match.start("name")] = (name, match.start("name"), match.end())
    for match in _BARE_START.finditer(text):
        name = _NAMES[folded(match["name"])]
        found.setdefault(match.start("name"), (name, match.start("name"), match.end()))
    for match in _MARKDOWN.finditer(text):
        name = _NAMES.get(folded(match["name"].strip(" #:*")), "")
        found[match.start("name")] = (name, match.start("name"), match.end())
    return [found[start] for start in sorted(found)]


def _starts_line(text: str, match: re.Match[str]) -> bool:
    return match.start() == 0 or text[match.start() - 1] in "\r\n"


def _has_line_to_itself(text: str, match: re.Match[str]) -> bool:
    """Whether a name that is not known stands as headings do: capital first, nothing after its colon."""
    return (
        _starts_line(text, match)
        and match["name"][:1].isupper()
        and _REST_IS_BLANK.match(text, match.end()) is not None
    )


def _body_end(text: str, name: str, body: int, end: int) -> int:
    """Where a section ends when no heading ends it before ``end``."""
    inline = name in _INLINE and _REST_IS_BLANK.match(text, body) is None
    if not inline and name not in _BLOCK:
        return end
    topic = _NEXT_TOPIC.search(text, body, end) if inline else None
    if topic is not None:
        end = topic.start("name")
    last = ""  # the line before, once there was one
    blank = False
    for line in _LINE.finditer(text, body, end):
        content = line.group().strip()
        goes_on = _GOES_ON.match(line.group()) is not None or (content[:1].islower() and looks_wrapped(last))
        if content and last and not goes_on and (inline or blank):
            return line.start()
        last = content or last
        blank = not content
    return end
