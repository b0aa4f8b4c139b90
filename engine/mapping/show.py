"""``wardstream maps show PID-8``: where a segment, field or component goes, and by which row of which table.

Works on the rows as they stand in the files, so that what it says is what a site's engineer can edit.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from engine.hl7v2.structures import module_of
from engine.mapping.expressions import ExpressionError, Ref, parse_ref
from engine.mapping.tables import Line, Table, TableSet

_NAMES_FROM = "2.8.2"
"""The latest version that hl7apy has: it names the fields of all before it."""
_REPETITIONS = re.compile(r"\[\d+\+?\]")
_DEPTH = 3
"""A data type table may name others; so deep is looked. HL7 itself ends at subcomponents."""


@dataclass(frozen=True, slots=True)
class Way:
    """One row on a value's way.

    Attributes:
        place: ``file:line`` of the row.
        source, when, using, value, note: as the row has them.
        target: path with the resource or type in front, ``Patient.gender``; "" when deliberately not mapped.
        codes: code table, "" for none.
        resources: the rows of ``messages/`` by which the segment makes this resource; on the outermost only.
        inner: rows of the data type table that ``using`` names, for the part that was asked for.
    """

    place: str
    source: str
    when: str
    target: str
    using: str
    codes: str
    value: str
    note: str
    resources: tuple[Line, ...] = ()
    inner: tuple[Way, ...] = ()

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("place", "source", "when", "target", "using", "codes", "value", "note")
            if getattr(self, name)
        }
        if self.resources:
            found["messages"] = [message_row(line) for line in self.resources]
        if self.inner:
            found["inner"] = [way.as_json() for way in self.inner]
        return found


def message_row(line: Line) -> dict[str, str]:
    """A row of ``messages/`` with its place; empty cells left out."""
    return {
        "place": f"{line.file}:{line.number}",
        **{name: text for name, text in line.cells.items() if text and name != "segment"},
    }


def parse_place(text: str) -> tuple[str, int, tuple[int, ...]]:
    """``PID``, ``PID-3`` or ``PID-3.4.2`` as (segment, field or 0, parts); repetitions are all one. Raises ExpressionError."""
    text = _REPETITIONS.sub("", text.strip().upper())
    if re.fullmatch(r"[A-Z][A-Z0-9]{2}", text):
        return text, 0, ()
    ref = parse_ref(text)
    if not ref.segment or not ref.field:
        raise ExpressionError(f"{text!r} is no place such as PID, PID-8 or PID-3.4")
    return ref.segment, ref.field, ref.parts


def ways(tables: TableSet, segment: str, field: int, parts: tuple[int, ...]) -> list[Way]:
    """All rows that a value may take; with field 0 those of all fields of the segment, not followed further."""
    found = []
    for name, table in tables.segments.items():
        if name.split("-", 1)[0] != segment:
            continue
        makers = tuple(_makers(tables, name))
        for line in table.lines:
            source = _source(line)
            if source is None or (field and source.field != field):
                continue
            if not field or _meet(source.parts, parts):
                rest = parts[len(source.parts) :]
                if _takes_first(line, source) and rest[:1] not in {(), (1,)}:
                    continue  # a primitive is made of the first component alone
                inner = _inner(tables, line, rest) if field else ()
                if rest and inner == () and _table_of(tables, line) is not None:
                    continue  # its data type table says nothing of this component
                found.append(_way(line, table.directives.get("type", ""), makers, inner))
    return found


def readers(tables: TableSet, segment: str, field: int) -> list[Line]:
    """Rows that look at a field without taking it: ids, links, ``from`` and places in conditions of other rows."""
    wanted = re.compile(rf"\b{segment}-{field}(?![\d])")
    found = []
    for line in _all_rows(tables):
        cells = [line.cells.get(name, "") for name in ("when", "using", "value", "id", "links")]
        source = _source(line) if "source" in line.cells else None
        own = source is not None and (source.segment, source.field) == (segment, field)
        if not own and any(wanted.search(cell) for cell in cells):
            found.append(line)
    return found


def described(segment: str, field: int) -> str:
    """HL7's name of a segment's field with its data type, "" when HL7 has no such field."""
    module = importlib.import_module(f"{module_of(_NAMES_FROM)}.segments")
    reference = module.SEGMENTS.get(segment)
    for name, inner, *_ in reference[1] if reference else ():
        if name == f"{segment}_{field}":
            kind, long_name = inner[2], inner[3]  # of a leaf and of a sequence alike
            return f"{str(long_name).replace('_', ' ').lower()} ({kind})"
    return ""


def _all_rows(tables: TableSet) -> Iterator[Line]:
    yield from tables.messages
    for table in tables.segments.values():
        yield from table.lines


def _makers(tables: TableSet, name: str) -> Iterator[Line]:
    for line in tables.messages:
        if name == (line["map"] or f"{line['segment']}-{line['resource']}"):
            yield line


def _source(line: Line) -> Ref | None:
    place = _REPETITIONS.sub("", line["source"])  # which repetitions of a field it takes is no other place
    try:
        return parse_ref(place) if place else None
    except ExpressionError:
        return None


def _meet(row: tuple[int, ...], asked: tuple[int, ...]) -> bool:
    """Whether one place is the other or holds it."""
    shared = min(len(row), len(asked))
    return row[:shared] == asked[:shared]


def _takes_first(line: Line, source: Ref) -> bool:
    return not line["using"] and not line["value"] and not source.parts and line["target"] != "-"


def _table_of(tables: TableSet, line: Line) -> Table | None:
    using = line["using"].partition(" from ")[0]
    name = using[len("Reference(") : -1] if using.startswith("Reference(") else using.split("(", 1)[0]
    return tables.datatypes.get(name)


def _inner(tables: TableSet, line: Line, parts: tuple[int, ...], depth: int = _DEPTH) -> tuple[Way, ...]:
    table = _table_of(tables, line)
    if table is None or not depth or " from " in line["using"]:
        return ()
    found = []
    for row in table.lines:
        source = _source(row)
        # In a data type table the first number of a reference stands where a segment has its field.
        path = source.parts if source is not None else ()
        if source is None or not _meet(path, parts):
            continue
        inner = _inner(tables, row, parts[len(path) :], depth - 1) if parts[len(path) :] else ()
        found.append(_way(row, table.directives.get("type", ""), (), inner))
    return tuple(found)


def _way(line: Line, root: str, makers: tuple[Line, ...], inner: tuple[Way, ...]) -> Way:
    target = line["target"]
    return Way(
        f"{line.file}:{line.number}",
        line["source"],
        line["when"],
        "" if target == "-" else (root if target == "$this" else f"{root}.{target}"),
        line["using"],
        line["codes"],
        line["value"],
        line["note"],
        makers,
        inner,
    )
