"""What only a real Apache Kafka can show: topic settings, large records, retention."""

import asyncio

import pytest
from kafka.support import SOURCE, TARGET, Stage, committed, count_on, numbered, run, until, values

from adapters.kafka.publisher import KafkaPublisher
from adapters.kafka.reader import read_topic
from adapters.kafka.run import ExitCode
from adapters.kafka.topics import TOPICS, admin_client, ensure_topics, physical
from engine.errors import SettingsError, TooLargeToPublishError
from engine.records import Publication
from engine.settings import MIB

pytest_plugins = ("kafka.plugin",)
pytestmark = pytest.mark.kafka


async def test_every_record_goes_through_once(real_kafka):
    """The same stages, unchanged, on the real thing."""
    stage = Stage()

    async def job(publisher, _):
        await publisher.publish(numbered(300))
        await until(lambda: len(stage.calls) == 300)

    assert await run(real_kafka, [stage], job) == 0
    assert sorted(await values(real_kafka, TARGET)) == [b"%06d" % n for n in range(300)]
    assert await committed(real_kafka) == 300


async def test_topics_are_created_as_the_table_says(real_kafka):
    """Partitions, retention and limits on the broker are those of the settings, and a second start finds them fit."""
    kafka = real_kafka.model_copy(update={"partitions": 6, "retention_hours": 5})
    await ensure_topics(kafka)
    await ensure_topics(kafka)
    async with admin_client(kafka) as admin:
        found = {
            each["topic"]: len(each["partitions"])
            for each in await admin.describe_topics([physical(kafka, name) for name in TOPICS])
        }
        from adapters.kafka.topics import _read_configs

        configs = await _read_configs(admin, [physical(kafka, SOURCE), physical(kafka, "dead.letters")])
    assert found == {physical(kafka, t.name): t.partitions or 6 for t in TOPICS.values()}
    source, letters = configs[physical(kafka, SOURCE)], configs[physical(kafka, "dead.letters")]
    assert int(source["retention.ms"]) == 5 * 3_600_000
    assert int(letters["retention.ms"]) == 4 * 5 * 3_600_000
    assert int(source["max.message.bytes"]) > kafka.max_message_bytes
    assert int(letters["max.message.bytes"]) > int(source["max.message.bytes"])


async def test_unfit_topics_are_complained_about(real_kafka):
    """Too few partitions and too small records are found at start, by name, not weeks later by a lost document."""
    await ensure_topics(real_kafka.model_copy(update={"max_message_bytes": 2 * MIB, "partitions": 2}))
    with pytest.raises(SettingsError) as caught:
        await ensure_topics(real_kafka)
    assert f"{physical(real_kafka, SOURCE)} has 2 partitions" in str(caught.value)
    assert f"{physical(real_kafka, SOURCE)} has max.message.bytes" in str(caught.value)
    assert "drift.events has 1" not in str(caught.value)


async def test_more_copies_than_brokers_are_refused_clearly(real_kafka):
    """The broker's refusal is passed on with what to check."""
    with pytest.raises(SettingsError) as caught:
        await ensure_topics(real_kafka.model_copy(update={"replication": 3}))
    assert "replication" in caught.value.action


async def test_a_large_document_goes_through_and_fits_into_a_dead_letter(real_kafka):
    """A record of exactly the largest size is published, read, refused by the stage and kept whole as a dead letter."""

    async def refuse(_):
        raise ValueError

    kafka = real_kafka.model_copy(update={"max_message_bytes": 20 * MIB, "publish_timeout": 30.0})
    stage = Stage(refuse)
    payload = bytes(20 * MIB - 200)

    async def job(publisher, _):
        await publisher.publish([Publication(SOURCE, b"k", payload, {"feed": "test"})])
        await until(lambda: len(stage.calls) == 1)

    assert await run(kafka, [stage], job) == 0
    (letter,) = await read_topic(kafka, "dead.letters")
    assert letter.value == payload


async def test_a_record_over_the_brokers_own_limit_is_refused_and_the_publisher_lives_on(real_kafka):
    """Settings say 32 MiB, the topic takes 2: the error is final for that record, and the next one goes through."""
    await ensure_topics(real_kafka.model_copy(update={"max_message_bytes": 2 * MIB}))
    async with KafkaPublisher(real_kafka) as publisher:
        await publisher.publish(numbered(1, keys=1))
        with pytest.raises(TooLargeToPublishError):
            await publisher.publish([Publication(SOURCE, b"key-0", bytes(3 * MIB))])
        await publisher.publish(numbered(2, keys=1)[1:])
    assert await values(real_kafka, SOURCE) == [b"000000", b"000001"]


async def test_records_deleted_before_they_were_read_stop_the_stage(real_kafka):
    """Retention overtook a stage that was away: at its next start it says so instead of going on behind the hole."""
    await ensure_topics(real_kafka)
    stage = Stage()

    async def some(publisher, _):
        await publisher.publish(numbered(20, keys=1))
        await until(lambda: len(stage.calls) == 20)

    assert await run(real_kafka, [stage], some) == 0
    async with KafkaPublisher(real_kafka) as publisher:
        await publisher.publish(numbered(40, keys=1)[20:])
    partition = (await read_topic(real_kafka, SOURCE))[0].partition
    async with admin_client(real_kafka) as admin:
        from aiokafka import TopicPartition
        from aiokafka.admin.records_to_delete import RecordsToDelete

        place = TopicPartition(physical(real_kafka, SOURCE), partition)
        await admin.delete_records({place: RecordsToDelete(before_offset=30)})
    again = Stage()

    async def wait(*_):
        await asyncio.sleep(120)

    assert await run(real_kafka, [again], wait) == ExitCode.LOG_GAP
    assert not again.calls
    assert await committed(real_kafka) == 20


async def test_a_new_group_begins_at_what_is_kept(real_kafka):
    """A stage that never ran starts at the oldest record there is; what retention took before its time is no loss."""
    await ensure_topics(real_kafka)
    async with KafkaPublisher(real_kafka) as publisher:
        await publisher.publish(numbered(40, keys=1))
    partition = (await read_topic(real_kafka, SOURCE))[0].partition
    async with admin_client(real_kafka) as admin:
        from aiokafka import TopicPartition
        from aiokafka.admin.records_to_delete import RecordsToDelete

        place = TopicPartition(physical(real_kafka, SOURCE), partition)
        await admin.delete_records({place: RecordsToDelete(before_offset=30)})
    stage = Stage()

    async def wait(*_):
        await until(lambda: len(stage.calls) == 10)

    assert await run(real_kafka, [stage], wait) == 0
    assert await count_on(real_kafka, TARGET) == 10
