"""Counts per feed and window: what drift is watched on. Never a patient's data.

Codes are counted by a short hash, since a sender may put anything into a coded field. A window closes
after so many messages of a feed, or after so long.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from engine.records import Outcome, Publication
from engine.settings import Drift

TELEMETRY = "telemetry"
ALL_FEEDS = "all"
"""Stands for the feed where a figure is of a note reader, whatever feed the notes came on."""
MAX_CODES = 500
"""Distinct codes told in one window; the rest of a window that has more is counted as one."""
_HASH_CHARS = 16
"""64 bits: two codes of one table that collide are no concern at these numbers."""


def code_hash(table: str, code: str) -> str:
    """Short name of a code that does not show it."""
    return hashlib.sha256(f"{table}\x1f{code}".encode()).hexdigest()[:_HASH_CHARS]


@dataclass(slots=True)
class _Window:
    number: int
    opened: datetime
    messages: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    empty: Counter[str] = field(default_factory=Counter)
    codes: dict[str, Counter[str]] = field(default_factory=dict)
    unknown: int = 0
    looked_up: int = 0
    leaves: int = 0
    mapped: int = 0
    unmapped: int = 0
    notes: int = 0
    closed: datetime | None = None


class EdgeTelemetry:
    """Counts what a feed's edge took and refused. A window closes with the message that fills it or finds it old."""

    def __init__(self, settings: Drift, feed: str) -> None:
        self._settings = settings
        self._feed = feed
        self._number = 0
        self._opened: datetime | None = None
        self._taken = 0
        self._refused: Counter[str] = Counter()

    def add(self, at: datetime, refusal: str = "") -> list[Publication]:
        """Count one message; ``refusal`` is the error's code, "" for one that was taken."""
        self._opened = self._opened or at
        self._taken += not refusal
        if refusal:
            self._refused[refusal] += 1
        total = self._taken + self._refused.total()
        old = (at - self._opened).total_seconds() >= self._settings.window_seconds
        if total < self._settings.window_messages and not old:
            return []
        body = {
            "kind": "edge",
            "feed": self._feed,
            "window": self._number,
            "from": self._opened.isoformat(),
            "to": at.isoformat(),
            "messages": total,
            "refused": dict(self._refused),
        }
        self._number, self._opened, self._taken = self._number + 1, None, 0
        self._refused.clear()
        headers = {"feed": self._feed, "kind": "edge"}
        return [Publication(TELEMETRY, self._feed.encode("utf-8"), json.dumps(body).encode("utf-8"), headers)]


class IngestTelemetry:
    """Collects outcomes of one ingest stage into windows, one open window a feed."""

    def __init__(self, settings: Drift) -> None:
        self._settings = settings
        self._open: dict[str, _Window] = {}
        self._next: Counter[str] = Counter()

    def add(self, feed: str, outcome: Outcome, at: datetime) -> list[Publication]:
        """Count one outcome; returns the window's record when this outcome closes it."""
        window = self._open.get(feed)
        if window is None:
            window = self._open[feed] = _Window(self._next[feed], at)
            self._next[feed] += 1
        _count(window, outcome)
        window.closed = at
        if window.messages >= self._settings.window_messages:
            return [self._close(feed)]
        return []

    def tick(self, now: datetime) -> list[Publication]:
        """Records of windows that have been open for long enough."""
        late = [
            feed
            for feed, window in self._open.items()
            if (now - window.opened).total_seconds() >= self._settings.window_seconds
        ]
        return [self._close(feed) for feed in late]

    def flush(self) -> list[Publication]:
        """Records of all open windows: at the end of a run."""
        return [self._close(feed) for feed in list(self._open)]

    def _close(self, feed: str) -> Publication:
        window = self._open.pop(feed)
        return Publication(
            TELEMETRY,
            feed.encode("utf-8"),
            json.dumps(_as_json(feed, window)).encode("utf-8"),
            {"feed": feed, "kind": "ingest"},
        )


def _count(window: _Window, outcome: Outcome) -> None:
    window.messages += 1
    if not outcome.accepted:
        window.rejected[outcome.error_code] += 1
        return
    window.empty.update(outcome.empty_required)
    window.leaves += outcome.leaves
    window.mapped += outcome.mapped_leaves
    window.unmapped += len(outcome.unmapped)
    window.notes += len(outcome.notes)
    window.looked_up += len(outcome.codes)
    window.unknown += len(outcome.unknown_codes)
    for table, code in outcome.codes:
        counter = window.codes.setdefault(table, Counter())
        name = code_hash(table, code)
        counter[name if name in counter or len(counter) < MAX_CODES else "others"] += 1


def _as_json(feed: str, window: _Window) -> dict[str, Any]:
    closed = window.closed or window.opened
    return {
        "kind": "ingest",
        "feed": feed,
        "window": window.number,
        "from": window.opened.isoformat(),
        "to": closed.isoformat(),
        "messages": window.messages,
        "rejected": dict(window.rejected),
        "empty_required": dict(window.empty),
        "codes": {table: dict(counter) for table, counter in window.codes.items()},
        "codes_looked_up": window.looked_up,
        "codes_unknown": window.unknown,
        "leaves": window.leaves,
        "unmapped": window.unmapped,
        "coverage": round(window.mapped / window.leaves, 4) if window.leaves else None,
        "notes": window.notes,
    }
