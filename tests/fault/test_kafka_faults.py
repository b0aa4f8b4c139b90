"""What goes wrong with the log or the process, on the embedded broker: nothing is lost, nothing is hushed up."""

import asyncio
import signal
import time
from contextlib import suppress

import pytest
from kafka.support import (
    SOURCE,
    TARGET,
    Stage,
    Worker,
    committed,
    count_on,
    numbered,
    run,
    settings,
    until,
    values,
)

from adapters.kafka.embedded import EmbeddedBroker
from adapters.kafka.errors import LogGapError, UnreachableError
from adapters.kafka.publisher import KafkaPublisher
from adapters.kafka.reader import read_topic
from adapters.kafka.run import ExitCode, Run, readers_of
from adapters.kafka.topics import ensure_topics
from engine.errors import PublishError, SettingsError
from engine.records import Publication

pytest_plugins = ("kafka.plugin",)


class Failing:
    """A publisher that refuses some publications, as a log without enough replicas does."""

    def __init__(self, publisher, refuses):
        self._publisher = publisher
        self._refuses = refuses
        self.refused = 0

    async def publish(self, publications):
        if any(self._refuses(publication) for publication in publications):
            self.refused += 1
            raise PublishError("not enough replicas", action="Wait.")
        await self._publisher.publish(publications)


async def run_with(kafka, stage, refuses, count):
    """Run a stage over ``count`` records with a publisher that refuses; exit code and publisher."""
    await ensure_topics(kafka)
    async with KafkaPublisher(kafka, readers_of(kafka, [stage])) as publisher:
        await publisher.publish(numbered(count, keys=1))
        failing = Failing(publisher, refuses)
        code = await asyncio.wait_for(Run([stage], kafka, failing).until_stopped(), 100)
        return code, failing


async def test_a_slow_reader_holds_the_feed_back_and_loses_nothing(embedded):
    """12 MB into partitions that keep 5 MB each, read slowly: everything arrives, because the feed was made to wait."""
    kafka = embedded.model_copy(update={"holdback_bytes": 1024 * 1024})
    seconds = []

    async def dawdle(_):
        await asyncio.sleep(0.02)

    stage = Stage(dawdle)

    async def job(publisher, _):
        started = time.monotonic()
        await asyncio.gather(*(publisher.publish([each]) for each in numbered(120, keys=1, size=100_000)))
        seconds.append(time.monotonic() - started)
        await until(lambda: len(stage.calls) == 120)

    assert await run(kafka, [stage], job) == 0
    assert len(stage.calls) == 120
    assert max(stage.calls.values()) == 1
    assert seconds[0] > 0.5, "nothing was held back: the test proves nothing"


async def test_a_feed_whose_reader_is_absent_is_told_no(embedded):
    """Held back for too long the sender gets an error that names the reader, instead of an ACK for a lost message."""
    kafka = embedded.model_copy(update={"holdback_timeout": 0.5, "holdback_bytes": 250_000})
    await ensure_topics(kafka)
    async with KafkaPublisher(kafka, {SOURCE: ["readers-name"]}) as publisher:
        first, second, *_, last = numbered(4, keys=1, size=100_000)
        await publisher.publish([first])
        await publisher.publish([second])
        with pytest.raises(PublishError) as caught:
            await publisher.publish([last])
    assert "readers-name" in str(caught.value)
    assert caught.value.retryable
    assert await count_on(kafka, SOURCE) == 2


async def test_records_trimmed_before_they_were_read_stop_the_engine(embedded, caplog):
    """Without hold-back the broker drops unread records: the stage says so and ends, it does not skip them."""
    await ensure_topics(embedded)
    async with KafkaPublisher(embedded) as unheld:
        for each in numbered(20, keys=1, size=500_000):
            await unheld.publish([each])
    stage = Stage()

    async def job(*_):
        await asyncio.sleep(120)

    assert await run(embedded, [stage], job) == ExitCode.LOG_GAP
    assert await committed(embedded) == 0
    assert (
        "log-gap" in caplog.text or "missing before offset" in caplog.text or "deleted before" in caplog.text
    )


async def test_records_trimmed_while_nothing_more_comes_are_noticed_too(embedded):
    """All that was unread is gone and no new record would show it: looking at the log's start does."""
    kafka = embedded.model_copy(update={"stall_timeout": 6})
    await ensure_topics(kafka)
    async with KafkaPublisher(kafka) as unheld:
        # Two neighbours that don't fit together: with the second even itself is lost.
        await unheld.publish(numbered(1, keys=1, size=10))
        large = kafka.model_copy(update={"embedded_record_bytes": 6 * 1024 * 1024})
    async with KafkaPublisher(large) as careless:
        await careless.publish(numbered(1, keys=1, size=5_500_000))
    stage = Stage()

    async def job(*_):
        await asyncio.sleep(120)

    assert await run(kafka, [stage], job) == ExitCode.LOG_GAP
    assert not stage.calls


async def test_a_reader_tells_when_the_log_ran_away_from_it(embedded):
    """Tools that read topics don't skip in silence either."""
    await ensure_topics(embedded)
    async with KafkaPublisher(embedded) as unheld:
        for each in numbered(20, keys=1, size=500_000):
            await unheld.publish([each])
    from adapters.kafka.reader import KafkaReader

    with pytest.raises(LogGapError):
        async with KafkaReader(embedded, [SOURCE], group="collector") as reader:
            _ = [record async for record in reader.to_end()]


async def test_output_that_is_not_confirmed_is_not_acknowledged(embedded):
    """Nothing from the refused record on is acknowledged, and the process ends so that it will be read again."""
    stage = Stage()
    code, failing = await run_with(embedded, stage, lambda p: p.topic == TARGET and p.value == b"000007", 20)
    assert code == ExitCode.TRY_AGAIN
    assert failing.refused >= embedded.handler_attempts
    assert await committed(embedded) <= 7
    again = Stage()

    async def job(*_):
        await until(lambda: b"000019" in again.calls)

    assert await run(embedded, [again], job) == 0
    assert set(await values(embedded, TARGET)) == {b"%06d" % n for n in range(20)}


async def test_a_dead_letter_that_is_not_confirmed_is_not_acknowledged(embedded):
    """A record that can neither be processed nor written off stays where it is, and the process says so by its exit."""

    async def fail(_):
        raise ValueError

    code, failing = await run_with(embedded, Stage(fail), lambda p: p.topic == "dead.letters", 3)
    assert code == ExitCode.TRY_AGAIN
    assert failing.refused == embedded.handler_attempts
    assert await committed(embedded) == 0


async def test_a_handler_that_can_not_be_ended_is_left_behind_with_its_record(embedded):
    """Code stuck in a thread: its record becomes a dead letter and is acknowledged, then the process ends to be restarted."""
    kafka = embedded.model_copy(update={"handler_timeout": 0.5, "beside_over_bytes": 1000})

    class Stuck(Stage):
        async def handle(self, record):
            if record.value.startswith(b"000002"):
                with suppress(BaseException):
                    time.sleep(6)  # noqa: ASYNC251 - that is the fault to be shown
            return await super().handle(record)

    stage = Stuck()
    await ensure_topics(kafka)
    async with KafkaPublisher(kafka, readers_of(kafka, [stage])) as publisher:
        small, large = numbered(8, keys=1), numbered(3, keys=1, size=2000)
        await publisher.publish([*small[:2], large[2], *small[3:]])
        code = await asyncio.wait_for(
            Run([stage], kafka, publisher, beside_loop={"copy"}).until_stopped(), 100
        )
    assert code == ExitCode.TRY_AGAIN
    (letter,) = await read_topic(kafka, "dead.letters")
    assert letter.value.startswith(b"000002")
    assert await committed(kafka) >= 3
    again = Stage()

    async def job(*_):
        await until(lambda: b"000007" in again.calls)

    assert await run(kafka, [again], job) == 0
    assert large[2].value not in again.calls
    assert set(await values(kafka, TARGET)) == {p.value for n, p in enumerate(small) if n != 2}


async def test_a_stage_that_finishes_nothing_ends_the_process(embedded):
    """Work waits and none gets done, without any error: the watchdog ends the process to be restarted."""
    kafka = embedded.model_copy(update={"stall_timeout": 2, "handler_timeout": 60})

    async def hang(_):
        await asyncio.sleep(60)

    async def job(publisher, _):
        await publisher.publish(numbered(3))
        await asyncio.sleep(120)

    assert await run(kafka, [Stage(hang)], job) == ExitCode.TRY_AGAIN
    assert await committed(kafka) == 0


async def test_a_fault_in_tick_ends_the_process(embedded):
    """A stage whose counters can't be flushed must not run on as if all were well."""

    class Broken(Stage):
        def tick(self, now):
            raise ZeroDivisionError

    async def job(*_):
        await asyncio.sleep(30)

    assert await run(embedded, [Broken()], job) == ExitCode.BUG


async def test_sigterm_does_not_acknowledge_a_record_in_the_middle(embedded):
    """Stopped while a record is being handled that takes too long to finish: it is read again by the next worker."""
    kafka = embedded.model_copy(update={"shutdown_timeout": 2})
    await ensure_topics(kafka)
    async with KafkaPublisher(kafka) as publisher:
        await publisher.publish(numbered(3, keys=1))
    async with Worker(kafka, "--seconds", "60") as worker:
        await worker.ready()
        await worker.begun(3)
        worker.signal(signal.SIGTERM)
        code, errors = await worker.ended()
    assert code == 0, errors
    assert await committed(kafka) == 0
    assert await count_on(kafka, TARGET) == 0


async def test_sigterm_lets_records_finish_that_can(embedded):
    """Stopped while records are being handled that are soon done: they are published and acknowledged, not repeated."""
    await ensure_topics(embedded)
    async with KafkaPublisher(embedded) as publisher:
        await publisher.publish(numbered(3, keys=1))
    async with Worker(embedded, "--seconds", "1") as worker:
        await worker.ready()
        await worker.begun(3)
        worker.signal(signal.SIGTERM)
        code, errors = await worker.ended()
    assert code == 0, errors
    assert await committed(embedded) == 3
    assert await count_on(embedded, TARGET) == 3


async def test_a_blocked_event_loop_ends_the_process(embedded):
    """A handler that blocks the loop for ever can't be timed out: a thread ends the process, nothing is acknowledged."""
    kafka = embedded.model_copy(update={"stall_timeout": 4})
    await ensure_topics(kafka)
    async with KafkaPublisher(kafka) as publisher:
        await publisher.publish(numbered(1))
    async with Worker(kafka, "--seconds", "60", "--block-loop") as worker:
        await worker.begun(1)
        code, errors = await worker.ended()
    assert code == ExitCode.TRY_AGAIN
    assert "event loop has been blocked" in errors
    assert await committed(kafka) == 0


async def test_a_broker_that_vanishes_ends_the_worker():
    """The log is gone for good: the worker does not hang, it ends with a code that asks for a restart."""
    with EmbeddedBroker(settings(stall_timeout=6, publish_timeout=1.0, admin_timeout=1.0)) as broker:
        kafka = broker.settings
        await ensure_topics(kafka)
        async with KafkaPublisher(kafka) as publisher:
            await publisher.publish(numbered(50))
        async with Worker(kafka, "--seconds", "0.5") as worker:
            await worker.ready()
            await worker.begun(2)
            broker.stop()
            code, errors = await worker.ended()
    assert code == ExitCode.TRY_AGAIN, errors
    assert "000" not in errors, "a record's value stands in the log"


async def test_publishing_without_a_broker_is_an_error_that_says_what_to_do():
    """The broker vanished: the sender is told within the time limit, so that it gives no ACK."""
    with EmbeddedBroker(settings(publish_timeout=1.0)) as broker:
        kafka = broker.settings
        await ensure_topics(kafka)
        async with KafkaPublisher(kafka) as publisher:
            await publisher.publish(numbered(1))
            broker.stop()
            started = time.monotonic()
            with pytest.raises(PublishError) as caught:
                await publisher.publish(numbered(1))
            assert time.monotonic() - started < 20
    assert caught.value.retryable
    assert caught.value.action


async def test_nothing_starts_without_a_broker():
    """Started with a wrong address every part says at once what is wrong and what to do."""
    kafka = settings(brokers="127.0.0.1:9", admin_timeout=2)
    with pytest.raises(UnreachableError) as caught:
        await ensure_topics(kafka)
    assert "127.0.0.1:9" in str(caught.value)
    with pytest.raises(UnreachableError):
        await KafkaPublisher(kafka).start()
    with pytest.raises(UnreachableError):
        await read_topic(kafka, SOURCE)


@pytest.mark.parametrize("brokers", ["", "kafka", "kafka:port", "kafka:0", "a:1,b"])
async def test_broken_broker_settings_are_refused(brokers):
    """A typing error in the brokers is found before anything is connected."""
    with pytest.raises(SettingsError) as caught:
        await ensure_topics(settings(brokers=brokers))
    assert caught.value.action


async def test_an_unsent_half_is_not_left_behind(embedded):
    """Publishing an empty list or after the end does nothing wrong in silence."""
    await ensure_topics(embedded)
    publisher = KafkaPublisher(embedded)
    with pytest.raises(PublishError):
        await publisher.publish([Publication(SOURCE, b"k", b"v")])
    async with publisher:
        await publisher.publish([])
    assert await count_on(embedded, SOURCE) == 0


async def test_the_end_of_the_embedded_broker_ends_the_run():
    """A demo whose broker died says so instead of waiting for ever."""
    with EmbeddedBroker(settings(publish_timeout=1.0, admin_timeout=1.0, shutdown_timeout=4)) as broker:
        kafka = broker.settings
        await ensure_topics(kafka)
        async with KafkaPublisher(kafka) as publisher:
            run_ = Run([Stage()], kafka, publisher, jobs=[broker.watch()], on_ready=broker._process.kill)
            assert await asyncio.wait_for(run_.until_stopped(), 100) == ExitCode.TRY_AGAIN
