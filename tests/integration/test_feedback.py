"""From a note in the stream to a clinician's flag to a training text, on the embedded broker."""

from __future__ import annotations

import json

import aiohttp
import pytest

from adapters.cli import app
from adapters.kafka.publisher import KafkaPublisher
from adapters.kafka.reader import read_topic
from adapters.kafka.topics import ensure_topics
from adapters.worker import Engine, Role
from engine.nlp.codec import note_to_json
from engine.records import Note, Publication
from engine.settings import Http, Nlp, Observability, Settings
from models.corpora.reading import read_corpora

pytest_plugins = ("kafka.plugin",)

TEXT = "Fever and cough for three days. Takes aspirin."
IDS = [f"0b0f7c1e-2f4d-5a61-9a0e-3c9b7a2d1e4{n}" for n in range(3)]


@pytest.fixture
def site(embedded, monkeypatch):
    """This process's settings name the embedded broker, and the rules read."""
    monkeypatch.setenv("WARDSTREAM_KAFKA__BROKERS", embedded.brokers)
    monkeypatch.setenv("WARDSTREAM_KAFKA__EMBEDDED", "true")
    monkeypatch.setenv("WARDSTREAM_KAFKA__PREFIX", embedded.prefix)
    monkeypatch.setenv("WARDSTREAM_NLP__EXTRACTOR", "rules")
    return embedded


def call(*words):
    """A command, in this process; its exit status."""
    with pytest.raises(SystemExit) as ended:
        app(list(words), prog_name="wardstream", standalone_mode=True)
    return ended.value.code


async def with_notes(kafka, count):
    await ensure_topics(kafka)
    async with KafkaPublisher(kafka) as publisher:
        notes = [Note(IDS[n], TEXT, patient=f"Patient/{n}") for n in range(count)]
        await publisher.publish(
            [Publication("notes.clinical", b"k", note_to_json(n), {"note-id": n.note_id}) for n in notes]
        )


async def test_a_flag_over_http_is_on_its_topic_and_not_in_the_log(site, caplog):
    """POST /feedback of a running engine: 202 once the topic has it, an id for it, and no trace elsewhere."""
    settings = Settings(
        kafka=site, http=Http(port=0), nlp=Nlp(extractor="rules"), observability=Observability(audit_key="k")
    )

    async def job(engine):
        url = f"http://127.0.0.1:{engine.http.port}/feedback"
        asked = {"note_id": IDS[0], "start": 0, "end": 5, "verdict": "wrong", "label": "PROBLEM"}
        async with aiohttp.ClientSession(headers={"X-User": "dr.lim"}) as session:
            async with session.post(url, json=asked) as reply:
                assert reply.status == 202
            async with session.post(url, json={**asked, "end": 0}) as reply:
                assert reply.status == 400
        (record,) = await read_topic(site, "feedback.flags")
        told = json.loads(record.value)
        assert (record.key.decode(), told["user"], told["verdict"]) == (IDS[0], "dr.lim", "wrong")
        async with (
            aiohttp.ClientSession() as session,
            session.get(url.replace("feedback", "metrics")) as reply,
        ):
            text = await reply.text()
            assert "wardstream_feedback_kept 1.0" in text
            assert "wardstream_feedback_refused 1.0" in text

    assert await Engine([Role.HTTP], settings).run(site, jobs=[job]) == 0
    assert IDS[0] not in caplog.text
    assert "dr.lim" not in caplog.text


def test_flags_become_a_file_that_train_and_evaluate_read(site, tmp_path, capfd):
    """wardstream flag, then models flags export: the notes, mended, each with its patient; a note that is gone is told."""
    import asyncio

    asyncio.run(with_notes(site, 2))
    flag = ["--user", "dr.lim", "--label"]
    assert call("flag", IDS[0], "0", "5", "--verdict", "wrong", *flag, "problem") == 0
    assert call("flag", IDS[1], "10", "30", "--verdict", "missed", *flag, "PROBLEM") == 0
    assert call("flag", IDS[2], "0", "5", "--verdict", "right", *flag, "PROBLEM") == 0
    assert call("models", "flags", "list") == 0
    assert "dr.lim" in capfd.readouterr().out
    out = tmp_path / "flags.jsonl"
    assert call("models", "flags", "export", "--out", str(out)) == 0
    told = capfd.readouterr()
    assert "1 notes are no longer on notes.clinical" in told.err
    assert told.out == ""
    assert TEXT[:15] not in told.err
    found = {doc.group: {TEXT[g.start : g.end] for g in doc.gold} for doc in read_corpora([out]).documents}
    assert "Fever" not in found["patient:Patient/0"] >= {"cough", "aspirin"}
    assert found["patient:Patient/1"] >= {"Fever", TEXT[10:30], "aspirin"}
    elsewhere = tmp_path / "archive.jsonl"
    elsewhere.write_text(json.dumps({"note_id": IDS[2], "text": TEXT, "patient": "Patient/2"}))
    assert call("models", "flags", "export", "--out", str(out), "--notes", str(elsewhere)) == 0
    assert len(read_corpora([out]).documents) == 3
