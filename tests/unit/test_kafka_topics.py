"""The table of topics and what follows from it."""

import re

import pytest
from pydantic import ValidationError

from adapters.kafka.client import bootstrap, hush
from adapters.kafka.run import readers_of
from adapters.kafka.topics import TOPICS, group_of, logical, physical
from engine.errors import SettingsError
from engine.settings import MIB, Kafka


def test_every_topic_of_the_engine_is_in_the_table():
    """Nothing the stages publish to is left to auto-creation."""
    assert set(TOPICS) >= {
        "hl7v2.inbound",
        "fhir.inbound",
        "fhir.resources",
        "notes.clinical",
        "outcomes",
        "inference.audit",
        "telemetry",
        "drift.events",
        "feedback.flags",
        "dead.letters",
    }


def test_names_are_legal_and_prefixed():
    """Kafka allows letters, digits, dot, dash and underscore; the prefix is put before and taken off again."""
    kafka = Kafka(prefix="site-a.")
    for name in TOPICS:
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,240}", physical(kafka, name))
        assert logical(kafka, physical(kafka, name)) == name


def test_whatever_a_topic_takes_fits_into_a_dead_letter():
    """The largest record with our headers added must not be too large to be written off."""
    kafka = Kafka()
    room = TOPICS["dead.letters"].max_bytes(kafka)
    assert all(
        topic.max_bytes(kafka) + MIB // 2 <= room for topic in TOPICS.values() if topic.name != "dead.letters"
    )


def test_dead_letters_outlive_the_messages():
    """There is time to look at them after the original is gone."""
    kafka = Kafka(retention_hours=10)
    assert TOPICS["hl7v2.inbound"].config(kafka)["retention.ms"] == "36000000"
    assert int(TOPICS["dead.letters"].config(kafka)["retention.ms"]) > 36_000_000


def test_several_readers_of_a_topic_are_all_named():
    """A record may be dropped only when every stage that reads it has."""

    class Stage:
        def __init__(self, name, topic):
            self.name, self.topic = name, topic

    kafka = Kafka(prefix="p.")
    found = readers_of(
        kafka, [Stage("a", "telemetry"), Stage("b", "telemetry"), Stage("c", "notes.clinical")]
    )
    assert found == {"telemetry": ["p.a", "p.b"], "notes.clinical": ["p.c"]}
    assert group_of(kafka, "a") == "p.a"


def test_brokers_are_a_list():
    """Blanks and a trailing comma do no harm."""
    assert bootstrap(Kafka(brokers=" a:1, [::1]:2 ,")) == ["a:1", "[::1]:2"]


def test_no_brokers_says_what_to_set():
    """The most common first error names the setting and the way out."""
    with pytest.raises(SettingsError) as caught:
        bootstrap(Kafka())
    assert "WARDSTREAM_KAFKA__BROKERS" in caught.value.action


def test_copies_that_can_never_confirm_are_refused():
    """Kafka would lower min.insync.replicas in silence: two confirmations would be promised and one given."""
    with pytest.raises(ValidationError):
        Kafka(replication=1, min_insync=2)


def test_libraries_never_log_at_debug(monkeypatch):
    """Their debug lines print keys and values of records."""
    import logging

    for name in ("aiokafka", "faust", "mode"):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.DEBUG)
    logging.getLogger("aiokafka").manager._clear_cache()
    hush()
    assert not logging.getLogger("aiokafka.producer.producer").isEnabledFor(logging.DEBUG)
