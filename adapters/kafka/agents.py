"""A stage at work: its feed, its lanes, its commits and ticks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from adapters.kafka.app import Feed
from adapters.kafka.caller import BesideLoop, Caller, OnLoop
from adapters.kafka.deadline import Deadline
from adapters.kafka.errors import FeedError
from adapters.kafka.handling import Handling
from adapters.kafka.lane import Lane, publish_patiently
from adapters.kafka.lookout import Lookout
from adapters.kafka.offsets import LogOffsets
from engine.ports import Publisher, Stage
from engine.records import Record
from engine.settings import Kafka

_TICK: Final = 1.0
"""Seconds between ticks (:class:`engine.ports.Stage`)."""
_CRASH_LOOK: Final = 0.25
"""Seconds between looks whether Faust has crashed; it tells nobody by itself."""


@dataclass(frozen=True, slots=True)
class StageHealth:
    """How a stage is doing.

    Attributes:
        stage: its name.
        partitions: partitions assigned to it here.
        in_hand: records read and not yet confirmed.
        idle_seconds: since a record was last handled or confirmed, or there was nothing to do.
        rebalancing: whether partitions are being handed out just now.
    """

    stage: str
    partitions: tuple[int, ...]
    in_hand: int
    idle_seconds: float
    rebalancing: bool


class StageRunner:
    """Runs one stage on its topic until stopped or failed. It never acknowledges what is not confirmed."""

    def __init__(
        self,
        stage: Stage,
        kafka: Kafka,
        publisher: Publisher,
        offsets: LogOffsets,
        *,
        beside_loop: bool,
        on_failure: Callable[[str, BaseException], None],
    ) -> None:
        """Make the runner of ``stage``; call it in the running event loop.

        ``beside_loop`` sends large records to a thread (:class:`adapters.kafka.caller.BesideLoop`). ``on_failure``
        is called with the stage's name and the reason when it can't go on; the process must end then.
        """
        self.stage = stage
        self._kafka = kafka
        self._publisher = publisher
        self._caller: Caller = (
            BesideLoop(stage, kafka.handler_timeout, kafka.beside_over_bytes)
            if beside_loop
            else OnLoop(stage, kafka.handler_timeout)
        )
        self._handling = Handling(stage, self._caller, kafka)
        self._feed = Feed(kafka, stage.name, stage.topic, on_record=self._take, on_revoked=self._give_away)
        self._lookout = Lookout(kafka, self._feed, offsets)
        self._report_failure = on_failure
        self._lanes: dict[int, Lane] = {}
        self._held: set[int] = set()
        self._committing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._failed = False

    async def start(self) -> None:
        """Join the consumer group and begin."""
        await self._feed.start()
        for work in (self._commit_regularly, self._tick_regularly, self._look_regularly, self._notice_crash):
            self._spawn(work())

    async def stop(self, deadline: Deadline) -> bool:
        """Finish what is under way as far as time allows, acknowledge what is confirmed, leave the group.

        False if the group could not be left: Faust's thread then still runs.
        """
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if not self._failed:
            # Half of the time for work under way: the other half must do for the steps that follow.
            await self._drain(self._lanes.values(), deadline.remaining() / 2)
            await deadline.bound(self._tick(), "publish the last tick")
        await deadline.bound(self._commit(), "commit")
        await asyncio.gather(*(lane.close() for lane in self._lanes.values()))
        self._caller.close()
        return await deadline.bound(self._feed.stop(), "leave the consumer group")

    def health(self) -> StageHealth:
        return StageHealth(
            stage=self.stage.name,
            partitions=tuple(sorted(self._feed.assigned)),
            in_hand=sum(lane.in_hand for lane in self._lanes.values()),
            idle_seconds=self._lookout.idle_seconds,
            rebalancing=self._feed.rebalancing,
        )

    # The way of a record

    async def _take(self, record: Record, generation: int) -> None:
        if self._stopping:
            return
        partition = record.partition
        lane = self._lanes.get(partition) or await self._open(partition, generation)
        if lane is None:
            return
        lane.offer(record)
        if lane.crowded and partition not in self._held:
            self._held.add(partition)
            self._feed.hold(partition)
            self._spawn(self._release(lane, partition))

    async def _open(self, partition: int, generation: int) -> Lane | None:
        """Make the lane of a partition that is newly ours, to go on where its group stopped."""
        try:
            expected = await self._lookout.expected_offset(partition)
        except Exception as error:  # noqa: BLE001 - without a lane the record would be lost: the process must stop
            self._fail(error)
            return None
        if generation != self._feed.generation:
            return None  # it was given away meanwhile; whoever has it now reads the record again
        lane = self._lanes[partition] = Lane(
            self._kafka,
            expected,
            self._handling,
            self._publisher,
            on_progress=self._lookout.note_progress,
            on_failure=self._fail,
        )
        return lane

    async def _release(self, lane: Lane, partition: int) -> None:
        await lane.wait_until_sparse()
        self._held.discard(partition)
        self._feed.release(partition)

    async def _give_away(self, partitions: set[int]) -> None:
        """Let go of partitions: what is confirmed by then is committed, the rest will be read again."""
        leaving = {partition: lane for partition, lane in self._lanes.items() if partition in partitions}
        await self._drain(leaving.values(), self._kafka.rebalance_drain)
        await Deadline(self._kafka.rebalance_drain).bound(self._commit(), "commit before partitions move")
        for partition, lane in leaving.items():
            del self._lanes[partition]
            await lane.close()

    @staticmethod
    async def _drain(lanes: Iterable[Lane], seconds: float) -> None:
        await asyncio.gather(*(lane.drain(seconds) for lane in lanes))

    async def _commit(self) -> None:
        """Commit what is confirmed. What could not be committed is confirmed twice after a restart, not lost."""
        async with self._committing:
            new = {
                partition: lane.window.committable
                for partition, lane in self._lanes.items()
                if lane.window.committable is not None and lane.window.committable != lane.committed
            }
            if not new or not await self._feed.commit(new):
                return
            for partition, offset in new.items():
                if partition in self._lanes:
                    self._lanes[partition].committed = offset

    async def _tick(self) -> None:
        publications = await self._caller.tick(datetime.now(UTC))
        if publications:
            await publish_patiently(self._publisher, self._kafka, publications)

    # What goes on beside

    async def _commit_regularly(self) -> None:
        while True:
            await asyncio.sleep(self._kafka.commit_interval)
            await self._commit()

    async def _tick_regularly(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            await self._tick()

    async def _look_regularly(self) -> None:
        while True:
            await asyncio.sleep(self._lookout.interval)
            await self._lookout.look(self._lanes)

    async def _notice_crash(self) -> None:
        while self._feed.failure is None:  # noqa: ASYNC110 - Faust has no event to wait for
            await asyncio.sleep(_CRASH_LOOK)
        raise FeedError(
            f"Kafka's consumer for stage {self.stage.name} crashed: {type(self._feed.failure).__name__}",
            action="See the log lines before this one. Restart the process: it goes on from its last commit.",
        ) from self._feed.failure

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` beside; if it fails, the stage has failed."""

        async def guarded() -> None:
            try:
                await work
            except Exception as error:  # noqa: BLE001 - anything unforeseen must stop the process, not vanish in a task
                self._fail(error)

        task = asyncio.create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _fail(self, error: BaseException) -> None:
        self._failed = True
        self._report_failure(self.stage.name, error)
