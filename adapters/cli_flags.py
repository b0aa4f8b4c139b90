"""``wardstream flag`` and ``wardstream models flags``: what clinicians say of the readings. Imports stay inside the commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

flags = typer.Typer(help="What clinicians flagged: list it, make training data of it.", no_args_is_help=True)
Since = Annotated[float, typer.Option(min=0, help="hours to look back; 0 is all there is")]


def flag(
    note_id: Annotated[
        str, typer.Argument(help="id of the note: meta.source of what was read in it", show_default=False)
    ],
    start: Annotated[int, typer.Argument(help="first character, counted from 0", show_default=False)],
    end: Annotated[int, typer.Argument(help="the one behind its last", show_default=False)],
    verdict: Annotated[str, typer.Option(help="wrong, missed, changed or right")],
    label: Annotated[str, typer.Option(help="label as it was read; with missed, as it should be")],
    user: Annotated[str, typer.Option(help="who says so: a login or staff number")],
    assertion: Annotated[str | None, typer.Option(help="present, negated, ... as it was read")] = None,
    correct_label: Annotated[str | None, typer.Option(help="with changed: the right label")] = None,
    correct_assertion: Annotated[str | None, typer.Option(help="with changed: how it is meant")] = None,
    correct_start: Annotated[int | None, typer.Option(help="with changed: where it begins")] = None,
    correct_end: Annotated[int | None, typer.Option(help="with changed: where it ends")] = None,
    model: Annotated[str, typer.Option(help="id@version of the reader, if known")] = "",
) -> None:
    """Say that a finding in a note is wrong, missed, changed or right: kept on the topic feedback.flags, without text."""
    from adapters.feedback import flag_command

    asked = {"note_id": note_id, "start": start, "end": end, "verdict": verdict, "label": label.upper()}
    asked |= {"assertion": assertion, "model": model}
    correct = {
        "label": correct_label and correct_label.upper(),
        "assertion": correct_assertion,
        "start": correct_start,
        "end": correct_end,
    }
    if changes := {name: value for name, value in correct.items() if value is not None}:
        asked["correct"] = changes
    elif verdict == "changed":
        asked["correct"] = {}
    raise typer.Exit(flag_command(asked, user))


@flags.command("list")
def flags_list(since: Since = 0) -> None:
    """Show the flags: who said what of which place. No text."""
    from adapters.feedback import list_flags

    raise typer.Exit(list_flags(since))


@flags.command("export")
def flags_export(
    out: Annotated[Path, typer.Option(help="file of JSON lines to write; it holds text of the notes")],
    notes: Annotated[
        Path | None, typer.Option(help="JSON lines with note_id and text, of notes that Kafka no longer has")
    ] = None,
    since: Since = 0,
) -> None:
    """Join the flags to their notes: JSON lines that train and evaluate read with --data."""
    from adapters.feedback import export_flags

    raise typer.Exit(export_flags(out, notes, since))
