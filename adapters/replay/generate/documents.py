"""MDM: notes as documents, a line an OBX or formatted in one value; some are replaced by an edited version."""

from __future__ import annotations

from adapters.replay.generate.er7 import escape, segment
from adapters.replay.generate.hospital import Turn
from adapters.replay.generate.notes import note
from adapters.replay.generate.patient_segments import pid, pv1

# Document type of table 0270, and its LOINC code as a CE value.
_TYPES = (
    ("DS", "18842-5^Discharge summary^LN"),
    ("PN", "11506-3^Progress note^LN"),
    ("CN", "11488-4^Consult note^LN"),
    ("ED", "34111-5^Emergency department Note^LN"),
)


def build(turn: Turn) -> bytes:
    """A new document (T02), or one time in ten an edited one (T08) in the place of the last."""
    chance, chart = turn.chance, turn.chart
    visit = turn.visit()
    edited = chart.document if chance.happens(0.1) else ""
    event = "T08" if edited else "T02"
    chart.document = f"DOC{turn.number}^KGH-DOCS"
    kind, code = chance.one(_TYPES)
    lines = note(
        chance,
        chart.person,
        visit.presentation,
        year=turn.at.year,
        shorthand=chance.happens(turn.rates.shorthand),
    )
    formatted = chance.happens(0.3)
    segments = [
        segment("EVN", {1: event, 2: turn.time}),
        pid(turn),
        pv1(turn),
        segment(
            "TXA",
            {
                1: "1", 2: kind, 3: "FT" if formatted else "TX", 4: turn.time, 5: visit.doctor, 9: visit.doctor,
                12: chart.document, 13: edited, 17: "AU", 19: "AV",
            },
        ),
    ]  # fmt: skip
    values = [escape("\n".join(lines))] if formatted else [escape(line) for line in lines]
    kind_of_value = "FT" if formatted else "TX"
    segments += [f"OBX|{n}|{kind_of_value}|{code}||{value}||||||F" for n, value in enumerate(values, 1)]
    return turn.sender.message(f"MDM^{event}^MDM_T02", turn.number, turn.at, segments)
