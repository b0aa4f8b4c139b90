"""``wardstream flag`` and ``wardstream models flags``: say what a reading got wrong, look at it, and make training data of it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from adapters.configuration import load_settings
from adapters.kafka.publisher import KafkaPublisher
from adapters.kafka.reader import KafkaReader
from adapters.note_readers import make_extractor
from engine.errors import ReadError, SettingsError
from engine.nlp.codec import note_from_json
from engine.nlp.flagged import standing, training_row
from engine.nlp.flags import FLAGS, Finding, Flag, flag_from_json, flag_of
from engine.ports import EntityExtractor
from engine.records import Note
from engine.settings import Kafka
from engine.stages.annotate import NOTES

MAX_SHOWN = 500
"""Lines shown; narrow the question with --since."""


def flag_command(asked: dict[str, Any], user: str) -> int:
    """Keep one flag; prints its id and returns the exit status.

    Raises:
        SettingsError: an argument is wrong, or no Kafka is configured.
        PublishError: Kafka did not confirm it.
    """
    try:
        flag = flag_of(asked, user=user, time=datetime.now(UTC))
    except ReadError as error:
        place = error.location.replace("correct.", "correct-").replace("_", "-")
        raise SettingsError(
            error.message,
            location=place.upper() if place in {"note-id", "start", "end"} else f"--{place}",
            action="See 'wardstream flag --help'.",
        ) from None
    asyncio.run(_keep(_kafka(), flag))
    sys.stdout.write(f"{flag.flag_id}\n")
    return 0


def list_flags(since_hours: float) -> int:
    """Show flags as a table, the latest last: places and labels, no text."""
    flags, _ = asyncio.run(_flags(_kafka(), since_hours))
    table = Table(title="flags", title_justify="left")
    for column in ("time", "user", "note", "verdict", "was", "should be", "model"):
        table.add_column(column, overflow="fold")
    for flag in flags[-MAX_SHOWN:]:
        cells = (
            flag.time.isoformat(timespec="seconds"),
            flag.user,
            flag.note_id,
            flag.verdict.value,
            _words(flag.was),
            _words(flag.should),
            flag.model,
        )
        table.add_row(*(Text(cell) for cell in cells))
    Console().print(table)
    Console(stderr=True).print(f"{len(flags)} flags")
    return 0


def export_flags(out: Path, texts: Path | None, since_hours: float) -> int:
    """Write the flagged notes as JSON lines that ``models train`` and ``evaluate`` read; returns the exit status.

    Raises:
        SettingsError: no Kafka, no such file, or the file can't be written.
    """
    if not out.absolute().parent.is_dir() or out.is_dir():
        raise SettingsError(
            f"The file {out} can't be written",
            location="--out",
            action="Name a file in a folder that is there.",
        )
    settings = load_settings()
    kafka = _kafka()
    flags, unreadable = asyncio.run(_flags(kafka, since_hours))
    by_note: dict[str, list[Flag]] = defaultdict(list)
    for flag in flags:
        by_note[flag.note_id].append(flag)
    notes = asyncio.run(_notes(kafka, by_note.keys())) if by_note else {}
    notes |= _kept_elsewhere(texts, by_note.keys()) if texts else {}
    rows: list[dict[str, Any]] = []
    misplaced = 0
    if notes:
        reader = make_extractor(settings)
        rows, misplaced = asyncio.run(_rows(reader, notes, by_note))
    with out.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    _account(out, rows, by_note, notes, misplaced, unreadable)
    return 0 if rows else 1


def _account(
    out: Path,
    rows: list[dict[str, Any]],
    by_note: dict[str, list[Flag]],
    notes: dict[str, Note],
    misplaced: int,
    unreadable: int,
) -> None:
    """Tell on standard error what became of the flags. Counts and labels, no text."""
    tell = Console(stderr=True, highlight=False).print
    given = [flag for found in by_note.values() for flag in found]
    tell(f"{len(given)} flags on {len(by_note)} notes; {len(rows)} notes written to {out}.")
    for (was, should), count in Counter((_label(f.was), _label(f.should)) for f in given).most_common():
        tell(f"  {count} x {was} -> {should}" if was != should else f"  {count} x {was}: right")
    turned = Counter(
        (f.was.assertion.value, f.should.assertion.value)
        for f in given
        if f.was and f.should and f.was.assertion and f.should.assertion
    )
    for (was, should), count in turned.items():
        if was != should:
            tell(f"  {count} x {was} -> {should}: rules decide that, no training does (docs/models.md)")
    lost = len(by_note) - len(notes)
    if lost:
        tell(
            f"{lost} notes are no longer on {NOTES} (kafka.retention_hours), or were never: export more often, or give "
            "their texts with --notes."
        )
    if misplaced:
        tell(f"{misplaced} notes were left out: a flag on them has offsets outside of the text.")
    if unreadable:
        tell(f"{unreadable} records of {FLAGS} are no flags and were passed over.")
    if rows:
        tell(f"{out} holds text of the notes: keep it as such.")


async def _rows(
    reader: EntityExtractor, notes: dict[str, Note], by_note: dict[str, list[Flag]]
) -> tuple[list[dict[str, Any]], int]:
    rows, misplaced = [], 0
    for note_id, note in notes.items():
        row = training_row(note, standing(by_note[note_id]), (await reader.extract([note]))[0])
        misplaced += row is None
        rows += [row] if row is not None else []
    return rows, misplaced


async def _keep(kafka: Kafka, flag: Flag) -> None:
    async with KafkaPublisher(kafka) as publisher:
        await publisher.publish(flag.to_publications())


async def _flags(kafka: Kafka, since_hours: float) -> tuple[list[Flag], int]:
    """The flags by time, one of each id, and how many records are none."""
    since = datetime.now(UTC) - timedelta(hours=since_hours) if since_hours else None
    found: dict[str, Flag] = {}
    unreadable = 0
    async with KafkaReader(kafka, (FLAGS,), since=since) as reader:
        async for record in reader.to_end():
            try:
                flag = flag_from_json(record.value)
            except ReadError:
                unreadable += 1
            else:
                found[flag.flag_id] = flag
    return sorted(found.values(), key=lambda flag: flag.time), unreadable


async def _notes(kafka: Kafka, wanted: Any) -> dict[str, Note]:
    """The notes of those ids that are still on their topic. Only those are kept in memory."""
    found: dict[str, Note] = {}
    async with KafkaReader(kafka, (NOTES,)) as reader:
        async for record in reader.to_end():
            if record.headers.get("note-id", "") in wanted:
                note = note_from_json(record.value)
                found[note.note_id] = note
    return found


def _kept_elsewhere(path: Path, wanted: Any) -> dict[str, Note]:
    """Notes of those ids in a file of JSON lines with ``note_id``, ``text`` and, if known, ``patient``."""
    found: dict[str, Note] = {}
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise SettingsError(
            f"The file {path} can't be read: {error.strerror}", location="--notes", action="Correct the path."
        ) from None
    for number, line in enumerate(filter(bytes.strip, lines), 1):
        try:
            note = note_from_json(line)
        except ReadError as error:
            raise SettingsError(
                f"Line {number} of {path}: {error.message}",
                location="--notes",
                action='Write {"note_id", "text", "patient"} on each line.',
            ) from None
        if note.note_id in wanted:
            found[note.note_id] = note
    return found


def _words(found: Finding | None) -> str:
    if found is None:
        return "nothing"
    meant = f" {found.assertion.value}" if found.assertion else ""
    return f"{found.start}-{found.end} {found.label.value}{meant}"


def _label(found: Finding | None) -> str:
    return found.label.value if found else "nothing"


def _kafka() -> Kafka:
    kafka = load_settings().kafka
    if not kafka.brokers:
        raise SettingsError(
            "No Kafka is configured", location="kafka.brokers", action="Set WARDSTREAM_KAFKA__BROKERS."
        )
    return kafka
