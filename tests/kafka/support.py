"""Stages and helpers for tests of the runner.

Time limits here are for what never happens: generous, because the machine that runs the tests may be busy. They cost
nothing while all goes well.
"""

import asyncio
import os
import sys
import time
from collections import defaultdict
from itertools import count
from pathlib import Path

from adapters.kafka.offsets import LogOffsets
from adapters.kafka.publisher import KafkaPublisher
from adapters.kafka.reader import read_topic
from adapters.kafka.run import Run, readers_of
from adapters.kafka.topics import ensure_topics, group_of, physical
from engine.records import Publication
from engine.settings import Kafka

QUICK = {
    "commit_interval": 0.2,
    "session_timeout": 6,
    "handler_timeout": 5,
    "retry_backoff": 0.05,
    "rebalance_drain": 2,
    "shutdown_timeout": 8,
    "publish_timeout": 8,
    "holdback_timeout": 20,
    "partitions": 4,
}
"""Settings under which a test does not wait long for what a hospital should wait long for."""

_numbers = count()
HERE = Path(__file__).resolve().parent
SOURCE = "hl7v2.inbound"
TARGET = "fhir.resources"


def settings(**changed):
    """Quick Kafka settings with a topic prefix that no other test uses."""
    return Kafka(**{**QUICK, "prefix": f"t{os.getpid()}-{next(_numbers)}.", **changed})


class Stage:
    """Copies records from SOURCE to TARGET; what it does before that is given as ``act(record)``."""

    def __init__(self, act=None, *, name="copy", topic=SOURCE, target=TARGET):
        self.name = name
        self.topic = topic
        self.target = target
        self.act = act
        self.calls = defaultdict(int)

    async def handle(self, record):
        self.calls[record.value] += 1
        if self.act is not None:
            await self.act(record)
        return [Publication(self.target, record.key or b"", record.value, record.headers)]

    def tick(self, now):
        return ()


def numbered(count, *, keys=7, size=0, topic=SOURCE):
    """Publications whose values are numbers, spread over some keys."""
    return [
        Publication(topic, b"key-%d" % (number % keys), b"%06d" % number + bytes(size), {"feed": "test"})
        for number in range(count)
    ]


async def until(condition, seconds=100.0):
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what was waited for did not happen"
        await asyncio.sleep(0.02)


async def run(kafka, stages, job, **options):
    """Run stages while ``job(publisher, run)`` works; the exit code."""
    await ensure_topics(kafka)
    async with KafkaPublisher(kafka, readers_of(kafka, stages)) as publisher:
        running = None

        async def work():
            await job(publisher, running)

        running = Run(stages, kafka, publisher, jobs=[work()], **options)
        return await asyncio.wait_for(running.until_stopped(), 200)


async def values(kafka, topic):
    """Values on a topic, by partition and offset."""
    return [record.value for record in await read_topic(kafka, topic)]


async def count_on(kafka, topic):
    return len(await read_topic(kafka, topic))


async def committed(kafka, stage="copy", topic=SOURCE):
    """How many records a stage has acknowledged, over all partitions."""
    async with LogOffsets(kafka) as offsets:
        places = await offsets.partitions(physical(kafka, topic))
        return sum((await offsets.committed(group_of(kafka, stage), physical(kafka, topic), places)).values())


class Worker:
    """A worker process; what it says is in ``lines``."""

    def __init__(self, kafka, *options):
        self.lines = []
        self._command = [sys.executable, str(HERE / "worker.py"), kafka.model_dump_json(), *options]

    async def __aenter__(self):
        path = os.pathsep.join((str(HERE.parent), str(HERE.parent.parent)))
        self.process = await asyncio.create_subprocess_exec(
            *self._command,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
        self._reading = asyncio.create_task(self._read())
        self._errors = asyncio.create_task(self.process.stderr.read())
        return self

    async def __aexit__(self, *_):
        if self.process.returncode is None:
            self.process.kill()
        await self.ended()

    async def _read(self):
        async for line in self.process.stdout:
            self.lines.append(line.decode().strip())

    async def ready(self):
        await until(lambda: "ready" in self.lines or self.process.returncode is not None)
        assert "ready" in self.lines, (await self._errors).decode()

    async def begun(self, count):
        """Wait until so many records were begun."""
        await until(lambda: len(self.lines) > count)

    def signal(self, number):
        self.process.send_signal(number)

    async def ended(self, seconds=100):
        """Wait for the end; exit code and what was written to standard error."""
        code = await asyncio.wait_for(self.process.wait(), seconds)
        await self._reading
        return code, (await self._errors).decode()
