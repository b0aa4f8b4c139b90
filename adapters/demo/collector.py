"""Reads everything the engine puts out and keeps count of it; writes it as NDJSON under ``out/``."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import orjson

from adapters.kafka.reader import KafkaReader
from engine.records import Record
from engine.settings import Kafka
from engine.stages import dead

TOPICS = (
    "hl7v2.inbound",
    "fhir.inbound",
    "outcomes",
    "fhir.resources",
    "notes.clinical",
    "inference.audit",
    "telemetry",
    "drift.events",
    "dead.letters",
)
GROUP = "demo"


class Collector:
    """Follows the output topics until told to stop.

    Attributes:
        outcomes: control id or message id -> statuses, in order.
        resources: FHIR resource type -> number of entries, structured and inferred apart.
        latencies: seconds from reception to outcome.
    """

    def __init__(self, kafka: Kafka, folder: Path) -> None:
        self.reader = KafkaReader(kafka, TOPICS, group=GROUP)
        self._folder = folder
        self._files: dict[str, IO[bytes]] = {}
        self.seen: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.by_feed: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.control_ids: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.message_ids: Counter[str] = Counter()
        self.edge_refusals: Counter[str] = Counter()
        self.resources: Counter[str] = Counter()
        self.inferred: Counter[str] = Counter()
        self.labels: Counter[str] = Counter()
        self.dead_codes: Counter[str] = Counter()
        self.drift: list[dict[str, Any]] = []
        self.latencies: list[float] = []
        self.unmapped = 0
        self.changed = asyncio.Event()

    def _write(self, topic: str, body: Mapping[str, Any]) -> None:
        stream = self._files.get(topic)
        if stream is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            stream = self._files[topic] = (self._folder / f"{topic}.ndjson").open("wb")
        stream.write(orjson.dumps(body) + b"\n")

    async def follow(self) -> None:
        """Read until cancelled."""
        try:
            async with self.reader:
                async for record in self.reader.tail():
                    self._take(record)
                    self.changed.set()
        finally:
            for stream in self._files.values():
                stream.close()

    def flush(self) -> None:
        for stream in self._files.values():
            stream.flush()

    def _take(self, record: Record) -> None:
        self.seen[record.topic] += 1
        if record.topic == "dead.letters":
            self._dead_letter(record)
            return
        if record.topic in {"hl7v2.inbound", "fhir.inbound"}:
            payload = base64.b64encode(record.value).decode("ascii")
            self._write(record.topic, {"headers": dict(record.headers), "payload_base64": payload})
            return
        body = json.loads(record.value)
        if record.topic == "outcomes":
            self._outcome(body)
        elif record.topic == "fhir.resources":
            target = self.inferred if record.headers.get("kind") == "nlp" else self.resources
            target.update(entry["resource"]["resourceType"] for entry in body["entry"])
            body = {"headers": dict(record.headers), "bundle": body}
        elif record.topic == "inference.audit":
            self.labels.update(body.get("labels", {}))
        elif record.topic == "drift.events":
            self.drift.append(body)
        self._write(record.topic, body)

    def _outcome(self, body: dict[str, Any]) -> None:
        status, feed = body["outcome"], body["feed"]
        self.statuses[status] += 1
        self.by_feed[feed][status] += 1
        self.control_ids[feed][body["source"]["control_id"]] += 1
        self.message_ids[body["message_id"]] += 1
        self.unmapped += len(body["unmapped"])
        self.latencies.append(
            (datetime.now(UTC) - datetime.fromisoformat(body["received_at"])).total_seconds()
        )

    def _dead_letter(self, record: Record) -> None:
        letter = dead.read(record)
        self.dead_codes[letter.code] += 1
        if not letter.topic:
            # The edge refused it: there is no inbound record, and this letter is its outcome.
            feed = letter.headers.get("feed", "")
            self.edge_refusals[feed] += 1
            self.statuses["rejected"] += 1
            self.by_feed[feed]["rejected"] += 1
        self._write(
            record.topic,
            {
                "code": letter.code,
                "reason": letter.reason,
                "action": letter.action,
                "stage": letter.stage,
                "headers": dict(record.headers),
                "payload_base64": base64.b64encode(letter.payload).decode("ascii"),
            },
        )


def percentile(values: list[float], share: float) -> float:
    """The value below which ``share`` of the values lie; 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
