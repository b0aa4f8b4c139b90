"""The topics of the engine as data, and making sure that a broker has them as they must be.

Topics are never left to auto-creation on a real broker: it would give them the broker's default number
of partitions, one copy and a limit of 1 MB.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from adapters.kafka.client import connection
from adapters.kafka.errors import UnreachableError
from engine.errors import PublishError, SettingsError
from engine.settings import MIB, Kafka

log = logging.getLogger(__name__)

_SETTLE_LOOK: Final = 0.1
"""Seconds between looks whether new topics are ready; ``kafka.admin_timeout`` bounds them all."""
DEAD_LETTER_ROOM: Final = MIB
"""What headers may add to a record of the largest size: every record must fit into a dead letter."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic.

    Attributes:
        name: logical name; the configured prefix is put before it.
        key: what the records are keyed by, hence what keeps its order.
        value: what the records hold.
        description: one sentence for docs/topics.md.
        partitions: number of partitions, or None for ``settings.kafka.partitions``.
        small: records never come near the size of a message; the limit is 1 MiB.
        room: bytes by which the largest record may exceed ``settings.kafka.max_message_bytes``.
        keep: retention as a multiple of ``settings.kafka.retention_hours``.
    """

    name: str
    key: str
    value: str
    description: str
    partitions: int | None = None
    small: bool = False
    room: int = 0
    keep: int = 1

    def max_bytes(self, kafka: Kafka) -> int:
        """Largest record this topic takes, in bytes of key, value and headers together."""
        return MIB if self.small else kafka.max_message_bytes + self.room

    def wanted_partitions(self, kafka: Kafka) -> int:
        return self.partitions or kafka.partitions

    def config(self, kafka: Kafka) -> dict[str, str]:
        """Topic configuration by Kafka's own names (Kafka documentation, "Topic configs")."""
        return {
            "cleanup.policy": "delete",
            "max.message.bytes": str(self.max_bytes(kafka) + _BATCH_OVERHEAD),
            "min.insync.replicas": str(kafka.min_insync),
            "retention.ms": str(kafka.retention_hours * 3_600_000 * self.keep),
        }


_BATCH_OVERHEAD: Final = 4096
"""Kafka's limit is on the batch, whose header and record framing come on top (KIP-98: 61 bytes and more)."""

TOPICS: Final[Mapping[str, Topic]] = {
    topic.name: topic
    for topic in (
        Topic("hl7v2.inbound", "patient, else feed", "HL7 v2 bytes", "Messages as they came in."),
        Topic("fhir.inbound", "patient, else feed", "FHIR JSON bytes", "Resources as they came in."),
        Topic("fhir.resources", "patient", "transaction Bundle", "What the engine makes of the messages."),
        Topic("notes.clinical", "patient", "Note as JSON", "Free text found in messages, to be read."),
        Topic(
            "outcomes",
            "as the source",
            "outcome as JSON",
            "One record for each inbound message: accepted or rejected, issues, unmapped, cleared.",
        ),
        Topic(
            "inference.audit",
            "hash of the note",
            "audit line as JSON",
            "Who or what read which note; hashes, never text.",
            small=True,
            keep=13,
        ),
        Topic("telemetry", "feed", "window as JSON", "Counts and sketches a feed and window.", small=True),
        Topic(
            "drift.events",
            "monitor",
            "CloudEvent",
            "Something watched has shifted.",
            partitions=1,
            small=True,
        ),
        Topic(
            "feedback.flags",
            "note id",
            "flag as JSON",
            "What clinicians say is wrong.",
            partitions=1,
            small=True,
            keep=13,
        ),
        Topic(
            "dead.letters",
            "as the source",
            "the original bytes",
            "What could not be processed, with the reason and what to do in its headers.",
            room=DEAD_LETTER_ROOM,
            keep=4,
        ),
    )
}
"""Every topic by its logical name. ``keep`` of 4 is a month to look at a dead letter, 13 a quarter of audit."""


def physical(kafka: Kafka, name: str) -> str:
    """The topic's name on the broker."""
    return kafka.prefix + name


def logical(kafka: Kafka, name: str) -> str:
    """The topic's name in the engine."""
    return name.removeprefix(kafka.prefix)


def group_of(kafka: Kafka, stage: str) -> str:
    """The consumer group of a stage."""
    return kafka.prefix + stage


async def ensure_topics(kafka: Kafka, topics: Iterable[Topic] = tuple(TOPICS.values())) -> None:
    """Create the topics that are missing and check those that exist.

    On the embedded broker the topics are only made to exist: it knows no topic settings.

    Raises:
        UnreachableError: no broker answered within ``kafka.admin_timeout``.
        SettingsError: a topic exists and is unfit, or the broker refuses what the settings ask for.
    """
    wanted = {physical(kafka, topic.name): topic for topic in topics}
    async with admin_client(kafka) as admin, asking(kafka, "create and check topics"):
        if kafka.embedded:
            # Asking for the metadata of a topic is what makes it there; CreateTopics it can't.
            await admin.describe_topics(list(wanted))
            return
        present = set(await admin.list_topics())
        for name, topic in wanted.items():
            if name not in present:
                await _create(admin, kafka, name, topic)
        described = await _described(admin, wanted)
        await _check(admin, kafka, {name: wanted[name] for name in present & set(wanted)}, described)


async def _described(admin: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """The topics' metadata, once every partition has a leader: a broker learns of a new topic a little later."""
    while True:
        found = {topic["topic"]: topic for topic in await admin.describe_topics(list(names))}
        if all(
            not topic["error_code"]
            and topic["partitions"]
            and all(partition["leader"] >= 0 for partition in topic["partitions"])
            for topic in found.values()
        ):
            return found
        await asyncio.sleep(_SETTLE_LOOK)


async def _create(admin: AIOKafkaAdminClient, kafka: Kafka, name: str, topic: Topic) -> None:
    partitions = topic.wanted_partitions(kafka)
    new = NewTopic(name, partitions, kafka.replication, topic_configs=topic.config(kafka))
    response = await admin.create_topics([new], timeout_ms=int(kafka.admin_timeout * 1000))
    for _, code, *message in response.topic_errors:
        error = for_code(code)
        if code == 0:
            log.info("topic created: %s, %d partitions, %d copies", name, partitions, kafka.replication)
        elif error is not TopicAlreadyExistsError:  # another worker was faster
            raise SettingsError(
                f"The broker refuses to create topic {name}: {error.__name__} {message[0] if message else ''}",
                action="Check kafka.replication and kafka.min_insync against the number of brokers, "
                "and that this client may create topics; or create the topic by hand (docs/topics.md).",
            )


async def _check(
    admin: AIOKafkaAdminClient,
    kafka: Kafka,
    existing: Mapping[str, Topic],
    described: Mapping[str, Mapping[str, Any]],
) -> None:
    if not existing:
        return
    complaints: list[str] = []
    configs = await _read_configs(admin, list(existing))
    for name, topic in existing.items():
        complaints += _partition_complaints(kafka, topic, described[name])
        complaints += _config_complaints(kafka, name, topic, configs.get(name, {}))
    if complaints:
        raise SettingsError(
            "Topics on the broker don't fit the settings: " + "; ".join(sorted(complaints)),
            action="Alter the topics (kafka-topics.sh --alter, kafka-configs.sh --alter), "
            "or change the settings to what the topics can hold.",
        )


def _partition_complaints(kafka: Kafka, topic: Topic, found: Mapping[str, Any]) -> list[str]:
    complaints = []
    wanted = topic.wanted_partitions(kafka)
    partitions = found["partitions"]
    if len(partitions) < wanted:
        complaints.append(
            f"{found['topic']} has {len(partitions)} partitions, kafka.partitions asks for {wanted}"
        )
    copies = min((len(partition["replicas"]) for partition in partitions), default=0)
    if copies < kafka.replication:
        complaints.append(
            f"{found['topic']} is kept in {copies} copies, kafka.replication asks for {kafka.replication}"
        )
    return complaints


def _config_complaints(kafka: Kafka, name: str, topic: Topic, config: Mapping[str, str]) -> list[str]:
    """Settings of an existing topic that would lose or refuse records. Retention is the site's own affair."""
    return [
        f"{name} has {key} {config[key]}, {topic.config(kafka)[key]} or more is needed"
        for key in ("max.message.bytes", "min.insync.replicas")
        if key in config and int(config[key]) < int(topic.config(kafka)[key])
    ]


async def _read_configs(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    configs: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs(asked):
        for code, _message, _type, name, entries in response.resources:
            if code == 0:
                configs[name] = {entry[0]: entry[1] for entry in entries}
    return configs


@asynccontextmanager
async def admin_client(kafka: Kafka) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client that is started, and closed again whatever happens.

    Raises:
        UnreachableError: no broker answered within ``kafka.admin_timeout``.
    """
    admin = AIOKafkaAdminClient(**connection(kafka), request_timeout_ms=int(kafka.admin_timeout * 1000))
    try:
        async with asking(kafka, "connect"):
            await admin.start()
        yield admin
    finally:
        await admin.close()


@asynccontextmanager
async def asking(kafka: Kafka, what: str) -> AsyncIterator[None]:
    """Bound a conversation with the brokers in time and give its failures our names."""
    try:
        async with asyncio.timeout(kafka.admin_timeout):
            yield
    except (TimeoutError, OSError, KafkaError) as error:
        raise unreachable(kafka, what, error) from error


def unreachable(kafka: Kafka, what: str, error: BaseException) -> PublishError:
    return UnreachableError(
        f"Kafka at {kafka.brokers} gave no usable answer (asked to {what}: {type(error).__name__})",
        action="Check that a broker runs there and that kafka.brokers names it (make kafka starts a local one), "
        "or use --embedded to try things out without one.",
    )
