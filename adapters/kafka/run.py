"""Running stages: start, wait for a signal or a failure, stop within one deadline, say how it ended."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Collection, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, Final, Protocol

from adapters.kafka.agents import StageHealth, StageRunner
from adapters.kafka.deadline import Deadline
from adapters.kafka.errors import LogGapError
from adapters.kafka.offsets import LogOffsets
from adapters.kafka.topics import ensure_topics, group_of
from adapters.kafka.watchdog import Watchdog
from engine.errors import SettingsError, WardstreamError, place_in_code
from engine.ports import Publisher, Stage
from engine.settings import Kafka

log = logging.getLogger(__name__)

_GRACE: Final = 2.0
"""Seconds that the steps of a stop may be late before the process is ended hard."""


class ExitCode(IntEnum):
    """How a run ended. All but ``OK`` mean: something was left undone, none of it acknowledged (sysexits.h)."""

    OK = 0
    BUG = 70
    """A fault in the engine; restarting may help, reporting will."""
    LOG_GAP = 74
    """Records are gone from the log. Restarting does not help: a person must decide."""
    TRY_AGAIN = 75
    """Kafka away, consumer crashed or stalled: restart."""


class Service(Protocol):
    """Something that runs beside the stages and brings messages in or shows them, such as the MLLP listener."""

    async def start(self) -> None: ...

    async def stop(self, timeout: float | None = None) -> object:  # noqa: ASYNC109 - servers share it among steps
        """Stop taking in, finish within ``timeout`` seconds."""
        ...


def readers_of(kafka: Kafka, stages: Sequence[Stage]) -> dict[str, list[str]]:
    """Which consumer groups read which logical topic: what :class:`KafkaPublisher` must know on an embedded broker."""
    readers: dict[str, list[str]] = {}
    for stage in stages:
        readers.setdefault(stage.topic, []).append(group_of(kafka, stage.name))
    return readers


class Run:
    """One run of stages and services. ``Run(...).until_stopped()`` is all of it."""

    def __init__(
        self,
        stages: Sequence[Stage],
        kafka: Kafka,
        publisher: Publisher,
        *,
        services: Sequence[Service] = (),
        beside_loop: Collection[str] = (),
        jobs: Sequence[Coroutine[Any, Any, object]] = (),
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare a run; call it in the running event loop.

        Args:
            stages: what to run. Each has its own consumer group and Faust app, so that any of them may run in
                any number of processes.
            kafka: the log.
            publisher: started already, and stopped by the caller afterwards.
            services: started before the stages, stopped before them too.
            beside_loop: names of stages whose ``handle`` never awaits: large records go to a thread.
            jobs: coroutines to run beside; when one returns the run ends well, when one raises it has failed.
            on_ready: called once everything is started.
        """
        if len({stage.name for stage in stages}) < len(stages):
            raise SettingsError(
                "Two stages have one name", action="Give each its own: it names the consumer group."
            )
        self._kafka = kafka
        self._services = services
        self._jobs = jobs
        self._on_ready = on_ready
        self._offsets = LogOffsets(kafka)
        self._runners = [
            StageRunner(
                stage,
                kafka,
                publisher,
                self._offsets,
                beside_loop=stage.name in beside_loop,
                on_failure=self._fail,
            )
            for stage in stages
        ]
        self._over = asyncio.Event()
        self._code = ExitCode.OK
        self._started: list[Service] = []

    def health(self) -> list[StageHealth]:
        return [runner.health() for runner in self._runners]

    def stop(self) -> None:
        """Ask the run to end."""
        self._over.set()

    async def until_stopped(self) -> int:
        """Run until SIGTERM, SIGINT, :meth:`stop`, a job's end or a failure; return the exit code.

        Raises:
            SettingsError, UnreachableError: it could not even start.
        """
        watchdog = Watchdog(self._kafka.stall_timeout, ExitCode.TRY_AGAIN)
        watchdog.start()
        jobs: list[asyncio.Task[None]] = []
        with _signals(self.stop):
            try:
                await self._start()
                jobs += [asyncio.create_task(self._job(job)) for job in self._jobs]
                self._on_ready()
                await self._over.wait()
            finally:
                for job in self._jobs[len(jobs) :]:
                    job.close()  # never begun, because starting failed
                deadline = Deadline(self._kafka.shutdown_timeout)
                watchdog.end_within(deadline.remaining() + _GRACE, self._code or ExitCode.TRY_AGAIN)
                if await self._stop(deadline, jobs):
                    watchdog.stop()  # else it stays: a thread of Faust's would keep the process alive for ever
        return self._code

    async def _start(self) -> None:
        await ensure_topics(self._kafka)
        await self._offsets.start()
        # Services first: feeds need only the log, and after a crash the stages wait for their partitions until the
        # session of the dead worker has timed out.
        for service in self._services:
            await service.start()
            self._started.append(service)
        await asyncio.gather(*(runner.start() for runner in self._runners))
        log.info("running: %s", ", ".join(runner.stage.name for runner in self._runners) or "no stages")

    async def _stop(self, deadline: Deadline, jobs: Sequence[asyncio.Task[None]]) -> bool:
        """Stop what brings messages in, then what works on them, then what they lean on; False if a part hangs."""
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        for service in reversed(self._started):
            await deadline.bound(service.stop(deadline.remaining() / 2), f"stop {type(service).__name__}")
        left = await asyncio.gather(*(runner.stop(deadline) for runner in self._runners))
        await deadline.bound(self._offsets.stop(), "close the connection for offsets")
        return all(left)

    async def _job(self, job: Coroutine[Any, Any, object]) -> None:
        try:
            await job
        except Exception as error:  # noqa: BLE001 - how it failed becomes the exit code
            self._fail("job", error)
        self._over.set()

    def _fail(self, who: str, error: BaseException) -> None:
        if self._code == ExitCode.OK:
            self._code = _exit_code(error)
        log.critical(
            "%s failed, nothing more is acknowledged from it: %s",
            who,
            error
            if isinstance(error, WardstreamError)
            else f"{type(error).__name__} at {place_in_code(error)}",
        )
        self._over.set()


async def run_stages(
    stages: Sequence[Stage],
    kafka: Kafka,
    *,
    publisher: Publisher,
    services: Sequence[Service] = (),
    beside_loop: Collection[str] = (),
    jobs: Sequence[Coroutine[Any, Any, object]] = (),
    on_ready: Callable[[], None] = lambda: None,
) -> int:
    """Run stages until told to stop; see :class:`Run`. Returns the exit code for the process."""
    run = Run(
        stages,
        kafka,
        publisher,
        services=services,
        beside_loop=beside_loop,
        jobs=jobs,
        on_ready=on_ready,
    )
    return await run.until_stopped()


def _exit_code(error: BaseException) -> ExitCode:
    if isinstance(error, LogGapError):
        return ExitCode.LOG_GAP
    return ExitCode.TRY_AGAIN if isinstance(error, WardstreamError) else ExitCode.BUG


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    """Let SIGTERM and SIGINT end the run instead of the process, where that is ours to decide."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    caught = (signal.SIGTERM, signal.SIGINT)
    for number in caught:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in caught:
            loop.remove_signal_handler(number)
