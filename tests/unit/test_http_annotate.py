"""``POST /annotate``: answers, refusals, overload and the audit line of each reading."""

import asyncio
import hashlib
import hmac
import json
import logging
from types import SimpleNamespace

import pytest
from aiohttp.test_utils import TestClient, TestServer
from kept_log import KeptLog

from adapters.http.notes import NoteRoute
from adapters.http.server import HttpServer
from adapters.observability.metrics import Metrics
from engine.errors import ExtractorError, OverloadedError, PublishError, SettingsError, SlowExtractorError
from engine.nlp.readers import Readers
from engine.records import Label, ModelInfo, Span
from engine.settings import Http, Nlp, Settings

KEY = b"key"
TEXT = "Mdm Nobody has fever.\r\n患者主诉胸痛两天 \U0001f637"


class Extractor:
    """Finds "fever"; raises, or waits, as told."""

    languages = frozenset({"en"})
    info = ModelInfo("test-model", "7", "rules")

    def __init__(self, error=None, seconds=0.0):
        self.error, self.seconds = error, seconds

    async def extract(self, notes):
        await asyncio.sleep(self.seconds)
        if self.error:
            raise self.error
        return [
            [Span(at, at + 5, Label.PROBLEM, 0.83)] if (at := note.text.find("fever")) >= 0 else []
            for note in notes
        ]


class Side:
    """An HTTP side with one extractor behind it."""

    def __init__(self, extractor=None, log=None, readers=None, **settings):
        self.settings = Settings(**settings)
        self.log = log or KeptLog()

        async def known():
            return Readers(extractor or Extractor(), settings=self.settings.nlp)

        notes = NoteRoute(self.settings, readers or known, self.log, self.log, KEY)
        server = HttpServer(self.settings, self.log, self.log, Metrics(), SimpleNamespace(), notes)
        self.client = TestClient(TestServer(server.application()))
        self.notes = notes

    async def __aenter__(self):
        await self.client.start_server()
        return self

    async def __aexit__(self, *_):
        await self.client.close()

    async def post(self, data, content_type="text/plain; charset=utf-8", **headers):
        sent = {"Content-Type": content_type, **headers}
        async with self.client.post("/annotate", data=data, headers=sent) as response:
            return response.status, await response.json(content_type=None), response.headers


def codes(body):
    assert body["resourceType"] == "OperationOutcome"
    return [issue["details"]["text"].split(":")[0] for issue in body["issue"]]


async def test_plain_text_in_entities_out():
    """Offsets index the text that was sent, code point for code point."""
    async with Side() as side:
        status, body, headers = await side.post(TEXT.encode())
    assert (status, headers["Content-Type"]) == (200, "application/json")
    (entity,) = body["entities"]
    assert TEXT[entity["start"] : entity["end"]] == entity["text"] == "fever"
    assert body["models"] == [{"id": "test-model", "version": "7", "provider": "rules"}]
    assert [TEXT[s["start"] : s["end"]] for s in body["languages_not_read"]] == ["胸痛两天"]


async def test_json_with_what_is_known_of_the_note():
    """The declared language is used; a field nobody knows is told, not refused."""
    async with Side() as side:
        sent = {"text": "Befund heute, fever", "language": "de", "note_id": "n-7", "colour": "red"}
        status, body, _ = await side.post(json.dumps(sent), "application/json")
    assert status == 200
    assert (body["note_id"], body["language"]) == ("n-7", "de")
    assert [issue["code"] for issue in body["issues"]] == ["language-not-read", "unknown-field"]


async def test_a_text_in_its_own_character_set():
    """The declared charset is used."""
    async with Side() as side:
        _, body, _ = await side.post("café fever".encode("cp1252"), "text/plain; charset=windows-1252")
    assert [(e["start"], e["text"]) for e in body["entities"]] == [(5, "fever")]


async def test_a_short_text_is_read_and_an_empty_one_has_nothing():
    """Who sends "fever" asks about "fever"."""
    async with Side() as side:
        assert [e["text"] for e in (await side.post(b"fever"))[1]["entities"]] == ["fever"]
        status, body, _ = await side.post(b"")
        assert (status, body["entities"]) == (200, [])


async def test_each_reading_leaves_an_audit_line_without_text(caplog):
    """On the topic and in the log: hash, model, counts, who asked; not one word of the note."""
    async with Side() as side:
        with caplog.at_level(logging.INFO):
            _, _, headers = await side.post(TEXT.encode(), **{"X-User": "dr.lim"})
    (kept,) = side.log.kept
    line = json.loads(kept.value)
    assert kept.topic == "inference.audit"
    assert line["text_hash"] == hmac.new(KEY, TEXT.encode(), hashlib.sha256).hexdigest() == kept.key.decode()
    assert (line["user"], line["feed"], line["time"]) == ("dr.lim", "http", "2026-03-04T05:06:07+00:00")
    assert (line["model"], line["version"], line["labels"]) == ("test-model", "7", {"PROBLEM": 1})
    assert line["message_id"] == headers["X-Message-Id"]
    for word in ("fever", "Nobody", "患者"):
        assert word not in kept.value.decode()


async def test_no_answer_without_its_audit_line():
    """If Kafka does not take the line, the caller gets no entities: a reading nobody knows of must not be used."""
    log = KeptLog(PublishError("no confirmation", action="wait"))
    async with Side(log=log) as side:
        status, body, headers = await side.post(b"fever since Monday")
    assert (status, codes(body)) == (503, ["publish"])
    assert "Retry-After" in headers


BROKEN = [
    (b"{", "application/json", 400, "not-json"),
    (b"[]", "application/json", 400, "no-text"),
    (b'{"note": "fever"}', "application/json", 400, "no-text"),
    (b'{"text": 5}', "application/json", 400, "no-text"),
    (b'{"text": "fever", "language": ["en"]}', "application/json", 400, "wrong-type"),
    (b'{"text": "\\ud800"}', "application/json", 400, "not-json"),
    (b"[" * 100_000, "application/json", 400, "not-json"),
    (b"fever \xff", "text/plain; charset=utf-8", 400, "charset"),
    (b"fever", "text/plain; charset=klingon", 400, "charset"),
    (b"fever", "text/plain; charset=undefined", 400, "charset"),
    (b"fever \\ud800", "text/plain; charset=unicode_escape", 400, "charset"),
    (b"\xff\xff", "application/json", 400, "charset"),
    (b"fever", "application/x-www-form-urlencoded", 415, "content-type"),
    (b"fever", "image/png", 415, "content-type"),
]


@pytest.mark.parametrize(
    ("data", "kind", "status", "code"), BROKEN, ids=[f"{r[3]}-{at}" for at, r in enumerate(BROKEN)]
)
async def test_what_is_no_note_is_refused_with_the_reason(data, kind, status, code):
    """4xx, an OperationOutcome that says what to do, and no audit line: nothing was read."""
    async with Side() as side:
        answered, body, _ = await side.post(data, kind)
    assert (answered, codes(body)) == (status, [code])
    assert body["issue"][0]["diagnostics"]
    assert side.log.kept == []


async def test_too_large():
    """By bytes before it is read, by characters before a model sees it."""
    async with Side(http=Http(max_body_bytes=1000), nlp=Nlp(max_note_chars=500)) as side:
        for size in (600, 2000):
            status, body, _ = await side.post(b"fever " * (size // 6))
            assert (status, codes(body)) == (413, ["too-large"])
            assert "fever" not in json.dumps(body)


async def test_overload_is_told_and_may_be_tried_again():
    """429 with a time: the queue of the model is full."""
    async with Side(Extractor(OverloadedError("queue full", action="wait"))) as side:
        status, body, headers = await side.post(b"fever since Monday")
    assert (status, codes(body)) == (429, ["overloaded"])
    assert body["issue"][0]["code"] == "throttled"
    assert int(headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    "extractor",
    [Extractor(SlowExtractorError("slow", action="wait")), Extractor(seconds=5)],
    ids=["told", "stuck"],
)
async def test_a_note_that_takes_too_long(extractor):
    """504, whether the reader says so or says nothing."""
    async with Side(extractor, nlp=Nlp(timeout=0.1)) as side:
        status, body, _ = await side.post(b"fever since Monday")
    assert (status, codes(body)) == (504, ["note-timeout"])


async def test_more_callers_than_may_be_under_way():
    """http.max_requests: the next is turned away at once, those under way are answered."""
    async with Side(Extractor(seconds=0.3), http=Http(max_requests=2)) as side:
        answers = await asyncio.gather(*(side.post(b"fever since Monday") for _ in range(5)))
    assert sorted(status for status, _, _ in answers) == [200, 200, 429, 429, 429]
    assert side.notes.stats["turned_away"] == 3


async def test_a_reader_that_fails_is_a_fault_of_ours():
    """500, told without a word of the note."""
    async with Side(Extractor(ExtractorError("The model failed", action="report it"))) as side:
        status, body, _ = await side.post(b"fever since Monday")
    assert (status, codes(body)) == (500, ["extractor"])


async def test_readers_that_can_not_be_loaded():
    """503: somebody must repair the settings first."""

    async def none():
        raise SettingsError("There is no model", action="install it")

    async with Side(readers=none) as side:
        status, body, _ = await side.post(b"fever since Monday")
    assert (status, codes(body)) == (503, ["settings"])


async def test_who_asks_can_not_write_into_the_log():
    """The header is the caller's: control characters go, and it is cut."""
    async with Side() as side:
        await side.post(b"fever", **{"X-User": "a\tb" + "c" * 500})
    user = json.loads(side.log.kept[0].value)["user"]
    assert user.startswith("abc")
    assert len(user) == 128
