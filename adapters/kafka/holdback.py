"""Holding publishers back so that the embedded broker never drops what nobody has read yet.

librdkafka's mock cluster keeps 5 MiB a partition and makes room by dropping the oldest records, read or not; if
even the last of the older batches has to go, the new one is lost with it (rdkafka_mock.c,
``rd_kafka_mock_partition_log_append``: the log's start is moved before the new batch is linked in). With records of at
most 2 MiB any two neighbours fit; with at most 2 MiB unread before a new one, all that is unread fits.

Bytes written by other processes are estimated from the number of their records. Two processes that publish to one
embedded broker are within the margin; more are not what it is for, and a reader notices (``log-gap``).
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Final

from adapters.kafka.offsets import LogOffsets
from engine.errors import PublishError
from engine.settings import Kafka

log = logging.getLogger(__name__)

_LOOK_EVERY: Final = 0.1
"""Seconds between looks at how far the readers are, while anything is unread."""


@dataclass(slots=True)
class Ledger:
    """What one partition holds that its readers have not committed yet, as far as this process knows.

    Attributes:
        reserved: bytes admitted and not yet confirmed.
        unread: heap of (offset, bytes) confirmed and not yet read by every reader.
        unread_bytes: sum of the bytes in ``unread``.
        foreign: estimated unread bytes of records that other processes wrote.
    """

    reserved: int = 0
    unread: list[tuple[int, int]] = field(default_factory=list)
    unread_bytes: int = 0
    foreign: int = 0

    @property
    def total(self) -> int:
        return self.reserved + self.unread_bytes + self.foreign

    def fits(self, size: int, limit: int) -> bool:
        """Whether a record may be added. A record over the limit goes when all before it are read."""
        return not self.total or self.total + size <= limit

    def written(self, offset: int, size: int) -> None:
        heappush(self.unread, (offset, size))
        self.unread_bytes += size

    def read_up_to(self, committed: int, end: int) -> None:
        """Forget what is below ``committed``; count what lies between it and ``end`` and is not ours."""
        while self.unread and self.unread[0][0] < committed:
            self.unread_bytes -= heappop(self.unread)[1]
        others = max(0, end - committed - len(self.unread))
        typical = self.unread_bytes // len(self.unread) if self.unread else 1024
        self.foreign = others * typical


class HoldBack:
    """Admits records to partitions while their readers keep up.

    ``readers`` tells for each topic (by the broker's name) which consumer groups must have read a record before
    it may be dropped. Topics not named there are never held back.
    """

    def __init__(self, kafka: Kafka, readers: Mapping[str, Collection[str]], offsets: LogOffsets) -> None:
        self._kafka = kafka
        self._readers = {topic: tuple(groups) for topic, groups in readers.items() if groups}
        self._offsets = offsets
        self._ledgers: defaultdict[tuple[str, int], Ledger] = defaultdict(Ledger)
        self._queues: defaultdict[tuple[str, int], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._looked = asyncio.Condition()
        self._looker: asyncio.Task[None] | None = None

    def watches(self, topic: str) -> bool:
        return topic in self._readers

    async def start(self) -> None:
        self._looker = asyncio.create_task(self._look(), name="holdback")

    async def stop(self) -> None:
        if self._looker is not None:
            self._looker.cancel()
            await asyncio.gather(self._looker, return_exceptions=True)

    async def admit(self, topic: str, partition: int, size: int) -> None:
        """Wait until ``size`` bytes may be written; first come, first served.

        Raises:
            PublishError: the readers did not make room within ``kafka.holdback_timeout``.
        """
        place = topic, partition
        ledger = self._ledgers[place]
        try:
            async with asyncio.timeout(self._kafka.holdback_timeout), self._queues[place]:
                while not ledger.fits(size, self._kafka.holdback_bytes):
                    async with self._looked:
                        await self._looked.wait()
                ledger.reserved += size
        except TimeoutError as error:
            raise PublishError(
                f"The readers of {topic} ({', '.join(self._readers[topic])}) are {ledger.total} bytes behind in "
                f"partition {partition} and made no room within {self._kafka.holdback_timeout:g} s",
                action="Check that the stages that read it run and keep up, then send again; "
                "a real Kafka has no such limit.",
            ) from error

    def settle(self, topic: str, partition: int, size: int, offset: int | None) -> None:
        """Say what became of an admitted record: confirmed at ``offset``, or not (None)."""
        ledger = self._ledgers[topic, partition]
        ledger.reserved -= size
        if offset is not None:
            ledger.written(offset, size)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            try:
                await self._look_once()
            except PublishError as error:
                log.warning("hold-back can't see how far the readers are: %s", error)
                await asyncio.sleep(1)

    async def _look_once(self) -> None:
        held: defaultdict[str, list[int]] = defaultdict(list)
        for (topic, partition), ledger in self._ledgers.items():
            if ledger.total:
                held[topic].append(partition)
        for topic, partitions in held.items():
            extents = await self._offsets.extents(topic, partitions)
            committed = [
                await self._offsets.committed(group, topic, partitions) for group in self._readers[topic]
            ]
            for partition in partitions:
                slowest = min(group.get(partition, 0) for group in committed)
                self._ledgers[topic, partition].read_up_to(slowest, extents[partition].end)
        if held:
            async with self._looked:
                self._looked.notify_all()
