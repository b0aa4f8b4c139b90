"""What is watched, and with which detector.

==========================  ==============================================================================
refused-rate                share of messages that the edge refused: no HL7 v2 or FHIR at all
rejected-rate               share of messages taken that could not be processed
empty-required-rate         share of messages in which a required field came empty, each field by itself
unfamiliar-code-rate        share of coded values whose code the feed had not made familiar before
extractor-confidence        mean confidence of what the note reader found
flagged-rate                share of what a reader found under one label that people flagged as an error
==========================  ==============================================================================

Each is a stream of numbers in 0..1 for ADWIN (Bifet and Gavaldà 2007, from river), which keeps a window
of just the length over which the mean has not changed, and tells when it had to cut it. Counts of a
window are fed in as so many ones and zeros, spread evenly: their order within a window does not matter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from river.drift import ADWIN

from engine.drift.required import REQUIRED_FIELDS
from engine.drift.telemetry import ALL_FEEDS
from engine.records import DriftEvent
from engine.settings import Drift

DETECTOR = "ADWIN"
MAX_FIELDS = 64
"""Fields watched a feed; those of FHIR input are FHIRPaths, and a broken sender could invent many."""
FAMILIAR_WINDOWS = 20
"""A code is familiar once it was seen in so many windows, or if it came while the feed was being learnt."""

_GOLDEN = (5**0.5 - 1) / 2


@dataclass(slots=True)
class _Watched:
    detector: Any
    samples: int = 0


@dataclass(slots=True)
class _Familiarity:
    """Windows in which each code was seen; bounded by ``drift.max_known_codes``."""

    windows: dict[str, int] = field(default_factory=dict)


class Monitors:
    """All monitors of all feeds. State lives in memory: after a restart each learns anew."""

    def __init__(self, settings: Drift) -> None:
        self._settings = settings
        self._watched: dict[tuple[str, str, str], _Watched] = {}
        self._familiar: dict[tuple[str, str], _Familiarity] = {}
        self._code_samples: dict[str, int] = {}
        self._fields_seen: dict[str, dict[str, None]] = {}
        self._flags: dict[str, Counter[str]] = {}

    def observe(self, telemetry: Mapping[str, Any]) -> list[DriftEvent]:
        """Take in one telemetry record; returns the shifts that it made visible.

        Raises:
            KeyError, ValueError, TypeError: the record is none of ours.
        """
        feed, window = str(telemetry["feed"]), int(telemetry["window"])
        if telemetry["kind"] == "findings":
            feed = ALL_FEEDS  # a flag does not say by which feed its note came
        at = datetime.fromisoformat(telemetry["to"])
        found: list[DriftEvent] = []
        for monitor, about, values in self._streams(feed, telemetry):
            event = self._feed(monitor, feed, about, values, window, at)
            if event is not None:
                found.append(event)
        return found

    def _streams(self, feed: str, telemetry: Mapping[str, Any]) -> Iterator[tuple[str, str, list[float]]]:
        """(monitor, the field it is about or "", values) that one telemetry record adds to."""
        kind = telemetry["kind"]
        if kind == "edge":
            yield "refused-rate", "", spread(sum(telemetry["refused"].values()), int(telemetry["messages"]))
        elif kind == "ingest":
            messages = int(telemetry["messages"])
            rejected = sum(telemetry["rejected"].values())
            yield "rejected-rate", "", spread(rejected, messages)
            accepted = messages - rejected
            for name, empty in self._fields(feed, telemetry["empty_required"]):
                yield "empty-required-rate", name, spread(min(accepted, empty), accepted)
            unfamiliar, seen = self._unfamiliar(feed, telemetry["codes"])
            yield "unfamiliar-code-rate", "", spread(unfamiliar, seen)
        elif kind == "annotation":
            yield "extractor-confidence", "", expand(telemetry["histogram"])
        elif kind == "flag":
            self._flag(str(telemetry["model"]), str(telemetry["label"]))
        elif kind == "findings":
            yield from self._flagged(str(telemetry["model"]), telemetry["labels"])

    def _flag(self, model: str, label: str) -> None:
        """Counts a flag towards the next findings of its model. A person can name any model, so their number is bounded."""
        if model in self._flags or len(self._flags) < self._settings.max_flagged_models:
            self._flags.setdefault(model, Counter())[label] += 1

    def _flagged(self, model: str, labels: Mapping[str, int]) -> Iterator[tuple[str, str, list[float]]]:
        waiting = self._flags.get(model, Counter())
        for label, count in labels.items():
            flagged = min(waiting[label], int(count))
            waiting[label] -= flagged
            yield "flagged-rate", f"{model} {label}", spread(flagged, int(count))

    def _fields(self, feed: str, empty: Mapping[str, int]) -> list[tuple[str, int]]:
        """Counts of every field that ever came empty on this feed, and of those watched from the start."""
        fields = self._fields_seen.setdefault(feed, dict.fromkeys(REQUIRED_FIELDS))
        for name in empty:
            if len(fields) < MAX_FIELDS:
                fields.setdefault(name)
        return [(name, int(empty.get(name, 0))) for name in fields]

    def _unfamiliar(self, feed: str, codes: Mapping[str, Mapping[str, int]]) -> tuple[int, int]:
        """(unfamiliar, all) coded values of a window; learns from it."""
        learning = self._code_samples.get(feed, 0) < self._settings.min_samples
        unfamiliar = seen = 0
        for table, counts in codes.items():
            known = self._familiar.setdefault((feed, table), _Familiarity()).windows
            for code, count in counts.items():
                seen += count
                if not learning and known.get(code, 0) < FAMILIAR_WINDOWS:
                    unfamiliar += count
                if code in known or len(known) < self._settings.max_known_codes:
                    known[code] = FAMILIAR_WINDOWS if learning else known.get(code, 0) + 1
        self._code_samples[feed] = self._code_samples.get(feed, 0) + seen
        return unfamiliar, seen

    def _feed(
        self, monitor: str, feed: str, about: str, values: list[float], window: int, at: datetime
    ) -> DriftEvent | None:
        if not values:
            return None
        watched = self._watched.get((feed, monitor, about))
        if watched is None:
            watched = self._watched[feed, monitor, about] = _Watched(ADWIN(delta=self._settings.adwin_delta))
        before = watched.detector.estimation
        shifted = False
        for value in values:
            watched.detector.update(value)
            watched.samples += 1
            shifted = shifted or (
                watched.detector.drift_detected and watched.samples >= self._settings.min_samples
            )
        if not shifted:
            return None
        return DriftEvent(
            monitor=monitor,
            feed=feed,
            detector=DETECTOR,
            before=round(before, 4),
            after=round(watched.detector.estimation, 4),
            window=window,
            samples=watched.samples,
            at=at,
            detail={
                **({"field": about} if about else {}),
                "window_mean": round(sum(values) / len(values), 4),
                "window_samples": len(values),
            },
        )


def spread(ones: int, total: int) -> list[float]:
    """``total`` numbers of which ``ones`` are 1, as evenly as can be."""
    return [float((i + 1) * ones // total - i * ones // total) for i in range(total)] if total > 0 else []


def expand(histogram: Mapping[str, int]) -> list[float]:
    """The middle of each bin, as often as it was hit, well mixed: sorted values would look like a shift.

    Bins are named by their lower bound, e.g. ``"0.9"``; the last one reaches to 1.
    """
    bounds = sorted(float(name) for name in histogram)
    values: list[float] = []
    for name, count in histogram.items():
        lower = float(name)
        upper = next((b for b in bounds if b > lower), 1.0)
        values += [(lower + max(upper, lower)) / 2] * int(count)
    values.sort()
    # Steps of the golden ratio visit every place once and never two neighbours in a row.
    order = sorted(range(len(values)), key=lambda i: (i * _GOLDEN) % 1.0)
    return [values[i] for i in order]
