"""Notes to machine-made FHIR, with an audit record of each reading (:mod:`engine.nlp.audit`)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from engine.fhir.schema import PRIMITIVES
from engine.nlp.audit import AUDIT, Occasion, audit_line
from engine.nlp.codec import note_from_json
from engine.nlp.readers import Readers
from engine.nlp.reading import Reading
from engine.nlp.telemetry import AnnotationTelemetry
from engine.nlp.terminology import TableTerminology, Terminology
from engine.nlp.to_fhir import Annotation, annotate
from engine.ports import Clock
from engine.records import ModelInfo, Note, Publication, Record
from engine.settings import Settings

NOTES = "notes.clinical"
RESOURCES = "fhir.resources"

# Headers of a note's record that its results carry on.
_CARRIED = (
    "source-message-id",
    "feed",
    "control-id",
    "message-type",
    "received-at",
    "traceparent",
    "note-id",
)


class AnnotateStage:
    """Reads notes. See :class:`engine.ports.Stage`.

    Args:
        readers: find the spans.
        settings: limits (``nlp``), windows (``drift``) and the root of our URIs (``mapping.base_uri``).
        audit_key: key of the text hashes (``settings.observability.audit_key``); must not be empty.
        clock: for the time in audit records.
        perf_counter: seconds of any monotonic counter, for the latency in them.
        terminology: codes; the authored tables by default.
        on_audit: is shown each audit line, for the log.
    """

    name = "annotate"
    topic = NOTES

    def __init__(
        self,
        readers: Readers,
        settings: Settings,
        *,
        audit_key: bytes,
        clock: Clock,
        perf_counter: Callable[[], float],
        terminology: Terminology | None = None,
        on_audit: Callable[[Mapping[str, Any]], None] = lambda _: None,
    ) -> None:
        if not audit_key:
            raise ValueError("audit_key must not be empty: an unkeyed hash of a short note can be guessed")
        self._readers = readers
        self._settings = settings
        self._audit_key = audit_key
        self._clock = clock
        self._perf_counter = perf_counter
        self._terminology = terminology or TableTerminology()
        self._on_audit = on_audit
        self._telemetry = AnnotationTelemetry(settings.drift)

    async def handle(self, record: Record) -> Sequence[Publication]:
        """The Bundle of what was found (none if nothing was), the audit record, and telemetry that is due.

        Raises:
            ReadError: the record is no note.
            TooLargeError: the note is over ``nlp.max_note_chars``.
            ExtractorError: the reader failed, or is overloaded (retryable).
        """
        note = note_from_json(record.value)
        started = self._perf_counter()
        reading = await self._readers.read(note)
        model = reading.models[0]
        found = await self._readers.aside.run(len(note.text), lambda: self._annotated(reading, model, record))
        latency = self._perf_counter() - started
        feed = note.feed or record.headers.get("feed", "")
        headers = {name: record.headers[name] for name in _CARRIED if name in record.headers}
        publications = self._resources(record, found.bundle_json, feed, model, headers)
        publications.append(self._audit(reading, found, feed, latency, headers))
        languages = {text.language for text in reading.foreign}
        publications += self._telemetry.add(
            feed,
            reading.entities,
            reading.by or (model,) * len(reading.entities),
            languages,
            record.timestamp,
        )
        return publications

    def tick(self, now: datetime) -> Sequence[Publication]:
        return self._telemetry.tick(now)

    def flush(self) -> Sequence[Publication]:
        """Telemetry of the windows still open: at the end of a run."""
        return self._telemetry.flush()

    def _annotated(self, reading: Reading, model: ModelInfo, record: Record) -> Annotation:
        """What was found as FHIR."""
        return annotate(
            reading,
            model,
            self._terminology,
            base=self._settings.mapping.base_uri,
            min_score=self._settings.nlp.min_score,
            recorded=_recorded(reading.note, record.timestamp),
        )

    @staticmethod
    def _resources(
        record: Record, bundle: bytes, feed: str, model: ModelInfo, headers: Mapping[str, str]
    ) -> list[Publication]:
        if not bundle:
            return []
        marks = {
            "feed": feed,
            "kind": "nlp",
            "model": model.name,
            "content-type": "application/fhir+json",
        }
        key = record.key or feed.encode("utf-8")
        return [Publication(RESOURCES, key, bundle, {**headers, **marks})]

    def _audit(
        self, reading: Reading, found: Annotation, feed: str, latency: float, headers: Mapping[str, str]
    ) -> Publication:
        message = reading.note.message_id or headers.get("source-message-id", "")
        line = audit_line(
            reading,
            Occasion(self._clock.now(), feed, message),
            key=self._audit_key,
            outcome=self._outcome(reading, found),
            latency=latency,
            found=found,
        )
        self._on_audit(line)
        marks = {"feed": feed, "content-type": "application/json"}
        carried = {name: value for name, value in headers.items() if name != "note-id"}
        return Publication(
            AUDIT, line["text_hash"].encode(), json.dumps(line).encode("utf-8"), {**carried, **marks}
        )

    def _outcome(self, reading: Reading, found: Annotation) -> str:
        if found.bundle is not None:
            return "annotated"
        return "too-short" if self._readers.is_short(reading.note) else "nothing-found"


def _recorded(note: Note, timestamp: datetime) -> str:
    """FHIR instant for Provenance.recorded.

    The note's own time where it is an instant, so that a replay gives the same Bundle; else the time of the
    note's record, which a redelivery keeps. When the model ran is in the audit record.
    """
    if PRIMITIVES["instant"].fullmatch(note.written_at):
        return note.written_at
    return timestamp.isoformat(timespec="milliseconds")
