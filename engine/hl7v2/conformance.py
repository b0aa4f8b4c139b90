"""Conformance of a message with its version's definitions, or with a message profile.

The definitions are hl7apy's: message structures, cardinalities, data types and tables of versions 2.1 to
2.8.2. Findings are what an ERR segment holds (HL7 v2.5.1 §2.15.5): segment, sequence, field, a code of
table 0357 and a severity. This is off the hot path: a feed asks for it in its profile.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any
from zoneinfo import ZoneInfo

from engine.hl7v2.datetimes import parse_clock, parse_moment
from engine.hl7v2.delimiters import HEADERS
from engine.hl7v2.structure import UNBOUNDED, Group, Structured, group_segments, module_of
from engine.hl7v2.tree import NULL, Leaf, Message, Node, Segment, child, leaves, valued
from engine.records import Issue, Severity

SEQUENCE, REQUIRED, DATA_TYPE, TABLE, CARDINALITY = "100", "101", "102", "103", "198"
"""Codes of table 0357. 198 is v2.7's; older versions have no code for it."""

_UTC = ZoneInfo("UTC")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)")
_TIMES = frozenset({"DT", "DTM", "TS"})
_CHECKED_VALUES = frozenset({"NM", "DT", "TM", "DTM", "TS"})
"""Types of OBX-2 whose OBX-5 has a form that can be checked."""
_EXTENSIBLE = frozenset({"HL70203", "HL70396", "HL70061", "HL70399"})
"""HL7 tables that sites may add to."""
_LOCAL_SYSTEM = re.compile(r"HL7\d{4}|99[A-Za-z0-9]{1,4}|L|UCUM|ISO.*")
"""Names that table 0396 allows by rule."""
_STRUCTURAL = frozenset({"segment-order", "segment-missing", "segment-repeated", "segment-unexpected"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One deviation.

    Attributes:
        segment, sequence: segment id and its occurrence.
        field: field number, 0 for the segment itself.
        location: as in all reports.
        code: of table 0357.
        severity: ``E`` or ``W`` (table 0516).
        message: what was found; never a value.
    """

    segment: str
    sequence: int
    field: int
    location: str
    code: str
    severity: str
    message: str

    def as_issue(self) -> Issue:
        severity = Severity.ERROR if self.severity == "E" else Severity.WARNING
        return Issue(severity, f"conformance-{self.code}", self.location, self.message, _ACTION)


_ACTION = "Compare with the version's definition, or set strictness in the feed's profile."


def check(message: Message, profile: Mapping[str, Any] | None = None) -> list[Finding]:
    """All deviations of a message, in the order of its segments.

    Args:
        message: as read.
        profile: an hl7apy message profile (``hl7apy.load_message_profile``), in place of the definitions.
    """
    structured = group_segments(message)
    findings = [*_structure(structured), *_required_children(structured.root)]
    references = _profile_segments(profile) if profile else {}
    version = structured.version
    for segment, _ in structured.placed:
        if segment.id.startswith("Z"):
            continue
        reference = references.get(segment.id) or _segments(version).get(segment.id)
        if reference is not None:
            findings += _segment(segment, reference, version)
    order = {(s.id, s.occurrence): i for i, (s, _) in enumerate(structured.placed)}
    return sorted(findings, key=lambda f: (order.get((f.segment, f.sequence), -1), f.field))


def load_profile(path: str) -> Mapping[str, Any]:
    """An hl7apy message profile. Raises what hl7apy raises; adapters call it when a feed is set up."""
    hl7apy = importlib.import_module("hl7apy")
    profile: Mapping[str, Any] = hl7apy.load_message_profile(path)
    return profile


# -- structure ---------------------------------------------------------------------------------------------


def _structure(structured: Structured) -> Iterator[Finding]:
    for issue in structured.issues:
        if issue.code in _STRUCTURAL:
            segment, _, occurrence = issue.location.partition("[")
            yield Finding(
                segment, int(occurrence.rstrip("]")), 0, issue.location, SEQUENCE, "E", issue.message
            )


def _required_children(group: Group) -> Iterator[Finding]:
    """Segments and groups that must be there and are not, told at the first segment of their group."""
    first = next(group.segments(), None)
    for index, child_spec in enumerate(group.spec.children):
        if child_spec.minimum > 0 and not group.counts.get(index) and not group.spec.choice:
            name = child_spec.name
            where = f"group {name}" if child_spec.is_group else f"segment {name}"
            anchor = first.id if first else name
            occurrence = first.occurrence if first else 1
            yield Finding(
                anchor,
                occurrence,
                0,
                f"{anchor}[{occurrence}]",
                SEQUENCE,
                "E",
                f"The required {where} is missing",
            )
    for inner in group.groups():
        yield from _required_children(inner)


# -- segments ----------------------------------------------------------------------------------------------


@cache
def _segments(version: str) -> Mapping[str, Any]:
    module = importlib.import_module(f"{module_of(version)}.segments")
    segments: Mapping[str, Any] = module.SEGMENTS
    return segments


def _profile_segments(profile: Mapping[str, Any]) -> dict[str, Any]:
    """Segment references of a message profile, whatever groups they stand in."""
    found: dict[str, Any] = {}

    def walk(reference: Any) -> None:
        for name, inner, _, kind in reference[-1] if isinstance(reference[-1], tuple) else reference[1]:
            if kind == "SEG":
                found.setdefault(name, inner)
            else:
                walk(inner)

    for structure in profile.values():
        walk(structure)
    return found


def _segment(segment: Segment, reference: Any, version: str) -> Iterator[Finding]:
    parts = reference[1] if isinstance(reference[1], tuple) else reference[-1]
    for name, inner, (low, high), _kind in parts:
        number = int(name.rsplit("_", 1)[1])
        if number < 3 and segment.id in HEADERS:
            continue
        nodes = segment.repetitions(number)
        filled = [n for n in nodes if any(leaf.text for leaf in leaves(n))]
        if low > 0 and not filled:
            yield _finding(segment, number, "", REQUIRED, "E", "The required field is empty")
        if high != UNBOUNDED and len(nodes) > max(high, 1):
            text = f"The field has {len(nodes)} repetitions; {high} are allowed"
            yield _finding(segment, number, "", CARDINALITY, "W", text)
        for repetition, node in enumerate(nodes, 1):
            suffix = f"[{repetition}]" if len(nodes) > 1 else ""
            yield from _value(segment, number, suffix, node, inner, version)
    known = max((int(p[0].rsplit("_", 1)[1]) for p in parts), default=0)
    for number in range(known + 1, len(segment.fields)):
        if segment.fields[number]:
            yield _finding(segment, number, "", DATA_TYPE, "W", "The version does not define this field")


def _value(
    segment: Segment, number: int, suffix: str, node: Node, reference: Any, version: str
) -> Iterator[Finding]:
    """One repetition against its data type."""
    kind, parts, data_type, _, table = (*reference, None, None, None)[:5]
    if data_type == "varies" and segment.id == "OBX" and segment.text(2) in _CHECKED_VALUES:
        kind, data_type, table = "leaf", segment.text(2), None
    if not valued(node):
        return
    if kind == "leaf" or not parts:
        yield from _primitive(segment, number, suffix, node, (str(data_type), table, version))
        return
    count = len(node) if isinstance(node, list) else 1
    if count > len(parts) and any(valued(p) for p in node[len(parts) :]):  # type: ignore[index]  # count > 1 is a list
        text = f"The value has {count} components; {data_type} has {len(parts)}"
        yield _finding(segment, number, suffix, DATA_TYPE, "W", text)
    for index, (_, inner, (low, _high), _kind) in enumerate(parts, 1):
        part = child(node, index)
        place = f"{suffix or '[1]'}.{index}"
        if low > 0 and not valued(part):
            yield _finding(segment, number, place, REQUIRED, "W", f"The component is required by {data_type}")
        elif inner[0] == "leaf" and valued(part):
            yield from _primitive(segment, number, place, part, (str(inner[2]), inner[4], version))


def _primitive(
    segment: Segment, number: int, suffix: str, node: Node, definition: tuple[str, str | None, str]
) -> Iterator[Finding]:
    data_type, table, version = definition
    if isinstance(node, list):
        if data_type not in {"FT", "TX", "ST", "varies", "None"} and sum(valued(n) for n in node) > 1:
            yield _finding(segment, number, suffix, DATA_TYPE, "W", f"{data_type} has no components")
        node = node[0]
    text = node.text if isinstance(node, Leaf) else ""
    if not text or text == NULL:
        return
    if (data_type in {"NM", "SI"} and not _NUMBER.fullmatch(text.strip())) or (
        (data_type in _TIMES and parse_moment(text, _UTC) is None)
        or (data_type == "TM" and parse_clock(text) is None)
    ):
        yield _finding(segment, number, suffix, DATA_TYPE, "E", f"The value is no {data_type}")
    if data_type == "ID" and table:
        codes = _table(version, table)
        if codes and text not in codes and not (table == "HL70396" and _LOCAL_SYSTEM.fullmatch(text)):
            severity = "W" if table in _EXTENSIBLE else "E"
            yield _finding(
                segment, number, suffix, TABLE, severity, f"The value is not in HL7 table {table[-4:]}"
            )


@cache
def _table(version: str, name: str) -> frozenset[str]:
    """Codes of a table in the version and in the latest: hl7apy's older tables have gaps."""
    codes: set[str] = set()
    for package in (module_of(version), "hl7apy.v2_8_2"):
        if find_spec(f"{package}.tables") is None:
            continue  # hl7apy has no tables of the oldest versions
        found = importlib.import_module(f"{package}.tables").TABLES.get(name)
        codes |= set(found[1]) if found else set()
    return frozenset(codes)


def _finding(segment: Segment, number: int, suffix: str, code: str, severity: str, message: str) -> Finding:
    location = f"{segment.id}[{segment.occurrence}]-{number}{suffix}"
    return Finding(segment.id, segment.occurrence, number, location, code, severity, message)
