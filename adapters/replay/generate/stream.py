"""The stream of messages itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta, timezone

from adapters.replay.generate import adt, bundles, documents, orders, results
from adapters.replay.generate.chance import Chance
from adapters.replay.generate.damage import damage
from adapters.replay.generate.hospital import Chart, Turn
from adapters.replay.generate.people import make_person
from adapters.replay.generate.rates import SHIFTED, USUAL
from adapters.replay.generate.senders import SENDERS
from engine.errors import SettingsError

DEFAULT_BASE = datetime(2026, 1, 5, 8, 0, tzinfo=timezone(timedelta(hours=8)))
"""A Monday morning in Singapore."""

_NUMBERS = 10_000_000
"""Medical record numbers have seven digits. A stream begins anywhere, so that two streams share few patients."""

_BUILDERS: dict[str, Callable[[Turn], bytes]] = {
    "adt": adt.build,
    "oru": results.build,
    "mdm": documents.build,
    "orm": orders.build,
    "fhir": bundles.build,
}
KINDS = tuple(_BUILDERS)


def generate(
    kinds: Sequence[str],
    count: int,
    seed: int,
    *,
    shift_at: int | None = None,
    base: datetime = DEFAULT_BASE,
    patients: int = 40,
) -> Iterator[bytes]:
    """Messages of the given kinds in random turn, without transport framing.

    The first messages do not depend on ``count`` or ``shift_at``: a longer or shifted stream begins with the
    same bytes.

    Args:
        kinds: of :data:`KINDS`; one named twice is twice as common.
        count: how many messages; none are left out.
        seed: the same seed gives the same bytes, on every platform and Python version.
        shift_at: index, from 0, of the first message after the sender's behaviour shifts (see :mod:`.rates`).
        base: aware; the time of day at the first message. Each message is 1 to 90 seconds later than the one before.
        patients: how many patients take turns.

    Raises:
        SettingsError: an unknown kind, or a number that makes no sense; before the first message.
    """
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown or not kinds:
        raise SettingsError(
            f"There is no kind of message {', '.join(map(repr, unknown)) or 'given'} to generate",
            action=f"Choose from {', '.join(KINDS)}.",
        )
    if count < 0 or patients < 1 or patients > _NUMBERS or (shift_at is not None and shift_at < 0):
        raise SettingsError(
            "A count or the place of the shift is below zero, or there are no patients or too many",
            action=f"Give a count and a shift of 0 or more and 1 to {_NUMBERS:,} patients.",
        )
    if base.tzinfo is None:
        raise SettingsError("The base time has no zone", action="Give a time with an offset from UTC.")
    return _messages(tuple(kinds), count, seed, shift_at, base, patients)


def _messages(
    kinds: Sequence[str], count: int, seed: int, shift_at: int | None, base: datetime, patients: int
) -> Iterator[bytes]:
    chance = Chance(f"stream {seed}")
    first = chance.below(_NUMBERS)
    charts = [Chart(make_person(chance, (first + n) % _NUMBERS)) for n in range(patients)]
    tag = f"{chance.below(16**8):08X}"
    at = base
    for serial in range(count):
        rates = USUAL if shift_at is None or serial < shift_at else SHIFTED
        at += timedelta(seconds=chance.between(1, 90))
        kind = chance.one(kinds)
        turn = Turn(
            chance=chance,
            chart=chance.one(charts),
            sender=chance.one(SENDERS[kind]),
            rates=rates,
            at=at,
            tag=tag,
            serial=serial,
        )
        message = _BUILDERS[kind](turn)
        yield damage(message, chance) if chance.happens(rates.broken) else message
