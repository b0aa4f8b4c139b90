"""``wardstream dlq`` and ``wardstream drift``: what waits in dead.letters and what drift.events told."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from adapters.configuration import load_settings
from adapters.kafka.publisher import KafkaPublisher
from adapters.kafka.reader import KafkaReader
from engine.errors import SettingsError
from engine.records import Publication, Record
from engine.settings import Kafka
from engine.stages import dead

MAX_SHOWN = 500
"""Lines shown; narrow the question with --since or --code."""


def list_letters(since_hours: float, code: str) -> int:
    """Show dead letters as a table."""
    records = asyncio.run(_read(_kafka(), "dead.letters", since_hours))
    table = Table(title="dead letters", title_justify="left")
    for column in ("at", "place", "feed", "code", "where", "reason", "what to do"):
        table.add_column(column, overflow="fold")
    shown = [r for r in records if not code or dead.read(r).code == code]
    for record in shown[-MAX_SHOWN:]:
        letter = dead.read(record)
        cells = (
            record.timestamp.isoformat(timespec="seconds"),
            place_of(record),
            letter.headers.get("feed", ""),
            letter.code,
            record.headers.get(f"{dead.PREFIX}location", ""),
            letter.reason,
            letter.action,
        )
        table.add_row(*(Text(c) for c in cells))
    Console().print(table)
    Console(stderr=True).print(f"{len(shown)} dead letters")
    return 0


def save_letters(folder: Path, since_hours: float, code: str) -> int:
    """Write the original bytes of dead letters to files, with what is known beside them."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"The folder {folder} can't be made: {error.strerror}",
            location="FOLDER",
            action="Name a folder that this user may write to.",
        ) from None
    records = asyncio.run(_read(_kafka(), "dead.letters", since_hours))
    count = 0
    for record in records:
        letter = dead.read(record)
        if code and letter.code != code:
            continue
        name = place_of(record).replace("/", "-")
        (folder / f"{name}.bin").write_bytes(letter.payload)
        (folder / f"{name}.json").write_text(json.dumps(dict(record.headers), indent=1), encoding="utf-8")
        count += 1
    Console(stderr=True).print(f"{count} dead letters written to {folder}")
    return 0


def replay_letters(since_hours: float, code: str, *, retryable_only: bool) -> int:
    """Put dead letters back into the topic they came from, with their original bytes and headers."""
    kafka = _kafka()
    records = asyncio.run(_read(kafka, "dead.letters", since_hours))
    again = []
    for record in records:
        letter = dead.read(record)
        if (code and letter.code != code) or (retryable_only and not letter.retryable):
            continue
        if letter.topic:
            again.append(Publication(letter.topic, record.key or b"", letter.payload, letter.headers))
    asyncio.run(_publish(kafka, again))
    Console(stderr=True).print(
        f"{len(again)} sent again; letters that the edge refused have no topic: use 'wardstream dlq save'"
    )
    return 0


def list_drift(since_hours: float) -> int:
    """Show drift events as a table."""
    records = asyncio.run(_read(_kafka(), "drift.events", since_hours))
    table = Table(title="drift events", title_justify="left")
    for column in ("time", "feed", "monitor", "field", "before", "after", "samples"):
        table.add_column(column)
    for record in records[-MAX_SHOWN:]:
        event = json.loads(record.value)
        data = event["data"]
        cells = (
            event["time"],
            data["feed"],
            data["monitor"],
            data.get("field", ""),
            data["before"],
            data["after"],
        )
        table.add_row(*(Text(str(c)) for c in (*cells, data["samples"])))
    Console().print(table)
    return 0


def place_of(record: Record) -> str:
    """Partition and offset of a record: how a person names it."""
    return f"{record.partition}/{record.offset}"


def _kafka() -> Kafka:
    kafka = load_settings().kafka
    if not kafka.brokers:
        raise SettingsError(
            "No Kafka is configured", location="kafka.brokers", action="Set WARDSTREAM_KAFKA__BROKERS."
        )
    return kafka


async def _read(kafka: Kafka, topic: str, since_hours: float) -> list[Record]:
    since = datetime.now(UTC) - timedelta(hours=since_hours) if since_hours else None
    async with KafkaReader(kafka, (topic,), since=since) as reader:
        records = [record async for record in reader.to_end()]
    return sorted(records, key=lambda r: r.timestamp)


async def _publish(kafka: Kafka, publications: list[Publication]) -> None:
    async with KafkaPublisher(kafka) as publisher:
        for publication in publications:
            await publisher.publish([publication])
