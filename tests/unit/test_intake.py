"""The edge: split, recognise, key; and acknowledgements that mean what they say."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from adapters.composition import make_intake, make_mapper
from adapters.reception import KeyedOrder, Reception
from engine.errors import PublishError, TooLargeToPublishError
from engine.feeds import FeedProfile
from engine.hl7v2 import er7
from engine.hl7v2.mllp import Reason
from engine.keys import patient_key
from engine.records import Kind, Record
from engine.settings import Settings
from engine.stages import dead, envelopes


@pytest.fixture(scope="module")
def mapper():
    return make_mapper(Settings())


@pytest.fixture
def intake(mapper):
    return make_intake(Settings())


MSH = "MSH|^~\\&|EMR|KGH|||2026||ADT^A01|C1|P|2.5.1"


class Clock:
    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)


class Log:
    """A publisher that keeps what it was given, or fails as told."""

    def __init__(self, failure: Exception | None = None, delay: float = 0) -> None:
        self.published = []
        self.failure = failure
        self.delay = delay

    async def publish(self, publications):
        await asyncio.sleep(self.delay)
        if self.failure:
            raise self.failure
        self.published += publications


def reception(intake, log) -> Reception:
    return Reception(intake, log, Clock(), "emr", Settings().drift)


def test_key_at_the_edge_is_the_patient_that_the_mapper_makes(intake, mapper):
    """Order per patient holds from the edge to the output only if both name the patient alike."""
    payload = f"{MSH}\rPID|1||8^^^G^SS~7^^^H^MR".encode()
    arrival = next(intake.hl7v2(payload, "emr"))
    mapped = mapper.map(er7.read(payload), FeedProfile())
    patient = next(r for r in mapped.resources if r["resourceType"] == "Patient")
    assert arrival.key == f"Patient/{patient['id']}" == patient_key(*mapped.patient)


@pytest.mark.parametrize("pid", ["", "\rPID|1", '\rPID|1||""', "\rPID|1||^^^H^MR"])
def test_without_a_patient_the_feed_is_the_key(intake, pid):
    """A message about nobody still has a place."""
    assert next(intake.hl7v2(f"{MSH}{pid}".encode(), "emr")).key == "emr"


def test_key_carries_no_number_of_the_patient(intake):
    """A key shows up in tools and logs; the number in it must not."""
    assert "S0000001X" not in next(intake.hl7v2(f"{MSH}\rPID|1||S0000001X^^^G^NI".encode(), "emr")).key


def test_unreadable_bytes_are_refused_with_a_reason(intake):
    """What is no HL7 is known at once."""
    arrival = next(intake.hl7v2(b"GET / HTTP/1.1", "emr"))
    assert arrival.refusal is not None
    assert arrival.refusal.code == "not-hl7"


async def ack_of(intake, log, payload: bytes) -> list[tuple[str, str]]:
    answer = await reception(intake, log).receive(payload, peer="127.0.0.1:1", connection="1")
    acks = answer.decode("latin-1").split("MSH|")[1:]
    return [(m.get("MSA-1"), m.get("MSA-2")) for m in (er7.parse("MSH|" + a) for a in acks)]


async def test_aa_only_after_the_log_confirmed(intake):
    """The message is in the log, keyed and whole, before AA is said."""
    log = Log()
    payload = f"{MSH}\rPID|1||7^^^H^MR".encode()
    assert await ack_of(intake, log, payload) == [("AA", "C1")]
    (record,) = log.published
    assert (record.topic, record.value) == ("hl7v2.inbound", payload)
    assert record.headers["feed"] == "emr"


async def test_ae_when_the_log_does_not_confirm(intake):
    """An unconfirmed message stays with its sender."""
    log = Log(PublishError("no", action="x"))
    assert await ack_of(intake, log, MSH.encode()) == [("AE", "C1")]


async def test_ar_when_the_log_can_never_take_it(intake):
    """Sending it again would not help, and the sender is told so."""
    log = Log(TooLargeToPublishError("too large", action="x"))
    assert await ack_of(intake, log, MSH.encode()) == [("AR", "C1")]


async def test_ar_for_what_is_no_hl7_and_its_bytes_are_kept(intake):
    """A refusal is an outcome too: the dead letter holds the bytes and why."""
    log = Log()
    assert await ack_of(intake, log, b"hello") == [("AR", "")]
    (record,) = log.published
    letter = dead.read(_as_record(record))
    assert (record.topic, letter.payload, letter.code) == ("dead.letters", b"hello", "not-hl7")
    assert letter.action


async def test_ae_when_not_even_the_dead_letter_is_safe(intake):
    """Only what is kept may be refused for good."""
    assert await ack_of(intake, Log(PublishError("no", action="x")), b"hello") == [("AE", "")]


async def test_batch_in_a_frame_gets_one_answer_a_message(intake):
    """Each message of a batch is safe or not by itself."""
    second = MSH.replace("C1", "C2")
    content = f"BHS|^~\\&\r{MSH}\r{second}\rBTS|2".encode()
    log = Log()
    assert await ack_of(intake, log, content) == [("AA", "C1"), ("AA", "C2")]
    assert [p.headers["index"] for p in log.published] == ["0", "1"]


async def test_half_frames_become_dead_letters(intake):
    """Bytes that came without an end are kept, and refused."""
    log = Log()
    answer = await reception(intake, log).receive_broken(b"MSH|", peer="p", reason=Reason.CUT_OFF)
    assert b"MSA|AR" in answer
    assert log.published[0].value == b"MSH|"


async def test_one_patients_messages_go_in_one_after_another(intake):
    """Messages that arrive together keep their order per patient."""
    log = Log(delay=0.01)
    r = reception(intake, log)
    payloads = [f"{MSH.replace('C1', f'C{n}')}\rPID|1||7^^^H^MR".encode() for n in range(5)]
    await asyncio.gather(*(r.receive(p, peer="p", connection="1") for p in payloads))
    assert [p.value for p in log.published] == payloads


async def test_keyed_order_forgets_keys_that_are_done():
    """A day of patients must not stay in memory."""
    order = KeyedOrder()
    async with order.turn("a"):
        pass
    assert order._last == {}


def _as_record(publication) -> Record:
    return Record(
        publication.topic, 0, 0, publication.key, publication.value, publication.headers, Clock().now()
    )


def test_envelope_round_trips_through_headers(intake):
    """What the edge knew, the worker knows."""
    from engine.records import Envelope, Issue, Severity

    issue = Issue(Severity.WARNING, "batch-count", "BTS[1]-1", "x")
    envelope = Envelope(
        b"x", Kind.HL7V2, "f", "id", Clock().now(), "8859/1", "00-1-2-01", "mllp://p", 3, (issue,)
    )
    assert envelopes.from_record(_as_record(envelopes.to_publication(envelope, "k")), Kind.HL7V2) == envelope


def test_records_of_other_writers_get_stand_ins():
    """A record put there by another tool has no headers and is read all the same."""
    record = Record(
        "hl7v2.inbound", 2, 9, None, b"x", {"index": "x", "issues": "{", "received-at": "y"}, Clock().now()
    )
    envelope = envelopes.from_record(record, Kind.HL7V2)
    assert (envelope.feed, envelope.message_id, envelope.index, envelope.issues) == (
        "kafka",
        "hl7v2.inbound/2/9",
        0,
        (),
    )
