"""ORM^O01: laboratory orders, which later results answer, and now and then a cancellation."""

from __future__ import annotations

from adapters.replay.generate.er7 import segment
from adapters.replay.generate.hospital import Order, Turn
from adapters.replay.generate.laboratory import PANELS
from adapters.replay.generate.patient_segments import pid, pv1

_MAX_OPEN = 4
"""Orders a chart keeps: older ones are taken to have been answered elsewhere."""


def new_order(turn: Turn, number: int = 1) -> Order:
    """An order with a placer number of its own; ``number`` tells orders of one message apart."""
    return Order(f"ORD{turn.number}-{number}^KGH-HIS", turn.chance.one(tuple(PANELS)))


def build(turn: Turn) -> bytes:
    """An order for one to three panels, or the cancellation of the oldest open one."""
    chart, chance = turn.chart, turn.chance
    if chart.orders and chance.happens(0.1):
        control, orders = "CA", [chart.orders.pop(0)]
    else:
        control, orders = "NW", [new_order(turn, n) for n in range(1, chance.between(1, 3) + 1)]
        chart.orders = [*chart.orders, *orders][-_MAX_OPEN:]
    segments = [pid(turn), pv1(turn)]
    for n, order in enumerate(orders, 1):
        segments += [
            segment("ORC", {1: control, 2: order.placer, 9: turn.time, 12: turn.visit().doctor}),
            segment("OBR", {1: str(n), 2: order.placer, 4: PANELS[order.panel].code, 16: turn.visit().doctor, 27: "^^^^^R"}),
        ]  # fmt: skip
        if control == "NW" and chance.happens(0.2):
            segments.append(f"NTE|1|P|Please phone {chance.one(('critical', 'abnormal', 'all'))} results.")
    return turn.sender.message("ORM^O01^ORM_O01", turn.number, turn.at, segments)
