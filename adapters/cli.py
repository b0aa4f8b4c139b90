"""The ``wardstream`` command. Each sub-command is a thin call of a module that can be used without it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from adapters.replay.sources import Format
from engine.errors import MapTableError, SettingsError, WardstreamError

app = typer.Typer(
    name="wardstream",
    help="HL7 v2 / FHIR streaming integration engine with clinical NLP inside.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Paths = Annotated[list[Path], typer.Argument(help="files and folders", show_default=False)]


@app.command()
def convert(
    paths: Paths,
    source: Annotated[
        Format, typer.Option("--from", help="how to read them; auto looks at each file")
    ] = Format.AUTO,
    ner: Annotated[bool, typer.Option("--ner", help="read the notes too")] = False,
    out: Annotated[str, typer.Option("--out", help="file to write, - is standard output")] = "-",
) -> None:
    """Convert HL7 v2 and FHIR files to FHIR R4: one JSON line a message. Needs no broker."""
    from adapters.replay.command import convert_command

    raise typer.Exit(convert_command(paths, source, out, ner=ner))


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


def main() -> None:
    """Entry point: errors that a person can mend are told in plain words, with exit status 2 for a wrong call."""
    try:
        app(standalone_mode=True)
    except (SettingsError, MapTableError) as error:
        sys.stderr.write(f"wardstream: {error}\n")
        sys.exit(2)
    except WardstreamError as error:
        sys.stderr.write(f"wardstream: {error}\n")
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output has gone, as in "wardstream convert x | head".
        sys.stderr.close()
        sys.exit(0)
