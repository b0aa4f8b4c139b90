"""The ``convert`` command: lines out as they come, a summary on standard error."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from adapters.composition import make_pipeline
from adapters.configuration import load_settings
from adapters.replay import sources
from adapters.replay.convert import convert
from adapters.replay.sources import Format, check
from engine.errors import SettingsError
from engine.fhir.writer import dumps
from engine.settings import Settings

if TYPE_CHECKING:
    from adapters.annotating import NoteReader

STANDARD_OUTPUT = "-"


def convert_command(
    paths: list[Path], source: Format, out: str, *, ner: bool, canonical: bool = False
) -> int:
    """Run it; returns the exit status: 0 when every message had an outcome, whatever it was."""
    check(paths)
    target = None if out == STANDARD_OUTPUT else Path(out)
    _spare_inputs(paths, target)
    settings = load_settings()
    if canonical:
        settings = settings.model_copy(
            update={"mapping": settings.mapping.model_copy(update={"canonical_fhir": True})}
        )
    pipeline = make_pipeline(settings)
    reader = _note_reader(settings) if ner else None
    counts: Counter[str] = Counter()
    with _output(target) as stream:
        for line, outcome in convert(
            paths, source, pipeline, settings, besides=target or sources.STANDARD_OUTPUT
        ):
            if reader is not None:
                line["notes"] = reader.read(outcome.notes)
            stream.write(dumps(line))
            stream.write(b"\n")
            stream.flush()
            counts[outcome.status] += 1
    total = sum(counts.values())
    sys.stderr.write(f"{total} messages: {counts['accepted']} accepted, {counts['rejected']} rejected\n")
    return 0


def _note_reader(settings: Settings) -> NoteReader:
    from adapters.annotating import NoteReader

    return NoteReader(settings)


def _spare_inputs(paths: list[Path], target: Path | None) -> None:
    """Refuse to write over a file that is to be read."""
    if target is not None and target.exists() and any(p.exists() and p.samefile(target) for p in paths):
        raise SettingsError(
            f"{target} is to be read and can't be written too",
            location="--out",
            action="Name another file, or -.",
        )


@contextlib.contextmanager
def _output(target: Path | None) -> Iterator[IO[bytes]]:
    if target is None:
        yield sys.stdout.buffer
        return
    try:
        stream = target.open("wb")
    except OSError as error:
        raise SettingsError(
            f"The file {target} can't be written: {error.strerror}",
            location="--out",
            action="Give a writable path, or -.",
        ) from None
    with stream:
        yield stream
