"""Killing workers and brokers of a real Apache Kafka: a mock proves no durability."""

import asyncio
import signal
import time
from collections import defaultdict

import pytest
from kafka.support import (
    SOURCE,
    TARGET,
    Stage,
    Worker,
    committed,
    numbered,
    run,
    until,
    values,
)

from adapters.kafka.publisher import KafkaPublisher
from adapters.kafka.reader import read_topic
from adapters.kafka.topics import ensure_topics
from engine.errors import PublishError

pytest_plugins = ("kafka.plugin",)
pytestmark = [pytest.mark.kafka, pytest.mark.slow]


def all_values(count):
    return {b"%06d" % number for number in range(count)}


async def all_acknowledged(kafka, total, seconds=150):
    """Wait until so many records are acknowledged."""
    end = time.monotonic() + seconds
    while (done := await committed(kafka)) != total:
        assert time.monotonic() < end, f"{done} of {total} records were acknowledged"
        await asyncio.sleep(0.1)


async def test_a_worker_killed_in_mid_stream_loses_nothing(real_kafka):
    """SIGKILL while records are under way, then a new worker: every record comes out, repeated ones keep their order."""
    await ensure_topics(real_kafka)
    total = 600
    # A few at a time, so that the kill comes in the middle also when it comes late.
    real_kafka = real_kafka.model_copy(update={"in_flight": 16})
    async with KafkaPublisher(real_kafka) as publisher:
        await publisher.publish(numbered(total))
        async with Worker(real_kafka, "--seconds", "0.5") as worker:
            await worker.ready()
            await worker.begun(300)
            await asyncio.sleep(0.3)
            worker.signal(signal.SIGKILL)
            await worker.ended()
        acknowledged = await committed(real_kafka)
        out = await values(real_kafka, TARGET)
        assert 0 < len(set(out)) < total, "killed too late or too early: the test proves nothing"
        assert acknowledged <= len(set(out)), "more is acknowledged than came out"
        async with Worker(real_kafka) as worker:
            await worker.ready()
            await all_acknowledged(real_kafka, total)
            worker.signal(signal.SIGTERM)
            code, errors = await worker.ended()
    assert code == 0, errors
    assert set(await values(real_kafka, TARGET)) == all_values(total)


async def test_partitions_that_move_between_two_workers_lose_nothing(real_kafka):
    """A second worker joins and the first one goes while records come in: all come out, in the order of their key."""
    await ensure_topics(real_kafka)
    total = 1500
    real_kafka = real_kafka.model_copy(update={"rebalance_drain": 10})
    async with KafkaPublisher(real_kafka) as publisher:

        async def feed():
            for start in range(0, total, 20):
                await publisher.publish(numbered(total)[start : start + 20])
                await asyncio.sleep(0.15)

        async with Worker(real_kafka, "--seconds", "0.3") as first:
            await first.ready()
            feeding = asyncio.create_task(feed())
            await first.begun(60)
            async with Worker(real_kafka, "--seconds", "0.3") as second:
                await second.ready()
                await second.begun(60)
                first.signal(signal.SIGTERM)
                code, errors = await first.ended()
                assert code == 0, errors
                await feeding
                await all_acknowledged(real_kafka, total)
                second.signal(signal.SIGTERM)
                code, errors = await second.ended()
                assert code == 0, errors
    by_key = defaultdict(list)
    out = await read_topic(real_kafka, TARGET)
    assert len(out) - total <= 20, (
        "what is confirmed before partitions move must be acknowledged before they move"
    )
    for record in out:
        if record.value not in by_key[record.key]:
            by_key[record.key].append(record.value)
    assert {value for found in by_key.values() for value in found} == all_values(total)
    assert all(found == sorted(found) for found in by_key.values())


async def test_many_rebalances_with_records_in_flight_lose_nothing(real_kafka):
    """Workers come and go, some killed, while each has dozens of records under way: nothing is acknowledged too early."""
    await ensure_topics(real_kafka)
    total = 3000
    async with KafkaPublisher(real_kafka) as publisher:
        await publisher.publish(numbered(total, keys=40))
        async with Worker(real_kafka, "--seconds", "0.4") as steady:
            await steady.ready()
            for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
                async with Worker(real_kafka, "--seconds", "0.4") as passing:
                    await passing.ready()
                    await asyncio.sleep(1.5)
                    passing.signal(number)
                    await passing.ended()
                acknowledged = await committed(real_kafka)
                assert acknowledged <= len(set(await values(real_kafka, TARGET)))
            await all_acknowledged(real_kafka, total)
            steady.signal(signal.SIGTERM)
            code, errors = await steady.ended()
    assert code == 0, errors
    assert set(await values(real_kafka, TARGET)) == all_values(total)


async def test_what_was_confirmed_survives_a_killed_broker(killable_kafka):
    """Broker killed and started again on its data while messages pour in: whatever was said to be safe is there."""
    node, kafka = killable_kafka
    kafka = kafka.model_copy(update={"publish_timeout": 15.0})
    await ensure_topics(kafka)
    safe, refused = set(), 0

    async def send(publication):
        nonlocal refused
        try:
            await publisher.publish([publication])
        except PublishError:
            refused += 1
        else:
            safe.add(publication.value)

    async with KafkaPublisher(kafka) as publisher:
        sending = []
        for index, publication in enumerate(numbered(400)):
            sending.append(asyncio.create_task(send(publication)))
            await asyncio.sleep(0.005)
            if index == 150:
                await until(lambda: len(safe) > 100)
                await asyncio.to_thread(node.kill)
                starting = asyncio.create_task(asyncio.to_thread(node.start))
        await starting
        await asyncio.gather(*sending)
        before = len(safe)
        # It works again without being made anew.
        await publisher.publish(numbered(401)[400:])
    assert before > 100
    found = set(await values(kafka, SOURCE))
    assert safe <= found, "a message was said to be safe and is gone"
    assert len(safe) + refused == 400


async def test_a_worker_survives_a_broker_that_comes_back(killable_kafka):
    """The broker is away for some seconds while a stage works: the stage goes on or ends un-acked, all comes out."""
    node, kafka = killable_kafka
    patient = kafka.model_copy(update={"publish_timeout": 80.0, "stall_timeout": 150.0})
    await ensure_topics(patient)
    async with KafkaPublisher(patient) as publisher:
        await publisher.publish(numbered(300))

    async def pause(_):
        await asyncio.sleep(0.05)

    stage = Stage(pause)

    async def job(*_):
        await until(lambda: len(stage.calls) > 60)
        await asyncio.to_thread(node.kill)
        await asyncio.sleep(1)
        await asyncio.to_thread(node.start)
        await until(lambda: len(stage.calls) == 300)

    assert await run(patient, [stage], job) == 0
    assert set(await values(patient, TARGET)) == all_values(300)
    assert await committed(patient) == 300


async def test_computing_longer_than_the_session_costs_no_partition(real_kafka):
    """A stage that blocks the event loop for longer than the session time-out is not taken for dead: heartbeats go on."""
    # While the loop is blocked confirmations wait too; published again for that reason they would look like repeats.
    real_kafka = real_kafka.model_copy(update={"session_timeout": 15, "publish_timeout": 120})
    await ensure_topics(real_kafka)
    beginnings = []

    async def compute(record):
        beginnings.append(record.value)
        if record.value == b"000000":
            end = time.monotonic() + 1.4 * real_kafka.session_timeout
            while time.monotonic() < end:
                sum(range(10_000))

    stage = Stage(compute)

    async def job(publisher, running):
        await publisher.publish(numbered(20))
        await until(lambda: len(stage.calls) == 20)
        assert running.health()[0].partitions == (0, 1, 2, 3)

    assert await run(real_kafka, [stage], job) == 0
    assert len(beginnings) == 20, "records were handled twice: partitions were taken away"
    assert len(await values(real_kafka, TARGET)) == 20
