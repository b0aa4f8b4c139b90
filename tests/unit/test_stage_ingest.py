"""The ingest stage: every record has one outcome, whatever goes wrong with it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest

from adapters.composition import make_pipeline
from adapters.kafka.errors import HandlerTimeoutError
from engine.errors import TooLargeToPublishError
from engine.feeds import FeedProfile
from engine.pipeline import Pipeline
from engine.records import Kind, Record
from engine.settings import Settings
from engine.stages import dead
from engine.stages.ingest import IngestStage

NAME = "TAN SECRET"
PAYLOAD = f"MSH|^~\\&|EMR|KGH|||2026||ADT^A01|C1|P|2.5.1\rPID|1||9^^^KGH||{NAME}".encode()


def record(payload: bytes = PAYLOAD, kind: Kind = Kind.HL7V2) -> Record:
    headers = {"feed": "wards", "message-id": "m-1"}
    return Record(f"{kind.value}.inbound", 3, 7, b"key", payload, headers, datetime(2026, 1, 1, tzinfo=UTC))


class BrokenMapper:
    rules_version = "0"

    def map(self, message, profile):
        raise KeyError(NAME)


def test_a_fault_of_ours_costs_one_message_and_shows_no_patient():
    """A bug in the mapping is a rejection with the place in the code, and the dead letter holds the bytes."""
    stage = IngestStage(
        Kind.HL7V2, Pipeline(Settings(), BrokenMapper(), lambda _: FeedProfile(name="wards"), "0"), Settings()
    )
    letter, outcome = stage.process(record())
    assert letter.topic == dead.DEAD_LETTERS
    assert letter.value == PAYLOAD
    told = json.loads(outcome.value)
    assert told["outcome"] == "rejected"
    assert told["source"]["control_id"] == "C1"
    assert told["issues"][-1]["code"] == "internal"
    assert "KeyError in test_stage_ingest.py:" in told["issues"][-1]["message"]
    assert NAME not in outcome.value.decode() + json.dumps(letter.headers)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (HandlerTimeoutError("The stage took too long", action="a"), HandlerTimeoutError.code),
        (TooLargeToPublishError("The output is too large", action="a"), "too-large-to-publish"),
        (ZeroDivisionError(NAME), "internal"),
    ],
)
def test_a_record_given_up_by_the_runner_is_told_as_rejected(error, code):
    """In = accepted + rejected holds too when the runner, not the pipeline, gives up."""
    settings = Settings()
    stage = IngestStage(Kind.HL7V2, make_pipeline(settings), settings)
    (outcome,) = stage.failed(record(), error)
    told = json.loads(outcome.value)
    assert outcome.topic == "outcomes"
    assert outcome.key == b"key"
    assert told["outcome"] == "rejected"
    assert told["source"]["message_type"] == "ADT^A01"
    assert told["issues"][-1]["code"] == code
    assert NAME not in outcome.value.decode()


def test_a_record_that_is_no_json_is_told_too():
    settings = Settings()
    stage = IngestStage(Kind.FHIR, make_pipeline(settings), settings)
    (outcome,) = stage.failed(record(b"\xff{", Kind.FHIR), RuntimeError())
    assert json.loads(outcome.value)["outcome"] == "rejected"


def test_numbers_reach_the_record_digit_by_digit():
    """1.50 says that the hundredths were measured; through the whole stage nothing becomes a binary fraction."""
    stage = IngestStage(Kind.FHIR, make_pipeline(Settings()), Settings())
    numbers = [
        "1.50",
        "0.10",
        "100",
        "1e2",
        "-0.00",
        "3.14159265358979323846264338",
        "123456789012345678901234567890",
    ]
    parts = [{"code": {"text": str(n)}, "valueQuantity": {"value": f"@{n}@"}} for n in range(len(numbers))]
    body = {
        "resourceType": "Observation",
        "id": "o",
        "status": "final",
        "code": {"text": "x"},
        "component": parts,
    }
    text = json.dumps(body)
    for n, number in enumerate(numbers):
        text = text.replace(f'"@{n}@"', number)
    (written,) = [p for p in stage.process(record(text.encode(), Kind.FHIR)) if p.topic == "fhir.resources"]
    assert re.findall(rb'"value":([^,}]+)', written.value) == [n.encode() for n in numbers]
