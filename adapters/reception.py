"""What the engine does with bytes that a feed pushes: make them safe in the log, then say so.

An acknowledgement AA means that Kafka has confirmed the message on all in-sync replicas. AE means that
it could not be made safe and should be sent again; AR that it can never be read as HL7 v2, and that a
dead letter keeps its bytes.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import zip_longest

import structlog

from adapters.mllp.receiver import Reply
from engine.drift.telemetry import EdgeTelemetry
from engine.errors import PublishError, ReadError, WardstreamError
from engine.hl7v2.ack import Header, acknowledge, read_header
from engine.hl7v2.mllp import Reason, explain
from engine.intake import Arrival, Intake
from engine.ports import Clock, Publisher
from engine.records import Envelope, Kind
from engine.settings import Drift
from engine.stages import dead, envelopes

log = structlog.get_logger(__name__)

STAGE = "mllp"


class Reception:
    """The receiver behind the MLLP listener; see :class:`adapters.mllp.receiver.Receiver`."""

    def __init__(self, intake: Intake, publisher: Publisher, clock: Clock, feed: str, drift: Drift) -> None:
        self._intake = intake
        self._publisher = publisher
        self._clock = clock
        self._feed = feed
        self._order = KeyedOrder()
        self._both = intake.profile(feed).acknowledgements == "both"
        self._telemetry = EdgeTelemetry(drift, feed)

    async def receive(self, payload: bytes, *, peer: str, connection: str) -> Reply:  # noqa: ARG002
        """Make every message of a frame safe. A batch gets one acknowledgement a message, in order.

        Application acknowledgements behind accept acknowledgements (``acknowledgements: both``) are a frame of their own.
        """
        arrivals = list(self._intake.hl7v2(payload, self._feed))
        answers = await asyncio.gather(*(self._one(a, n, peer) for n, a in enumerate(arrivals)))
        return _reply(answers)

    async def receive_broken(self, payload: bytes, *, peer: str, reason: Reason) -> Reply:
        """Keep what is no frame as a dead letter, and refuse it."""
        # The head of an oversize frame still holds the MSH, so that the refusal can name the message.
        return _reply([await self._refuse(payload, explain(reason), read_header(payload), peer)])

    async def _one(self, arrival: Arrival, index: int, peer: str) -> tuple[bytes, ...]:
        if arrival.refusal is not None:
            return await self._refuse(arrival.payload, arrival.refusal, arrival.header, peer)
        envelope = Envelope(
            payload=arrival.payload,
            kind=Kind.HL7V2,
            feed=self._feed,
            message_id=str(uuid.uuid4()),
            received_at=self._clock.now(),
            source=f"mllp://{peer}",
            index=index,
            issues=arrival.issues,
        )
        # A patient's messages go in one after another; those of different patients need not wait.
        order_key = arrival.key if arrival.key != self._feed else envelope.message_id
        try:
            async with self._order.turn(order_key):
                counted = self._telemetry.add(envelope.received_at)
                await self._publisher.publish([envelopes.to_publication(envelope, arrival.key), *counted])
        except PublishError as error:
            log.warning("message not safe", feed=self._feed, peer=peer, code=error.code, reason=error.message)
            return self._answer(arrival.header, "AE" if error.retryable else "AR", error, "internal")
        return self._answer(arrival.header, "AA", None, "ok")

    async def _refuse(
        self, payload: bytes, error: WardstreamError, header: Header | None, peer: str
    ) -> tuple[bytes, ...]:
        """AR once the dead letter is safe; AE when even that could not be kept."""
        headers = {
            "feed": self._feed,
            "message-id": str(uuid.uuid4()),
            "received-at": self._clock.now().isoformat(),
            "source": f"mllp://{peer}",
        }
        try:
            letter = dead.of_payload(payload, headers, error, key=self._feed, stage=STAGE)
            await self._publisher.publish([letter, *self._telemetry.add(self._clock.now(), error.code)])
        except PublishError as failure:
            log.warning("refusal not safe", feed=self._feed, peer=peer, code=failure.code)
            return self._answer(header, "AE", failure, "internal")
        log.info("message refused", feed=self._feed, peer=peer, code=error.code, location=error.location)
        return self._answer(header, "AR", error, "structure")

    def _answer(
        self, header: Header | None, code: str, error: WardstreamError | None, kind: str
    ) -> tuple[bytes, ...]:
        text = f"{error.message}. {error.action}" if error is not None else ""
        made = [
            acknowledge(
                header,
                code,
                control_id=uuid.uuid4().hex[:20],
                at=self._clock.now(),
                text=text,
                location=error.location if isinstance(error, ReadError) else "",
                kind=kind,
                msa1=msa1,
            )
            for msa1 in (header.answers(code, both=self._both) if header is not None else (code,))
        ]
        return tuple(answer for answer in made if answer is not None)


def _reply(answers: list[tuple[bytes, ...]]) -> Reply:
    """The answers to the messages of one frame: in one frame, and what follows them in another."""
    frames = [b"".join(of_kind) for of_kind in zip_longest(*answers, fillvalue=b"")]
    return tuple(frames) if len(frames) > 1 else next(iter(frames), None)


class KeyedOrder:
    """Lets those with one key go one after another, in the order they asked; others pass at once."""

    def __init__(self) -> None:
        self._last: dict[str, asyncio.Event] = {}

    @asynccontextmanager
    async def turn(self, key: str) -> AsyncIterator[None]:
        """Wait for everyone before with this key. The place is taken when this is entered, before any wait."""
        before = self._last.get(key)
        mine = self._last[key] = asyncio.Event()
        try:
            if before is not None:
                await before.wait()
            yield
        finally:
            mine.set()
            if self._last.get(key) is mine:
                del self._last[key]
