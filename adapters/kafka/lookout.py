"""Looking out for what would otherwise pass in silence: records that are gone, work that is not done."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from itertools import count
from typing import Final

from adapters.kafka.app import Feed
from adapters.kafka.errors import LogGapError, StalledError
from adapters.kafka.handling import backoff
from adapters.kafka.lane import Lane
from adapters.kafka.offsets import Extent, LogOffsets
from engine.errors import PublishError
from engine.settings import Kafka

log = logging.getLogger(__name__)

_LOOK_EVERY: Final = 5.0
"""Seconds between looks; a sixth of the stall time-out if that is shorter."""


class Lookout:
    """Compares what the log holds with what a stage has read, by a connection that is not the consumer's.

    Stalls of Faust's consumer without any error are reported (faust issues 175, 523, 629), so its own idea of what
    there is to read is not asked.
    """

    def __init__(self, kafka: Kafka, feed: Feed, offsets: LogOffsets) -> None:
        self._kafka = kafka
        self._feed = feed
        self._offsets = offsets
        self._progress = time.monotonic()
        self._suspected: dict[int, int] = {}
        self.interval = min(_LOOK_EVERY, kafka.stall_timeout / 6)

    @property
    def idle_seconds(self) -> float:
        """Since a record was last handled or confirmed, or there was nothing to do."""
        return time.monotonic() - self._progress

    def note_progress(self) -> None:
        self._progress = time.monotonic()

    async def expected_offset(self, partition: int) -> int:
        """Offset that the group must read next.

        Raises:
            UnreachableError: the brokers did not tell within ``kafka.stall_timeout``.
        """
        give_up = time.monotonic() + self._kafka.stall_timeout
        for attempt in count(1):
            try:
                return await self._expected_offset(partition)
            except PublishError as error:
                if time.monotonic() > give_up:
                    raise
                log.warning("can't see where to go on: %s", error)
                await asyncio.sleep(backoff(self._kafka, attempt))
        raise AssertionError("count() ends")

    async def _expected_offset(self, partition: int) -> int:
        feed = self._feed
        committed = await self._offsets.committed(feed.group, feed.topic, [partition])
        if partition in committed:
            return committed[partition]
        return self._first_offset((await self._offsets.extents(feed.topic, [partition]))[partition])

    def _first_offset(self, extent: Extent) -> int:
        """Where a group begins that never committed: at what is kept; on the embedded broker nothing may be gone."""
        return 0 if self._kafka.embedded else extent.start

    async def look(self, lanes: Mapping[int, Lane]) -> None:
        """Check every partition that is ours.

        Raises:
            LogGapError: records were deleted that the stage has not read.
            StalledError: records wait and none was finished for ``kafka.stall_timeout``.
        """
        waiting = self._feed.rebalancing or not self._feed.generation
        partitions = self._feed.assigned
        if partitions:
            try:
                extents = await self._offsets.extents(self._feed.topic, partitions)
                committed = await self._offsets.committed(self._feed.group, self._feed.topic, partitions)
            except PublishError as error:
                # Who can't see can't judge; and after an outage the work deserves its full time again.
                log.warning("can't see how far the log is: %s", error)
                self.note_progress()
                return
            for partition, extent in extents.items():
                lane = lanes.get(partition)
                reached = lane.reached if lane else committed.get(partition, self._first_offset(extent))
                self._check_gap(partition, reached, extent)
                waiting |= extent.end > reached or (lane is not None and lane.in_hand > 0)
        self._check_stall(waiting=waiting)

    def _check_gap(self, partition: int, reached: int, extent: Extent) -> None:
        if extent.start <= reached:
            self._suspected.pop(partition, None)
        elif self._suspected.get(partition) != reached:
            # They may have been fetched before they were deleted and be on their way to us. Look again.
            self._suspected[partition] = reached
        else:
            raise LogGapError(
                f"{extent.start - reached} record(s) of {self._feed.topic} partition {partition} were deleted before "
                f"{self._feed.group} read them: offset {reached} is next, the log starts at {extent.start}",
                action="Replay them from their source. To go on without them, move the group to the start of the log "
                "(kafka-consumer-groups.sh --reset-offsets --to-earliest).",
            )

    def _check_stall(self, *, waiting: bool) -> None:
        if not waiting:
            self.note_progress()
        elif self.idle_seconds > self._kafka.stall_timeout:
            raise StalledError(
                f"{self._feed.group} has work waiting and finished none for {self.idle_seconds:.0f} s",
                action="Restart the process (a supervisor does): it goes on from its last commit. If it stalls again, "
                "see which record it stops at.",
            )
