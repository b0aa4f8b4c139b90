"""The ``wardstream`` command. Each sub-command is a thin call of a module that can be used without it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from adapters.cli_errors import ended
from adapters.cli_flags import flag
from adapters.cli_maps import app as maps_app
from adapters.cli_models import app as models_app
from adapters.replay.sources import Format
from adapters.showing import Shape

app = typer.Typer(
    name="wardstream",
    help="HL7 v2 / FHIR streaming integration engine with clinical NLP inside.",
    epilog="Exit status: 0 done; 1 something in the input or the world was wrong; 2 the call was wrong, nothing was begun. "
    "'wardstream run' has more, see docs/operations.md.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(maps_app)
app.add_typer(models_app)
app.command()(flag)

Paths = Annotated[list[Path], typer.Argument(help="files and folders", show_default=False)]


@app.command()
def convert(
    paths: Paths,
    source: Annotated[
        Format, typer.Option("--from", help="how to read them; auto looks at each file")
    ] = Format.AUTO,
    ner: Annotated[bool, typer.Option("--ner", help="read the notes too")] = False,
    canonical: Annotated[
        bool,
        typer.Option("--canonical", help="give FHIR input the code and identifier systems that HL7 v2 gets"),
    ] = False,
    out: Annotated[str, typer.Option("--out", help="file to write, - is standard output")] = "-",
) -> None:
    """Convert HL7 v2 and FHIR files to FHIR R4: one JSON line a message. Needs no broker."""
    from adapters.replay.command import convert_command

    raise typer.Exit(convert_command(paths, source, out, ner=ner, canonical=canonical))


@app.command()
def annotate(
    source: Annotated[
        str, typer.Argument(metavar="FILE|-", help="a text; - is standard input", show_default=False)
    ],
    shape: Annotated[
        Shape,
        typer.Option("--format", help="jsonl: an entity a line; json: the whole reading; text: marked text"),
    ] = Shape.JSONL,
    language: Annotated[str, typer.Option(help="BCP 47 tag of the text, if its words may not tell")] = "",
    encoding: Annotated[str, typer.Option(help="of the file")] = "utf-8",
    colour: Annotated[
        bool | None,
        typer.Option("--colour/--no-colour", help="by default, on a terminal", show_default=False),
    ] = None,
) -> None:
    """Find problems, medicines, tests and the like in a text; offsets index the text as it is. Needs no broker."""
    from adapters.annotating import annotate_command

    raise typer.Exit(annotate_command(source, shape, language=language, encoding=encoding, colour=colour))


@app.command()
def validate(
    paths: Paths,
    profile: Annotated[
        Path | None,
        typer.Option(help="a message profile to check against instead: its XML, or hl7apy's file"),
    ] = None,
    feed: Annotated[str, typer.Option(help="read them by the profile of this feed")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a finding")] = False,
) -> None:
    """Check HL7 v2 files against their version's definitions: structure, cardinality, data types, tables.

    Ends with 0 if no finding is an error, 1 if one is, 2 if the call was wrong.
    """
    from adapters.validating import validate_command

    raise typer.Exit(validate_command(paths, profile, feed, as_json=as_json))


@app.command()
def run(
    roles: Annotated[
        str, typer.Option(help="all, or some of mllp,http,ingest-hl7v2,ingest-fhir,annotate,drift")
    ] = "all",
    embedded: Annotated[
        bool, typer.Option("--embedded", help="start the in-memory broker: nothing is durable")
    ] = False,
) -> None:
    """Run the engine until it is stopped."""
    from adapters.running import run_command

    raise typer.Exit(run_command(roles, embedded=embedded))


@app.command()
def console() -> None:
    """Serve FHIR in, health, metrics and the console page: the role http alone."""
    from adapters.running import run_command

    raise typer.Exit(run_command("http", embedded=False))


@app.command()
def demo(
    fixtures: Annotated[Path, typer.Option(help="folder of the fixtures")] = Path("fixtures"),
    out: Annotated[Path, typer.Option(help="folder for what came out; it is emptied first")] = Path("out"),
) -> None:
    """Stream the fixtures through the whole engine on the in-memory broker and account for every message."""
    from adapters.demo.command import demo_command

    raise typer.Exit(demo_command(fixtures, out))


@app.command()
def trace(
    control_id: Annotated[str, typer.Argument(help="MSH-10, or the Bundle's identifier or id")],
    out: Annotated[
        Path, typer.Option(help="folder of the last demo, used when no broker is configured")
    ] = Path("out"),
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a message")] = False,
) -> None:
    """Show one message's journey: source, outcome, Bundle, what was not mapped, what was read in its notes."""
    from adapters.trace import trace_command

    raise typer.Exit(trace_command(control_id, out, as_json=as_json))


@app.command()
def replay(
    paths: Annotated[list[Path] | None, typer.Argument(help="files and folders", show_default=False)] = None,
    source: Annotated[
        Format, typer.Option("--from", help="how to read them; auto looks at each file")
    ] = Format.AUTO,
    to: Annotated[str, typer.Option(help="kafka, mllp://host:port or http://host:port/fhir")] = "kafka",
    feed: Annotated[str, typer.Option(help="name of the feed, with --to kafka")] = "replay",
    rate: Annotated[
        float, typer.Option(min=0, help="messages a second at most; 0 is as fast as they are answered")
    ] = 0,
    loop: Annotated[
        int, typer.Option(min=0, help="how often to play the files, or generate so many; 0 is for ever")
    ] = 1,
    generate: Annotated[str, typer.Option(help="kinds to generate instead: adt,oru,mdm,orm,fhir")] = "",
    count: Annotated[int, typer.Option(min=1, help="how many to generate")] = 100,
    seed: Annotated[int, typer.Option(help="the same seed gives the same messages")] = 1,
    shift_at: Annotated[
        int | None, typer.Option(min=1, help="let the generated feed drift after so many")
    ] = None,
) -> None:
    """Play files, folders or generated messages into Kafka or any MLLP or HTTP address."""
    from adapters.replay.replaying import Replay, replay_command

    asked = Replay(paths or [], source, to, feed, rate, loop, generate, count, seed, shift_at)
    raise typer.Exit(replay_command(asked))


dlq = typer.Typer(help="Dead letters: list, save their bytes, send them again.", no_args_is_help=True)
app.add_typer(dlq, name="dlq")
Since = Annotated[float, typer.Option(min=0, help="hours to look back; 0 is all there is")]
Code = Annotated[str, typer.Option(help="only letters with this code")]


@dlq.command("list")
def dlq_list(since: Since = 0, code: Code = "") -> None:
    """Show dead letters: where, why, and what to do."""
    from adapters.letters import list_letters

    raise typer.Exit(list_letters(since, code))


@dlq.command("save")
def dlq_save(
    folder: Annotated[Path, typer.Argument(help="folder to write to")], since: Since = 0, code: Code = ""
) -> None:
    """Write the original bytes to files. They hold patient data."""
    from adapters.letters import save_letters

    raise typer.Exit(save_letters(folder, since, code))


@dlq.command("replay")
def dlq_replay(
    since: Since = 0,
    code: Code = "",
    retryable: Annotated[
        bool, typer.Option("--retryable", help="only those that may succeed unchanged")
    ] = False,
) -> None:
    """Send dead letters to their topic again, as they came."""
    from adapters.letters import replay_letters

    raise typer.Exit(replay_letters(since, code, retryable_only=retryable))


@app.command()
def drift(since: Since = 0) -> None:
    """Show drift events."""
    from adapters.letters import list_drift

    raise typer.Exit(list_drift(since))


@app.command()
def bench(
    parts: Annotated[
        list[str] | None,
        typer.Argument(
            help="some of reader, mapping, mllp, passthrough, notes; all if none is named", show_default=False
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="a few seconds a part, for a first look")] = False,
) -> None:
    """Measure reading, mapping, MLLP, the whole engine and the note reader on this machine. Needs a checkout."""
    from adapters.benching import bench_command

    raise typer.Exit(bench_command(parts or [], quick=quick))


def main() -> None:
    """Entry point. What went wrong is told in plain words; see adapters.cli_errors for the exit status.

    (Typer itself ends with 1 and no words when the reader of the output has gone, as in ``convert x | head``.)
    """
    sys.exit(ended(lambda: app(prog_name="wardstream", standalone_mode=True)))
