"""``wardstream convert``: files in, one JSON line a message out, no broker."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adapters.replay.sources import Format, SourceMessage, messages
from engine.errors import TooLargeError, WardstreamError
from engine.pipeline import Pipeline, rejected
from engine.records import Envelope, Outcome
from engine.report import report
from engine.settings import Settings

FEED = "convert"


def convert(
    paths: list[Path], wanted: Format, pipeline: Pipeline, settings: Settings, *, besides: Path | None = None
) -> Iterator[tuple[dict[str, Any], Outcome]]:
    """(report, outcome) of every message in the files, in order, as they come.

    ``besides`` is a file to leave out: the one that is being written.

    Raises:
        SettingsError: a path does not exist.
    """
    index = 0
    for source in messages(paths, wanted, limit=settings.read.max_message_bytes, besides=besides):
        if source.index == 0:
            index = 0  # a file begins; its name may be that of the file before
        for outcome in _outcomes(source, pipeline, settings):
            yield report(outcome, source.path, index), outcome
            index += 1


def _outcomes(source: SourceMessage, pipeline: Pipeline, settings: Settings) -> list[Outcome]:
    envelope = Envelope(
        payload=source.payload,
        kind=source.kind,
        feed=FEED,
        message_id=str(uuid.uuid4()),
        received_at=datetime.now(UTC),
        source=source.path,
        index=source.index,
        issues=source.issues,
    )
    failure: WardstreamError | None = source.failure
    if source.left_out:
        size = len(source.payload) + source.left_out
        failure = TooLargeError(
            f"The message has {size} bytes; the limit is {settings.read.max_message_bytes}",
            action="Raise WARDSTREAM_READ__MAX_MESSAGE_BYTES if this size is meant.",
        )
    return [rejected(envelope, failure)] if failure is not None else pipeline.process(envelope)
