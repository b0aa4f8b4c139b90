"""ORU^R01: laboratory results, of open orders first, and radiology reports as lines of text."""

from __future__ import annotations

from collections.abc import Iterable

from adapters.replay.generate.er7 import escape, segment
from adapters.replay.generate.hospital import Order, Turn
from adapters.replay.generate.laboratory import COMMENTS, PANELS, Analyte
from adapters.replay.generate.notes import radiology_report
from adapters.replay.generate.orders import new_order
from adapters.replay.generate.patient_segments import pid, pv1


def build(turn: Turn) -> bytes:
    """Results of one to three orders, or, one time in eight, a radiology report."""
    segments = [pid(turn), pv1(turn)]
    if turn.chance.happens(0.125):
        segments += _radiology(turn)
    else:
        for n, order in enumerate(_orders(turn), 1):
            segments += order_group(turn, n, order, PANELS[order.panel].analytes)
    return turn.sender.message("ORU^R01^ORU_R01", turn.number, turn.at, segments)


def _orders(turn: Turn) -> list[Order]:
    count = turn.chance.between(1, 3)
    waiting, turn.chart.orders = turn.chart.orders[:count], turn.chart.orders[count:]
    return waiting or [new_order(turn, n) for n in range(1, count + 1)]


def order_group(turn: Turn, number: int, order: Order, analytes: Iterable[Analyte]) -> list[str]:
    """ORC, OBR and an OBX for each analyte, with a note here and there."""
    chance, panel, time = turn.chance, PANELS[order.panel], turn.time
    status = "C" if chance.happens(0.05) else "P" if chance.happens(0.1) else "F"
    group = _request(turn, number, order.placer, panel.code, panel.section, status)
    for n, analyte in enumerate(analytes, 1):
        value, flag = analyte.result(chance)
        group.append(
            f"OBX|{n}|NM|{_identifier(turn, analyte)}|{turn.sender.sub_id}|{value}|{analyte.unit}^^UCUM|"
            f"{analyte.interval}|{turn.code(flag)}|||{status}|||{time}"
        )
        if chance.happens(0.06):
            group.append(f"NTE|1|L|{escape(chance.one(COMMENTS))}")
    return group


def _request(turn: Turn, number: int, placer: str, code: str, section: str, status: str) -> list[str]:
    """ORC and OBR, with a filler number of this message."""
    filler = f"{section}{turn.number}-{number}^{turn.sender.application}"
    doctor, time = turn.visit().doctor, turn.time
    same = {2: placer, 3: filler}
    obr = {1: str(number), **same, 4: code, 7: time, 16: doctor, 22: time, 24: section, 25: status}
    return [segment("ORC", {1: "RE", **same, 12: doctor}), segment("OBR", obr)]


def _identifier(turn: Turn, analyte: Analyte) -> str:
    code = turn.code(analyte.loinc)
    if code != analyte.loinc:
        return f"{code}^New analyser channel {code}^99NEW"
    return f"{code}^{analyte.name}^LN^{analyte.local}^{analyte.local}^99KGH"


def _radiology(turn: Turn) -> list[str]:
    code, lines = radiology_report(turn.chance, turn.visit().presentation)
    return [
        *_request(turn, 1, f"ORD{turn.number}-9^KGH-HIS", code, "RAD", "F"),
        *(f"OBX|{n}|TX|{code}|1|{escape(line)}||||||F" for n, line in enumerate(lines, 1)),
    ]
