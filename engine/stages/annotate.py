"""Notes to machine-made FHIR, with an audit record of each reading.

The audit record has a keyed hash in the place of the text: who has the key can tell whether a text was read,
who has the topic alone learns nothing of it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from engine.errors import ExtractorError, TooLargeError
from engine.fhir.schema import PRIMITIVES
from engine.fhir.writer import dumps
from engine.nlp.codec import note_from_json
from engine.nlp.reading import Reading, read_note
from engine.nlp.telemetry import AnnotationTelemetry
from engine.nlp.terminology import TableTerminology, Terminology
from engine.nlp.to_fhir import Annotation, annotate
from engine.ports import Clock, EntityExtractor
from engine.records import ModelInfo, Note, Publication, Record
from engine.settings import Settings

NOTES = "notes.clinical"
RESOURCES = "fhir.resources"
AUDIT = "inference.audit"

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
        extractor: finds the spans.
        settings: limits (``nlp``), windows (``drift``) and the root of our URIs (``mapping.base_uri``).
        audit_key: key of the text hashes (``settings.observability.audit_key``); must not be empty.
        clock: for the time in audit records.
        perf_counter: seconds of any monotonic counter, for the latency in them.
        terminology: codes; the authored tables by default.
        languages: BCP 47 primary tags that the extractor reads.
    """

    name = "annotate"
    topic = NOTES

    def __init__(
        self,
        extractor: EntityExtractor,
        settings: Settings,
        *,
        audit_key: bytes,
        clock: Clock,
        perf_counter: Callable[[], float],
        terminology: Terminology | None = None,
        languages: frozenset[str] = frozenset({"en"}),
    ) -> None:
        if not audit_key:
            raise ValueError("audit_key must not be empty: an unkeyed hash of a short note can be guessed")
        self._extractor = extractor
        self._settings = settings
        self._audit_key = audit_key
        self._clock = clock
        self._perf_counter = perf_counter
        self._terminology = terminology or TableTerminology()
        self._languages = languages
        self._telemetry = AnnotationTelemetry(settings.drift)

    async def handle(self, record: Record) -> Sequence[Publication]:
        """The Bundle of what was found (none if nothing was), the audit record, and telemetry that is due.

        Raises:
            ReadError: the record is no note.
            TooLargeError: the note is over ``nlp.max_note_chars``.
            ExtractorError: the reader failed, or is overloaded (retryable).
        """
        note = note_from_json(record.value)
        self._check_size(note)
        started = self._perf_counter()
        model = self._extractor.info
        reading = await self._read(note)
        found = annotate(
            reading,
            model,
            self._terminology,
            base=self._settings.mapping.base_uri,
            min_score=self._settings.nlp.min_score,
            recorded=_recorded(note, record.timestamp),
        )
        latency = self._perf_counter() - started
        feed = note.feed or record.headers.get("feed", "")
        headers = {name: record.headers[name] for name in _CARRIED if name in record.headers}
        publications = self._resources(record, found, feed, model, headers)
        publications.append(self._audit(reading, found, feed, model, latency, headers))
        languages = {text.language for text in reading.foreign}
        publications += self._telemetry.add(feed, reading.entities, languages, record.timestamp)
        return publications

    def tick(self, now: datetime) -> Sequence[Publication]:
        return self._telemetry.tick(now)

    def flush(self) -> Sequence[Publication]:
        """Telemetry of the windows still open: at the end of a run."""
        return self._telemetry.flush()

    def _check_size(self, note: Note) -> None:
        limit = self._settings.nlp.max_note_chars
        if len(note.text) > limit:
            raise TooLargeError(
                f"A note of {len(note.text)} characters is over the limit of {limit}",
                location=note.source_location or note.element,
                action="Raise nlp.max_note_chars and replay the dead letter, or have the sender split the text.",
            )

    async def _read(self, note: Note) -> Reading:
        if len(note.text.strip()) < self._settings.nlp.min_note_chars:
            return read_note(note, (), self._languages)
        spans = (await self._extractor.extract([note]))[0]
        try:
            return read_note(note, spans, self._languages)
        except ValueError as error:
            raise ExtractorError(
                f"The note reader gave spans that can't be: {error}",
                location=note.element,
                action="Report the model and its version; 'wardstream models evaluate' checks an artifact.",
            ) from error

    @staticmethod
    def _resources(
        record: Record, found: Annotation, feed: str, model: ModelInfo, headers: Mapping[str, str]
    ) -> list[Publication]:
        if found.bundle is None:
            return []
        marks = {
            "feed": feed,
            "kind": "nlp",
            "model": f"{model.model_id}@{model.version}",
            "content-type": "application/fhir+json",
        }
        key = record.key or feed.encode("utf-8")
        return [Publication(RESOURCES, key, dumps(found.bundle), {**headers, **marks})]

    def _audit(
        self,
        reading: Reading,
        found: Annotation,
        feed: str,
        model: ModelInfo,
        latency: float,
        headers: Mapping[str, str],
    ) -> Publication:
        note = reading.note
        digest = hmac.new(
            self._audit_key, note.text.encode("utf-8", "surrogatepass"), hashlib.sha256
        ).hexdigest()
        body = {
            "text_hash": digest,
            "model": model.model_id,
            "version": model.version,
            "provider": model.provider,
            "outcome": self._outcome(reading, found),
            "labels": dict(sorted(Counter(entity.label.value for entity in reading.entities).items())),
            "assertions": dict(sorted(Counter(e.assertion.value for e in reading.entities).items())),
            "scores": _summary([entity.score for entity in reading.entities]),
            "withheld": dict(sorted(found.withheld.items())),
            "resources": 0 if found.bundle is None else len(found.bundle["entry"]),
            "characters": len(note.text),
            "languages_not_read": sorted({text.language for text in reading.foreign}),
            "issues": [issue.code for issue in reading.issues],
            "latency_ms": round(latency * 1000, 3),
            "feed": feed,
            "note_kind": note.kind,
            "message_id": note.message_id or headers.get("source-message-id", ""),
            "time": self._clock.now().isoformat(),
        }
        marks = {"feed": feed, "content-type": "application/json"}
        carried = {name: value for name, value in headers.items() if name != "note-id"}
        return Publication(AUDIT, digest.encode(), json.dumps(body).encode("utf-8"), {**carried, **marks})

    def _outcome(self, reading: Reading, found: Annotation) -> str:
        if found.bundle is not None:
            return "annotated"
        short = len(reading.note.text.strip()) < self._settings.nlp.min_note_chars
        return "too-short" if short else "nothing-found"


def _recorded(note: Note, timestamp: datetime) -> str:
    """FHIR instant for Provenance.recorded.

    The note's own time where it is an instant, so that a replay gives the same Bundle; else the time of the
    note's record, which a redelivery keeps. When the model ran is in the audit record.
    """
    if PRIMITIVES["instant"].fullmatch(note.written_at):
        return note.written_at
    return timestamp.isoformat(timespec="milliseconds")


def _summary(scores: Sequence[float]) -> dict[str, Any]:
    if not scores:
        return {"count": 0}
    return {
        "count": len(scores),
        "min": round(min(scores), 4),
        "mean": round(sum(scores) / len(scores), 4),
        "max": round(max(scores), 4),
    }
