"""Which rows of HL7's official v2-to-FHIR maps the tables have not: what docs/mapping.md must give reasons for.

    python tools/compare_official_maps.py [FOLDER]        FOLDER holds the maps' mappings/ (not part of this project)

A row is (map, source, first element of the target). It is *there* when a rule of ours takes the same source to
the same element of the same resource or data type. Every other row needs a line in
engine/mapping/differences.csv; the status is 1 when one has none, or when a line has no row any more.
"""
# ruff: noqa: INP001, T201  a folder of scripts is no package; a command's output

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from engine.fhir import schema
from engine.mapping.differences import Difference, differences
from engine.mapping.tables import Line, Table, TableSet, builtin, load

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "specs" / "v2-to-fhir" / "mappings"
_FIRST_DATA_ROW = 2
_SOURCE, _TARGET, _NOT_IN_R4 = 1, 9, 10
"""Columns of the official sheets: the field, the FHIR attribute, and the place of what R4 has no attribute for."""

_LIKE_CWE = re.compile(r"^(?:CE|CNE|CF)(?=\.|$)")
"""Coded types whose components are those of CWE, or the first of them: one table of ours reads all."""


class Row(NamedTuple):
    """One official row, cut down to what can be compared."""

    map: str
    source: str
    element: str


def official(folder: Path) -> set[Row]:
    """Rows of all segment and data type maps."""
    found = set()
    for kind in ("segments", "datatypes"):
        for file in sorted((folder / kind).glob("*.csv")):
            name = re.search(r"_ (\w+\[[^\]]+\])", file.name)
            if name is None:
                continue
            with file.open(encoding="utf-8-sig", newline="") as stream:
                rows = list(csv.reader(stream))[_FIRST_DATA_ROW:]
            for row in rows:
                cells = [*row, *[""] * (_NOT_IN_R4 + 1 - len(row))]
                element = _head(cells[_TARGET]) or ("extension" if cells[_NOT_IN_R4].strip() else "")
                source = _LIKE_CWE.sub("CWE", re.sub(r"\s+", "", cells[_SOURCE]))
                if kind == "datatypes" and _to_primitive(name[1]):
                    continue
                if element and re.match(r"[A-Z][A-Z0-9]{1,2}([-.]\d|$)", source):
                    found.add(Row(name[1], source, element))
    return found


def _to_primitive(name: str) -> bool:
    """Maps to a primitive are what a rule without ``using`` does by itself, from the first component."""
    return name.partition("[")[2][:1].islower()


def _head(path: str) -> str:
    """First element of a target; extensions alike, whatever their name; choices by the name of the choice."""
    first = re.match(r"\s*([$A-Za-z?]+)", path)
    if first is None:
        return ""
    return "extension" if "extension" in first[1].lower() or "?" in first[1] else first[1]


def ours(tables: TableSet) -> dict[str, dict[str, set[str]]]:
    """FHIR type -> source -> elements that rules take it to. Constants have the segment or data type as source."""
    found: dict[str, dict[str, set[str]]] = {}
    for group in (tables.segments, tables.datatypes):
        for name, table in group.items():
            sources = found.setdefault(table.directives.get("type", ""), {})
            for line in table.lines:
                source = re.sub(r"\[.*?\]", "", line["source"]) or name.split("-")[0]
                sources.setdefault(source, set()).update(_elements(line, table))
    return found


def _elements(line: Line, table: Table) -> Iterator[str]:
    head = _head(re.sub(r"\[\w+\*?\]", "", line["target"])) if line["target"] != "-" else ""
    if not head:
        return
    yield head
    element = schema.elements(table.directives["type"]).get(head)
    if element is not None and element.choice:
        yield element.choice
    if "extension" in line["target"]:
        yield "extension"


def linked(tables: TableSet) -> set[tuple[str, str, str]]:
    """(type, segment, element) that links of messages/ set: official rows nest what we make a resource of its own."""
    types = {line["name"] or line["resource"]: line["resource"] for line in tables.messages}
    found = set()
    for line in tables.messages:
        for link in filter(None, (part.strip() for part in line["links"].split(";"))):
            left = link.partition("=")[0].strip()
            holder, _, path = left.partition(".") if left[:1].isupper() else ("", "", left)
            kind = types.get(holder, "") if holder else line["resource"]
            found.add((kind, line["segment"], _head(path)))
    return found


def there(row: Row, have: dict[str, dict[str, set[str]]], links: set[tuple[str, str, str]]) -> bool:
    """Whether a rule of ours does what the row asks for."""
    kind = re.split(r"[\[\]-]", row.map)[1]
    sources = have.get(kind, {})
    if (kind, row.source[:3], row.element) in links:
        return True
    choice = re.sub(r"\[x\]$", "", row.element)
    members = schema.elements(kind) if kind in have else {}
    wanted = {row.element, choice, members[row.element].choice if row.element in members else row.element}
    return any(
        wanted & elements
        for source, elements in sources.items()
        if source == row.source or source.startswith(f"{row.source}.") or row.source.startswith(f"{source}.")
    )


def missing(folder: Path) -> set[Row]:
    """Official rows that no rule of ours does."""
    tables = load(builtin())
    have, links = ours(tables), linked(tables)
    return {row for row in official(folder) if not there(row, have, links)}


def main() -> int:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    if not folder.is_dir():
        print(f"The official maps are not in {folder}", file=sys.stderr)
        return 2
    known = differences()
    rows = missing(folder)
    untold = sorted(row for row in rows if not any(_covers(line, row) for line in known))
    stale = [line for line in known if not any(_covers(line, row) for row in rows)]
    for row in untold:
        print(f"no reason: {row.map},{row.source},{row.element}")
    for line in stale:
        print(f"no longer a difference: {line.map},{line.source},{line.element}")
    print(
        f"{len(official(folder))} official rows, {len(rows)} not there, {len(untold)} of them without a reason",
        file=sys.stderr,
    )
    return 1 if untold or stale else 0


def _covers(line: Difference, row: Row) -> bool:
    return (
        line.map == row.map
        and (line.source == "*" or row.source in line.source.split())
        and line.element in {"*", row.element}
    )


if __name__ == "__main__":
    sys.exit(main())
