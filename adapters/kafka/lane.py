"""One partition in work: records handled side by side, published in order, acknowledged from the head on."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from adapters.kafka.errors import LogGapError, StalledError
from adapters.kafka.handling import Handled, Handling, backoff
from adapters.kafka.window import Window
from engine.errors import PublishError, TooLargeToPublishError
from engine.ports import Publisher
from engine.records import Publication, Record
from engine.settings import Kafka

log = logging.getLogger(__name__)


class Lane:
    """What is under way of one partition.

    Attributes:
        window: the records under way, and the offset that may be committed.
        committed: the offset that was committed last from here, None before the first.
    """

    def __init__(
        self,
        kafka: Kafka,
        next_offset: int,
        handling: Handling,
        publisher: Publisher,
        *,
        on_progress: Callable[[], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        """Make a lane whose first record must have ``next_offset``.

        ``on_progress`` is called when records were confirmed or handled; ``on_failure`` when the lane can't go on:
        then nothing more is acknowledged from it.
        """
        self._kafka = kafka
        self._handling = handling
        self._publisher = publisher
        self._on_progress = on_progress
        self._on_failure = on_failure
        self.window: Window[Handled] = Window(
            next_offset, max_records=kafka.in_flight, max_bytes=kafka.in_flight_bytes
        )
        self.committed: int | None = None
        self._waiting: deque[Record] = deque()
        self._waiting_bytes = 0
        self._draining = False
        self._closed = False
        self._finished = asyncio.Event()
        self._moved = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._publishing = self._spawn(self._publish_finished())

    @property
    def in_hand(self) -> int:
        """Records here that are not confirmed."""
        return len(self.window) + len(self._waiting)

    @property
    def reached(self) -> int:
        """Offset of the record that must come next."""
        return self._waiting[-1].offset + 1 if self._waiting else self.window.next_offset

    @property
    def crowded(self) -> bool:
        """Whether as much waits as one fetch brings: time to stop fetching this partition."""
        return (
            len(self._waiting) >= self._kafka.fetch_max_records
            or self._waiting_bytes >= self._kafka.fetch_max_bytes
        )

    @property
    def sparse(self) -> bool:
        """Whether so little waits that fetching should go on."""
        return (
            len(self._waiting) <= self._kafka.fetch_max_records // 2
            and self._waiting_bytes <= self._kafka.fetch_max_bytes // 2
        )

    def offer(self, record: Record) -> None:
        """Take in the next record. A record that was here before is passed over."""
        if self._closed or self._draining or record.offset < self.reached:
            return
        self._waiting.append(record)
        self._waiting_bytes += len(record.value)
        self._admit()

    async def wait_until_sparse(self) -> None:
        async with self._moved:
            await self._moved.wait_for(lambda: self.sparse or self._closed)

    async def drain(self, seconds: float) -> None:
        """Take in nothing more, forget what waits, and give what is under way so much time to be confirmed."""
        self._draining = True
        self._waiting.clear()
        self._waiting_bytes = 0
        try:
            async with asyncio.timeout(seconds), self._moved:
                await self._moved.wait_for(lambda: not len(self.window) or self._closed)
        except TimeoutError:
            return

    async def close(self) -> None:
        """Stop everything here. Nothing is acknowledged any more."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        async with self._moved:
            self._moved.notify_all()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _admit(self) -> None:
        try:
            while self._waiting and self.window.has_room(len(self._waiting[0].value)):
                record = self._waiting.popleft()
                self._waiting_bytes -= len(record.value)
                self.window.admit(record.offset, len(record.value))
                self._spawn(self._handle(record))
        except LogGapError as error:
            self._fail(error)

    async def _handle(self, record: Record) -> None:
        try:
            handled = await self._handling.run(record)
        except Exception as error:  # noqa: BLE001 - handling promises not to raise: if it does, nothing is sure
            self._fail(error)
            return
        self.window.finish(record.offset, handled)
        self._finished.set()
        self._on_progress()

    async def _publish_finished(self) -> None:
        try:
            while True:
                await self._finished.wait()
                self._finished.clear()
                while run := self.window.take():
                    await self._publish_run([handled for _, handled in run])
                    self._on_progress()
                    self._admit()
                    async with self._moved:
                        self._moved.notify_all()
        except Exception as error:  # noqa: BLE001 - a lane that can't publish must stop the process, whatever the cause
            self._fail(error)

    async def _publish_run(self, run: Sequence[Handled]) -> None:
        """Publish the output of consecutive records: in one go, or one by one if something in it is too large."""
        try:
            await publish_patiently(
                self._publisher, self._kafka, [p for handled in run for p in handled.publications]
            )
            self.window.confirm(len(run))
        except TooLargeToPublishError:
            for handled in run:
                await self._publish_one(handled)
                self.window.confirm(1)
        if any(handled.stuck for handled in run):
            raise StalledError(
                "A handler runs on past its time limit and can't be ended; its record is a dead letter",
                action="Restart the process (a supervisor does); it goes on behind that record.",
            )

    async def _publish_one(self, handled: Handled) -> None:
        try:
            await publish_patiently(self._publisher, self._kafka, handled.publications)
        except TooLargeToPublishError as error:
            if handled.dead:
                raise
            letter = self._handling.give_up(handled.record, error, attempts=1)
            await publish_patiently(self._publisher, self._kafka, letter.publications)

    def _fail(self, error: BaseException) -> None:
        self._closed = True
        self._on_failure(error)


async def publish_patiently(publisher: Publisher, kafka: Kafka, publications: Sequence[Publication]) -> None:
    """Publish, trying again after pauses while the log may come back.

    Raises:
        PublishError: ``kafka.handler_attempts`` tries failed, or the log will never take one of them.
    """
    for attempt in range(1, kafka.handler_attempts + 1):
        try:
            return await publisher.publish(publications)
        except PublishError as error:
            if not error.retryable or attempt == kafka.handler_attempts:
                raise
            log.warning("publishing failed, try %d: %s", attempt, error)
            await asyncio.sleep(backoff(kafka, attempt))
    return None
