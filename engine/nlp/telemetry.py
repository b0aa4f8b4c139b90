"""What drift of the note reader is watched on, per feed and window: its confidence, and how much each model found. Never text.

A window closes after so many notes of a feed, or after so long (``settings.drift``), as those of messages do.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from engine.records import Entity, ModelInfo, Publication
from engine.settings import Drift

TELEMETRY = "telemetry"
_BINS = 10  # of the histogram of scores, 0.1 wide; named by their lower bound


@dataclass(slots=True)
class _Window:
    number: int
    opened: datetime
    closed: datetime
    notes: int = 0
    scores: int = 0
    total: float = 0.0
    bins: list[int] = field(default_factory=lambda: [0] * _BINS)
    labels: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    by_model: dict[str, Counter[str]] = field(default_factory=dict)


class AnnotationTelemetry:
    """Collects readings of one stage into windows, one open window a feed."""

    def __init__(self, settings: Drift) -> None:
        self._settings = settings
        self._open: dict[str, _Window] = {}
        self._next: Counter[str] = Counter()

    def add(
        self,
        feed: str,
        entities: Sequence[Entity],
        by: Sequence[ModelInfo],
        languages: Iterable[str],
        at: datetime,
    ) -> list[Publication]:
        """Counts one note; returns the window's records when this note closes it.

        ``by`` says who found each entity, ``languages`` which were found in the note and not read.
        """
        window = self._open.get(feed)
        if window is None:
            window = self._open[feed] = _Window(self._next[feed], at, at)
            self._next[feed] += 1
        window.notes += 1
        window.closed = at
        window.languages.update(set(languages))
        for entity, model in zip(entities, by, strict=True):
            window.by_model.setdefault(model.name, Counter())[entity.label.value] += 1
            window.scores += 1
            window.total += entity.score
            window.bins[min(int(entity.score * _BINS), _BINS - 1)] += 1
            window.labels[entity.label.value] += 1
        return self._close(feed) if window.notes >= self._settings.window_messages else []

    def tick(self, now: datetime) -> list[Publication]:
        """Records of windows that have been open for long enough."""
        late = [
            feed
            for feed, window in self._open.items()
            if (now - window.opened).total_seconds() >= self._settings.window_seconds
        ]
        return [record for feed in late for record in self._close(feed)]

    def flush(self) -> list[Publication]:
        """Records of all open windows: at the end of a run."""
        return [record for feed in list(self._open) for record in self._close(feed)]

    def _close(self, feed: str) -> list[Publication]:
        """The feed's own record, and one a model: its key is the model, so that it meets the flags on what that model found."""
        window = self._open.pop(feed)
        body = json.dumps(_as_json(feed, window)).encode("utf-8")
        own = Publication(TELEMETRY, feed.encode("utf-8"), body, {"feed": feed, "kind": "annotation"})
        return [own, *(_findings(feed, window, model) for model in sorted(window.by_model))]


def _findings(feed: str, window: _Window, model: str) -> Publication:
    body = {
        "kind": "findings",
        "feed": feed,
        "window": window.number,
        "from": window.opened.isoformat(),
        "to": window.closed.isoformat(),
        "model": model,
        "labels": dict(sorted(window.by_model[model].items())),
    }
    headers = {"feed": feed, "kind": "findings"}
    return Publication(TELEMETRY, model.encode("utf-8"), json.dumps(body).encode("utf-8"), headers)


def _as_json(feed: str, window: _Window) -> dict[str, Any]:
    return {
        "kind": "annotation",
        "feed": feed,
        "window": window.number,
        "from": window.opened.isoformat(),
        "to": window.closed.isoformat(),
        "notes": window.notes,
        "confidence": {"count": window.scores, "sum": round(window.total, 4)},
        "histogram": {f"{at / _BINS:.1f}": count for at, count in enumerate(window.bins)},
        "labels": dict(sorted(window.labels.items())),
        "languages_not_read": dict(sorted(window.languages.items())),
    }
