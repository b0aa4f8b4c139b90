"""ADT: patients are registered, admitted, moved, corrected and discharged, in an order that makes sense."""

from __future__ import annotations

from adapters.replay.generate.er7 import escape, segment
from adapters.replay.generate.hospital import Turn, bed
from adapters.replay.generate.patient_segments import pid, pv1

# State of the chart -> what may happen next, with equal chance, and the state after it.
_NEXT: dict[str, tuple[tuple[str, str], ...]] = {
    "new": (("A28", "known"), ("A04", "out"), ("A01", "in")),
    "known": (("A01", "in"), ("A01", "in"), ("A04", "out"), ("A31", "known"), ("A40", "known")),
    "in": (("A08", "in"), ("A08", "in"), ("A08", "in"), ("A02", "in"), ("A03", "known"), ("A03", "known"), ("A11", "known")),
    "out": (("A08", "out"), ("A08", "out"), ("A03", "known")),
}  # fmt: skip
# HL7 table 0354.
_STRUCTURES = {
    "A01": "ADT_A01", "A02": "ADT_A02", "A03": "ADT_A03", "A04": "ADT_A01", "A08": "ADT_A01",
    "A11": "ADT_A09", "A28": "ADT_A05", "A31": "ADT_A05", "A40": "ADT_A39",
}  # fmt: skip
_FULL = frozenset({"A01", "A04", "A08", "A28", "A31"})


def build(turn: Turn) -> bytes:
    """The next ADT message of the turn's patient."""
    event, turn.chart.state = turn.chance.one(_NEXT[turn.chart.state])
    return build_event(turn, event)


def build_event(turn: Turn, event: str) -> bytes:
    """An ADT message of a given event; a visit is opened where the event needs a new one."""
    if event in {"A01", "A04"}:
        turn.open_visit("I" if event == "A01" else "O")
    elif event == "A02":
        turn.chart.previous_location, turn.visit().location = turn.visit().location, bed(turn.chance)
    segments = [_evn(turn, event), pid(turn, full=event in _FULL, nulls=event in {"A08", "A31"})]
    if event == "A40":
        segments.append(f"MRG|9{turn.number}^^^KGH^MR")
    elif event in {"A28", "A31"}:
        segments += [*_nk1(turn), "PV1|1|N", *_al1(turn)]
    else:
        if event in _FULL:
            segments += _nk1(turn)
        segments.append(pv1(turn, ended=event == "A03"))
        if event in _FULL:
            segments += [_pv2(turn), *_obx(turn), *_al1(turn)]
        if event in {"A01", "A03", "A08"}:
            segments += _dg1(turn, "F" if event == "A03" else "A")
        if event in _FULL and turn.chance.happens(0.1):
            segments.append(f"ZKG|1|{turn.chance.one(('KIOSK', 'COUNTER', 'APP'))}|Q{turn.serial % 1000:03}")
    return turn.sender.message(f"ADT^{event}^{_STRUCTURES[event]}", turn.number, turn.at, segments)


def _evn(turn: Turn, event: str) -> str:
    # v2.7 withdrew EVN-1.
    return segment("EVN", {1: "" if turn.sender.version == "2.7" else event, 2: turn.time})


def _nk1(turn: Turn) -> list[str]:
    return [
        segment(
            "NK1",
            {
                1: str(n),
                2: turn.sender.names(name),
                3: f"{turn.code(code)}^{relation}^HL70063",
                5: f"^PRN^CP^^65^^{phone}",
            },
        )
        for n, (name, code, relation, phone) in enumerate(turn.chart.person.next_of_kin, 1)
    ]


def _pv2(turn: Turn) -> str:
    return segment("PV2", {3: f"^{escape(turn.visit().presentation.complaint.capitalize())}"})


def _obx(turn: Turn) -> list[str]:
    if not turn.chance.happens(0.4):
        return []
    height, weight = turn.chance.between(145, 188), turn.chance.between(420, 980)
    rows = (
        (height, "8302-2^Body height^LN", "cm"),
        (f"{weight // 10}.{weight % 10}", "29463-7^Body weight^LN", "kg"),
    )
    return [
        f"OBX|{n}|NM|{code}|{turn.sender.sub_id}|{value}|{unit}|||||F"
        for n, (value, code, unit) in enumerate(rows, 1)
    ]


def _al1(turn: Turn) -> list[str]:
    return [
        f"AL1|{n}|{turn.code('DA')}|{code}^{name}^99KGH|{severity}|{reaction}"
        for n, (code, name, severity, reaction) in enumerate(turn.chart.person.allergies, 1)
    ]


def _dg1(turn: Turn, kind: str) -> list[str]:
    reason = turn.visit().presentation
    rows = [(reason.code, reason.diagnosis), *((c.code, c.name) for c in turn.chart.person.conditions)]
    return [
        segment(
            "DG1", {1: str(n), 3: f"{turn.code(code)}^{escape(name.capitalize())}^I10", 5: turn.time, 6: kind}
        )
        for n, (code, name) in enumerate(rows, 1)
    ]
