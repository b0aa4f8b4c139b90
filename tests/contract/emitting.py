"""Real traffic through the parts that publish, without a broker: what they would have written, by topic."""

import asyncio
import hashlib
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from types import SimpleNamespace

from aiohttp.test_utils import TestClient, TestServer

from adapters.composition import make_intake, make_pipeline
from adapters.http.server import HttpServer
from adapters.kafka.caller import OnLoop
from adapters.kafka.handling import Handling
from adapters.note_readers import make_readers
from adapters.observability.metrics import Metrics
from adapters.reception import Reception
from adapters.replay.generate import generate
from adapters.replay.sources import Format, messages
from engine.hl7v2.mllp import Reason
from engine.records import Kind, Publication, Record
from engine.settings import Drift, Nlp, Settings
from engine.stages.annotate import AnnotateStage
from engine.stages.ingest import IngestStage
from engine.stages.watch import WatchStage

ROOT = Path(__file__).resolve().parents[2]
START = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
FEED = "wards"
GENERATED = 160
"""Messages of the generator, of which the second half drifts: enough for a monitor to fire."""


class Log:
    """Stands for Kafka: what is published becomes a record that a stage can read."""

    def __init__(self):
        self.by_topic = defaultdict(list)
        self._time = (START + timedelta(seconds=n) for n in count())

    async def publish(self, publications):
        for each in publications:
            self.by_topic[each.topic].append(each)

    def now(self):
        """The clock of the edge: a second passes with each look."""
        return next(self._time)

    def records(self, topic):
        return [
            Record(topic, 0, offset, each.key, each.value, each.headers, START + timedelta(seconds=offset))
            for offset, each in enumerate(self.by_topic[topic])
        ]


async def emitted() -> dict[str, list[Publication]]:
    """Every publication of one pass of the fixtures and of a drifting feed, by logical topic."""
    settings = Settings(drift=Drift(window_messages=10, window_seconds=60), nlp=Nlp(extractor="rules"))
    log = Log()
    await _over_mllp(settings, log)
    await _over_http(settings, log)
    pipeline = make_pipeline(settings)
    for kind in Kind:
        await _through(IngestStage(kind, pipeline, settings), log)
    annotate = AnnotateStage(
        make_readers(settings),
        settings,
        audit_key=hashlib.sha256(b"test").digest(),
        clock=log,
        perf_counter=lambda: 0.0,
    )
    await _through(annotate, log)
    await _through(WatchStage(settings), log)
    await _given_up(annotate, settings, log)
    return dict(log.by_topic)


async def _over_mllp(settings, log):
    intake = make_intake(settings)
    reception = Reception(intake, log, log, FEED, settings.drift)
    files = messages([ROOT / "fixtures" / "hl7v2"], Format.AUTO, limit=settings.read.max_message_bytes)
    stream = generate(["adt", "oru", "mdm"], GENERATED, 3, shift_at=GENERATED // 2)
    batches = [path.read_bytes() for path in sorted((ROOT / "fixtures" / "hl7v2").glob("batch-*.hl7"))]
    for payload in [*(each.payload for each in files), *batches, *stream]:
        await reception.receive(payload, peer="192.0.2.1:40000", connection="1")
    for reason in Reason:
        await reception.receive_broken(b"MSH|^~\\&|A|B", peer="192.0.2.1:40000", reason=reason)


async def _over_http(settings, log):
    server = HttpServer(settings, log, log, Metrics(), SimpleNamespace())
    trace = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
    async with TestClient(TestServer(server.application())) as client:
        for path in sorted((ROOT / "fixtures" / "fhir").glob("*json")):
            for content_type in (
                "application/fhir+json",
                "application/fhir+json; charset=iso-8859-1; fhirVersion=4.0",
            ):
                headers = {**trace, "Content-Type": content_type}
                async with client.post(
                    "/fhir", params={"feed": "apps"}, data=path.read_bytes(), headers=headers
                ):
                    pass
        place = {"note_id": "00000000-0000-5000-8000-000000000001", "start": 0, "end": 5, "label": "PROBLEM"}
        for said in (
            {"verdict": "wrong", "assertion": "present", "model": "m@1"},
            {"verdict": "missed"},
            {"verdict": "right"},
            {"verdict": "changed", "correct": {"end": 7, "label": "TEST", "assertion": "negated"}},
        ):
            async with client.post(
                "/feedback", json={**place, **said}, headers={"X-User": "dr.lim"}
            ) as reply:
                assert reply.status == 202


async def _through(stage, log):
    for record in log.records(stage.topic):
        await log.publish(await stage.handle(record))
    await log.publish(stage.tick(START + timedelta(days=1)))


async def _given_up(stage, settings, log):
    """A record that its stage can't read: what the runner writes in its place."""
    record = Record(stage.topic, 3, 41, b"Patient/1", b"no note", {"feed": FEED}, START)
    handled = await Handling(stage, OnLoop(stage, 5.0), settings.kafka).run(record)
    await log.publish(handled.publications)


def emitted_now() -> dict[str, list[Publication]]:
    """:func:`emitted`, run to its end."""
    return asyncio.run(emitted())
