"""Reading topics for people and tools: the demo's collector, ``trace``, ``dlq``. No stage reads this way."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime
from typing import Any, Final, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from adapters.kafka.client import connection
from adapters.kafka.errors import LogGapError
from adapters.kafka.raw import record_of
from adapters.kafka.topics import admin_client, asking, group_of, physical, unreachable
from engine.errors import SettingsError
from engine.records import Record
from engine.settings import Kafka

_POLL_MS: Final = 200


class KafkaReader:
    """Reads all partitions of some topics, from their beginning or from a point in time.

    With a ``group`` what was handed out is committed, batch by batch, so that an embedded broker can be told to keep
    what this reader has not seen (:func:`adapters.kafka.run.readers_of`), and a later reader goes on from there. Within
    a group one reader at a time reads.
    """

    def __init__(
        self, kafka: Kafka, topics: Collection[str], *, group: str = "", since: datetime | None = None
    ) -> None:
        """Make a reader of logical ``topics``; nothing is connected before :meth:`start`.

        ``since`` skips records with an earlier timestamp; where the group has committed, it goes on there instead.
        """
        self._kafka = kafka
        self._topics = tuple(topics)
        # Kafka's timestamps are whole milliseconds.
        self._since = since and since.replace(microsecond=since.microsecond // 1000 * 1000)
        self.group = group_of(kafka, group) if group else ""
        self._consumer: Any = None  # an AIOKafkaConsumer from start() on
        self._next: dict[TopicPartition, int] = {}

    async def start(self) -> None:
        """Connect and take position.

        Raises:
            UnreachableError: no broker answered within ``kafka.admin_timeout``.
            SettingsError: there is no such topic.
        """
        self._consumer = AIOKafkaConsumer(
            **connection(self._kafka),
            group_id=self.group or None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=self._kafka.fetch_max_bytes,
            # The mock cluster answers a waiting fetch only when its time is up, though records have come.
            fetch_max_wait_ms=50 if self._kafka.embedded else 500,
            request_timeout_ms=int(self._kafka.admin_timeout * 1000),
        )
        try:
            async with asking(self._kafka, "connect"):
                await self._consumer.start()
                places = await self._places()
                self._consumer.assign(places)
                self._next = await self._first_offsets(places)
                for place, offset in self._next.items():
                    self._consumer.seek(place, offset)
        except BaseException:
            await self._consumer.stop()
            raise

    async def stop(self) -> None:
        if self._consumer is not None:
            await self._consumer.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def to_end(self) -> AsyncIterator[Record]:
        """Every record up to at least what is the end when this is called; in order within a partition.

        Raises:
            LogGapError: records were deleted while we read.
            UnreachableError: nothing came for ``kafka.admin_timeout`` though the end is not reached.
        """
        async with asking(self._kafka, "tell offsets"):
            ends = await self._consumer.end_offsets(list(self._next))
        came = time.monotonic()
        while any(self._next[place] < end for place, end in ends.items()):
            before = dict(self._next)
            async for record in self._batch():
                yield record
            if self._next != before:
                came = time.monotonic()
            elif time.monotonic() - came > self._kafka.admin_timeout:
                raise unreachable(self._kafka, "read on", TimeoutError())

    async def tail(self) -> AsyncIterator[Record]:
        """Every record, waiting for new ones until the caller stops asking. Raises as :meth:`to_end`."""
        while True:
            async for record in self._batch():
                yield record

    async def _places(self) -> list[TopicPartition]:
        places = []
        async with admin_client(self._kafka) as admin:
            for found in await admin.describe_topics([physical(self._kafka, name) for name in self._topics]):
                if found["error_code"] or not found["partitions"]:
                    raise SettingsError(
                        f"There is no topic {found['topic']}",
                        action="Start the engine once (it creates the topics), or check kafka.prefix.",
                    )
                places += [TopicPartition(found["topic"], each["partition"]) for each in found["partitions"]]
        return sorted(places)

    async def _first_offsets(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        first: dict[TopicPartition, int] = await self._consumer.beginning_offsets(places)
        if self._since is not None and not self._kafka.embedded:  # the mock cluster knows no times
            wanted = int(self._since.timestamp() * 1000)
            found = await self._consumer.offsets_for_times(dict.fromkeys(places, wanted))
            ends = await self._consumer.end_offsets(places)
            first = {place: found[place].offset if found[place] else ends[place] for place in places}
        if self.group:
            for place in places:
                committed = await self._consumer.committed(place)
                # Nothing may be gone that an embedded broker held back for this group.
                first[place] = (
                    (0 if self._kafka.embedded else first[place]) if committed is None else committed
                )
        return first

    async def _batch(self) -> AsyncIterator[Record]:
        """What one fetch brings. It is committed for the group when the caller comes back for more."""
        try:
            fetched = await self._consumer.getmany(timeout_ms=_POLL_MS)
        except OffsetOutOfRangeError as error:
            lost = ", ".join(f"{place.topic} partition {place.partition}" for place in error.args[0])
            raise _gone(f"the next records of {lost} are") from error
        except (KafkaError, OSError) as error:
            raise unreachable(self._kafka, "read on", error) from error
        for place, rows in fetched.items():
            for row in rows:
                if row.offset > self._next[place]:
                    raise _gone(
                        f"{place.topic} partition {place.partition}: offsets {self._next[place]} to {row.offset} are"
                    )
                self._next[place] = row.offset + 1
                record = self._record(row)
                if self._since is None or record.timestamp >= self._since:
                    yield record
        if self.group and fetched:
            async with asking(self._kafka, "commit what was read"):
                await self._consumer.commit({place: self._next[place] for place in fetched})

    def _record(self, row: Any) -> Record:
        return record_of(
            self._kafka,
            row.topic,
            row.partition,
            row.offset,
            row.key,
            row.value,
            row.headers,
            row.timestamp / 1000,
        )


def _gone(what: str) -> LogGapError:
    return LogGapError(
        f"{what} no longer in the log",
        action="They were deleted before they were read (retention, or the embedded broker's 5 MiB a partition). "
        "Read again from the beginning of what is left.",
    )


async def read_topic(kafka: Kafka, topic: str, *, since: datetime | None = None) -> list[Record]:
    """All records of a topic up to its current end, by partition and offset. For topics that fit into memory.

    Raises:
        UnreachableError, SettingsError, LogGapError: see :class:`KafkaReader`.
    """
    async with KafkaReader(kafka, [topic], since=since) as reader:
        records = [record async for record in reader.to_end()]
    return sorted(records, key=lambda record: (record.partition, record.offset))
