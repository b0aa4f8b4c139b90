"""Inbound messages to FHIR, notes, outcomes and dead letters."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from engine.drift.telemetry import IngestTelemetry
from engine.errors import InternalError, WardstreamError
from engine.nlp.codec import note_to_json
from engine.pipeline import Pipeline, rejected
from engine.records import Envelope, Kind, Outcome, Publication, Record
from engine.report import report
from engine.settings import Settings
from engine.stages import dead, envelopes


class IngestStage:
    """One of the two ingest stages: HL7 v2 or FHIR. See :class:`engine.ports.Stage`."""

    def __init__(self, kind: Kind, pipeline: Pipeline, settings: Settings) -> None:
        self.kind = kind
        self.name = f"ingest-{kind.value}"
        self.topic = envelopes.TOPIC_OF[kind]
        self._pipeline = pipeline
        self._telemetry = IngestTelemetry(settings.drift)

    async def handle(self, record: Record) -> Sequence[Publication]:
        return self.process(record)

    def process(self, record: Record) -> list[Publication]:
        """Everything that must be confirmed before the record may be acknowledged."""
        envelope = envelopes.from_record(record, self.kind)
        publications: list[Publication] = []
        for outcome in self._pipeline.process(envelope):
            publications += self._outcome(envelope, outcome, record)
            publications += self._telemetry.add(envelope.feed, outcome, envelope.received_at)
        return publications

    def failed(self, record: Record, error: BaseException) -> Sequence[Publication]:
        """The outcome "rejected" of a record that was given up: its dead letter is already made."""
        envelope = envelopes.from_record(record, self.kind)
        told = error if isinstance(error, WardstreamError) else InternalError.of(error)
        outcome = rejected(envelope, told)
        return [
            self._told(envelope, outcome, record),
            *self._telemetry.add(envelope.feed, outcome, envelope.received_at),
        ]

    def tick(self, now: datetime) -> Sequence[Publication]:
        return self._telemetry.tick(now)

    def _outcome(self, envelope: Envelope, outcome: Outcome, record: Record) -> list[Publication]:
        if not outcome.accepted:
            letter = dead.of_record(record, _RejectionError.of(outcome), stage=self.name)
            return [letter, self._told(envelope, outcome, record)]
        key = _key(envelope, outcome, record)
        headers = _headers(envelope, outcome)
        bundle_headers = {**headers, "kind": "structured", "content-type": "application/fhir+json"}
        return [
            Publication("fhir.resources", key, outcome.bundle_json, bundle_headers),
            *(
                Publication("notes.clinical", key, note_to_json(note), {**headers, "note-id": note.note_id})
                for note in outcome.notes
            ),
            self._told(envelope, outcome, record),
        ]

    @staticmethod
    def _told(envelope: Envelope, outcome: Outcome, record: Record) -> Publication:
        told = report(outcome, envelope.source, envelope.index, with_bundle=False)
        told["feed"] = envelope.feed
        told["message_id"] = envelope.message_id
        told["received_at"] = envelope.received_at.isoformat()
        told["notes"] = [note.note_id for note in outcome.notes]
        told["origin"] = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
        body = json.dumps(told, ensure_ascii=False).encode("utf-8")
        return Publication("outcomes", _key(envelope, outcome, record), body, _headers(envelope, outcome))


def _key(envelope: Envelope, outcome: Outcome, record: Record) -> bytes:
    return outcome.patient_key.encode("utf-8") or record.key or envelope.feed.encode("utf-8")


class _RejectionError(WardstreamError):
    """An outcome's rejection as an error again, to be written as a dead letter."""

    @classmethod
    def of(cls, outcome: Outcome) -> _RejectionError:
        last = outcome.issues[-1]
        found = cls(last.message, action=outcome.error_action, location=last.location)
        found.code = outcome.error_code  # type: ignore[misc]  # the class default is overridden on the instance
        found.retryable = outcome.retryable  # type: ignore[misc]
        return found


def _headers(envelope: Envelope, outcome: Outcome) -> dict[str, str]:
    headers = {
        "source-message-id": envelope.message_id,
        "feed": envelope.feed,
        "control-id": outcome.control_id,
        "message-type": outcome.message_type,
        "received-at": envelope.received_at.isoformat(),
    }
    if envelope.trace:
        headers["traceparent"] = envelope.trace
    return {k: v for k, v in headers.items() if v}
