"""``wardstream maps``: check the mapping tables of a site, and show where a field goes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from adapters.configuration import load_settings
from engine.errors import SettingsError
from engine.mapping.check import check as check_tables
from engine.mapping.expressions import ExpressionError
from engine.mapping.show import Way, described, parse_place, readers, ways
from engine.mapping.tables import TableSet, builtin, load

app = typer.Typer(
    name="maps",
    help="Check the mapping tables, and show where a field goes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Overlay = Annotated[
    Path | None, typer.Option(help="folder of site tables; default: the configured one", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object a line")]


@app.command()
def check(overlay: Overlay = None, as_json: AsJson = False) -> None:
    """Report every fault of the tables with file and line. Exit status 1 when there is one."""
    folder = _folder(overlay)
    faults = check_tables(folder, base=load_settings().mapping.base_uri)
    for fault in faults:
        if as_json:
            print(json.dumps({"place": fault.location, "message": fault.message, "action": fault.action}))
        else:
            print(f"{fault.location}: {fault.message}. {fault.action}")
    what = f"the built-in tables with {folder}" if folder else "the built-in tables"
    print(f"{len(faults) or 'No'} fault{'s' * (len(faults) != 1)} in {what}", file=sys.stderr)
    raise typer.Exit(1 if faults else 0)


@app.command()
def show(
    place: Annotated[
        str, typer.Argument(help="PID, PID-8, PID-3.4 or PID-3.4.2; Z-segments too", show_default=False)
    ],
    overlay: Overlay = None,
    as_json: AsJson = False,
) -> None:
    """Show where a segment, field or component goes, and by which row of which table."""
    try:
        segment, field, parts = parse_place(place)
    except ExpressionError as error:
        raise SettingsError(
            str(error),
            location="PLACE",
            action="Name a segment, a field or a component: PID, PID-8, PID-3.4.",
        ) from None
    folder = _folder(overlay)
    tables = load(builtin(), folder) if folder else load(builtin())
    found = ways(tables, segment, field, parts)
    if as_json:
        for way in found:
            print(json.dumps(way.as_json()))
        return
    for line in _page(tables, place.strip().upper(), (segment, field, parts), found):
        print(line)


def _folder(overlay: Path | None) -> Path | None:
    configured = load_settings().mapping.overlay
    folder = overlay or (Path(configured) if configured else None)
    if folder is not None and not folder.is_dir():
        raise SettingsError(
            f"There is no overlay folder {folder}",
            location="--overlay" if overlay else "mapping.overlay",
            action="Create it, or correct the path.",
        )
    return folder


def _page(
    tables: TableSet, asked: str, place: tuple[str, int, tuple[int, ...]], found: list[Way]
) -> Iterator[str]:
    segment, field, _ = place
    name = described(segment, field) if field else ""
    yield f"{asked}  {name}".rstrip()
    if not found:
        yield "  No row takes it: what it holds is reported as unmapped."
    for way in found:
        yield from _told(tables, way, "  ", with_source=not field)
    if field:
        also = readers(tables, segment, field)
        if also:
            yield "  Also looked at by " + ", ".join(f"{line.file}:{line.number}" for line in also)
    else:
        yield from _makers(tables, segment)


def _makers(tables: TableSet, segment: str) -> Iterator[str]:
    rows = [line for line in tables.messages if line["segment"] == segment]
    if not rows:
        yield f"  No row of messages/ is for {segment}: it makes no resource."
        return
    yield "  Makes or completes"
    for line in rows:
        cells = {name: text for name, text in line.cells.items() if text and name != "segment"}
        made = cells.pop("resource", "")
        rest = "; ".join(f"{name} {text}" for name, text in cells.items())
        yield f"    {made if made != '-' else 'nothing'}  {line.file}:{line.number}  {rest}".rstrip()


def _told(tables: TableSet, way: Way, indent: str, *, with_source: bool) -> Iterator[str]:
    source = f"{way.source} -> " if with_source or len(indent) > 2 else ""
    yield f"{indent}{source}{way.target or 'not mapped'}  {way.place}"
    facts: dict[str, Any] = {"when": way.when, "by": way.using, "value": way.value, "note": way.note}
    for label, text in facts.items():
        if text:
            yield f"{indent}    {label} {text}"
    if way.codes:
        yield f"{indent}    code table {_codes(tables, way.codes)}"
    for line in way.resources if not with_source else ():
        scope = line["structure"] or "any message"
        extra = f" {line['mode']}" if line["mode"] else ""
        when = f" when {line['when']}" if line["when"] else ""
        yield f"{indent}    in {line['name'] or line['resource']}{extra}, {scope}{when}  {line.file}:{line.number}"
    if not way.resources and not with_source and len(indent) == 2 and way.target:
        yield f"{indent}    no row of messages/ uses this table: the row is never reached"
    for inner in way.inner:
        yield from _told(tables, inner, indent + "    ", with_source=False)


def _codes(tables: TableSet, name: str) -> str:
    table = tables.codes.get(name)
    if table is None:
        return f"{name} (the codes of HL7's table as they are)"
    rows = ", ".join(f"{line['code']}={line['to'] or '(none)'}" for line in table.lines)
    return f"{name} ({table.file}): {rows}"
