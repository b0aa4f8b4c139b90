"""Write docs/mapping.md anew, from the mapping tables and engine/mapping/differences.csv.

    python tools/write_mapping_doc.py

A test fails while the page and the tables differ (tests/unit/test_mapping_doc.py).
"""
# ruff: noqa: INP001  a folder of scripts is no package

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from engine.mapping.differences import Difference, differences
from engine.mapping.show import described, parse_place, ways
from engine.mapping.tables import Line, Table, TableSet, builtin, load

PAGE = Path(__file__).resolve().parents[1] / "docs" / "mapping.md"

HEAD = """# The mapping of HL7 v2 to FHIR R4

<!-- Written by tools/write_mapping_doc.py from engine/mapping/tables and engine/mapping/differences.csv: change those. -->

Where each field goes, and where that is not what HL7's official v2-to-FHIR maps say. What the columns mean is told in
[the tables' legend](../engine/mapping/tables/README.md); `wardstream maps show PID-8` tells it for one field, with a site's own tables over these.
`ws:name` is an extension of this project under `mapping.base_uri`. What no row takes is reported as unmapped, message by message.

- [Differences from the official maps](#differences-from-the-official-maps)
- [Segments that make resources](#segments-that-make-resources)
- [Segments](#segments) · [Data types](#data-types) · [Code tables](#code-tables)
"""

DIFFERENT = """## Differences from the official maps

Compared with HL7's maps for FHIR R4 (v2mappings 1.0.0). Rules that do something else than the official row, or more, each with its reason:
"""

ABSENT = """Official rows that no rule does by itself, and why. Where the value goes is given as far as it is a field of a segment; rows of data
types are named by their map:
"""


def page() -> str:
    """The whole page."""
    tables = load(builtin())
    parts = [
        HEAD,
        DIFFERENT,
        *_ours(tables),
        "",
        ABSENT,
        *_theirs(tables),
        "",
        "## Segments that make resources",
        "",
    ]
    parts += [*_messages(tables), "", "## Segments", ""]
    parts += _groups(tables.segments)
    parts += ["## Data types", ""]
    parts += _groups(tables.datatypes)
    parts += ["## Code tables", "", *_codes(tables)]
    return "\n".join(parts) + "\n"


def _table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    titles = list(titles)
    yield "| " + " | ".join(titles) + " |"
    yield "|" + "---|" * len(titles)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", r"\|") or " " for cell in row) + " |"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _ours(tables: TableSet) -> Iterator[str]:
    """Rows whose note says that they differ."""
    rows = []
    for group in (tables.segments, tables.datatypes):
        for table in group.values():
            for line in table.lines:
                says, _, reason = line["note"].partition(":")
                if says.strip() == "differs":
                    rows.append(
                        (
                            _code(line["source"] or table.name.split("-")[0]),
                            _goes(line, table),
                            reason.strip(),
                        )
                    )
    for line in tables.messages:
        says, _, reason = line["note"].partition(":")
        if says.strip() == "differs":
            rows.append((_code(line["segment"]), _code(line["name"] or line["resource"]), reason.strip()))
    yield from _table(("source", "goes to", "reason"), rows)


def _theirs(tables: TableSet) -> Iterator[str]:
    rows = ((_code(d.map), d.source, d.element, d.reason, _instead(tables, d)) for d in differences())
    yield from _table(("official map", "source", "element", "reason", "goes to"), rows)


def _instead(tables: TableSet, difference: Difference) -> str:
    """Targets of the fields that a line names."""
    found: list[str] = []
    for source in difference.source.split():
        segment, dash, _ = source.partition("-")
        if not dash or len(segment) != 3:
            continue
        for way in ways(tables, *parse_place(source)):
            if way.target and way.resources and _code(way.target) not in found:
                found.append(_code(way.target))
    return ", ".join(found[:4]) + (" and others" if len(found) > 4 else "")


def _goes(line: Line, table: Table) -> str:
    root = table.directives.get("type", "")
    if line["target"] == "-":
        return "nowhere"
    return _code(root if line["target"] == "$this" else f"{root}.{line['target']}")


def _messages(tables: TableSet) -> Iterator[str]:
    rows = (
        (
            line["segment"],
            " ".join(filter(None, (line["structure"], line["group"]))) or "any",
            _code(line["when"]),
            line["resource"] if line["resource"] != "-" else "nothing",
            " ".join(filter(None, (line["mode"], _code(line["name"]), _code(line["map"])))),
            _code(line["links"]),
            line["note"],
        )
        for line in sorted(tables.messages, key=lambda line: line["segment"])
    )
    yield from _table(("segment", "in", "when", "makes", "how", "links", "note"), rows)


def _groups(group: dict[str, Table]) -> Iterator[str]:
    for name, table in sorted(group.items()):
        yield f"### {name}"
        yield ""
        yield from _table(
            ("source", "goes to", "when", "by", "note"), (_rule(line, table) for line in table.lines)
        )
        yield ""


def _rule(line: Line, table: Table) -> tuple[str, ...]:
    name = ""
    if "-" in line["source"]:
        segment, field, _ = parse_place(line["source"])
        name = described(segment, field).split(" (")[0]
    by = [_code(line["using"]), f"codes {_code(line['codes'])}" if line["codes"] else ""]
    by.append(f"value {_code(line['value'])}" if line["value"] else "")
    source = f"{line['source']} {name}".strip()
    return (
        source or "always",
        _goes(line, table),
        _code(line["when"]),
        " ".join(filter(None, by)),
        line["note"],
    )


def _codes(tables: TableSet) -> Iterator[str]:
    rows = (
        (name, table.directives.get("source", ""), table.directives.get("system", ""), _pairs(table))
        for name, table in sorted(tables.codes.items())
    )
    yield from _table(("table", "HL7 table", "to system", "codes"), rows)


def _pairs(table: Table) -> str:
    return ", ".join(f"{_code(line['code'])} {line['to'] or 'none'}" for line in table.lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
