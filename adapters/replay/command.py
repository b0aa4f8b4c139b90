"""The ``convert`` command: lines out as they come, a summary on standard error."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from adapters.composition import make_pipeline
from adapters.configuration import load_settings
from adapters.replay.convert import convert
from adapters.replay.sources import Format
from engine.errors import SettingsError
from engine.fhir.writer import dumps
from engine.records import Outcome


def convert_command(paths: list[Path], source: Format, out: str, *, ner: bool) -> int:
    """Run it; returns the exit status: 0 when every message had an outcome, whatever it was."""
    settings = load_settings()
    pipeline = make_pipeline(settings)
    reader = _Reader(settings) if ner else None
    counts: Counter[str] = Counter()
    with _output(out) as stream:
        for line, outcome in convert(paths, source, pipeline, settings):
            if reader is not None:
                line["notes"] = reader.read(outcome)
            stream.write(dumps(line))
            stream.write(b"\n")
            stream.flush()
            counts[outcome.status] += 1
    total = sum(counts.values())
    sys.stderr.write(f"{total} messages: {counts['accepted']} accepted, {counts['rejected']} rejected\n")
    return 0


class _Reader:
    """Reads the notes of outcomes with the configured extractor."""

    def __init__(self, settings: Any) -> None:
        from adapters.worker import make_extractor

        self._extractor = make_extractor(settings)
        self._settings = settings

    def read(self, outcome: Outcome) -> list[dict[str, Any]]:
        from engine.nlp.reading import read_spans

        spans = asyncio.run(self._extractor.extract(outcome.notes)) if outcome.notes else []
        return [
            {
                "note_id": note.note_id,
                "document": note.document,
                "element": note.element,
                "location": note.source_location,
                "entities": [e.as_json() for e in read_spans(note, found)],
            }
            for note, found in zip(outcome.notes, spans, strict=True)
        ]


@contextlib.contextmanager
def _output(out: str) -> Iterator[IO[bytes]]:
    if out == "-":
        yield sys.stdout.buffer
        return
    path = Path(out)
    try:
        stream = path.open("wb")
    except OSError as error:
        raise SettingsError(
            f"The file {out} can't be written: {error.strerror}",
            location="--out",
            action="Give a writable path, or -.",
        ) from None
    with stream:
        yield stream
