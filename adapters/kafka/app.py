"""Faust, and all that has to be said to it. No other module imports it.

One Faust app feeds one stage, as one consumer group: fetching, membership, rebalancing and the heartbeat thread are
Faust's. Acknowledging is ours: the topic is declared with ``acks=False`` and offsets are committed as the stage's
windows say. Read in faust-streaming 0.15.3, this is why:

- ``Stream._py_aiter`` acknowledges what it skips as belonging to an earlier generation; with nothing committed yet,
  ``Consumer._new_offset`` then commits over records that were never handled.
- ``Consumer._new_offset`` takes ``committed + 1`` for the next offset, though ``committed`` itself is.
- ``Consumer.on_partitions_revoked`` drops acknowledged offsets before they are committed, so that every rebalance
  repeats them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

import faust
from aiokafka.errors import KafkaError
from faust.app.base import BootStrategy
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from adapters.kafka.client import bootstrap, hush
from adapters.kafka.raw import record_of
from adapters.kafka.topics import group_of, physical, unreachable
from engine.records import Record
from engine.settings import Kafka

_FETCH_WAIT: Final = 0.1
"""Seconds a fetch waits for records. Faust says 1 s, and a partition released meanwhile would wait as long."""
_EMBEDDED_FETCH_WAIT_MS: Final = 50


class Feed:
    """Records of one topic for one consumer group, with offsets committed when we say.

    ``on_record`` is awaited for each record in the order of its partition, with the generation it belongs to: the
    group's membership at that time, see :attr:`generation`. ``on_revoked`` is awaited with partitions that are about
    to be given away; offsets committed before it returns still count.
    """

    def __init__(
        self,
        kafka: Kafka,
        stage: str,
        topic: str,
        *,
        on_record: Callable[[Record, int], Awaitable[None]],
        on_revoked: Callable[[set[int]], Awaitable[None]],
    ) -> None:
        """Make the feed of ``stage``'s consumer group on logical ``topic``. Call it in the running event loop."""
        hush()
        self.group = group_of(kafka, stage)
        self.topic = physical(kafka, topic)
        self._kafka = kafka
        self._on_record = on_record
        self._on_revoked = on_revoked
        app = _EmbeddedStageApp if kafka.embedded else _StageApp
        self._app: Any = app(self.group, **_app_settings(kafka))
        source = self._app.topic(
            self.topic, internal=False, acks=False, key_serializer="raw", value_serializer="raw"
        )
        self._app.agent(source, name=stage, concurrency=1)(self._agent)
        self._app.on_partitions_revoked.connect(self._revoked)

    async def start(self) -> None:
        """Connect and ask for partitions; they come later.

        Raises:
            UnreachableError: the brokers did not let us.
        """
        try:
            await self._app.start()
        except (KafkaError, OSError) as error:
            raise unreachable(self._kafka, "read " + self.topic, error) from error

    async def stop(self) -> None:
        """Leave the group and close the connections."""
        await self._app.stop()

    @property
    def failure(self) -> BaseException | None:
        """What Faust crashed of, if it did."""
        reason: BaseException | None = self._app.crash_reason
        return (reason or RuntimeError("Faust crashed")) if self._app.crashed else None

    @property
    def generation(self) -> int:
        """Number of the group's current membership; it changes with every rebalance."""
        return int(self._app.consumer_generation_id)

    @property
    def rebalancing(self) -> bool:
        return bool(self._app.rebalancing)

    @property
    def assigned(self) -> set[int]:
        """Partitions that are ours now."""
        if self._app.rebalancing or not self._app._assignment:  # noqa: SLF001 - the consumer's own is set too early
            return set()
        return {place.partition for place in self._app._assignment}  # noqa: SLF001

    async def commit(self, offsets: Mapping[int, int]) -> bool:
        """Commit the next offset to read of each partition; False if they are no longer ours to commit."""
        places = {TP(self.topic, partition): offset for partition, offset in offsets.items()}
        return await self._app.consumer.commit_offsets(places)  # type: ignore[no-any-return]  # untyped library

    def hold(self, partition: int) -> None:
        """Stop fetching a partition; what is already fetched still comes."""
        self._app.consumer.hold(TP(self.topic, partition))

    def release(self, partition: int) -> None:
        """Fetch a held partition again."""
        self._app.consumer.release(TP(self.topic, partition))

    async def _agent(self, stream: Any) -> None:
        async for event in stream.noack().events():
            await self._on_record(self._record(event.message), event.message.generation_id)

    def _record(self, message: Any) -> Record:
        return record_of(
            self._kafka,
            message.topic,
            message.partition,
            message.offset,
            message.key,
            message.value,
            message.headers,
            message.timestamp,
        )

    async def _revoked(self, _app: object, revoked: Iterable[TP], **_: object) -> None:
        await self._on_revoked({place.partition for place in revoked})


class _Thread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]  # untyped library
    """Faust's consumer thread, which survives being stopped while no broker answers."""

    async def on_thread_stop(self) -> None:
        try:
            await super().on_thread_stop()
        except asyncio.CancelledError:
            # aiokafka lets the cancellation of its own fetch escape from close(); Faust's thread would die of it
            # without telling that it is down, and stopping would wait for it in vain.
            if self._consumer is not None:
                await self._consumer._client.close()  # noqa: SLF001 - what close() had still to do


class _EmbeddedThread(_Thread):
    """For the mock cluster, which answers a waiting fetch only when its time is up, though records have come."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = _EMBEDDED_FETCH_WAIT_MS  # noqa: SLF001 - Faust fixes it at 1,500
        return consumer


class _Consumer(driver.Consumer):  # type: ignore[misc]  # untyped library
    """Faust's consumer with back-pressure by partition, and commits by offset."""

    thread_class = _Thread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._released = asyncio.Event()

    def _new_consumer_thread(self) -> _Thread:
        return self.thread_class(self, loop=self.loop, beacon=self.beacon)

    def on_buffer_full(self, tp: TP) -> None:
        """Nothing. Faust would stop fetching the partition and, with all of them stopped, sleep for a second.

        A full stream buffer makes the fetcher wait for room all the same.
        """

    def on_buffer_drop(self, tp: TP) -> None:
        """Nothing, see above."""

    def hold(self, tp: TP) -> None:
        self._released.clear()
        super().on_buffer_full(tp)

    def release(self, tp: TP) -> None:
        if tp in self.assignment():
            super().on_buffer_drop(tp)
        else:
            self._buffered_partitions.discard(tp)
        self._released.set()

    async def _wait_next_records(self, timeout: float) -> Any:  # noqa: ASYNC109 - Faust's signature
        if self.flow_active and self._buffered_partitions and not self._get_active_partitions():
            # All are held. Faust's own answer to that is to sleep for a second.
            self._released.clear()
            await self.wait_first(self._released.wait(), self.suspend_flow.wait(), timeout=timeout)
            return {}, self._get_active_partitions()
        return await super()._wait_next_records(min(timeout, _FETCH_WAIT))

    async def _drain_messages(self, fetcher: Any) -> None:
        """Faust's loop without the four futures that it makes for every record to watch for a rebalance.

        They are not needed: during a rebalance the delivery of a record waits for the flow to be resumed, and the
        stream then passes over what belongs to an earlier generation.
        """
        try:
            while not (self.should_stop or fetcher.should_stop):
                async for place, message in self.getmany(timeout=_FETCH_WAIT):
                    reached = self._read_offset[place]
                    if reached is None or message.offset >= reached:
                        await self.callback(message)
                        self._read_offset[place] = message.offset
        except (*self.consumer_stopped_errors, asyncio.CancelledError):
            if not self.app.should_stop:
                raise

    async def commit_offsets(self, offsets: Mapping[TP, int]) -> bool:
        return bool(await self._commit(offsets))


class _EmbeddedConsumer(_Consumer):
    thread_class = _EmbeddedThread


class _Transport(driver.Transport):  # type: ignore[misc]  # untyped library
    Consumer = _Consumer


class _EmbeddedTransport(_Transport):
    Consumer = _EmbeddedConsumer


class _Boot(BootStrategy):  # type: ignore[misc]  # untyped library
    """What of Faust we start: no producer (we have our own), no web server, no sensors."""

    enable_kafka_producer = False
    enable_web = False
    enable_sensors = False


class _StageApp(faust.App):  # type: ignore[misc]  # untyped library
    BootStrategy = _Boot

    transport_class = _Transport

    def _new_transport(self) -> _Transport:
        return self.transport_class(self.conf.broker_consumer, self)

    def _create_directories(self) -> None:
        """No tables, hence no folders."""


class _EmbeddedStageApp(_StageApp):
    transport_class = _EmbeddedTransport


def _app_settings(kafka: Kafka) -> dict[str, Any]:
    return {
        "broker": [f"kafka://{broker}" for broker in bootstrap(kafka)],
        "broker_client_id": "wardstream",
        "loop": asyncio.get_running_loop(),
        "autodiscover": False,
        # Nothing of Faust's own on the brokers: no leader topic, no changelogs, no reply topics.
        "topic_disable_leader": True,
        "topic_allow_declare": False,
        "topic_replication_factor": kafka.replication,
        "topic_partitions": kafka.partitions,
        "table_standby_replicas": 0,
        "store": "memory://",
        "web_enabled": False,
        "processing_guarantee": "at_least_once",
        # Windows and lanes bound what is in memory; waiting for unacknowledged records would wait for ever.
        "stream_buffer_maxsize": kafka.stream_buffer,
        "stream_wait_empty": False,
        "stream_processing_timeout": kafka.stall_timeout,
        "broker_session_timeout": kafka.session_timeout,
        "broker_heartbeat_interval": kafka.session_timeout / 6,
        "broker_rebalance_timeout": 60.0,
        "broker_request_timeout": 90.0,
        "broker_max_poll_interval": 2 * kafka.stall_timeout,
        "broker_max_poll_records": kafka.fetch_max_records,
        # Faust has nothing to commit; this is also the pace of checks whose error lines mislead.
        "broker_commit_interval": kafka.stall_timeout,
        "consumer_max_fetch_size": kafka.fetch_max_bytes,
        "consumer_auto_offset_reset": "earliest",
    }
