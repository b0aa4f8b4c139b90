"""Plays messages into a sink at a rate, a bounded number under way at one time, and counts what became of them."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from adapters.replay.sinks import Answer, Fate, Sink
from adapters.replay.sources import SourceMessage
from engine.records import Kind

WINDOW = 32
"""Messages under way at one time: keeps a connection busy without outrunning its receiver."""


async def play(
    messages: Iterable[SourceMessage],
    sink: Sink,
    *,
    rate: float = 0.0,
    window: int = WINDOW,
    on_answer: Callable[[SourceMessage, Answer], None] = lambda _message, _answer: None,
) -> Counter[Fate]:
    """Send all messages; returns how many met which fate.

    Args:
        messages: what to send, in order.
        sink: where to.
        rate: messages a second at most; 0 is as fast as answers come.
        window: sends under way at one time.
        on_answer: called for each answer as it comes.

    Raises:
        whatever the source or the sink raises; sends under way are cancelled then.
    """
    counts: Counter[Fate] = Counter()
    slots = asyncio.Semaphore(window)
    started = time.monotonic()

    async def one(message: SourceMessage) -> None:
        try:
            answer = await sink.send(message)
        finally:
            slots.release()
        counts[answer.fate] += 1
        on_answer(message, answer)

    try:
        async with asyncio.TaskGroup() as group:
            # The next message is taken only when it can be sent: whoever counts what was taken counts what was sent.
            source = iter(messages)
            for number in itertools.count():
                await slots.acquire()
                if rate > 0:
                    await asyncio.sleep(max(0.0, started + number / rate - time.monotonic()))
                message = next(source, None)
                if message is None:
                    break
                group.create_task(one(message))
                # Tasks start in the order they were made: give this one its turn before the next is made.
                await asyncio.sleep(0)
    except ExceptionGroup as errors:
        # A sink answers for each message; what it raises, or the source does, ends the play, and the first says why.
        raise errors.exceptions[0] from None
    return counts


def generated(payloads: Iterable[bytes], label: str) -> Iterator[SourceMessage]:
    """Generated messages as a source; JSON among them is FHIR."""
    for index, payload in enumerate(payloads):
        kind = Kind.FHIR if payload[:1] == b"{" else Kind.HL7V2
        yield SourceMessage(label, index, kind, payload)
