"""The HTTP side: FHIR in, health, metrics and the console page.

``POST /fhir`` takes one resource or Bundle. 202 means what AA means on MLLP: Kafka has confirmed it. Every
other answer means that the sender still owns it. Answers are OperationOutcome resources (FHIR R4 §3.1.0.4).
``POST /annotate`` reads one note: :mod:`adapters.http.notes`. ``POST /feedback`` keeps a flag on what was read in one:
:mod:`adapters.http.feedback`.
"""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from importlib import resources
from typing import TYPE_CHECKING, Any

import structlog
from aiohttp import web
from aiohttp.helpers import parse_mimetype

from adapters.http.answers import FHIR_JSON, answer, failure, respond
from adapters.http.feedback import FlagRoute
from adapters.http.notes import NoteRoute
from adapters.http.watching import Watching
from adapters.observability.metrics import Metrics
from engine.drift.telemetry import EdgeTelemetry
from engine.errors import PublishError, ReadError
from engine.fhir.outcome import operation_outcome
from engine.fhir.stu3 import READ_AS_R4, STU3
from engine.intake import fhir_key
from engine.ports import Clock, Publisher
from engine.records import Envelope, Issue, Kind, Publication, Severity
from engine.settings import Settings
from engine.stages import dead, envelopes

if TYPE_CHECKING:
    from adapters.kafka.run import Run

log = structlog.get_logger(__name__)

STAGE = "http"
_FEED_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ACCEPTED_TYPES = {
    FHIR_JSON,
    "application/json",
    "application/fhir+ndjson",
    "application/octet-stream",
    "text/plain",
    "",
}
_VERSION = re.compile(r"(\d+\.\d+)(?:\.\d+)?")
MAX_FEEDS = 256
"""Feeds counted for drift; callers name their feed themselves."""


class HttpServer:
    """Serves on ``http.host`` and ``http.port``; a service for :class:`adapters.kafka.run.Run`.

    Attributes:
        port: where it listens; the one picked, once started, if the setting is 0.
    """

    def __init__(
        self,
        settings: Settings,
        publisher: Publisher,
        clock: Clock,
        metrics: Metrics,
        watching: Watching,
        notes: NoteRoute | None = None,
    ) -> None:
        self._settings = settings.http
        self._kafka = settings.kafka
        self._limits = settings.read
        self._publisher = publisher
        self._clock = clock
        self._metrics = metrics
        self._watching = watching
        self._run: Run | None = None
        self._runner: web.AppRunner | None = None
        self._slots = asyncio.Semaphore(settings.http.max_requests)
        self.port = settings.http.port
        self._drift = settings.drift
        self._telemetry: dict[str, EdgeTelemetry] = {}
        self.stats = {"accepted": 0, "refused": 0, "not_safe": 0, "turned_away": 0}
        metrics.add("http", self.stats)
        self._notes = notes
        if notes is not None:
            metrics.add("annotate", notes.stats)
        self._flags = FlagRoute(settings, publisher, clock)
        metrics.add("feedback", self._flags.stats)

    def watch(self, run: Run) -> None:
        """Show the health of this run's stages."""
        self._run = run
        self._metrics.watch(run.health)

    def application(self) -> web.Application:
        """The routes, for the server and for tests."""
        app = web.Application(client_max_size=self._settings.max_body_bytes)
        app.router.add_post("/fhir", self._fhir)
        if self._notes is not None:
            app.router.add_post("/annotate", self._notes.answer)
        app.router.add_post("/feedback", self._flags.answer)
        app.router.add_get("/health/live", self._live)
        app.router.add_get("/health/ready", self._ready)
        app.router.add_get("/metrics", self._show_metrics)
        app.router.add_get("/api/status", self._status)
        app.router.add_get("/", self._page)
        return app

    async def start(self) -> None:
        self._runner = web.AppRunner(self.application(), access_log=None, shutdown_timeout=5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._settings.host, self._settings.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        log.info("http listening", host=self._settings.host, port=self.port)

    async def stop(self, timeout: float | None = None) -> None:  # noqa: ASYNC109, ARG002 - the contract of services
        if self._runner is not None:
            await self._runner.cleanup()

    # -- FHIR in -----------------------------------------------------------------------------------

    async def _fhir(self, request: web.Request) -> web.Response:
        if self._slots.locked():
            self.stats["turned_away"] += 1
            return answer(429, "throttled", "Too many requests are under way", "Send it again later.")
        async with self._slots:
            return await self._take(request)

    async def _take(self, request: web.Request) -> web.Response:
        feed = request.query.get("feed", self._settings.feed)
        if not _FEED_NAME.fullmatch(feed):
            return answer(
                400, "feed", "The feed's name is not usable", "Use letters, digits, '.', '_' and '-'."
            )
        if request.content_type not in _ACCEPTED_TYPES:
            return answer(415, "content-type", "The content type is not FHIR JSON", f"Send {FHIR_JSON}.")
        version = fhir_version(request.headers.get("Content-Type", ""))
        if version and version not in {STU3, *READ_AS_R4}:
            return answer(
                415, "fhir-version", f"FHIR {version} can't be read here", "Send fhirVersion 4.0, 4.3 or 3.0."
            )
        try:
            async with asyncio.timeout(self._settings.body_timeout):
                payload = await request.read()
        except TimeoutError:
            return answer(408, "timeout", "The body did not come in time", "Send it again.")
        except web.HTTPRequestEntityTooLarge:
            limit = self._settings.max_body_bytes
            return answer(413, "too-large", f"The body exceeds {limit} bytes", "Send smaller Bundles.")
        envelope = Envelope(
            payload=payload,
            kind=Kind.FHIR,
            feed=feed,
            message_id=str(uuid.uuid4()),
            received_at=self._clock.now(),
            charset=request.charset,
            trace=request.headers.get("traceparent"),
            source=f"http://{request.remote}",
            fhir_version=version,
        )
        try:
            key = fhir_key(payload, envelope.charset, self._limits) or feed
        except ReadError as error:
            return await self._refuse(envelope, error)
        return await self._keep(envelope, key)

    async def _keep(self, envelope: Envelope, key: str) -> web.Response:
        try:
            counted = self._count(envelope)
            await self._publisher.publish([envelopes.to_publication(envelope, key), *counted])
        except PublishError as error:
            self.stats["not_safe"] += 1
            return failure(503 if error.retryable else 413, error)
        self.stats["accepted"] += 1
        note = Issue(Severity.INFORMATION, "safe", "", f"The message is safe as {envelope.message_id}")
        return respond(202, operation_outcome([note]), {"X-Message-Id": envelope.message_id})

    async def _refuse(self, envelope: Envelope, error: ReadError) -> web.Response:
        """400 once the dead letter is safe; 503 when even that could not be kept."""
        headers = dict(envelopes.to_publication(envelope, envelope.feed).headers)
        letter = dead.of_payload(envelope.payload, headers, error, key=envelope.feed, stage=STAGE)
        try:
            await self._publisher.publish([letter, *self._count(envelope, error.code)])
        except PublishError as lost:
            self.stats["not_safe"] += 1
            return failure(503, lost)
        self.stats["refused"] += 1
        log.info("message refused", feed=envelope.feed, code=error.code, location=error.location)
        return failure(400, error)

    def _count(self, envelope: Envelope, refusal: str = "") -> list[Publication]:
        known = self._telemetry.get(envelope.feed)
        if known is None:
            if len(self._telemetry) >= MAX_FEEDS:
                return []
            known = self._telemetry[envelope.feed] = EdgeTelemetry(self._drift, envelope.feed)
        return known.add(envelope.received_at, refusal)

    # -- operation ---------------------------------------------------------------------------------

    async def _live(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "up"})

    async def _ready(self, _request: web.Request) -> web.Response:
        late = [
            h.stage
            for h in (self._run.health() if self._run else [])
            if h.in_hand and h.idle_seconds > self._kafka.stall_timeout / 2
        ]
        return web.json_response(
            {"status": "late" if late else "ready", "late": late}, status=503 if late else 200
        )

    async def _show_metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4"})

    async def _status(self, _request: web.Request) -> web.Response:
        watching = self._watching
        health = self._run.health() if self._run else []
        body: dict[str, Any] = {
            "counts": dict(watching.counts),
            "since": watching.since.isoformat(),
            "behind": watching.behind,
            "embedded": self._kafka.embedded,
            "stages": [
                {
                    "stage": h.stage,
                    "partitions": len(h.partitions),
                    "in_hand": h.in_hand,
                    "idle": round(h.idle_seconds, 1),
                }
                for h in health
            ],
            "outcomes": list(watching.outcomes)[:50],
            "dead_letters": list(watching.dead_letters)[:50],
            "drift": list(watching.drift)[:50],
        }
        return web.Response(text=json.dumps(body), content_type="application/json")

    async def _page(self, _request: web.Request) -> web.Response:
        page = resources.files("adapters.http").joinpath("console.html").read_text("utf-8")
        policy = (
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        return web.Response(text=page, content_type="text/html", headers={"Content-Security-Policy": policy})


def fhir_version(content_type: str) -> str:
    """FhirVersion of a Content-Type as ``4.0`` (FHIR R4 §3.1.0.1.12), "" if it has none; what is no version stays as it is."""
    stated = parse_mimetype(content_type).parameters.get("fhirversion", "").strip()
    found = _VERSION.fullmatch(stated)
    return found[1] if found else stated
