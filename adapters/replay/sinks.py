"""Where replayed messages go: straight to Kafka, to any MLLP address, or to an HTTP endpoint."""

from __future__ import annotations

import uuid
from enum import StrEnum
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

import aiohttp

from adapters.mllp.errors import ConnectError
from adapters.mllp.sender import MllpSender
from adapters.replay.sources import SourceMessage
from engine.errors import PublishError, ReadError, SettingsError, WardstreamError
from engine.intake import Intake, fhir_key
from engine.ports import Clock, Publisher
from engine.records import Envelope, Kind
from engine.settings import Mllp, Read
from engine.stages import dead, envelopes

STAGE = "replay"
HTTP_TIMEOUT_SECONDS = 60.0
"""A request to an endpoint, Kafka's confirmation included."""


class Fate(StrEnum):
    """What became of a message that was sent."""

    ACKNOWLEDGED = "acknowledged"
    REJECTED = "rejected"
    FAILED = "failed"
    """No answer: it may or may not have arrived, and must be sent again."""


class Answer(NamedTuple):
    """The answer to one message.

    Attributes:
        code: MSA-1, HTTP status or error code.
        message_id: the receiver's id of it, where it tells one.
        reason: why it was not accepted.
    """

    fate: Fate
    code: str
    message_id: str = ""
    reason: str = ""


class Sink(Protocol):
    """Sends one message and waits for its answer; several calls may be under way at one time.

    ``send`` raises a WardstreamError only where no message can ever be sent.
    """

    async def send(self, message: SourceMessage) -> Answer: ...

    async def close(self) -> None: ...


class KafkaSink:
    """Writes to the inbound topics as the listeners would."""

    def __init__(self, publisher: Publisher, intake: Intake, clock: Clock, feed: str, limits: Read) -> None:
        self._publisher = publisher
        self._intake = intake
        self._clock = clock
        self._feed = feed
        self._limits = limits

    async def send(self, message: SourceMessage) -> Answer:
        envelope = Envelope(
            payload=message.payload,
            kind=message.kind,
            feed=self._feed,
            message_id=str(uuid.uuid4()),
            received_at=self._clock.now(),
            source=message.path,
            index=message.index,
            issues=message.issues,
        )
        refusal = message.failure
        key = self._feed
        try:
            if refusal is None and message.kind is Kind.HL7V2:
                arrival = next(self._intake.hl7v2(message.payload, self._feed))
                key, refusal = arrival.key, arrival.refusal  # type: ignore[assignment]  # a WardstreamError will do
            elif refusal is None:
                key = fhir_key(message.payload, None, self._limits) or self._feed
        except ReadError as error:
            refusal = error
        publication = envelopes.to_publication(envelope, key)
        if refusal is not None:
            publication = dead.of_payload(
                message.payload, publication.headers, refusal, key=self._feed, stage=STAGE
            )
        try:
            await self._publisher.publish([publication])
        except PublishError as error:
            return Answer(Fate.FAILED, error.code, reason=error.message)
        if refusal is not None:
            return Answer(Fate.REJECTED, refusal.code, envelope.message_id, refusal.message)
        return Answer(Fate.ACKNOWLEDGED, "kafka", envelope.message_id)

    async def close(self) -> None:
        """The publisher belongs to the caller."""


class MllpSink:
    """Sends over one MLLP connection, like the hospital's own systems."""

    def __init__(self, host: str, port: int, settings: Mllp) -> None:
        self._sender = MllpSender(host, port, settings=settings)

    async def send(self, message: SourceMessage) -> Answer:
        if message.kind is not Kind.HL7V2:
            return Answer(Fate.FAILED, "kind", reason="FHIR can't be sent over MLLP")
        try:
            ack = await self._sender.send(message.payload)
        except ConnectError:
            if not self._sender.stats["connects"]:
                raise  # nobody listens there: more messages would only wait in vain, one after another
            return Answer(Fate.FAILED, ConnectError.code, reason="the receiver has gone")
        except WardstreamError as error:
            return Answer(Fate.FAILED, error.code, reason=error.message)
        if ack.accepted or not ack.code:
            return Answer(Fate.ACKNOWLEDGED, ack.code or "none")
        return Answer(Fate.REJECTED, ack.code, reason=ack.text)

    async def close(self) -> None:
        await self._sender.close()


class HttpSink:
    """Posts FHIR to an endpoint such as our own ``/fhir``."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    async def send(self, message: SourceMessage) -> Answer:
        if message.kind is not Kind.FHIR:
            return Answer(Fate.FAILED, "kind", reason="HL7 v2 can't be posted; use mllp://")
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=HTTP_TIMEOUT_SECONDS)
            self._session = aiohttp.ClientSession(
                timeout=timeout, headers={"Content-Type": "application/fhir+json"}
            )
        try:
            async with self._session.post(self._url, data=message.payload) as reply:
                if reply.status < 300:
                    return Answer(Fate.ACKNOWLEDGED, str(reply.status), reply.headers.get("X-Message-Id", ""))
                fate = Fate.FAILED if reply.status in {408, 429, 503} else Fate.REJECTED
                return Answer(fate, str(reply.status), reason=reply.reason or "")
        except (aiohttp.ClientError, TimeoutError) as error:
            return Answer(Fate.FAILED, "connection", reason=type(error).__name__)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def parse_address(text: str) -> tuple[str, str, int]:
    """(scheme, host, port) of ``mllp://host:port`` or ``http://host:port/path``. Raises SettingsError."""
    parts = urlsplit(text)
    try:
        port = parts.port
    except ValueError:
        port = None
    if (
        parts.scheme not in {"mllp", "http", "https"}
        or not parts.hostname
        or (parts.scheme == "mllp" and not port)
    ):
        raise SettingsError(
            f"{text!r} is no address to replay to",
            location="--to",
            action="Use kafka, mllp://host:port or http://host:port/fhir.",
        )
    return parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80)
