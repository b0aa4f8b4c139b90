"""Envelopes as records: what stands in which header of the inbound topics, and back."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from engine.records import Envelope, Issue, Kind, Publication, Record, Severity

HL7V2_INBOUND = "hl7v2.inbound"
FHIR_INBOUND = "fhir.inbound"
TOPIC_OF = {Kind.HL7V2: HL7V2_INBOUND, Kind.FHIR: FHIR_INBOUND}


def to_publication(envelope: Envelope, key: str) -> Publication:
    """The inbound record of a message: the bytes as received, all else in headers."""
    headers = {
        "feed": envelope.feed,
        "message-id": envelope.message_id,
        "received-at": envelope.received_at.astimezone(UTC).isoformat(),
        "source": envelope.source,
        "index": str(envelope.index),
    }
    if envelope.charset:
        headers["charset"] = envelope.charset
    if envelope.fhir_version:
        headers["fhir-version"] = envelope.fhir_version
    if envelope.trace:
        headers["traceparent"] = envelope.trace
    if envelope.issues:
        headers["issues"] = json.dumps([i.as_json() for i in envelope.issues])
    return Publication(TOPIC_OF[envelope.kind], key.encode("utf-8"), envelope.payload, headers)


def from_record(record: Record, kind: Kind) -> Envelope:
    """The envelope of an inbound record. Records of other writers lack headers: place and time stand in."""
    headers = record.headers
    place = f"{record.topic}/{record.partition}/{record.offset}"
    return Envelope(
        payload=record.value,
        kind=kind,
        feed=headers.get("feed") or "kafka",
        message_id=headers.get("message-id") or place,
        received_at=_time(headers.get("received-at")) or record.timestamp,
        charset=headers.get("charset"),
        trace=headers.get("traceparent"),
        source=headers.get("source") or place,
        index=int(headers["index"]) if headers.get("index", "").isdigit() else 0,
        issues=_issues(headers.get("issues", "")),
        fhir_version=headers.get("fhir-version", ""),
    )


def _time(text: str | None) -> datetime | None:
    try:
        found = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


def _issues(text: str) -> tuple[Issue, ...]:
    try:
        found = json.loads(text) if text else []
        return tuple(Issue(**{**issue, "severity": Severity(issue["severity"])}) for issue in found)
    except (ValueError, TypeError, KeyError):
        return ()
