"""Reading the mapping tables: CSV files whose every fault is told with file and line.

The legend of the columns is ``tables/README.md``. A site's overlay folder has the same layout; a rule of
the overlay comes before the built-in rules of the same table, and ``-`` in its target column takes the
built-in rules for that source field out.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import PurePath
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
KINDS = ("messages", "segments", "datatypes", "codes")
_DIGEST_CHARS = 12
"""48 bits: a site has tens of versions, not millions."""
SINGLE_FILES = ("systems.csv", "authorities.csv")


class Folder(Protocol):
    """What the loader needs of a folder: ``importlib.resources`` and ``pathlib`` both have it."""

    @property
    def name(self) -> str: ...
    def iterdir(self) -> Iterator[Folder]: ...
    def is_dir(self) -> bool: ...
    def read_text(self, encoding: str) -> str: ...


class Faults:
    """What happens to a fault: the first one ends the loading, or (``collect``) all of them are kept."""

    def __init__(self, *, collect: bool = False) -> None:
        self.found: list[MapTableError] = []
        self._collect = collect

    @contextmanager
    def told(self) -> Iterator[None]:
        """Around the work on one row. Raises its MapTableError, unless faults are collected."""
        try:
            yield
        except MapTableError as error:
            if not self._collect:
                raise
            self.found.append(error)


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

    def digest(self) -> str:
        """Version of the rules: short, and another whenever a row does something else. Notes and places don't count."""
        hashed = hashlib.sha256()
        for part in (self.messages, self.systems, self.authorities):
            _hash(hashed, part)
        for group in (self.segments, self.datatypes, self.codes):
            for name, table in sorted(group.items()):
                hashed.update(f"{name}{sorted(table.directives.items())}".encode())
                _hash(hashed, table.lines)
        return hashed.hexdigest()[:_DIGEST_CHARS]


def _hash(hashed: hashlib._Hash, lines: Iterable[Line]) -> None:
    for line in lines:
        hashed.update(repr([text for name, text in line.cells.items() if name != "note"]).encode())


def builtin() -> Folder:
    """The folder of the tables that ship."""
    folder: Folder = resources.files("engine.mapping").joinpath("tables")
    return folder


def load(*folders: Folder, faults: Faults | None = None) -> TableSet:
    """Read the folders; later ones win.

    Files of the first folder are named from within it, those of the others by their whole path.

    Raises:
        MapTableError: for any fault, with file and line, unless ``faults`` collects them.
    """
    tables, faults = TableSet(), faults or Faults()
    for folder in folders:
        overlay = folder is not folders[0]
        root = root_of(folder) if overlay else ""
        for kind, path in _files(folder):
            file = root + (f"{kind}/{path.name}" if kind else path.name)
            with faults.told():
                table = read_table(path.name.removesuffix(".csv"), file, _text(path, file), kind, faults)
                _add(tables, kind, table, overlay=overlay)
    return tables


def root_of(overlay: Folder) -> str:
    """What the files of an overlay are called by in faults, before their path within it."""
    return f"{overlay if isinstance(overlay, PurePath) else overlay.name}/"


def _text(path: Folder, file: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise MapTableError(
            "The file is not UTF-8", location=f"{file}:{line}", action="Save it as 'CSV UTF-8'."
        ) from None


def _files(folder: Folder) -> Iterable[tuple[str, Folder]]:
    for entry in sorted(folder.iterdir(), key=lambda e: e.name):
        if entry.is_dir() and entry.name in KINDS:
            for path in sorted(entry.iterdir(), key=lambda e: e.name):
                if path.name.endswith(".csv"):
                    yield entry.name, path
        elif entry.name in SINGLE_FILES:
            yield "", entry


def _columns(kind: str) -> tuple[str, ...]:
    return {
        "messages": MESSAGE_COLUMNS,
        "segments": RULE_COLUMNS,
        "datatypes": RULE_COLUMNS,
        "codes": CODE_COLUMNS,
    }.get(kind, SYSTEM_COLUMNS)


def read_table(name: str, file: str, text: str, kind: str, faults: Faults | None = None) -> Table:
    """One CSV file. ``#`` starts a comment line, ``#:`` a directive. Raises as :func:`load` does."""
    table = Table(name, file)
    columns = _columns(kind)
    faults = faults or Faults()
    header: tuple[str, ...] | None = None
    for number, raw in enumerate(text.splitlines(), 1):
        if header not in {None, columns}:
            break  # without the right header no row can be understood: one fault for the whole file
        with faults.told():
            if raw.startswith("#:"):
                key, value = _directive(raw, f"{file}:{number}")
                table.directives[key] = value
                continue
            if not raw.strip() or raw.startswith("#"):
                continue
            cells = _cells(raw, columns, f"{file}:{number}")
            if header is None:
                header = tuple(cells)
                if header != columns:
                    raise MapTableError(
                        "The header row is not the one of this kind of table",
                        location=f"{file}:{number}",
                        action=f"Make it: {','.join(columns)}",
                    )
                continue
            padded = [c.strip() for c in cells] + [""] * (len(columns) - len(cells))
            table.lines.append(Line(file, number, dict(zip(columns, padded, strict=True))))
    return table


def _directive(raw: str, place: str) -> tuple[str, str]:
    key, separator, value = raw[2:].partition(":")
    if not separator:
        raise MapTableError("A directive has no value", location=place, action="Write it as '#: key: value'.")
    return key.strip(), value.strip()


def _cells(raw: str, columns: tuple[str, ...], place: str) -> list[str]:
    try:
        cells = next(csv.reader(io.StringIO(raw), strict=True), [])
    except csv.Error as error:
        raise MapTableError(
            f"The row is no CSV: {error}",
            location=place,
            action='Close every double quote; one inside a quoted cell is written twice: "a ""b"" c".',
        ) from None
    if len(cells) > len(columns):
        raise MapTableError(
            f"The row has {len(cells)} cells; {len(columns)} are known",
            location=place,
            action='Put a cell that holds a comma in double quotes: "a, b".',
        )
    return cells


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
            kept = [line for line in present.lines if line["code"] not in changed]
            present.lines = [line for line in table.lines if line["to"] != "-"] + kept
        else:
            removed = {line["source"] for line in table.lines if line["target"] == "-"}
            kept = [line for line in present.lines if line["source"] not in removed]
            present.lines = table.lines + kept
            present.directives |= table.directives
