"""Flags: what a clinician may say of a finding, ``POST /feedback``, and the training text that comes of it."""

import json
import logging
from datetime import timedelta
from types import SimpleNamespace

import pytest
from aiohttp.test_utils import TestClient, TestServer
from kept_log import NOW, KeptLog

from adapters.http.server import HttpServer
from adapters.observability.metrics import Metrics
from engine.errors import PublishError, ReadError
from engine.nlp.flagged import standing, training_row
from engine.nlp.flags import flag_from_json, flag_of
from engine.records import Label, Note, Span
from engine.settings import Http, Settings
from models.corpora.reading import read_corpora

NOTE = "0b0f7c1e-2f4d-5a61-9a0e-3c9b7a2d1e4f"
TEXT = "Fever and cough. Mother has asthma. On aspirin."
WRONG = {"note_id": NOTE, "start": 0, "end": 5, "verdict": "wrong", "label": "PROBLEM"}
CHANGED = {**WRONG, "verdict": "changed", "assertion": "present", "correct": {"assertion": "family"}}


def flag(asked, after=0):
    return flag_of(asked, user="dr.lim", time=NOW + timedelta(seconds=after))


@pytest.mark.parametrize(
    ("asked", "was", "should"),
    [
        (WRONG, {"start": 0, "end": 5, "label": "PROBLEM"}, None),
        ({**WRONG, "verdict": "missed"}, None, {"start": 0, "end": 5, "label": "PROBLEM"}),
        ({**WRONG, "verdict": "right"}, *[{"start": 0, "end": 5, "label": "PROBLEM"}] * 2),
        (
            CHANGED,
            {"start": 0, "end": 5, "label": "PROBLEM", "assertion": "present"},
            {"start": 0, "end": 5, "label": "PROBLEM", "assertion": "family"},
        ),
        (
            {**WRONG, "verdict": "changed", "correct": {"end": 9, "label": "TEST"}},
            {"start": 0, "end": 5, "label": "PROBLEM"},
            {"start": 0, "end": 9, "label": "TEST"},
        ),
    ],
)
def test_a_flag_tells_what_was_read_and_what_should_have_been(asked, was, should):
    """The record on the topic has both, who and when, and comes back from it as it was."""
    made = flag(asked)
    told = json.loads(made.to_publications()[0].value)
    assert (told["was"], told["should"], told["user"], told["time"]) == (
        was,
        should,
        "dr.lim",
        NOW.isoformat(),
    )
    assert made.to_publications()[0].key.decode() == NOTE
    assert flag_from_json(made.to_publications()[0].value) == made


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"note_id": "S1234567D"}, "note_id"),
        ({"note_id": 7}, "note_id"),
        ({"start": -1}, "start"),
        ({"start": True}, "start"),
        ({"start": "0"}, "start"),
        ({"end": 0}, "end"),
        ({"verdict": "bad"}, "verdict"),
        ({"label": "problem"}, "label"),
        ({"label": None}, "label"),
        ({"assertion": "maybe"}, "assertion"),
        ({"comment": "Mdm Tan is allergic"}, ""),
        ({"correct": {"label": "TEST"}}, "correct"),
        ({"verdict": "changed"}, "correct"),
        ({"verdict": "changed", "correct": {}}, "correct"),
        ({"verdict": "changed", "correct": {"label": "PROBLEM"}}, "correct"),
        ({"verdict": "changed", "correct": {"label": "X"}}, "correct.label"),
        ({"verdict": "changed", "correct": {"start": 5}}, "correct.end"),
        ({"verdict": "changed", "correct": {"text": "Mdm Tan"}}, "correct"),
        ({"flag_id": "1"}, "flag_id"),
        ({"model": "m" * 300}, "model"),
    ],
)
def test_a_flag_that_is_none_is_refused_by_the_field_that_is_wrong(change, where):
    """What was sent is not repeated in the error: it may be anything."""
    with pytest.raises(ReadError) as refused:
        flag({**WRONG, **change})
    assert refused.value.location == where
    sent = [value for name, value in change.items() if name != "verdict" and isinstance(value, str)]
    assert not [value for value in sent if value in str(refused.value) and len(value) > 1]


def test_a_flag_names_who_says_so():
    """Without a user it is refused; the caller's own word does not win over the login before it."""
    with pytest.raises(ReadError, match="user"):
        flag_of(WRONG, user="", time=NOW)
    assert flag_of({**WRONG, "user": "x"}, user="dr.lim", time=NOW).user == "dr.lim"
    assert flag_of({**WRONG, "user": "x"}, user="", time=NOW).user == "x"


def test_of_flags_on_one_place_the_latest_stands():
    """A clinician who thinks again is heard; a flag elsewhere in the note stays."""
    first, elsewhere = flag(WRONG), flag({**WRONG, "start": 10, "end": 15}, after=1)
    again = flag({**WRONG, "verdict": "changed", "correct": {"end": 3}}, after=2)
    assert standing([again, first, elsewhere]) == [elsewhere, again]


def test_flags_and_the_readers_findings_become_a_training_text(tmp_path):
    """Wrong findings are gone, missed ones there, moved ones moved; what nobody flagged is as it was read."""
    spans = [
        Span(0, 5, Label.PROBLEM, 0.9),
        Span(10, 15, Label.PROBLEM, 0.9),
        Span(17, 23, Label.ANATOMY, 0.9),
        Span(28, 34, Label.PROBLEM, 0.9),
    ]
    flags = [
        flag({**WRONG, "start": 17, "end": 23, "label": "ANATOMY"}),
        flag({**WRONG, "start": 39, "end": 46, "label": "MEDICATION", "verdict": "missed"}),
        flag({**WRONG, "verdict": "changed", "correct": {"end": 15}}),
    ]
    note = Note(NOTE, TEXT, kind="34117-2", patient="Patient/7")
    row = training_row(note, flags, spans)
    (tmp_path / "flags.jsonl").write_text(json.dumps(row))
    (doc,) = read_corpora([tmp_path]).documents
    assert [(TEXT[g.start : g.end], g.label.value) for g in doc.gold] == [
        ("Fever and cough", "PROBLEM"),
        ("asthma", "PROBLEM"),
        ("aspirin", "MEDICATION"),
    ]
    assert (doc.group, doc.meta["note_type"], doc.annotated) == (
        "patient:Patient/7",
        "34117-2",
        frozenset(Label),
    )


def test_a_flag_outside_of_the_text_spoils_nothing():
    """Its note was another one: the row is left out, and the caller tells."""
    assert training_row(Note(NOTE, "Fever"), [flag({**WRONG, "end": 6})], ()) is None


async def post(data, log, *, content_type="application/json", settings=None, **headers):
    """What ``POST /feedback`` answers: status, OperationOutcome, headers."""
    server = HttpServer(settings or Settings(), log, log, Metrics(), SimpleNamespace())
    async with TestClient(TestServer(server.application())) as client:
        sent = {"Content-Type": content_type, **headers}
        async with client.post("/feedback", data=data, headers=sent) as response:
            return response.status, await response.json(content_type=None), response.headers


async def test_a_flag_is_kept_once_it_is_safe(caplog):
    """202 with its id; the user is the login's; nothing of it is logged."""
    log = KeptLog()
    with caplog.at_level(logging.DEBUG):
        status, body, headers = await post(json.dumps({**CHANGED, "user": "x"}), log, **{"X-User": "dr.lim"})
    assert (status, body["resourceType"]) == (202, "OperationOutcome")
    (kept,) = log.kept
    told = json.loads(kept.value)
    assert (kept.topic, told["flag_id"], told["user"]) == ("feedback.flags", headers["X-Flag-Id"], "dr.lim")
    assert NOTE not in caplog.text
    assert "dr.lim" not in caplog.text


@pytest.mark.parametrize(
    ("data", "content_type", "status", "word"),
    [
        (json.dumps(WRONG), "text/plain", 415, "application/json"),
        (b"{", "application/json", 400, "no JSON"),
        (b"[]", "application/json", 400, "object"),
        (b"\xff", "application/json", 400, "character set"),
        (json.dumps(WRONG), "application/json", 400, "user"),
        (json.dumps({**WRONG, "user": "x", "label": "Fever"}), "application/json", 400, "PROBLEM"),
        (b" " * 100, "application/json", 413, "64 bytes"),
    ],
)
async def test_what_is_no_flag_is_refused_in_words(data, content_type, status, word):
    """The answer says what to send; nothing is kept."""
    log = KeptLog()
    settings = Settings(http=Http(max_body_bytes=64)) if status == 413 else None
    told, body, _ = await post(data, log, content_type=content_type, settings=settings)
    assert told == status
    assert word in json.dumps(body)
    assert not log.kept


async def test_a_flag_that_kafka_did_not_confirm_is_not_taken():
    """503: the sender still has it, and may send it again under its own flag_id."""
    log = KeptLog(PublishError("no", action="wait"))
    status, _, headers = await post(json.dumps({**WRONG, "user": "x"}), log)
    assert (status, "Retry-After" in headers) == (503, True)


@pytest.mark.parametrize(
    ("asked", "label"),
    [({**WRONG, "model": "m@1"}, "PROBLEM"), ({**CHANGED, "model": "m@1"}, "PROBLEM"),
     ({**WRONG, "verdict": "missed", "label": "TEST", "model": "m@1"}, "TEST"),
     ({**WRONG, "verdict": "right", "model": "m@1"}, None), (WRONG, None)],
)  # fmt: skip
def test_an_error_of_a_known_reader_is_counted_for_the_drift_monitor(asked, label):
    """Beside the flag, under the reader's name, so that it meets what that reader found; neither place nor note is told."""
    _, *counted = flag(asked).to_publications()
    assert [json.loads(record.value)["label"] for record in counted] == ([label] if label else [])
    for record in counted:
        assert (record.topic, record.key, record.headers["kind"]) == ("telemetry", b"m@1", "flag")
        assert NOTE not in record.value.decode()
