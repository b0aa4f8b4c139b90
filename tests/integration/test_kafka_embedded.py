"""Stages on the embedded broker: real protocol, real Faust, no JVM."""

import asyncio
import signal
import time
from collections import defaultdict
from datetime import UTC, datetime

import pytest
from kafka.support import SOURCE, TARGET, Stage, committed, count_on, numbered, run, settings, until, values

from adapters.kafka.embedded import EmbeddedBroker
from adapters.kafka.publisher import KafkaPublisher
from adapters.kafka.reader import KafkaReader, read_topic
from adapters.kafka.topics import ensure_topics
from engine.errors import ConformanceError, OverloadedError, PublishError, TooLargeToPublishError
from engine.records import Publication

pytest_plugins = ("kafka.plugin",)


async def test_every_record_goes_through_once_with_key_and_headers(embedded):
    """What comes in goes out, byte for byte, and all of it is acknowledged."""
    stage = Stage()

    async def job(publisher, _):
        await publisher.publish(numbered(300))
        await until(lambda: len(stage.calls) == 300)

    assert await run(embedded, [stage], job) == 0
    out = await read_topic(embedded, TARGET)
    assert sorted(record.value for record in out) == [b"%06d" % n for n in range(300)]
    assert all(record.headers == {"feed": "test"} for record in out)
    assert {record.key for record in out} == {b"key-%d" % n for n in range(7)}
    assert await committed(embedded) == 300


async def test_two_stages_run_side_by_side_in_one_process(embedded):
    """Several Faust apps share one event loop: a chain of two stages passes everything on."""
    first = Stage(target="notes.clinical", name="first")
    second = Stage(topic="notes.clinical", name="second")

    async def job(publisher, running):
        await publisher.publish(numbered(200))
        await until(lambda: len(second.calls) == 200)
        assert [health.stage for health in running.health()] == ["first", "second"]

    assert await run(embedded, [first, second], job) == 0
    assert await count_on(embedded, TARGET) == 200


async def test_order_of_a_key_survives_handlers_of_different_speed(embedded):
    """Records of one patient come out in the order they came in, though later ones are handled sooner."""

    async def dawdle(record):
        await asyncio.sleep(0.02 if int(record.value) % 5 == 0 else 0)

    stage = Stage(dawdle)

    async def job(publisher, _):
        await publisher.publish(numbered(200, keys=3))
        await until(lambda: len(stage.calls) == 200)

    assert await run(embedded, [stage], job) == 0
    by_key = defaultdict(list)
    for record in await read_topic(embedded, TARGET):
        by_key[record.key].append(record.value)
    assert len(by_key) == 3
    assert all(found == sorted(found) for found in by_key.values())


async def test_records_of_one_partition_are_handled_side_by_side(embedded):
    """A stage that waits for something does not make its partition wait: 40 waits of 50 ms take far less than 2 s."""
    under_way = most = 0

    async def wait(_):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.05)
        under_way -= 1

    stage = Stage(wait)

    async def job(publisher, _):
        await publisher.publish(numbered(40, keys=1))
        await until(lambda: len(stage.calls) == 40)

    assert await run(embedded, [stage], job) == 0
    assert 8 < most <= embedded.in_flight


@pytest.mark.parametrize(
    ("error", "code", "calls", "told"),
    [
        (ConformanceError("MSH-9 is wrong", action="Correct it."), "conformance", 1, "MSH-9 is wrong"),
        (PublishError("not now", action="Wait."), "publish", 3, "not now"),
        (ValueError("Tan Ah Kow S0000001I"), "internal", 1, "ValueError"),
    ],
    ids=["refused", "retried", "bug"],
)
async def test_a_failing_record_becomes_a_dead_letter_and_is_acknowledged(embedded, error, code, calls, told):
    """Original bytes, key and headers are kept, why and what to do are added, its neighbours go on, no text of a bug leaks."""

    async def fail_one(record):
        if record.value == b"000005":
            raise error

    stage = Stage(fail_one)

    async def job(publisher, _):
        await publisher.publish(numbered(20))
        await until(lambda: len(stage.calls) == 20 and stage.calls[b"000005"] == calls)

    assert await run(embedded, [stage], job) == 0
    (letter,) = await read_topic(embedded, "dead.letters")
    assert (letter.value, letter.key) == (b"000005", b"key-5")
    assert letter.headers["feed"] == "test"
    assert letter.headers["dead-code"] == code
    assert letter.headers["dead-stage"] == "copy"
    assert letter.headers["dead-topic"] == SOURCE
    assert letter.headers["dead-attempts"] == str(calls)
    assert letter.headers["dead-action"]
    assert told in letter.headers["dead-reason"]
    assert "Tan" not in str(letter.headers)
    assert await count_on(embedded, TARGET) == 19
    assert await committed(embedded) == 20


async def test_a_retryable_error_that_passes_leaves_no_dead_letter(embedded):
    """A hiccup costs a retry, not a message."""

    async def fail_twice(record):
        if record.value == b"000003" and stage.calls[record.value] < 3:
            raise PublishError("not now", action="Wait.")

    stage = Stage(fail_twice)

    async def job(publisher, _):
        await publisher.publish(numbered(10))
        await until(lambda: stage.calls[b"000003"] == 3)

    assert await run(embedded, [stage], job) == 0
    assert sorted(await values(embedded, TARGET)) == [b"%06d" % n for n in range(10)]
    assert await count_on(embedded, "dead.letters") == 0


async def test_an_overloaded_stage_is_waited_for(embedded):
    """A full queue makes records wait beyond the usual number of tries, it does not make dead letters of them."""

    async def overloaded(record):
        if stage.calls[record.value] < 6:
            raise OverloadedError("the queue is full", action="Wait.")

    stage = Stage(overloaded)

    async def job(publisher, _):
        await publisher.publish(numbered(5))
        await until(lambda: len(stage.calls) == 5 and min(stage.calls.values()) == 6)

    assert await run(embedded, [stage], job) == 0
    assert await count_on(embedded, TARGET) == 5
    assert await count_on(embedded, "dead.letters") == 0


async def test_a_record_that_takes_too_long_becomes_a_dead_letter(embedded):
    """One record that hangs does not hold its partition for ever."""
    kafka = embedded.model_copy(update={"handler_timeout": 0.3})

    async def hang(record):
        if record.value == b"000002":
            await asyncio.sleep(60)

    stage = Stage(hang)

    async def job(publisher, _):
        await publisher.publish(numbered(10, keys=1))
        await until(lambda: len(stage.calls) == 10)
        await asyncio.sleep(0.5)

    assert await run(kafka, [stage], job) == 0
    (letter,) = await read_topic(kafka, "dead.letters")
    assert letter.headers["dead-code"] == "handler-timeout"
    assert await count_on(kafka, TARGET) == 9


async def test_output_that_is_too_large_becomes_a_dead_letter(embedded):
    """A record whose output the log will never take is told about, its neighbours in the same batch go through."""

    class Swollen(Stage):
        async def handle(self, record):
            found = await super().handle(record)
            if record.value == b"000004":
                found.append(Publication(TARGET, b"k", bytes(3 * 1024 * 1024)))
            return found

    stage = Swollen()

    async def job(publisher, _):
        await publisher.publish(numbered(10, keys=1))
        await until(lambda: len(stage.calls) == 10)

    assert await run(embedded, [stage], job) == 0
    (letter,) = await read_topic(embedded, "dead.letters")
    assert letter.value == b"000004"
    assert letter.headers["dead-code"] == "too-large-to-publish"
    assert b"000004" not in await values(embedded, TARGET)
    assert len(set(await values(embedded, TARGET))) == 9


async def test_a_stage_may_tell_its_failure(embedded):
    """Beside the dead letter a stage can publish the outcome, so that every message in has one out."""

    class Telling(Stage):
        def failed(self, record, error):
            return [Publication("outcomes", record.key, b"rejected " + record.value)]

    async def fail(_):
        raise ValueError

    stage = Telling(fail)

    async def job(publisher, _):
        await publisher.publish(numbered(3))
        await until(lambda: len(stage.calls) == 3)

    assert await run(embedded, [stage], job) == 0
    assert sorted(await values(embedded, "outcomes")) == [b"rejected %06d" % n for n in range(3)]
    assert await count_on(embedded, "dead.letters") == 3


async def test_ticks_are_published_and_one_comes_at_the_end(embedded):
    """Counters that a stage keeps between ticks reach the log even when it is stopped right after a record."""

    class Counting(Stage):
        pending = 0

        async def handle(self, record):
            self.pending += 1
            return await super().handle(record)

        def tick(self, now):
            assert now.tzinfo is UTC
            done, self.pending = self.pending, 0
            return [Publication("telemetry", b"feed", b"%d" % done)] if done else []

    stage = Counting()

    async def job(publisher, _):
        await publisher.publish(numbered(50))
        await until(lambda: len(stage.calls) == 50)

    assert await run(embedded, [stage], job) == 0
    assert sum(int(value) for value in await values(embedded, "telemetry")) == 50


async def test_a_large_record_does_not_stop_the_event_loop(embedded):
    """While a stage computes on a large record in its thread, the loop goes on and others are served."""
    kafka = embedded.model_copy(update={"beside_over_bytes": 1000})
    computing = False
    turns = 0

    class Computing(Stage):
        async def handle(self, record):
            nonlocal computing
            if len(record.value) > 1000:
                computing = True
                end = time.monotonic() + 1.5
                while time.monotonic() < end:
                    sum(range(1000))
                computing = False
            return await super().handle(record)

    stage = Computing()

    async def job(publisher, _):
        nonlocal turns
        await publisher.publish([*numbered(1, size=2000), *numbered(5)])
        while len(stage.calls) < 6:
            await asyncio.sleep(0.01)
            turns += computing

    assert await run(kafka, [stage], job, beside_loop={"copy"}) == 0
    assert await count_on(kafka, TARGET) == 6
    # Counted, not timed: a busy machine makes turns rare, a blocked loop has none.
    assert turns > 3


async def test_a_slow_partition_does_not_stop_the_others(embedded):
    """While one partition waits for its slow record, all others are read to the end."""
    limits = {"in_flight": 4, "fetch_max_records": 16, "stream_buffer": 4, "handler_timeout": 200}
    kafka = embedded.model_copy(update=limits)
    go_on = asyncio.Event()

    async def block(record):
        if record.key == b"key-0":
            await go_on.wait()

    stage = Stage(block)

    async def job(publisher, _):
        await publisher.publish(numbered(700))
        blocked = {r.partition for r in await read_topic(kafka, SOURCE) if r.key == b"key-0"}
        others = [r for r in await read_topic(kafka, SOURCE) if r.partition not in blocked]
        assert others
        await until(lambda: sum(r.value in stage.calls for r in others) == len(others))
        assert len(stage.calls) < 700
        go_on.set()
        await until(lambda: len(stage.calls) == 700)

    assert await run(kafka, [stage], job) == 0
    assert sorted(await values(kafka, TARGET)) == [b"%06d" % n for n in range(700)]


async def test_what_a_stopped_run_had_not_read_is_read_by_the_next(embedded):
    """A restart goes on exactly behind what was acknowledged."""
    first, second = Stage(), Stage()

    async def one(publisher, _):
        await publisher.publish(numbered(100))
        await until(lambda: len(first.calls) == 100)

    async def two(publisher, _):
        await publisher.publish([Publication(SOURCE, b"k", b"new %d" % n) for n in range(10)])
        await until(lambda: len(second.calls) >= 10)

    assert await run(embedded, [first], one) == 0
    assert await run(embedded, [second], two) == 0
    assert sorted(second.calls) == [b"new %d" % n for n in range(10)]


async def test_a_reader_tells_what_came_since(embedded):
    """Tools can ask for the records since a point in time."""
    await ensure_topics(embedded)
    async with KafkaPublisher(embedded) as publisher:
        await publisher.publish(numbered(5))
        await asyncio.sleep(0.05)
        then = datetime.now(UTC)
        await publisher.publish([Publication(SOURCE, b"k", b"late")])
    assert [r.value for r in await read_topic(embedded, SOURCE, since=then)] == [b"late"]


async def test_a_reader_with_a_group_goes_on_where_it_stopped(embedded):
    """The demo's collector sees each record once, over several looks."""
    await ensure_topics(embedded)
    seen = []
    async with KafkaPublisher(embedded) as publisher:
        for _ in range(3):
            await publisher.publish(numbered(20))
            async with KafkaReader(embedded, [SOURCE], group="collector") as reader:
                seen += [record.value async for record in reader.to_end()]
    assert len(seen) == 60


async def test_header_bytes_survive_the_way_through(embedded):
    """Headers of other systems that are no UTF-8 are passed on as they came."""
    await ensure_topics(embedded)
    async with KafkaPublisher(embedded) as publisher:
        await publisher.publish(
            [Publication(SOURCE, b"k", b"v", {"odd": b"\xff\x00a".decode(errors="surrogateescape")})]
        )
    (record,) = await read_topic(embedded, SOURCE)
    assert record.headers["odd"].encode(errors="surrogateescape") == b"\xff\x00a"


async def test_the_embedded_broker_refuses_what_it_would_lose(embedded):
    """A record it can't keep is refused with a reason and nothing of the same call is written."""
    await ensure_topics(embedded)
    async with KafkaPublisher(embedded) as publisher:
        with pytest.raises(TooLargeToPublishError) as caught:
            await publisher.publish([*numbered(1), Publication(SOURCE, b"k", bytes(3 * 1024 * 1024))])
    assert "embedded broker" in str(caught.value)
    assert not caught.value.retryable
    assert await count_on(embedded, SOURCE) == 0


def test_the_embedded_broker_warns_and_ends_with_its_owner(caplog):
    """Nobody can take it for durable, and it does not outlive its owner."""
    with EmbeddedBroker(settings()) as broker:
        process = broker._process
        process.send_signal(signal.SIGINT)
        assert broker.alive, "Ctrl-C is for the engine, which needs the broker to stop in order"
    assert process.returncode == 0
    assert "nothing on it is durable" in caplog.text
