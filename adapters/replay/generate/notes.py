"""Clinical notes as a hospital in Singapore writes them: problems, medicines with doses, tests with values,
what is not there, what was ruled out, and what runs in the family.
"""

from __future__ import annotations

from adapters.replay.generate.chance import Chance
from adapters.replay.generate.conditions import Presentation
from adapters.replay.generate.people import Person

_RELATIVES = ("Father", "Mother", "Brother", "Sister")
_FAMILY = (
    "a stroke at 62",
    "breast cancer",
    "type 2 diabetes mellitus",
    "colon cancer at 55",
    "ischaemic heart disease",
)
_OPERATIONS = (
    "appendicectomy in 2009",
    "cataract surgery",
    "total knee replacement in 2017",
    "laparoscopic cholecystectomy",
)
_PLANS = (
    "TCU clinic in 2 weeks.",
    "Repeat blood tests before review.",
    "Refer physiotherapy.",
    "To return if symptoms recur.",
    "KIV echocardiogram if not better.",
)
_SAID = ("病人说头晕。", "Pesakit kata sakit kepala.", "家属询问出院日期。")
_SLIPS = (
    ("metformin", "metfromin"),
    ("hypertension", "hpt"),
    ("pneumonia", "pneumonia++"),
    ("fever", "febrile ++"),
)


def note(chance: Chance, person: Person, reason: Presentation, *, year: int, shorthand: bool) -> list[str]:
    """Lines of a note about a patient's visit.

    Args:
        year: of the visit, for the age.
        shorthand: telegraphic, abbreviated, with slips of the pen.
    """
    if shorthand:
        return _shorthand(chance, person, reason)
    age = f"{year - int(person.birth[:4])}-year-old {'man' if person.sex == 'M' else 'woman'}"
    absent = chance.some(reason.absent, 2)
    lines = [
        (
            f"History of presenting illness: {age} with {reason.complaint} for {chance.between(2, 7)} days. "
            f"No {absent[0]} or {absent[1]}."
        ),
        f"Past medical history: {_history(chance, person)}",
    ]
    if chance.happens(0.5):
        lines.append(f"Family history: {chance.one(_RELATIVES)} had {chance.one(_FAMILY)}.")
    allergies = ", ".join(f"{name.lower()} ({reaction.lower()})" for _, name, _, reaction in person.allergies)
    lines += [
        f"Allergies: {allergies or 'no known drug allergies'}.",
        (
            f"Examination: BP {chance.between(98, 178)}/{chance.between(56, 98)} mmHg, pulse {chance.between(58, 118)}, "
            f"SpO2 {chance.between(91, 99)} %. There was {reason.findings}."
        ),
        f"Investigations: {_results(chance, reason)}. {reason.imaging}".rstrip(),
        f"Impression: {reason.diagnosis}. {reason.ruled_out.capitalize()} was ruled out.",
    ]
    if reason.procedure and chance.happens(0.7):
        lines.append(f"Procedure: {reason.procedure}, uneventful.")
    lines.append(f"Medications on discharge: {_medicines(chance, person, reason)}.")
    lines.append(f"Plan: {' '.join(chance.some(_PLANS, 2))}")
    if chance.happens(0.15):
        lines.insert(1, chance.one(_SAID))
    return lines


def _shorthand(chance: Chance, person: Person, reason: Presentation) -> list[str]:
    short = ", ".join(c.short for c in person.conditions) or "nil sig"
    text = [
        f"c/o {reason.complaint} x {chance.between(1, 6)}/7, nil {chance.one(reason.absent)}",
        f"pmhx {short}. nkda" if not person.allergies else f"pmhx {short}",
        f"o/e bp {chance.between(98, 178)}/{chance.between(56, 98)} hr {chance.between(58, 118)}; {reason.findings}",
        f"ix {_results(chance, reason)}",
        f"imp ?{reason.short} r/o {reason.ruled_out}",
        f"p/ {_medicines(chance, person, reason)}, rv cm",
    ]
    lines = " | ".join(text) if chance.happens(0.3) else "\n".join(text)
    for word, slip in chance.some(_SLIPS, 2):
        lines = lines.replace(word, slip)
    return lines.split("\n")


def _history(chance: Chance, person: Person) -> str:
    known = [c.name for c in person.conditions]
    if chance.happens(0.3):
        known.append(chance.one(_OPERATIONS))
    return f"{', '.join(known)}." if known else "nil of note."


def _results(chance: Chance, reason: Presentation) -> str:
    return ", ".join(
        f"{name} {_decimal(chance.between(low, high), decimals)} {unit}"
        for name, low, high, decimals, unit in reason.tests
    )


def _medicines(chance: Chance, person: Person, reason: Presentation) -> str:
    taken = [(c.medicine, chance.one(c.doses)) for c in person.conditions if c.medicine != reason.medicine]
    return ", ".join(f"{medicine} {dose}" for medicine, dose in [*taken, (reason.medicine, reason.dose)])


def _decimal(value: int, decimals: int) -> str:
    return f"{value // 10}.{value % 10}" if decimals else str(value)


def radiology_report(chance: Chance, reason: Presentation) -> tuple[str, list[str]]:
    """(service as a CE value, lines of the report); sentences run on from line to line, as report systems break them."""
    finding = reason.imaging or "The lungs are clear. The heart is not enlarged."
    text = (
        f"Clinical history: {reason.complaint}. Findings: {finding} No pleural effusion or pneumothorax is seen. "
        f"Impression: {chance.one(('Findings as above.', 'No acute abnormality otherwise.', 'Suggest clinical correlation.'))}"
    )
    width, lines, line = chance.between(40, 70), [], ""
    for word in text.split():
        if len(line) + len(word) > width:
            lines.append(line)
            line = ""
        line = f"{line} {word}".strip()
    return "18748-4^Diagnostic imaging study^LN", [*lines, line]
