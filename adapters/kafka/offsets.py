"""How far a topic is written, kept and read: asked of the brokers, apart from any consumer of ours."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from adapters.kafka.client import connection
from adapters.kafka.topics import asking
from engine.settings import Kafka


@dataclass(frozen=True, slots=True)
class Extent:
    """What a partition holds: offsets from ``start`` up to, not including, ``end``."""

    start: int
    end: int


class LogOffsets:
    """Asks the brokers for offsets. Topic names here are the broker's own.

    Every method raises :class:`adapters.kafka.errors.UnreachableError` when no usable answer came within
    ``kafka.admin_timeout``.
    """

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._consumer: Any = None  # an AIOKafkaConsumer from start() on
        self._admin: Any = None

    async def start(self) -> None:
        options = {**connection(self._kafka), "request_timeout_ms": int(self._kafka.admin_timeout * 1000)}
        self._consumer = AIOKafkaConsumer(**options, enable_auto_commit=False)
        self._admin = AIOKafkaAdminClient(**options)
        try:
            async with asking(self._kafka, "connect"):
                await self._consumer.start()
                await self._admin.start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        if self._consumer is not None:
            await self._consumer.stop()
        if self._admin is not None:
            await self._admin.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def partitions(self, topic: str) -> list[int]:
        """Numbers of the topic's partitions; empty if there is no such topic."""
        async with asking(self._kafka, "list partitions"):
            for found in await self._admin.describe_topics([topic]):
                return sorted(partition["partition"] for partition in found["partitions"])
        return []

    async def extents(self, topic: str, partitions: Collection[int]) -> dict[int, Extent]:
        """First and next offset of each partition."""
        asked = [TopicPartition(topic, partition) for partition in partitions]
        async with asking(self._kafka, "tell offsets"):
            starts = await self._consumer.beginning_offsets(asked)
            ends = await self._consumer.end_offsets(asked)
        return {place.partition: Extent(starts[place], ends[place]) for place in asked}

    async def committed(self, group: str, topic: str, partitions: Collection[int]) -> dict[int, int]:
        """Next offset that the group will read, of those partitions where it has committed any."""
        asked = [TopicPartition(topic, partition) for partition in partitions]
        async with asking(self._kafka, "tell committed offsets"):
            found = await self._admin.list_consumer_group_offsets(group, partitions=asked)
        # -1 says that the group never committed there.
        return {place.partition: meta.offset for place, meta in found.items() if meta.offset >= 0}
