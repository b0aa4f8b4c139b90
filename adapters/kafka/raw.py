"""Kafka's idea of a record to ours."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from adapters.kafka.topics import logical
from engine.records import Record
from engine.settings import Kafka

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def record_of(
    kafka: Kafka,
    topic: str,
    partition: int,
    offset: int,
    key: bytes | None,
    value: bytes | None,
    headers: Iterable[tuple[str, bytes | None]] | None,
    seconds: float | None,
) -> Record:
    """A record from what the client libraries give; ``seconds`` is its timestamp.

    Header bytes that are no UTF-8 survive as surrogates and are written back as they were. Of headers with one
    name the last counts.
    """
    return Record(
        topic=logical(kafka, topic),
        partition=partition,
        offset=offset,
        key=key,
        value=value or b"",
        headers={name: (content or b"").decode(errors="surrogateescape") for name, content in headers or ()},
        timestamp=datetime.fromtimestamp(seconds, UTC) if seconds and seconds > 0 else _EPOCH,
    )
