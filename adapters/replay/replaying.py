"""The ``replay`` command: files, folders or generated messages to Kafka or to any address, with a count at the end."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
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
from adapters.replay.sources import Format, SourceMessage, messages
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
        rounds: how often the files are played; 0 is for ever.
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
    """Run it; returns 0 if every message was acknowledged or rejected, 1 if any got no answer."""
    if bool(asked.paths) == bool(asked.kinds):
        raise SettingsError(
            "Name files to replay, or kinds to generate, not both",
            action="wardstream replay PATH..., or wardstream replay --generate adt,oru --count 100.",
        )
    settings = load_settings()
    configure(settings.observability)
    counts, failures = asyncio.run(_replay(asked, settings))
    for failure in failures[:MAX_TOLD_FAILURES]:
        sys.stderr.write(f"no answer: {failure}\n")
    sys.stderr.write(
        f"{counts.total()} sent: {counts[Fate.ACKNOWLEDGED]} acknowledged, "
        f"{counts[Fate.REJECTED]} rejected, {counts[Fate.FAILED]} without answer\n"
    )
    return 1 if counts[Fate.FAILED] else 0


async def _replay(asked: Replay, settings: Settings) -> tuple[Counter[Fate], list[str]]:
    failures: list[str] = []
    async with AsyncExitStack() as stack:
        sink = await _sink(asked, settings, stack)
        with _progress() as progress:
            bar = progress.add_task("replay", total=asked.count if asked.kinds else None)

            def on_answer(message: SourceMessage, answer: Answer) -> None:
                progress.advance(bar)
                if answer.fate is Fate.FAILED and len(failures) < MAX_TOLD_FAILURES:
                    failures.append(f"{message.path}[{message.index}]: {answer.code} {answer.reason}".strip())

            try:
                counts = await play(_messages(asked, settings), sink, rate=asked.rate, on_answer=on_answer)
            finally:
                await sink.close()
    return counts, failures


def _messages(asked: Replay, settings: Settings) -> Iterator[SourceMessage]:
    if asked.kinds:
        kinds = [k.strip() for k in asked.kinds.split(",") if k.strip()]
        stream = generate(kinds, asked.count, asked.seed, shift_at=asked.shift_at)
        yield from generated(stream, f"generated/{asked.seed}")
        return
    rounds = itertools.count() if asked.rounds == 0 else range(asked.rounds)
    for _ in rounds:
        yield from messages(asked.paths, asked.source, limit=settings.read.max_message_bytes)


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
