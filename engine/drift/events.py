"""Drift events as CloudEvents 1.0 in structured JSON, so that any consumer can route them."""

from __future__ import annotations

import json
from datetime import UTC
from uuid import uuid5

from engine.keys import NAMESPACE
from engine.records import DriftEvent, Publication

DRIFT_EVENTS = "drift.events"
TYPE_ROOT = "io.wardstream.drift."


def to_publication(event: DriftEvent) -> Publication:
    """The event's record. Its id is made of what it says: the same shift told twice has one id."""
    at = event.at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    field = str(event.detail.get("field", ""))
    identity = "\x1f".join((event.monitor, event.feed, field, event.detector, str(event.window), at))
    body = {
        "specversion": "1.0",
        "id": str(uuid5(NAMESPACE, identity)),
        "source": f"/wardstream/feeds/{event.feed}",
        "type": f"{TYPE_ROOT}{event.monitor}",
        "subject": event.feed,
        "time": at,
        "datacontenttype": "application/json",
        "data": {
            "monitor": event.monitor,
            "feed": event.feed,
            "detector": event.detector,
            "before": event.before,
            "after": event.after,
            "window": event.window,
            "samples": event.samples,
            **event.detail,
        },
    }
    return Publication(
        DRIFT_EVENTS,
        event.monitor.encode("utf-8"),
        json.dumps(body).encode("utf-8"),
        {"content-type": "application/cloudevents+json", "feed": event.feed},
    )
