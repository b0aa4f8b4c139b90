"""Tries, pauses and dead letters of one record, without any Kafka."""

import asyncio
import time
from datetime import UTC, datetime

import pytest

from adapters.kafka.caller import BesideLoop, OnLoop
from adapters.kafka.errors import HandlerStuckError
from adapters.kafka.handling import Handling, backoff
from engine.errors import ConformanceError, OverloadedError, PublishError
from engine.records import Publication, Record
from engine.settings import Kafka

KAFKA = Kafka(retry_backoff=0.01, handler_attempts=4, handler_timeout=1)


def record(offset=0, size=1):
    return Record(
        "hl7v2.inbound", 0, offset, b"k", bytes(size), {"feed": "f"}, datetime(2026, 1, 2, tzinfo=UTC)
    )


class Stage:
    name, topic = "s", "hl7v2.inbound"

    def __init__(self, act):
        self.act = act
        self.calls = 0

    async def handle(self, record):
        self.calls += 1
        await self.act(self.calls)
        return [Publication("fhir.resources", b"k", b"v")]

    def tick(self, now):
        return ()


async def handled(act, kafka=KAFKA):
    stage = Stage(act)
    return stage, await Handling(stage, OnLoop(stage, kafka.handler_timeout), kafka).run(record())


async def test_a_retryable_error_is_tried_as_often_as_allowed():
    """Then the record is given up, and the letter says how often it was tried."""

    async def act(_):
        raise PublishError("no", action="wait")

    stage, found = await handled(act)
    assert stage.calls == 4
    assert found.dead
    assert found.publications[0].headers["dead-attempts"] == "4"
    assert found.publications[0].headers["dead-retryable"] == "true"


async def test_a_final_error_is_not_tried_again():
    """The same bytes would fail the same way."""

    async def act(_):
        raise ConformanceError("no", action="correct it")

    stage, found = await handled(act)
    assert (stage.calls, found.dead) == (1, True)


async def test_overload_is_waited_for_no_longer_than_one_try_may_take():
    """Waiting is bounded too: in the end there is a dead letter that can be replayed."""

    async def act(_):
        raise OverloadedError("full", action="wait")

    started = time.monotonic()
    stage, found = await handled(act, KAFKA.model_copy(update={"handler_timeout": 1.5}))
    assert stage.calls > 4
    assert found.dead
    assert time.monotonic() - started < 30


async def test_a_stages_own_time_out_is_not_taken_for_ours():
    """A TimeoutError that escapes a handler is a fault to be reported as such."""

    async def act(_):
        raise TimeoutError

    _, found = await handled(act)
    assert found.publications[0].headers["dead-code"] == "internal"


async def test_pauses_double_up_to_ten_seconds():
    """Neither a storm of tries nor a pause of minutes."""
    kafka = Kafka(retry_backoff=0.5)
    assert [backoff(kafka, n) for n in (1, 2, 3, 4, 9)] == [0.5, 1, 2, 4, 10]


class Counting:
    """Notes whether it was ever entered twice at a time."""

    name, topic = "s", "hl7v2.inbound"

    def __init__(self, seconds):
        self.seconds = seconds
        self.inside = self.most = 0

    async def handle(self, record):
        self.inside += 1
        self.most = max(self.most, self.inside)
        if len(record.value) > 10:
            time.sleep(self.seconds)  # noqa: ASYNC251 - computing, as a mapper does
        self.inside -= 1
        return []

    def tick(self, now):
        assert not self.inside
        return ()


async def test_a_stage_beside_the_loop_is_never_entered_twice():
    """Small records on the loop wait while a large one is in the thread, and so does the tick."""
    stage = Counting(0.2)
    caller = BesideLoop(stage, 5, over_bytes=10)
    await asyncio.gather(
        *(caller.handle(record(n, 100 if n % 3 == 0 else 1)) for n in range(7)),
        caller.tick(datetime.now(UTC)),
    )
    caller.close()
    assert stage.most == 1


async def test_records_behind_a_slow_one_are_not_blamed_for_it():
    """Their time starts with their own turn: waiting for a slow neighbour is no time-out."""
    stage = Counting(1.0)
    caller = BesideLoop(stage, 2.5, over_bytes=10)
    await asyncio.gather(*(caller.handle(record(n, 100)) for n in range(3)))
    caller.close()


async def test_code_that_can_not_be_ended_is_told_apart():
    """A time-out whose thread runs on is another error: the process must end behind it."""
    caller = BesideLoop(Counting(1.0), 0.1, over_bytes=10)
    with pytest.raises(HandlerStuckError):
        await caller.handle(record(0, 100))
    await asyncio.sleep(1.1)
    caller.close()
