"""PID and PV1, which all kinds of HL7 messages share."""

from __future__ import annotations

from adapters.replay.generate.er7 import escape, segment
from adapters.replay.generate.hospital import Turn

_NULL = '""'


def pid(turn: Turn, *, full: bool = False, nulls: bool = False) -> str:
    """PID: identity alone, or with all demographics.

    Args:
        full: address, telephones, language and so on, as ADT messages have them.
        nulls: now and then clear a value with an explicit null (v2.5.1 §2.5.3).
    """
    person, sender, chance = turn.chart.person, turn.sender, turn.chance
    fields = {1: "1", 3: sender.ids(person), 5: sender.names(person.name)}
    fields[7] = "" if chance.happens(turn.rates.empty) else person.birth
    fields[8] = "" if chance.happens(turn.rates.empty) else person.sex
    if not full:
        return segment("PID", fields)

    def or_null(value: str) -> str:
        return _NULL if nulls and chance.happens(0.1) else value

    home = f"{escape(person.street)}^{person.unit}^Singapore^^{person.postal_code}^SGP^H"
    phones = [f"^PRN^CP^^65^^{person.mobile}"]
    if chance.happens(0.6):
        phones.append(f"^PRN^PH^^65^^{person.home_phone}")
    if person.email:
        phones.append(f"^NET^Internet^{person.email}")
    fields |= {
        10: person.race,
        11: or_null(
            home if chance.happens(0.8) else f"{home}~1 Sample Business Park^^Singapore^^000901^SGP^B"
        ),
        13: or_null("~".join(phones)),
        15: or_null(person.language),
        16: or_null(turn.code(person.marital)),
        17: or_null(person.religion),
        18: f"ACC{person.mrn}^^^KGH^AN",
    }
    return segment("PID", fields)


def pv1(turn: Turn, *, ended: bool = False) -> str:
    """PV1 of the present visit; ``ended`` gives it a discharge time and disposition."""
    visit = turn.visit()
    fields = {
        1: "1",
        2: turn.code(visit.patient_class),
        3: visit.location,
        4: "E" if visit.patient_class == "E" else "",
        6: turn.chart.previous_location,
        7: visit.doctor,
        10: turn.code(visit.service),
        19: f"{visit.number}^^^KGH^VN",
        36: turn.code("01") if ended else "",
        44: turn.sender.time(visit.since),
        45: turn.time if ended else "",
    }
    return segment("PV1", fields)
