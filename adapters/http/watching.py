"""What the console shows: the latest outcomes, dead letters and drift events, read from their topics."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter, deque
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from adapters.kafka.reader import KafkaReader
from engine.errors import WardstreamError
from engine.records import Record, Severity
from engine.settings import Kafka
from engine.stages import dead

log = structlog.get_logger(__name__)

KEPT = 200
"""Lines of each kind kept for the page; a person reads no more."""
LOOK_BACK = timedelta(hours=1)
"""How far back a fresh console reads on a real broker."""
READ_AGAIN = timedelta(minutes=1)
"""Partitions are not read at one pace: so much before the latest record one of them may have got to."""
_ISSUES = 5
"""Issues of a message that its line on the page holds."""
RETRY_SECONDS = 5.0
"""Pause after reading failed; the page says that it is behind."""

_TOPICS = ("outcomes", "dead.letters", "drift.events")


class Watching:
    """A service that follows the topics and keeps their latest records in memory. No text of a message is kept."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._task: asyncio.Task[None] | None = None
        self.outcomes: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self.dead_letters: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self.drift: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self.counts: Counter[str] = Counter()
        self.since = datetime.now(UTC) - LOOK_BACK
        self.behind = ""
        self._reached = self.since
        self._next: dict[tuple[str, int], int] = {}

    async def start(self) -> None:
        self._task = asyncio.create_task(self._follow())

    async def stop(self, timeout: float | None = None) -> None:  # noqa: ASYNC109, ARG002 - the contract of services
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _follow(self) -> None:
        while True:
            try:
                # After an outage a little is read again, and what was counted is known by its offset.
                since = self._reached - READ_AGAIN
                async with KafkaReader(self._kafka, _TOPICS, since=since) as reader:
                    self.behind = ""
                    async for record in reader.tail():
                        self._take(record)
            except WardstreamError as error:
                self.behind = error.message
                log.warning("console can't read", reason=error.message)
            await asyncio.sleep(RETRY_SECONDS)

    def _take(self, record: Record) -> None:
        place = record.topic, record.partition
        if record.offset < self._next.get(place, 0):
            return
        self._next[place] = record.offset + 1
        self._reached = max(self._reached, record.timestamp)
        try:
            if record.topic == "dead.letters":
                letter = dead.read(record)
                self.dead_letters.appendleft(
                    {
                        "at": record.timestamp.isoformat(),
                        "feed": letter.headers.get("feed", ""),
                        "code": letter.code,
                        "reason": letter.reason,
                        "location": record.headers.get(f"{dead.PREFIX}location", ""),
                        "action": letter.action,
                        "stage": letter.stage,
                        "bytes": len(letter.payload),
                    }
                )
                self.counts["dead letters"] += 1
                if not letter.topic:  # the edge kept it: it was never accepted, hence has no outcome
                    self.counts["refused"] += 1
            elif record.topic == "drift.events":
                event = json.loads(record.value)
                self.drift.appendleft({"at": event["time"], **event["data"]})
                self.counts["drift events"] += 1
            else:
                self._outcome(json.loads(record.value), record)
        except (ValueError, KeyError, TypeError):
            self.counts["not understood"] += 1

    def _outcome(self, told: dict[str, Any], record: Record) -> None:
        source = told["source"]
        self.counts[told["outcome"]] += 1
        self.counts["notes"] += len(told.get("notes", ()))
        self.outcomes.appendleft(
            {
                "at": record.timestamp.isoformat(),
                "feed": told.get("feed", ""),
                "type": source["message_type"],
                "control_id": source["control_id"],
                "outcome": told["outcome"],
                "resources": len(told.get("resources", ())),
                "unmapped": len(told["unmapped"]),
                "issues": _issues(told["issues"]),
            }
        )


def _issues(issues: list[dict[str, Any]]) -> list[str]:
    """The first few that ask for somebody's attention, each once; what is for information stands in the outcome."""
    asking = [i for i in issues if i.get("severity") != Severity.INFORMATION]
    return list(dict.fromkeys(f"{i['code']} {i['location']}".strip() for i in asking))[:_ISSUES]
