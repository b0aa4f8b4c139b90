"""Reading the mapping tables: CSV files whose every fault is told with file and line.

The legend of the columns is ``tables/README.md``. A site's overlay folder has the same layout; a rule of
the overlay comes before the built-in rules of the same table, and ``-`` in its target column takes the
built-in rules for that source field out.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Protocol

from engine.errors import MapTableError

RULE_COLUMNS = ("source", "when", "target", "using", "codes", "value", "note")
MESSAGE_COLUMNS = (
    "structure",
    "group",
    "segment",
    "when",
    "resource",
    "name",
    "mode",
    "map",
    "id",
    "links",
    "note",
)
CODE_COLUMNS = ("code", "to", "display", "system", "note")
SYSTEM_COLUMNS = ("name", "system", "note")


class Folder(Protocol):
    """What the loader needs of a folder: ``importlib.resources`` and ``pathlib`` both have it."""

    @property
    def name(self) -> str: ...
    def iterdir(self) -> Iterator[Folder]: ...
    def is_dir(self) -> bool: ...
    def read_text(self, encoding: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Line:
    """One row with where it stands, so that every fault can be told."""

    file: str
    number: int
    cells: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells[column]

    def fault(
        self, what: str, action: str = "Correct the row; tables/README.md explains the columns."
    ) -> MapTableError:
        return MapTableError(what, location=f"{self.file}:{self.number}", action=action)


@dataclass(slots=True)
class Table:
    """One file.

    Attributes:
        name: file name without ``.csv``.
        directives: lines ``#: key: value`` before the header.
    """

    name: str
    file: str
    directives: dict[str, str] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)


@dataclass(slots=True)
class TableSet:
    """All tables, built-in and overlay merged."""

    messages: list[Line] = field(default_factory=list)
    segments: dict[str, Table] = field(default_factory=dict)
    datatypes: dict[str, Table] = field(default_factory=dict)
    codes: dict[str, Table] = field(default_factory=dict)
    systems: list[Line] = field(default_factory=list)
    authorities: list[Line] = field(default_factory=list)


def builtin() -> Folder:
    """The folder of the tables that ship."""
    folder: Folder = resources.files("engine.mapping").joinpath("tables")
    return folder


def load(*folders: Folder) -> TableSet:
    """Read the folders; later ones win. Raises MapTableError for any fault, with file and line."""
    tables = TableSet()
    for folder in folders:
        overlay = folder is not folders[0]
        for kind, path in _files(folder):
            table = read_table(
                path.name.removesuffix(".csv"),
                f"{kind}/{path.name}" if kind else path.name,
                path.read_text(encoding="utf-8-sig"),
                kind,
            )
            _add(tables, kind, table, overlay=overlay)
    return tables


def _files(folder: Folder) -> Iterable[tuple[str, Folder]]:
    for entry in sorted(folder.iterdir(), key=lambda e: e.name):
        if entry.is_dir() and entry.name in {"messages", "segments", "datatypes", "codes"}:
            for path in sorted(entry.iterdir(), key=lambda e: e.name):
                if path.name.endswith(".csv"):
                    yield entry.name, path
        elif entry.name in {"systems.csv", "authorities.csv"}:
            yield "", entry


def _columns(kind: str) -> tuple[str, ...]:
    return {
        "messages": MESSAGE_COLUMNS,
        "segments": RULE_COLUMNS,
        "datatypes": RULE_COLUMNS,
        "codes": CODE_COLUMNS,
    }.get(kind, SYSTEM_COLUMNS)


def read_table(name: str, file: str, text: str, kind: str) -> Table:
    """One CSV file. ``#`` starts a comment line, ``#:`` a directive."""
    table = Table(name, file)
    columns = _columns(kind)
    header_seen = False
    for number, raw in enumerate(text.splitlines(), 1):
        if raw.startswith("#:"):
            key, separator, value = raw[2:].partition(":")
            if not separator:
                raise MapTableError(
                    "A directive has no value",
                    location=f"{file}:{number}",
                    action="Write it as '#: key: value'.",
                )
            table.directives[key.strip()] = value.strip()
            continue
        if not raw.strip() or raw.startswith("#"):
            continue
        cells = next(csv.reader(io.StringIO(raw), strict=True), [])
        if not header_seen:
            if tuple(cells) != columns:
                raise MapTableError(
                    "The header row is not the one of this kind of table",
                    location=f"{file}:{number}",
                    action=f"Make it: {','.join(columns)}",
                )
            header_seen = True
            continue
        if len(cells) > len(columns):
            raise MapTableError(
                f"The row has {len(cells)} cells; {len(columns)} are known",
                location=f"{file}:{number}",
                action='Put a cell that holds a comma in double quotes: "a, b".',
            )
        padded = [c.strip() for c in cells] + [""] * (len(columns) - len(cells))
        table.lines.append(Line(file, number, dict(zip(columns, padded, strict=True))))
    return table


def _add(tables: TableSet, kind: str, table: Table, *, overlay: bool) -> None:
    if kind == "messages":
        tables.messages = table.lines + tables.messages if overlay else tables.messages + table.lines
    elif kind == "":
        target = tables.systems if table.name == "systems" else tables.authorities
        target.extend(table.lines)
    else:
        group = {"segments": tables.segments, "datatypes": tables.datatypes, "codes": tables.codes}[kind]
        present = group.get(table.name)
        if present is None:
            group[table.name] = table
        elif kind == "codes":
            present.directives |= table.directives
            changed = {line["code"] for line in table.lines}
            present.lines = table.lines + [line for line in present.lines if line["code"] not in changed]
        else:
            removed = {line["source"] for line in table.lines if line["target"] == "-"}
            kept = [line for line in present.lines if line["source"] not in removed]
            present.lines = table.lines + kept
            present.directives |= table.directives
