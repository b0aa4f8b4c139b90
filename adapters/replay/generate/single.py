"""Single messages of a chosen size, for load and measurement."""

from __future__ import annotations

from datetime import timedelta

from adapters.replay.generate.adt import build_event
from adapters.replay.generate.chance import Chance
from adapters.replay.generate.hospital import Chart, Order, Turn
from adapters.replay.generate.laboratory import ANALYTES
from adapters.replay.generate.patient_segments import pid, pv1
from adapters.replay.generate.people import make_person
from adapters.replay.generate.rates import USUAL
from adapters.replay.generate.results import order_group
from adapters.replay.generate.senders import LABORATORY, MAIN, Sender
from adapters.replay.generate.stream import DEFAULT_BASE

_APART = timedelta(seconds=37)
"""Between two messages."""


def adt_a01(seed: int) -> bytes:
    """An ADT^A01 in v2.5.1 and UTF-8; each seed below ten million is another patient, admitted at another time."""
    return build_event(_turn(seed, MAIN), "A01")


def oru_with(n_obx: int, seed: int) -> bytes:
    """An ORU^R01 in v2.5.1 and UTF-8 with one order and ``n_obx`` numeric results; notes come on top."""
    turn = _turn(seed, LABORATORY)
    analytes = (ANALYTES[n % len(ANALYTES)] for n in range(n_obx))
    group = order_group(turn, 1, Order(f"ORD{turn.number}-1^KGH-HIS", "UECR"), analytes)
    return turn.sender.message("ORU^R01^ORU_R01", turn.number, turn.at, [pid(turn), pv1(turn), *group])


def _turn(seed: int, sender: Sender) -> Turn:
    chance = Chance(f"single {seed}")
    return Turn(
        chance=chance,
        chart=Chart(make_person(chance, seed % 10**7)),
        sender=sender,
        rates=USUAL,
        at=DEFAULT_BASE + seed % 10**7 * _APART,
        tag="SINGLE00",
        serial=seed % 10**10,
    )
