"""``wardstream maps check``: every fault of the tables at once, and rows that could never do anything.

Loading for work stops at the first fault. Whoever writes tables wants them all, and wants to hear of
files and rows that are well-formed and yet without effect: a folder spelled wrong, a table that no row
uses, a message structure that HL7 does not have, a code that the target does not allow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

from engine.errors import MapTableError
from engine.hl7v2.structures import group_names, structure_names
from engine.mapping.compiler import Compiler
from engine.mapping.rules import MessageRule
from engine.mapping.tables import KINDS, SINGLE_FILES, Faults, Folder, builtin, load, root_of

_PAPERS = (".md", ".txt")
"""Files that a folder of tables may hold beside them."""


def check(overlay: Folder | None = None, *, base: str = "urn:wardstream:") -> list[MapTableError]:
    """All faults of the built-in tables with an overlay, in the order of file and line.

    Args:
        overlay: a site's folder of tables, or None.
        base: root of the URIs that must be invented.
    """
    faults = Faults(collect=True)
    folders = [builtin()] if overlay is None else [builtin(), overlay]
    compiler = Compiler(load(*folders, faults=faults), base, faults)
    rules = compiler.compile()
    found = [*faults.found, *(fault for rule in rules for fault in _never_fits(rule))]
    if overlay is not None:
        found += _strangers(overlay)
        # What ships may hold a table for sites to use; a site's own table without effect is a fault.
        found += (fault for fault in unused(compiler) if fault.location.startswith(root_of(overlay)))
    return sorted(found, key=_place)


def _place(fault: MapTableError) -> tuple[str, int]:
    file, _, line = fault.location.rpartition(":")
    return (file, int(line)) if line.isdigit() else (fault.location, 0)


def _strangers(overlay: Folder) -> Iterator[MapTableError]:
    """Files and folders of an overlay that are never read."""
    root = root_of(overlay)
    for entry in overlay.iterdir():
        known = entry.name in (KINDS if entry.is_dir() else SINGLE_FILES)
        if not known and not entry.name.startswith(".") and not entry.name.endswith(_PAPERS):
            yield MapTableError(
                "This is no part of an overlay and is never read",
                location=f"{root}{entry.name}",
                action=f"An overlay has the folders {', '.join(KINDS)} and the files {', '.join(SINGLE_FILES)}.",
            )
        elif known and entry.is_dir():
            for path in entry.iterdir():
                if not path.name.endswith((".csv", *_PAPERS)) and not path.name.startswith("."):
                    yield MapTableError(
                        "The file is no CSV and is never read",
                        location=f"{root}{entry.name}/{path.name}",
                        action="Give its name the ending .csv.",
                    )


def unused(compiler: Compiler) -> Iterator[MapTableError]:
    """Tables that nothing names."""
    tables = compiler.tables
    rows = [line for t in (*tables.segments.values(), *tables.datatypes.values()) for line in t.lines]
    named = {name for line in rows for name in re.findall(r"[A-Za-z][\w-]*", line["using"])}
    coded = {line["codes"] for line in rows}
    used = {line["map"] or f"{line['segment']}-{line['resource']}" for line in tables.messages}
    for group, names, what in (
        (tables.segments, used, "No row of messages/ uses this segment table"),
        (tables.datatypes, named, "No row names this data type table in its 'using' column"),
        (tables.codes, coded, "No row names this code table in its 'codes' column"),
    ):
        for name, table in group.items():
            if name not in names:
                yield MapTableError(
                    what,
                    location=f"{table.file}:{table.lines[0].number if table.lines else 1}",
                    action="Correct the name of the file, or add the row that uses it.",
                )


def _never_fits(rule: MessageRule) -> Iterator[MapTableError]:
    """Structures and groups that no version of HL7 has."""
    matched: set[str] = set()
    for pattern in rule.structures:
        found = {name for name in structure_names() if fnmatchcase(name, pattern)}
        matched |= found
        if not found:
            yield rule.line.fault(
                f"No version of HL7 has a message structure {pattern!r}",
                "Write it as in MSH-9.3, such as ADT_A01, or as a pattern, such as ADT_*.",
            )
    groups = {group for name in matched for group in group_names(name)} if rule.groups else ()
    for pattern in rule.groups:
        if matched and not any(fnmatchcase(group, pattern) for group in groups):
            yield rule.line.fault(
                f"None of the row's message structures has a group {pattern!r}",
                "Write the group's name without the structure's prefix, such as PATIENT_RESULT.",
            )
