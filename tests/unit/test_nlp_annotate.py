"""The stage that turns notes into resources, audit records and telemetry."""

import dataclasses
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from engine.errors import ExtractorError, OverloadedError, ReadError, TooLargeError
from engine.nlp.codec import note_from_json, note_to_json
from engine.nlp.readers import Readers
from engine.ports import Stage
from engine.records import Label, ModelInfo, Note, Record, Span
from engine.settings import Drift, Nlp, Settings
from engine.stages.annotate import AnnotateStage

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
KEY = b"test key"
TEXT = "Patient Nobody has fever, no cough. 患者主诉胸痛两天"
NOTE = Note(
    "3f8e0b0e-6d5c-5a55-9d53-0f6b7a5f2c11",
    TEXT,
    kind="11506-3",
    patient="Patient/p1",
    document="DocumentReference/d1",
    feed="ward",
    message_id="m1",
    written_at="2026-03-04T05:06:07+08:00",
)


class Extractor:
    """Finds the word "fever"; or raises what it is told to."""

    def __init__(self, error=None, spans=None):
        self.info = ModelInfo("test-model", "7", "rules")
        self.languages = frozenset({"en"})
        self.error = error
        self.given = spans
        self.asked = 0

    async def extract(self, notes):
        self.asked += 1
        if self.error is not None:
            raise self.error
        if self.given is not None:
            return [self.given]
        return [
            [Span(at, at + 5, Label.PROBLEM, 0.83)] if (at := note.text.find("fever")) >= 0 else []
            for note in notes
        ]


class Clock:
    def now(self):
        return NOW


def stage_with(extractor=None, **settings):
    ticks = iter(range(1000))
    chosen = Settings(**settings)
    return AnnotateStage(
        Readers(extractor or Extractor(), settings=chosen.nlp),
        chosen,
        audit_key=KEY,
        clock=Clock(),
        perf_counter=lambda: next(ticks) / 1000,
    )


def record_of(note=NOTE, **fields):
    known = {
        "topic": "notes.clinical",
        "partition": 0,
        "offset": 1,
        "key": b"Patient/p1",
        "value": note_to_json(note),
        "headers": {
            "source-message-id": "m1",
            "feed": "ward",
            "control-id": "C1",
            "traceparent": "00-1-2-01",
        },
        "timestamp": NOW,
    }
    return Record(**(known | fields))


async def test_a_note_becomes_a_bundle_and_an_audit_record():
    """One record in, both out, the Bundle under the patient's key so that order per patient holds."""
    resources, audit = await stage_with().handle(record_of())
    assert (resources.topic, resources.key) == ("fhir.resources", b"Patient/p1")
    assert resources.headers == {
        "source-message-id": "m1",
        "feed": "ward",
        "control-id": "C1",
        "traceparent": "00-1-2-01",
        "kind": "nlp",
        "model": "test-model@7",
        "content-type": "application/fhir+json",
    }
    assert orjson.loads(resources.value)["type"] == "transaction"
    assert audit.topic == "inference.audit"


async def test_the_audit_record_never_holds_text():
    """Hash, counts and figures; not one word of the note."""
    _, audit = await stage_with().handle(record_of())
    body = json.loads(audit.value)
    expected = hmac.new(KEY, TEXT.encode(), hashlib.sha256).hexdigest()
    assert body["text_hash"] == expected == audit.key.decode()
    assert body["labels"] == {"PROBLEM": 1}
    assert body["scores"] == {"count": 1, "min": 0.83, "mean": 0.83, "max": 0.83}
    assert body["languages_not_read"] == ["zh"]
    assert (body["model"], body["version"], body["provider"]) == ("test-model", "7", "rules")
    assert body["latency_ms"] == 1.0
    assert body["time"] == "2026-03-04T05:06:07+00:00"
    for word in ("fever", "cough", "Nobody", "患者"):
        assert word not in audit.value.decode()
        assert word not in json.dumps(dict(audit.headers))


async def test_another_key_gives_another_hash():
    """Without the key a guess at a short note can't be checked."""
    other = AnnotateStage(
        Readers(Extractor()), Settings(), audit_key=b"other", clock=Clock(), perf_counter=lambda: 0.0
    )
    first = (await stage_with().handle(record_of()))[-1]
    second = (await other.handle(record_of()))[-1]
    assert first.key != second.key


def test_an_empty_audit_key_is_refused():
    """An unkeyed hash of a short note is as good as its text."""
    with pytest.raises(ValueError, match="audit_key"):
        AnnotateStage(
            Readers(Extractor()), Settings(), audit_key=b"", clock=Clock(), perf_counter=lambda: 0.0
        )


async def test_a_note_without_findings_is_audited_and_gives_no_bundle():
    """Nothing found is an outcome too."""
    (audit,) = await stage_with().handle(record_of(Note("n", "The weather is fine today.")))
    assert json.loads(audit.value)["outcome"] == "nothing-found"


async def test_a_text_too_short_to_be_a_note_is_not_read():
    """nlp.min_note_chars: it is audited, and the extractor is left alone."""
    extractor = Extractor()
    (audit,) = await stage_with(extractor).handle(record_of(Note("n", "fever")))
    assert json.loads(audit.value)["outcome"] == "too-short"
    assert extractor.asked == 0


async def test_a_note_over_the_limit_is_refused_with_what_to_do():
    """nlp.max_note_chars: the dead letter says which setting, and nothing of the text."""
    stage = stage_with(nlp=Nlp(max_note_chars=100))
    with pytest.raises(TooLargeError, match=r"nlp\.max_note_chars") as caught:
        await stage.handle(record_of(Note("n", "fever " * 50, element="Observation.note[0].text")))
    assert caught.value.location == "Observation.note[0].text"
    assert "fever" not in str(caught.value)


@pytest.mark.parametrize(
    "payload",
    [b"", b"no json", b"[]", b"null", b'{"note_id": "n"}', b'{"note_id": "n", "text": 5}', b"\xff\xfe"],
)
async def test_a_record_that_is_no_note_is_refused(payload):
    """Whatever else writes to the topic gets our error, not a crash."""
    with pytest.raises(ReadError):
        await stage_with().handle(record_of(value=payload))


async def test_an_overloaded_extractor_is_told_on():
    """Its error goes up unchanged: the runner retries it."""
    error = OverloadedError("queue full", action="wait")
    with pytest.raises(OverloadedError):
        await stage_with(Extractor(error=error)).handle(record_of())


async def test_impossible_spans_are_the_extractors_error():
    """A model that points outside of the text is named, and the note is a dead letter."""
    with pytest.raises(ExtractorError):
        await stage_with(Extractor(spans=[Span(0, 10_000, Label.PROBLEM, 1.0)])).handle(record_of())


async def test_redelivery_gives_the_same_bundle():
    """At-least-once delivery is harmless: same note, same bytes, whatever the clock says."""
    first = (await stage_with().handle(record_of()))[0]
    second = (await stage_with().handle(record_of(timestamp=NOW + timedelta(days=1))))[0]
    assert first.value == second.value


async def test_a_note_without_a_full_time_is_recorded_when_its_record_was():
    """Provenance.recorded must be an instant: a bare date is none, so the record's time stands in."""
    note = dataclasses.replace(NOTE, written_at="2026-03-04")
    resources = (await stage_with().handle(record_of(note)))[0]
    entries = [entry["resource"] for entry in orjson.loads(resources.value)["entry"]]
    (provenance,) = [r for r in entries if r["resourceType"] == "Provenance"]
    assert provenance["recorded"] == "2026-03-04T05:06:07.000+00:00"
    (condition,) = [r for r in entries if r["resourceType"] == "Condition"]
    assert condition["recordedDate"] == "2026-03-04"


async def test_telemetry_closes_a_window_by_count():
    """Confidence per feed goes to the drift monitors, in the form they read."""
    stage = stage_with(drift=Drift(window_messages=2))
    await stage.handle(record_of())
    *_, telemetry, by_model = await stage.handle(record_of())
    body = json.loads(telemetry.value)
    assert telemetry.topic == "telemetry"
    assert (body["kind"], body["feed"], body["window"], body["notes"]) == ("annotation", "ward", 0, 2)
    assert body["confidence"] == {"count": 2, "sum": 1.66}
    assert body["histogram"] == {f"0.{at}": (2 if at == 8 else 0) for at in range(10)}
    assert body["languages_not_read"] == {"zh": 2}
    found = json.loads(by_model.value)
    assert (found["kind"], found["labels"]) == ("findings", {"PROBLEM": 2})
    assert found["model"] == by_model.key.decode()


async def test_telemetry_closes_a_window_by_time():
    """A quiet feed is told of too; tick does it, once."""
    stage = stage_with(drift=Drift(window_seconds=10))
    await stage.handle(record_of())
    assert stage.tick(NOW + timedelta(seconds=9)) == []
    telemetry, _ = stage.tick(NOW + timedelta(seconds=10))
    assert json.loads(telemetry.value)["notes"] == 1
    assert stage.tick(NOW + timedelta(seconds=60)) == []


async def test_windows_are_numbered_a_feed():
    """The monitors see each feed's own sequence."""
    stage = stage_with(drift=Drift(window_messages=1))
    numbers = []
    for feed in ("a", "b", "a"):
        note = Note("n", TEXT, feed=feed)
        numbers.append(json.loads((await stage.handle(record_of(note)))[-1].value)["window"])
    assert numbers == [0, 0, 1]


async def test_open_windows_can_be_flushed():
    """At the end of a run nothing counted is lost."""
    stage = stage_with()
    await stage.handle(record_of())
    assert [json.loads(p.value)["kind"] for p in stage.flush()] == ["annotation", "findings"]


def test_a_note_survives_its_topic():
    """What ingest writes is what annotate reads, field by field."""
    assert note_from_json(note_to_json(NOTE)) == NOTE


def test_a_newer_writer_is_understood():
    """Fields that are not known yet are passed over."""
    assert note_from_json(b'{"note_id":"n","text":"t","mood":"good"}') == Note("n", "t")


def test_the_stage_keeps_its_contract():
    """mypy checks the protocol; this names what the runner asks for."""
    stage: Stage = stage_with()
    assert (stage.name, stage.topic) == ("annotate", "notes.clinical")
