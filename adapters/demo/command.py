"""Runs the demo: embedded broker, all roles, feeds over real sockets, and the account at the end."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from adapters.demo.collector import TOPICS, Collector
from adapters.demo.summary import print_summary
from adapters.kafka.embedded import EmbeddedBroker
from adapters.observability.logs import configure
from adapters.replay.generate import generate
from adapters.replay.player import generated, play
from adapters.replay.sinks import Answer, Fate, HttpSink, MllpSink
from adapters.replay.sources import Format, SourceMessage, messages
from adapters.worker import ALL_ROLES, Engine
from engine.errors import SettingsError
from engine.hl7v2.ack import read_header
from engine.records import Kind
from engine.settings import Drift, Http, Kafka, Mllp, Observability, Settings

FIXTURES_FEED = "fixtures"
WARDS_FEED = "wards"
HTTP_FEED = "apps"
GENERATED = 480
"""Generated messages; the stream shifts half-way."""
GENERATED_FHIR = 40
SEED = 20260101
SETTLE_SECONDS = 90.0
"""Longest wait for outcomes after the last message was sent."""
QUIET_SECONDS = 2.5
"""Nothing new for so long after the account is even: notes, telemetry and drift events have come too."""


@dataclass(slots=True)
class Feed:
    """What was sent over one feed, and what it was told."""

    name: str
    label: str
    sent: int = 0
    fates: Counter[Fate] = field(default_factory=Counter)
    acknowledged_ids: Counter[str] = field(default_factory=Counter)
    message_ids: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def demo_settings() -> Settings:
    """Free ports, and windows small enough for a few hundred messages to show a shift."""
    return Settings(
        mllp=Mllp(port=0, feed=FIXTURES_FEED, more_feeds={WARDS_FEED: 0}),
        http=Http(port=0, feed=HTTP_FEED),
        drift=Drift(window_messages=20, window_seconds=2.0),
        observability=Observability(level="warning", audit_key="demo"),
    )


def demo_command(fixtures: Path, out: Path) -> int:
    """Run the demo; returns 0 only if every message is accounted for and every answer matches an outcome."""
    if not (fixtures / "hl7v2").is_dir() or not (fixtures / "fhir").is_dir():
        raise SettingsError(
            f"There are no fixtures at {fixtures}",
            location="--fixtures",
            action="Run the demo from a clone of the repository, or name its fixtures folder.",
        )
    settings = demo_settings()
    configure(settings.observability)
    console = Console()
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    started = time.monotonic()
    with EmbeddedBroker(settings.kafka) as broker:
        console.print(
            f"[bold]Wardstream demo[/bold]: embedded broker at {broker.settings.brokers}, in memory only"
        )
        demo = _Demo(settings, fixtures, out, console)
        code = asyncio.run(demo.run(broker.settings))
    if code:
        console.print(f"[red]The engine ended with status {code}; see the lines above.[/red]")
        return code
    return print_summary(console, demo.feeds, demo.collector_or_fail(), out, time.monotonic() - started)


class _Demo:
    def __init__(self, settings: Settings, fixtures: Path, out: Path, console: Console) -> None:
        self._settings = settings
        self._fixtures = fixtures
        self._out = out
        self._console = console
        self._collector: Collector | None = None
        self.feeds = [
            Feed(FIXTURES_FEED, "HL7 v2 fixtures over MLLP"),
            Feed(WARDS_FEED, f"{GENERATED} generated messages over MLLP, shifting half-way"),
            Feed(HTTP_FEED, "FHIR over HTTP"),
        ]

    def collector_or_fail(self) -> Collector:
        assert self._collector is not None
        return self._collector

    async def run(self, kafka: Kafka) -> int:
        self._collector = Collector(kafka, self._out)
        engine = Engine(ALL_ROLES, self._settings)
        extra = {topic: [self._collector.reader.group] for topic in TOPICS}
        return await engine.run(kafka, extra_readers=extra, jobs=[self._play])

    async def _play(self, engine: Engine) -> None:
        collector = self.collector_or_fail()
        following = asyncio.create_task(collector.follow())
        try:
            with _progress(self._console) as progress:
                bars = {f.name: progress.add_task(f.label, total=None) for f in self.feeds}
                told = progress.add_task("outcomes", total=None)
                watch = asyncio.create_task(self._watch(progress, told, following))
                ports = engine.mllp_ports
                assert engine.http is not None
                fixtures, wards, apps = self.feeds
                hl7 = list(
                    messages(
                        [self._fixtures / "hl7v2"], Format.AUTO, limit=self._settings.read.max_message_bytes
                    )
                )
                fhir = list(
                    messages(
                        [self._fixtures / "fhir"], Format.FHIR, limit=self._settings.read.max_message_bytes
                    )
                )
                fhir += generated(generate(["fhir"], GENERATED_FHIR, SEED + 1), "generated")
                stream = generated(
                    generate(["adt", "oru", "mdm"], GENERATED, SEED, shift_at=GENERATED // 2), "generated"
                )
                url = f"http://127.0.0.1:{engine.http.port}/fhir"
                await asyncio.gather(
                    self._feed(
                        fixtures, hl7, MllpSink("127.0.0.1", ports[FIXTURES_FEED], Mllp()), progress, bars
                    ),
                    self._feed(
                        wards, list(stream), MllpSink("127.0.0.1", ports[WARDS_FEED], Mllp()), progress, bars
                    ),
                    self._feed(apps, fhir, HttpSink(url), progress, bars),
                )
                await self._settle(collector, following)
                watch.cancel()
        finally:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following

    async def _feed(
        self,
        feed: Feed,
        source: Iterable[SourceMessage],
        sink: MllpSink | HttpSink,
        progress: Progress,
        bars: dict[str, TaskID],
    ) -> None:
        items = list(source)
        bar = bars[feed.name]
        progress.update(bar, total=len(items))

        def on_answer(message: SourceMessage, answer: Answer) -> None:
            feed.sent += 1
            feed.fates[answer.fate] += 1
            if answer.fate is Fate.ACKNOWLEDGED:
                feed.acknowledged_ids[control_id(message)] += 1
                if answer.message_id:
                    feed.message_ids.append(answer.message_id)
            elif answer.fate is Fate.FAILED:
                feed.failures.append(f"{message.path}[{message.index}]: {answer.code} {answer.reason}")
            progress.advance(bar)

        try:
            await play(items, sink, on_answer=on_answer)
        finally:
            await sink.close()

    async def _watch(self, progress: Progress, bar: TaskID, following: asyncio.Task[None]) -> None:
        collector = self.collector_or_fail()
        while not following.done():
            done = sum(collector.statuses.values())
            total = sum(feed.sent for feed in self.feeds)
            drift = f", {len(collector.drift)} drift events" if collector.drift else ""
            progress.update(bar, completed=done, total=max(total, done), description=f"outcomes{drift}")
            await asyncio.sleep(0.2)

    async def _settle(self, collector: Collector, following: asyncio.Task[None]) -> None:
        """Wait until everything sent has its outcome and nothing more comes."""
        deadline = time.monotonic() + SETTLE_SECONDS
        quiet_since = time.monotonic()
        while time.monotonic() < deadline and not following.done():
            collector.changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(collector.changed.wait(), 0.5)
                quiet_since = time.monotonic()
            sent = sum(feed.sent for feed in self.feeds)
            even = sum(collector.statuses.values()) >= sent
            if even and time.monotonic() - quiet_since >= QUIET_SECONDS:
                break
        if following.done():
            following.result()


def control_id(message: SourceMessage) -> str:
    """MSH-10 of a message as the engine reports it; "" where there is none."""
    if message.kind is not Kind.HL7V2:
        return ""
    header = read_header(message.payload)
    return header.control_id if header else ""


@contextlib.contextmanager
def _progress(console: Console) -> Iterator[Progress]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=False) as progress:
        yield progress
