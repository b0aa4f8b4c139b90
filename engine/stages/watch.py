"""Telemetry to drift events."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from engine.drift import events
from engine.drift.monitors import Monitors
from engine.drift.telemetry import TELEMETRY
from engine.errors import ReadError
from engine.records import Publication, Record
from engine.settings import Settings


class WatchStage:
    """Watches the telemetry of all feeds. See :class:`engine.ports.Stage`."""

    name = "drift"
    topic = TELEMETRY

    def __init__(self, settings: Settings) -> None:
        self._monitors = Monitors(settings.drift)

    async def handle(self, record: Record) -> Sequence[Publication]:
        return self.process(record)

    def process(self, record: Record) -> list[Publication]:
        """Drift events that this telemetry record makes visible.

        Raises:
            ReadError: the record is no telemetry; it becomes a dead letter.
        """
        try:
            return [events.to_publication(e) for e in self._monitors.observe(json.loads(record.value))]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ReadError(
                f"The telemetry record can't be read: {type(error).__name__}",
                action="Check who else writes to the telemetry topic.",
            ) from error

    def tick(self, now: datetime) -> Sequence[Publication]:  # noqa: ARG002 - nothing waits for time here
        return ()
