"""How many records a second one process takes: Faust alone beside the engine, same run, same broker, same messages.

The first three variants copy ADT^A01 messages from topic to topic; ``ingest`` reads, maps, validates and writes them, with
Bundle and outcome confirmed before a message counts as done.

``python bench/bench_passthrough.py [--count N] [--rounds R] [--real]`` prints a table for the embedded broker, and for
a real one with ``--real`` (started from its jars) or where KAFKA_BOOTSTRAP_SERVERS names one. Every variant runs in a
process of its own, rounds alternate between them, and the middle round counts. Time runs from the first record
handled until the last copy is on the target topic.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aiokafka import AIOKafkaProducer

from adapters.composition import make_pipeline
from adapters.kafka.client import connection, hush
from adapters.kafka.embedded import EmbeddedBroker
from adapters.kafka.local import LocalKafka
from adapters.kafka.offsets import LogOffsets
from adapters.kafka.publisher import KafkaPublisher
from adapters.kafka.run import run_stages
from adapters.kafka.topics import ensure_topics, physical
from adapters.replay.generate import adt_a01
from engine.records import Kind, Publication, Record
from engine.settings import Kafka, Settings
from engine.stages.ingest import IngestStage

MESSAGES = [adt_a01(seed) for seed in range(500)]
SIZE = round(statistics.mean(map(len, MESSAGES)))
SOURCE, TARGET = "hl7v2.inbound", "fhir.resources"
VARIANTS = {
    "faust": "Faust alone, copies not confirmed",
    "faust-confirmed": "Faust alone, each copy confirmed",
    "wardstream": "Wardstream copying, confirmed, in order",
    "ingest": "Wardstream making FHIR, confirmed, in order",
}


async def fill(kafka: Kafka, count: int) -> None:
    """Put the records on the source topic in large batches."""
    await ensure_topics(kafka)
    producer = AIOKafkaProducer(**connection(kafka), max_batch_size=64 * 1024, linger_ms=5)
    await producer.start()
    waiting = [
        await producer.send(physical(kafka, SOURCE), MESSAGES[number % 500], b"%d" % (number % 500))
        for number in range(count)
    ]
    await asyncio.gather(*waiting)
    await producer.stop()


async def copied(kafka: Kafka, count: int, begun: Callable[[], float]) -> float:
    """Seconds from ``begun()`` until ``count`` copies are there."""
    topic = physical(kafka, TARGET)
    async with LogOffsets(kafka) as offsets:
        partitions = await offsets.partitions(topic)
        while True:
            extents = await offsets.extents(topic, partitions)
            if sum(extent.end for extent in extents.values()) >= count:
                break
            await asyncio.sleep(0.05)
    return time.monotonic() - begun()


class Copy:
    name, topic, begun = "bench", SOURCE, 0.0

    async def handle(self, record: Record) -> Sequence[Publication]:
        self.begun = self.begun or time.monotonic()
        return [Publication(TARGET, record.key or b"", record.value, record.headers)]

    def tick(self, _now: datetime) -> Sequence[Publication]:
        return ()


class Ingest(Copy):
    name = "ingest-hl7v2"

    def __init__(self) -> None:
        settings = Settings()
        self._stage = IngestStage(Kind.HL7V2, make_pipeline(settings), settings)

    async def handle(self, record: Record) -> Sequence[Publication]:
        self.begun = self.begun or time.monotonic()
        return await self._stage.handle(record)


async def wardstream(kafka: Kafka, count: int, stage: Copy) -> float:
    found = []

    async def job() -> None:
        found.append(await copied(kafka, count, lambda: stage.begun))

    async with KafkaPublisher(kafka) as publisher:
        await run_stages([stage], kafka, publisher=publisher, jobs=[job()])
    return found[0]


async def plain_faust(kafka: Kafka, count: int, *, confirmed: bool) -> float:
    import faust

    class App(faust.App):
        def _create_directories(self) -> None:
            """No tables, no folders."""

    app = App(
        kafka.prefix + "plain",
        broker=f"kafka://{kafka.brokers}",
        loop=asyncio.get_running_loop(),
        autodiscover=False,
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        key_serializer="raw",
        value_serializer="raw",
    )
    source = app.topic(physical(kafka, SOURCE), value_serializer="raw", key_serializer="raw")
    target = app.topic(physical(kafka, TARGET), value_serializer="raw", key_serializer="raw")
    begun = []

    @app.agent(source, name="plain")
    async def copy(stream: Any) -> None:
        async for event in stream.events():
            if not begun:
                begun.append(time.monotonic())
            sent = await target.send(key=event.key, value=event.value)
            if confirmed:
                await sent

    await app.start()
    seconds = await copied(kafka, count, lambda: begun[0])
    await app.stop()
    return seconds


def measure(variant: str, kafka: Kafka, count: int) -> float:
    """Run one variant in this process."""
    hush()
    if variant in {"wardstream", "ingest"}:
        return asyncio.run(wardstream(kafka, count, Copy() if variant == "wardstream" else Ingest()))
    return asyncio.run(plain_faust(kafka, count, confirmed=variant == "faust-confirmed"))


def rate(variant: str, kafka: Kafka, count: int) -> float:
    """Records a second of one variant in a process of its own, on topics of its own."""
    asyncio.run(fill(kafka, count))
    command = [sys.executable, __file__, "--variant", variant, "--settings", kafka.model_dump_json()]
    result = subprocess.run(
        [*command, "--count", str(count)], capture_output=True, text=True, timeout=300, check=True
    )
    return count / json.loads(result.stdout.splitlines()[-1])


def table(broker: str, rates: dict[str, list[float]]) -> None:
    print(f"\n{broker}, ADT^A01 of {SIZE} bytes on average")
    base = statistics.median(rates["faust"])
    for variant, found in rates.items():
        middle = statistics.median(found)
        spread = f"{min(found):,.0f}-{max(found):,.0f}"
        print(f"  {VARIANTS[variant]:<38} {middle:>7,.0f}/s  x{middle / base:.2f}  ({spread})")


def embedded_rates(count: int, rounds: int) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for _ in range(rounds):
        for variant, found in rates.items():
            with EmbeddedBroker(Kafka()) as broker:  # empty: what is old would be in the way of what is new
                found.append(rate(variant, broker.settings, count))
    return rates


def real_rates(address: str, count: int, rounds: int) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for number in range(rounds):
        for variant, found in rates.items():
            prefix = f"bench-{os.getpid()}-{number}-{variant}."
            found.append(rate(variant, Kafka(brokers=address, prefix=prefix), count))
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--settings", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.variant:
        kafka = Kafka.model_validate_json(arguments.settings)
        print(json.dumps(measure(arguments.variant, kafka, arguments.count)))
        return
    table("Embedded broker", embedded_rates(arguments.count, arguments.rounds))
    given = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if given:
        table(f"Apache Kafka at {given}", real_rates(given, arguments.count, arguments.rounds))
    elif arguments.real:
        with tempfile.TemporaryDirectory() as folder, LocalKafka(Path(folder)) as node:
            table("Apache Kafka, one node", real_rates(node.address, arguments.count, arguments.rounds))


if __name__ == "__main__":
    main()
