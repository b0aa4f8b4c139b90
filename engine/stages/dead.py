"""Dead letters: the original bytes and headers, with why, where and what to do beside them."""

from __future__ import annotations

from collections.abc import Mapping

from engine.errors import InternalError, WardstreamError
from engine.records import DeadLetter, Publication, Record

DEAD_LETTERS = "dead.letters"
PREFIX = "dead-"
"""Of the headers that a dead letter adds; all others are the original's."""


def of_record(record: Record, error: BaseException, *, stage: str, attempts: int = 1) -> Publication:
    """The dead letter of a record that a stage could not process."""
    origin = {
        f"{PREFIX}topic": record.topic,
        f"{PREFIX}partition": str(record.partition),
        f"{PREFIX}offset": str(record.offset),
    }
    return _publication(record.key or b"", record.value, {**record.headers, **origin}, error, stage, attempts)


def of_payload(
    payload: bytes, headers: Mapping[str, str], error: BaseException, *, key: str, stage: str
) -> Publication:
    """The dead letter of bytes that never became a record: what the edge refused."""
    return _publication(key.encode("utf-8"), payload, dict(headers), error, stage, 1)


def _publication(
    key: bytes, value: bytes, headers: dict[str, str], error: BaseException, stage: str, attempts: int
) -> Publication:
    told = error if isinstance(error, WardstreamError) else InternalError.of(error)
    marks = {
        "reason": told.message,
        "stage": stage,
        "code": told.code,
        "action": told.action,
        "location": told.location,
        "retryable": "true" if told.retryable else "false",
        "attempts": str(attempts),
    }
    return Publication(
        DEAD_LETTERS, key, value, {**headers, **{f"{PREFIX}{k}": v for k, v in marks.items() if v}}
    )


def read(record: Record) -> DeadLetter:
    """A record of dead.letters as what it means."""
    headers = record.headers
    return DeadLetter(
        payload=record.value,
        reason=headers.get(f"{PREFIX}reason", ""),
        stage=headers.get(f"{PREFIX}stage", ""),
        code=headers.get(f"{PREFIX}code", ""),
        action=headers.get(f"{PREFIX}action", ""),
        retryable=headers.get(f"{PREFIX}retryable") == "true",
        attempts=int(headers.get(f"{PREFIX}attempts", "1")),
        topic=headers.get(f"{PREFIX}topic", ""),
        headers={k: v for k, v in headers.items() if not k.startswith(PREFIX)},
    )
