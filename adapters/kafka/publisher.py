"""Confirmed publishing: a record is safe when all in-sync replicas have it, and only then do we say so."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    ProducerClosed,
    RecordListTooLargeError,
)
from aiokafka.partitioner import DefaultPartitioner

from adapters.kafka.client import connection
from adapters.kafka.holdback import HoldBack
from adapters.kafka.offsets import LogOffsets
from adapters.kafka.topics import DEAD_LETTER_ROOM, TOPICS, asking, physical
from engine.errors import PublishError, TooLargeToPublishError
from engine.records import Publication
from engine.settings import Kafka

log = logging.getLogger(__name__)

_TOO_LARGE: Final = (MessageSizeTooLargeError, RecordListTooLargeError)
_FRAMING: Final = 64
"""Bytes Kafka adds to a record at most, besides its headers (KIP-98, "Record")."""


class KafkaPublisher:
    """:class:`engine.ports.Publisher` on aiokafka: acks=all, idempotent, bounded in bytes and time.

    Idempotence keeps retries inside Kafka's client from doubling or reordering records. What a caller sends again
    after a :class:`PublishError` may be there twice: ids are deterministic, so that does no harm.
    """

    def __init__(self, kafka: Kafka, readers: Mapping[str, Collection[str]] | None = None) -> None:
        """Make a publisher; nothing is connected before :meth:`start`.

        ``readers`` matters on the embedded broker only: for each logical topic, the consumer groups that must
        have read a record before the broker may drop it (:func:`adapters.kafka.run.readers_of`).
        """
        self._kafka = kafka
        self._readers = {physical(kafka, topic): groups for topic, groups in (readers or {}).items()}
        self._producer: AIOKafkaProducer | None = None
        self._renewing = asyncio.Lock()
        self._room = _ByteRoom(kafka.publish_buffer_bytes)
        self._partitioner = DefaultPartitioner()
        self._offsets: LogOffsets | None = None
        self._holdback: HoldBack | None = None

    async def start(self) -> None:
        """Connect.

        Raises:
            UnreachableError: no broker answered within ``kafka.admin_timeout``.
        """
        self._producer = await self._connect()
        if self._kafka.embedded and self._readers:
            self._offsets = LogOffsets(self._kafka)
            await self._offsets.start()
            self._holdback = HoldBack(self._kafka, self._readers, self._offsets)
            await self._holdback.start()

    async def stop(self) -> None:
        """Disconnect. What is not confirmed within ``kafka.publish_timeout`` was never said to be safe."""
        if self._holdback is not None:
            await self._holdback.stop()
        if self._offsets is not None:
            await self._offsets.stop()
        producer, self._producer = self._producer, None
        if producer is not None:
            await _close(producer, self._kafka.publish_timeout)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def publish(self, publications: Sequence[Publication]) -> None:
        """See :class:`engine.ports.Publisher`."""
        sizes = [self._checked_size(publication) for publication in publications]
        producer = self._producer
        if producer is None:
            raise PublishError("The publisher is not running", action="Start it before publishing.")
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._patience):
                await self._send(producer, publications, sizes)
        except (TimeoutError, KafkaTimeoutError) as error:
            raise PublishError(
                f"Kafka did not confirm {_names(publications)} within {time.monotonic() - started:.1f} s",
                action="Check the brokers and that enough replicas are in sync, then send again.",
            ) from error
        except (KafkaError, OSError) as error:
            await self._renew_if_broken(producer, error)
            if isinstance(error, _TOO_LARGE):
                raise self._too_large(_names(publications), max(sizes), "the broker's own limit") from error
            raise PublishError(
                f"Kafka refused {_names(publications)}: {type(error).__name__}",
                action="Check the brokers' state and this client's permissions, then send again.",
            ) from error

    @property
    def _patience(self) -> float:
        return self._kafka.publish_timeout + (self._kafka.holdback_timeout if self._holdback else 0)

    def _checked_size(self, publication: Publication) -> int:
        """Size of a record as Kafka counts it; refused before anything is sent if it can never be written."""
        size = len(publication.key) + len(publication.value) + _FRAMING
        size += sum(
            len(name) + len(value.encode(errors="surrogateescape")) + 8
            for name, value in publication.headers.items()
        )
        topic = TOPICS.get(publication.topic)
        limit = topic.max_bytes(self._kafka) if topic else self._kafka.max_message_bytes
        if size > limit:
            raise self._too_large(publication.topic, size, f"the topic's limit of {limit} bytes")
        if self._kafka.embedded and size > self._kafka.embedded_record_bytes:
            raise self._too_large(
                publication.topic,
                size,
                f"the {self._kafka.embedded_record_bytes} bytes the embedded broker can keep",
            )
        return size

    def _too_large(self, what: str, size: int, limit: str) -> TooLargeToPublishError:
        return TooLargeToPublishError(
            f"A record of {size} bytes for {what} is over {limit}",
            action="Use a real Kafka: the embedded broker is for demo and tests."
            if self._kafka.embedded
            else "Raise kafka.max_message_bytes and the topics' max.message.bytes, or send the message in parts.",
        )

    async def _send(
        self, producer: AIOKafkaProducer, publications: Sequence[Publication], sizes: Sequence[int]
    ) -> None:
        waiting: list[asyncio.Future[Any]] = []
        try:
            for publication, size in zip(publications, sizes, strict=True):
                waiting.append(await self._hand_over(producer, publication, size))
            await asyncio.gather(*waiting)
        finally:
            # After a failure the others must not be left behind with an exception that nobody looks at.
            for future in waiting:
                future.add_done_callback(_look_at)

    async def _hand_over(
        self, producer: AIOKafkaProducer, publication: Publication, size: int
    ) -> asyncio.Future[Any]:
        """Give one record to Kafka's client. Its bytes count as under way until Kafka has answered."""
        topic, key = physical(self._kafka, publication.topic), publication.key or None
        headers = [
            (name, value.encode(errors="surrogateescape")) for name, value in publication.headers.items()
        ]
        await self._room.take(size)
        partition: int | None = None
        future: asyncio.Future[Any] | None = None
        try:
            partition = await self._admitted_partition(producer, topic, key, size)
            future = await producer.send(topic, publication.value, key, partition, headers=headers)
            return future
        finally:
            if future is None:
                self._settle(topic, partition, size, None)
            else:
                future.add_done_callback(lambda done: self._settle(topic, partition, size, done))

    async def _admitted_partition(
        self, producer: AIOKafkaProducer, topic: str, key: bytes | None, size: int
    ) -> int | None:
        """The partition to write to once there is room in it; None leaves the choice to Kafka's client."""
        if self._holdback is None or not self._holdback.watches(topic):
            return None
        numbers = sorted(await producer.partitions_for(topic))
        partition: int = self._partitioner(key, numbers, numbers)
        await self._holdback.admit(topic, partition, size)
        return partition

    def _settle(self, topic: str, partition: int | None, size: int, done: asyncio.Future[Any] | None) -> None:
        self._room.give(size)
        if self._holdback is not None and partition is not None:
            failed = done is None or done.cancelled() or done.exception() is not None
            self._holdback.settle(
                topic, partition, size, None if failed or done is None else done.result().offset
            )

    async def _connect(self) -> AIOKafkaProducer:
        kafka = self._kafka
        producer = AIOKafkaProducer(
            **connection(kafka),
            acks="all",
            enable_idempotence=True,
            linger_ms=kafka.publish_linger_ms,
            max_batch_size=kafka.publish_batch_bytes,
            max_request_size=kafka.max_message_bytes + DEAD_LETTER_ROOM + _FRAMING,
            request_timeout_ms=int(kafka.publish_timeout * 1000),
        )
        try:
            async with asking(kafka, "connect"):
                await producer.start()
        except BaseException:
            await _close(producer, 1.0)
            raise
        return producer

    async def _renew_if_broken(self, broken: AIOKafkaProducer, error: Exception) -> None:
        """Replace the client after an answer it can't retry, or it would refuse everything from then on.

        A batch that failed for good leaves a hole in the idempotent session's sequence numbers, and the broker
        refuses whatever comes after it (KIP-98, OutOfOrderSequenceNumber).
        """
        if getattr(error, "retriable", False):
            return
        async with self._renewing:
            if self._producer is not broken:
                return
            log.warning("Kafka client replaced after %s", type(error).__name__)
            with suppress(PublishError):
                self._producer = await self._connect()
                await _close(broken, 1.0)


async def _close(producer: AIOKafkaProducer, seconds: float) -> None:
    """Stop a producer, whose own ``stop`` waits for ever while a broker is away."""
    try:
        async with asyncio.timeout(seconds):
            await producer.stop()
    except (TimeoutError, KafkaError, OSError) as error:
        log.warning("Kafka client closed with records unconfirmed: %s", type(error).__name__)
        # No public way ends the sending task and tells those who wait for it.
        if producer._sender is not None:  # noqa: SLF001
            await producer._sender.close()  # noqa: SLF001
        producer._message_accumulator.fail_all(ProducerClosed())  # noqa: SLF001
        await producer.client.close()


def _look_at(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()


def _names(publications: Sequence[Publication]) -> str:
    topics = sorted({publication.topic for publication in publications})
    return f"{len(publications)} record(s) for {', '.join(topics)}"


class _ByteRoom:
    """A bounded number of bytes under way; first come, first served. More than all of it goes alone."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._queue = asyncio.Lock()
        self._given = asyncio.Event()

    async def take(self, size: int) -> None:
        async with self._queue:
            while self._taken and self._taken + size > self._limit:
                self._given.clear()
                await self._given.wait()
            self._taken += size

    def give(self, size: int) -> None:
        self._taken -= size
        self._given.set()
