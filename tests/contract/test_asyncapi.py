"""docs/asyncapi.yaml says what is really written to Kafka: each record of a real pass is held against it."""

import copy
import dataclasses
import json
import re
import tomllib

import jsonschema
import pytest
import yaml
from emitting import ROOT, emitted_now

from adapters.kafka.topics import TOPICS, physical
from adapters.worker import Role
from engine.records import Note
from engine.settings import Kafka

DOCUMENT = yaml.safe_load((ROOT / "docs" / "asyncapi.yaml").read_text(encoding="utf-8"))
MESSAGES = DOCUMENT["components"]["messages"]


def resolved(node):
    """A part of the document with its references filled in. There are no circles."""
    if isinstance(node, dict):
        if set(node) == {"$ref"}:
            target = DOCUMENT
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            return resolved(target)
        return {name: resolved(value) for name, value in node.items()}
    return [resolved(each) for each in node] if isinstance(node, list) else node


def strict(schema):
    """The schema, refusing what it does not name: readers must bear new fields, this document must know them."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: strict(value) for name, value in schema.items()}
    if isinstance(found.get("properties"), dict) and "additionalProperties" not in found:
        found["additionalProperties"] = False
    return found


def channel_messages(topic):
    """Names of the messages of a channel."""
    return list(DOCUMENT["channels"][topic].get("messages", {}))


def message_of(publication):
    """Name of the message that a record is, told as docs/topics.md tells readers to: by topic and header kind."""
    kind = publication.headers.get("kind")
    fitting = [
        name
        for name in channel_messages(publication.topic)
        if kind is None or MESSAGES[name]["headers"].get("properties", {}).get("kind") == {"const": kind}
    ]
    assert len(fitting) == 1, (publication.topic, kind)
    return fitting[0]


def operations(action):
    """Topics with an operation of that kind."""
    return {
        each["channel"]["$ref"].removeprefix("#/channels/")
        for each in DOCUMENT["operations"].values()
        if each["action"] == action
    }


@pytest.fixture(scope="module")
def written():
    """What one pass over fixtures and a drifting feed writes, by topic."""
    return emitted_now()


# -- the document --------------------------------------------------------------------------------------------


def test_the_document_has_a_channel_for_every_topic_and_no_other():
    """Addresses are the topics' names under the default prefix."""
    addresses = {name: channel["address"] for name, channel in DOCUMENT["channels"].items()}
    assert addresses == {name: physical(Kafka(), name) for name in TOPICS}


@pytest.mark.parametrize("topic", TOPICS)
def test_partitions_copies_retention_and_limits_are_those_that_the_engine_sets(topic):
    """Who sizes a cluster by the document gets what the engine will create."""
    kafka = Kafka()
    binding = DOCUMENT["channels"][topic]["bindings"]["kafka"]
    config = TOPICS[topic].config(kafka)
    assert binding["partitions"] == TOPICS[topic].wanted_partitions(kafka)
    assert binding["replicas"] == kafka.replication
    assert binding["topic"] == physical(kafka, topic)
    assert binding["topicConfiguration"] == {
        "cleanup.policy": [config["cleanup.policy"]],
        "retention.ms": int(config["retention.ms"]),
        "max.message.bytes": int(config["max.message.bytes"]),
    }


def test_every_message_of_the_document_belongs_to_a_channel():
    """A schema that no channel uses describes nothing."""
    used = [name for topic in DOCUMENT["channels"] for name in channel_messages(topic)]
    assert sorted(used) == sorted(MESSAGES)


@pytest.mark.parametrize("name", MESSAGES)
def test_every_schema_is_one(name):
    """A misspelt keyword would let everything pass."""
    message = resolved(MESSAGES[name])
    for schema in (message["headers"], message["payload"], message["bindings"]["kafka"]["key"]):
        jsonschema.Draft7Validator.check_schema(schema)
        assert "properties" in schema or "pattern" in schema or "type" in schema or "enum" in schema


def test_references_lead_somewhere_and_everything_referred_to_is_used():
    """No dangling reference, and no schema that nobody refers to."""
    text = json.dumps(DOCUMENT)
    asked = set(re.findall(r"#/components/schemas/(\w+)", text))
    assert asked == set(DOCUMENT["components"]["schemas"])
    resolved(DOCUMENT)


def test_the_document_is_of_this_version():
    """A reader can tell which release it describes."""
    assert DOCUMENT["asyncapi"].startswith("3.")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert DOCUMENT["info"]["version"] == version


def test_the_fields_of_a_note_are_those_of_the_record():
    """A note's form is what the stages read and write, field by field."""
    assert set(MESSAGES["note"]["payload"]["properties"]) == {f.name for f in dataclasses.fields(Note)}


def test_dead_letters_name_every_stage_that_can_write_one():
    """The listeners, replay, and each stage."""
    stages = MESSAGES["deadLetter"]["headers"]["properties"]["dead-stage"]["enum"]
    assert set(stages) == {role.value for role in Role} | {"replay"}


# -- what is written -----------------------------------------------------------------------------------------


def test_what_is_written_is_what_the_document_says_is_sent(written):
    """A topic that the code writes and the document lacks, or the other way round, shows here."""
    assert set(written) == operations("send")
    assert set(TOPICS) == operations("send")


def test_the_topics_that_stages_read_are_those_that_the_document_says_are_received():
    """Each stage has one topic; nothing else is read."""
    from adapters.worker import make_stages
    from engine.settings import Observability, Settings

    settings = Settings(observability=Observability(audit_key="test"))
    roles = [role for role in Role if role not in {Role.MLLP, Role.HTTP}]
    assert {stage.topic for stage in make_stages(roles, settings)} == operations("receive")


@pytest.mark.parametrize("topic", sorted(TOPICS))
def test_every_record_is_as_the_document_says(topic, written):
    """Key, headers and payload of each record, with nothing in it that the document does not name."""
    validators = {}
    for publication in written[topic]:
        name = message_of(publication)
        if name not in validators:
            message = resolved(MESSAGES[name])
            parts = message["headers"], message["payload"], message["bindings"]["kafka"]["key"]
            validators[name] = [jsonschema.Draft7Validator(strict(copy.deepcopy(part))) for part in parts]
        headers, payload, key = validators[name]
        headers.validate(dict(publication.headers))
        key.validate(publication.key.decode("utf-8"))
        if payload.schema.get("format") != "binary":
            payload.validate(json.loads(publication.value))


@pytest.mark.parametrize("name", MESSAGES)
def test_every_header_in_the_document_is_really_written(name, written):
    """A header that nothing writes is a promise that nobody keeps."""
    topic = next(t for t in DOCUMENT["channels"] if name in channel_messages(t))
    seen = {h for each in written[topic] if message_of(each) == name for h in each.headers}
    assert set(resolved(MESSAGES[name])["headers"]["properties"]) <= seen


def test_a_record_that_says_more_than_the_document_is_noticed():
    """The check itself can fail: an unknown field, a missing one and a wrong type are each refused."""
    payload = strict(resolved(MESSAGES["edgeWindow"]["payload"]))
    good = {
        "kind": "edge",
        "feed": "f",
        "window": 0,
        "from": "2026-01-05T08:00:00Z",
        "to": "2026-01-05T08:00:00Z",
        "messages": 1,
        "refused": {},
    }
    jsonschema.validate(good, payload)
    for broken in (
        {**good, "more": 1},
        {k: v for k, v in good.items() if k != "to"},
        {**good, "window": "0"},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, payload)


def test_no_text_of_a_note_is_on_the_topics_that_hold_no_patient_data(written):
    """Audit lines, telemetry and drift events hold hashes, counts and codes: a note's own words are not in them."""
    notes = [json.loads(each.value)["text"] for each in written["notes.clinical"]]
    words = {text.strip()[:40] for text in notes if len(text.strip()) >= 40}
    assert words
    for topic in ("inference.audit", "telemetry", "drift.events", "feedback.flags"):
        text = "\n".join(each.value.decode("utf-8") for each in written[topic])
        assert not [word for word in words if word in text]
