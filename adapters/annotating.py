"""``wardstream annotate``: one text in, its entities out; and the reading of notes for ``convert --ner``. No broker."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from adapters.configuration import load_settings
from adapters.note_readers import make_readers
from adapters.replay.sources import require_input
from adapters.showing import Shape, write
from engine.errors import ReadError, SettingsError, TooLargeError, WardstreamError
from engine.nlp.readers import Readers
from engine.records import Issue, Note, Severity
from engine.settings import Settings

STDIN = "-"
_BYTES_A_CHAR = 4  # in any encoding at most; what is longer is not read to its end, which may never come


def annotate_command(source: str, shape: Shape, *, language: str, encoding: str, colour: bool | None) -> int:
    """Read a file (``-`` is standard input) and print what was found; returns the exit status.

    Raises:
        SettingsError: there is no such file or encoding.
        ReadError: the file is not in that encoding.
        ExtractorError: the reader failed.
    """
    settings = load_settings()
    text = _text(source, encoding, settings.nlp.max_note_chars)
    reading = asyncio.run(
        make_readers(settings).read(Note(source, text, language=language), however_short=True)
    )
    write(reading, shape, sys.stdout, colour=sys.stdout.isatty() if colour is None else colour)
    for issue in reading.issues:
        sys.stderr.write(f"wardstream: {issue.severity.value}: {issue.message} {issue.action}\n")
    return 0


def _text(source: str, encoding: str, longest: int) -> str:
    if source == STDIN:
        require_input()
    most = longest * _BYTES_A_CHAR
    try:
        with sys.stdin.buffer if source == STDIN else Path(source).open("rb") as file:
            payload = file.read(most + 1)
    except OSError as error:
        raise SettingsError(
            f"The file {source} can't be read: {error.strerror}",
            location="FILE",
            action="Correct the path, or give -.",
        ) from None
    if len(payload) > most:
        raise TooLargeError(
            f"{source} has over {most} bytes, more than a note of {longest} characters can have",
            location="FILE",
            action="Give one note at a time, or raise nlp.max_note_chars.",
        )
    try:
        # Line ends and a byte order mark stay: offsets index the text as it is in the file.
        text = payload.decode(encoding)
        text.encode("utf-8")  # some codecs give halves of surrogate pairs, which no output could hold
    except UnicodeDecodeError as error:
        raise ReadError(
            f"Byte {error.start} of {source} is not {encoding}", action="Name its encoding with --encoding."
        ) from None
    except UnicodeError:
        raise ReadError(
            f"{source} is no text in {encoding}", action="Name its encoding with --encoding."
        ) from None
    except LookupError:
        raise SettingsError(
            f"There is no encoding {encoding!r}",
            location="--encoding",
            action="Use a name such as utf-8 or cp1252.",
        ) from None
    return text


class NoteReader:
    """Reads the notes of outcomes, for ``convert --ner``. A note that can't be read is told among its issues."""

    def __init__(self, settings: Settings, readers: Readers | None = None) -> None:
        self._readers = readers or make_readers(settings)

    def read(self, notes: tuple[Note, ...]) -> list[dict[str, Any]]:
        """What was read in each, in order."""
        return asyncio.run(self._all(notes)) if notes else []

    async def _all(self, notes: tuple[Note, ...]) -> list[dict[str, Any]]:
        return list(await asyncio.gather(*map(self._one, notes)))

    async def _one(self, note: Note) -> dict[str, Any]:
        place = {
            "note_id": note.note_id,
            "document": note.document,
            "element": note.element,
            "location": note.source_location,
        }
        try:
            reading = await self._readers.read(note)
        except WardstreamError as error:
            issue = Issue(Severity.ERROR, error.code, error.location, error.message, error.action)
            return {**place, "entities": [], "issues": [issue.as_json()]}
        return {**place, **reading.as_json()}
