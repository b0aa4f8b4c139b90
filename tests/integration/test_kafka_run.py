"""Starting, stopping and the exit code."""

import asyncio

import pytest
from kafka.support import Stage, numbered, settings, until

from adapters.kafka.errors import UnreachableError
from adapters.kafka.publisher import KafkaPublisher
from adapters.kafka.run import ExitCode, Run
from engine.errors import SettingsError, WardstreamError

pytest_plugins = ("kafka.plugin",)


class Service:
    def __init__(self, name, events, fails=False):
        self.name, self.events, self.fails = name, events, fails

    async def start(self):
        self.events.append(f"{self.name} starts")
        if self.fails:
            raise SettingsError("the port is taken", action="Take another.")

    async def stop(self, timeout=None):  # noqa: ASYNC109 - the name is the contract's
        assert timeout > 0
        self.events.append(f"{self.name} stops")


async def ended(kafka, stages=(), **options):
    async with KafkaPublisher(kafka) as publisher:
        return await asyncio.wait_for(Run(stages, kafka, publisher, **options).until_stopped(), 150)


async def nothing():
    """A job that is done at once."""


async def test_services_stop_before_stages_and_in_turn(embedded):
    """What brings messages in goes first, so that nothing comes in that nobody works on."""
    events = []

    class Noting(Stage):
        def tick(self, now):
            events.append("tick")
            return ()

    async def job():
        events.clear()

    services = [Service("mllp", events), Service("http", events)]
    code = await ended(embedded, [Noting()], services=services, jobs=[job()])
    assert code == ExitCode.OK
    assert [event for event in events if event != "tick"] == ["http stops", "mllp stops"]
    assert events[-1] == "tick"


async def test_a_service_that_can_not_start_ends_the_run(embedded):
    """The reason reaches the caller, what was started is stopped."""
    events = []
    with pytest.raises(SettingsError):
        await ended(
            embedded,
            [Stage()],
            services=[Service("mllp", events), Service("http", events, fails=True)],
            jobs=[nothing()],
        )
    assert events == ["mllp starts", "http starts", "mllp stops"]


@pytest.mark.parametrize(
    ("error", "code"),
    [(ZeroDivisionError(), ExitCode.BUG), (WardstreamError("no", action="wait"), ExitCode.TRY_AGAIN)],
)
async def test_a_job_that_fails_gives_the_exit_code(embedded, error, code):
    """A supervisor must be able to tell a fault from a reason to restart."""

    async def job():
        raise error

    assert await ended(embedded, jobs=[job()]) == code


async def test_it_does_not_start_without_brokers():
    """The error says what to do; nothing is left open."""
    kafka = settings(brokers="127.0.0.1:9", admin_timeout=1)
    with pytest.raises(UnreachableError):
        await Run([Stage()], kafka, publisher=None).until_stopped()


async def test_two_stages_of_one_name_are_refused(embedded):
    """They would be one consumer group, and each would see half of the records."""
    with pytest.raises(SettingsError):
        Run([Stage(), Stage()], embedded, publisher=None)


async def test_health_tells_what_is_in_hand(embedded):
    """The console and the health check can see partitions, work under way and idle time of each stage."""
    go_on = asyncio.Event()

    async def wait(_):
        await go_on.wait()

    stage = Stage(wait)
    async with KafkaPublisher(embedded) as publisher:

        async def job():
            await publisher.publish(numbered(6))
            await until(lambda: run.health()[0].in_hand == 6)
            (health,) = run.health()
            assert health.partitions == (0, 1, 2, 3)
            assert health.idle_seconds >= 0
            go_on.set()
            await until(lambda: run.health()[0].in_hand == 0)

        run = Run([stage], embedded, publisher, jobs=[job()])
        assert await asyncio.wait_for(run.until_stopped(), 150) == ExitCode.OK
