"""The ``replay`` command: files, folders or generated messages to Kafka or to any address, with a count at the end."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from adapters.clock import WallClock
from adapters.composition import make_intake
from adapters.configuration import load_settings
from adapters.kafka.publisher import KafkaPublisher
from adapters.kafka.topics import ensure_topics
from adapters.observability.logs import configure
from adapters.replay.generate import KINDS, generate
from adapters.replay.player import generated, play
from adapters.replay.sinks import Answer, Fate, HttpSink, KafkaSink, MllpSink, Sink, parse_address
from adapters.replay.sources import Format, SourceMessage, check, messages
from engine.errors import SettingsError
from engine.settings import Settings

MAX_TOLD_FAILURES = 10
"""Failures told one by one; the rest is in the count."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What was asked for.

    Attributes:
        paths: files and folders; empty when messages are generated.
        source: how to read them.
        to: ``kafka``, ``mllp://host:port`` or ``http://host:port/fhir``.
        feed: feed name, for Kafka.
        rate: messages a second at most, 0 for as fast as they are answered.
        rounds: how often the files are played, or ``count`` messages generated; 0 is for ever.
        kinds: kinds to generate, e.g. ``adt,oru``; "" to read files.
        count, seed, shift_at: of the generator.
    """

    paths: list[Path]
    source: Format
    to: str
    feed: str
    rate: float
    rounds: int
    kinds: str
    count: int
    seed: int
    shift_at: int | None


def replay_command(asked: Replay) -> int:
    """Run it until all is sent, or it is interrupted; then tell the counts.

    Returns 0 if every message was acknowledged or rejected, 1 if any got no answer.
    """
    if bool(asked.paths) == bool(asked.kinds):
        raise SettingsError(
            "Name files to replay, or kinds to generate, not both",
            action="wardstream replay PATH..., or wardstream replay --generate adt,oru --count 100.",
        )
    check(asked.paths)
    settings = load_settings()
    configure(settings.observability)
    tally = asyncio.run(replay(asked, settings))
    for failure in tally.failures:
        sys.stderr.write(f"no answer: {failure}\n")
    sys.stderr.write(f"{tally}\n")
    return 1 if tally.fates[Fate.FAILED] or tally.under_way else 0


@dataclass(slots=True)
class Tally:
    """What was sent so far and what became of it; whole also when the replay is interrupted."""

    sent: int = 0
    fates: Counter[Fate] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @property
    def under_way(self) -> int:
        """Sent, but stopped before there was an answer."""
        return self.sent - self.fates.total()

    def counting(self, source: Iterator[SourceMessage]) -> Iterator[SourceMessage]:
        """The source, each message counted as it is taken to be sent."""
        for message in source:
            self.sent += 1
            yield message

    def answer(self, message: SourceMessage, answer: Answer) -> None:
        self.fates[answer.fate] += 1
        if answer.fate is Fate.FAILED and len(self.failures) < MAX_TOLD_FAILURES:
            self.failures.append(f"{message.path}[{message.index}]: {answer.code} {answer.reason}".strip())

    def __str__(self) -> str:
        stopped = f", {self.under_way} under way when it was stopped" if self.under_way else ""
        return (
            f"{self.sent} sent: {self.fates[Fate.ACKNOWLEDGED]} acknowledged, "
            f"{self.fates[Fate.REJECTED]} rejected, {self.fates[Fate.FAILED]} without answer{stopped}"
        )


async def replay(asked: Replay, settings: Settings) -> Tally:
    """Send it all, or until SIGINT or SIGTERM.

    Raises:
        SettingsError: kinds, numbers, paths or the address are wrong.
        WardstreamError: there is nobody to send to.
    """
    tally = Tally()
    source = _messages(asked, settings)
    async with AsyncExitStack() as stack:
        sink = await _sink(asked, settings, stack)
        stack.push_async_callback(sink.close)
        progress = stack.enter_context(_progress())
        bar = progress.add_task("replay", total=asked.count * asked.rounds or None if asked.kinds else None)

        def on_answer(message: SourceMessage, answer: Answer) -> None:
            progress.advance(bar)
            tally.answer(message, answer)

        playing = asyncio.ensure_future(
            play(tally.counting(source), sink, rate=asked.rate, on_answer=on_answer)
        )
        # Ctrl-C ends a replay that goes on for ever; what it did is told all the same.
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, playing.cancel)
            stack.callback(loop.remove_signal_handler, number)
        with contextlib.suppress(asyncio.CancelledError):
            await playing
    return tally


def _messages(asked: Replay, settings: Settings) -> Iterator[SourceMessage]:
    """All that is to be sent. Raises SettingsError at once, not at the first message, if kinds or numbers are wrong."""
    rounds: Iterable[int] = itertools.count() if asked.rounds == 0 else range(asked.rounds)
    if not asked.kinds:
        limit = settings.read.max_message_bytes
        return itertools.chain.from_iterable(messages(asked.paths, asked.source, limit=limit) for _ in rounds)
    kinds = [k.strip() for k in asked.kinds.split(",") if k.strip()]

    def stream(seed: int) -> Iterator[SourceMessage]:
        # Another seed each round: the same messages again would be duplicates, not load.
        return generated(generate(kinds, asked.count, seed, shift_at=asked.shift_at), f"generated/{seed}")

    stream(asked.seed)
    return itertools.chain.from_iterable(stream(asked.seed + n) for n in rounds)


async def _sink(asked: Replay, settings: Settings, stack: AsyncExitStack) -> Sink:
    if asked.to == "kafka":
        if not settings.kafka.brokers:
            raise SettingsError(
                "No Kafka is configured",
                location="kafka.brokers",
                action="Set WARDSTREAM_KAFKA__BROKERS, or send to --to mllp://host:port.",
            )
        await ensure_topics(settings.kafka)
        publisher = await stack.enter_async_context(KafkaPublisher(settings.kafka))
        intake = make_intake(settings)
        return KafkaSink(publisher, intake, WallClock(), asked.feed, settings.read)
    scheme, host, port = parse_address(asked.to)
    return MllpSink(host, port, settings.mllp) if scheme == "mllp" else HttpSink(asked.to)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True))


__all__ = ["KINDS", "Replay", "replay_command"]
