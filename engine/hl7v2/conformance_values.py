"""Fields and values of one segment against its definition: cardinality, data types, lengths, tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple
from zoneinfo import ZoneInfo

from engine.hl7v2.datetimes import parse_clock, parse_moment
from engine.hl7v2.definitions import Reference, data_type, in_table, table
from engine.hl7v2.delimiters import HEADERS
from engine.hl7v2.finding import CARDINALITY, DATA_TYPE, REQUIRED, TABLE, TOO_LONG, Finding, at_field
from engine.hl7v2.structures import UNBOUNDED
from engine.hl7v2.tree import NULL, Leaf, Node, Segment, child, first_leaf, leaves, valued

_UTC = ZoneInfo("UTC")
_FORMS = {
    "NM": (r"[+-]?(?:\d+\.?\d*|\.\d+)", "digits, with a sign and a decimal point if need be"),
    "SI": (r"\d+", "a whole number"),
    "DT": (r"\d{4}(?:\d\d(?:\d\d)?)?", "YYYY[MM[DD]]"),
    "TM": (r"\d\d(?:\d\d(?:\d\d(?:\.\d{1,4})?)?)?(?:[+-]\d{4})?", "HH[MM[SS[.SSSS]]][+/-ZZZZ]"),
    "DTM": (
        r"\d{4}(?:\d\d(?:\d\d(?:\d\d(?:\d\d(?:\d\d(?:\.\d{1,4})?)?)?)?)?)?(?:[+-]\d{4})?",
        "YYYY[MM[DD[HH[MM[SS[.SSSS]]]]]][+/-ZZZZ]",
    ),
}
_FORMS["TS"] = _FORMS["DTM"]
_PATTERNS = {name: re.compile(pattern, re.ASCII) for name, (pattern, _) in _FORMS.items()}
_LENGTHS = {"SI": 4, "NM": 16, "IS": 20, "ST": 199, "TX": 65536, "FT": 65536}
"""Longest values of the types (HL7 v2.5.1 §2.A)."""
_NO_ST_LIMIT = ("2.0", "2.1", "2.2", "2.7", "2.8", "2.9")
"""Beginnings of the versions that give ST no length of its own."""
_LONG_TEXT = frozenset({("OBX", 5), ("NTE", 3)})
"""Fields that may be longer than their data type says."""
_CONDITIONAL = frozenset({("OBX", 4), ("OBR", 27), ("ORC", 7)})
"""Fields that hl7apy requires in single versions, neither in those before nor in those after."""
_TEXTS = frozenset({"FT", "TX", "ST", "varies", "None"})
"""Types in which senders write what looks like components."""
_CODED = frozenset({"CE", "CWE", "CNE", "CF"})
_EXTENSIBLE = frozenset({"HL70191", "HL70203", "HL70396", "HL70061", "HL70399"})
"""HL7 tables that sites add to; 0191 gets the types of MIME."""
_HL7_TABLE = re.compile(r"HL7(\d{4})")
_LISTED = 12
"""Codes of a table that a finding lists."""


class _Place(NamedTuple):
    """Where a value stands, and what it is judged by: the version, or (``agreed``) a message profile."""

    segment: Segment
    number: int
    suffix: str
    version: str
    name: str
    agreed: bool

    def finding(self, code: str, severity: str, message: str) -> Finding:
        return at_field(self.segment, self.number, self.suffix, code, severity, f"{self.name}: {message}")

    def unwanted(self, what: str) -> Finding:
        """A value where there should be none: old senders still fill what later versions withdrew."""
        if self.agreed:
            return self.finding(CARDINALITY, "E", f"the profile wants this {what} empty")
        return self.finding(CARDINALITY, "W", f"version {self.version} has withdrawn this {what}")

    def part(self, number: int) -> _Place:
        return self._replace(suffix=f"{self.suffix or '[1]'}.{number}")


def segment_findings(
    segment: Segment, reference: Reference, version: str, *, agreed: bool = False
) -> Iterator[Finding]:
    """Deviations of one segment from its definition.

    Args:
        segment: as read.
        reference: its definition, in hl7apy's form.
        version: whose data types and tables count.
        agreed: the definition is a message profile's.
    """
    parts = reference[1]
    for name, inner, (low, high), _kind in parts:
        number = int(name.rsplit("_", 1)[1])
        if number < 3 and segment.id in HEADERS:
            continue
        place = _Place(segment, number, "", version, _label(inner), agreed)
        if not agreed and (segment.id, number) in _CONDITIONAL:
            low = 0  # noqa: PLW2901 - the definition is corrected, not the loop
        yield from _field(place, inner, low, high)
    known = max((int(p[0].rsplit("_", 1)[1]) for p in parts), default=0)
    for number in range(known + 1, len(segment.fields)):
        if segment.fields[number]:
            yield at_field(segment, number, "", DATA_TYPE, "W", "The definition does not have this field")


def _label(reference: Reference) -> str:
    """``administrative sex``: a person knows fields by their names."""
    return str(reference[3] or reference[2] or "the field").replace("_", " ").lower()


def _field(place: _Place, reference: Reference, low: int, high: int) -> Iterator[Finding]:
    nodes = place.segment.repetitions(place.number)
    texts = [leaf.text for node in nodes for leaf in leaves(node) if leaf.text]
    if high == 0 or reference[2] == "WD":
        if any(text != NULL for text in texts):
            yield place.unwanted("field")
        return
    if low > 0 and not texts:
        yield place.finding(REQUIRED, "E", "the field is required and empty")
    elif low > 0 and all(text == NULL for text in texts):
        yield place.finding(REQUIRED, "W", 'the field is required, and "" deletes its value')
    if high != UNBOUNDED and len(nodes) > high:
        yield place.finding(CARDINALITY, "E", f"the field has {len(nodes)} repetitions; {high} allowed")
    elif 0 < len([n for n in nodes if valued(n)]) < low:
        yield place.finding(CARDINALITY, "E", f"the field has {len(nodes)} repetitions; {low} are required")
    for repetition, node in enumerate(nodes, 1):
        suffix = f"[{repetition}]" if len(nodes) > 1 else ""
        yield from _repetition(place._replace(suffix=suffix), node, reference)
    yield from _too_long_field(place, reference)


def _too_long_field(place: _Place, reference: Reference) -> Iterator[Finding]:
    """The length that a profile gives a field; hl7apy's definitions give none."""
    length = reference[-1] or 0  # one field of v2.1 has a part too many before it
    if length <= 0:
        return
    mark = place.segment.delimiters.repetition
    raw = place.segment.fields[place.number] if place.number < len(place.segment.fields) else ""
    longest = max(map(len, raw.split(mark) if mark else [raw]))
    if longest > length:
        yield place.finding(TOO_LONG, "W", f"the value has {longest} characters; {length} allowed")


def _repetition(place: _Place, node: Node, reference: Reference) -> Iterator[Finding]:
    """One repetition against its data type."""
    if reference[2] == "varies" and (place.segment.id, place.number) == ("OBX", 5):
        wanted = place.segment.text(2).strip()
        if not wanted and valued(node):
            yield at_field(place.segment, 2, "", REQUIRED, "E", "value type: required where OBX-5 is valued")
        simple = ("leaf", None, wanted if wanted in _FORMS else "varies", reference[3], None, -1)
        reference = simple if wanted in _FORMS else data_type(place.version, wanted) or simple
    if valued(node):
        yield from _value(place, node, reference)


def _value(place: _Place, node: Node, reference: Reference) -> Iterator[Finding]:
    """A field or component against its type, and what is below it."""
    kind, parts, type_name, _, table_name = reference[:5]
    if kind == "leaf" or not parts:
        yield from _primitive(place, node, str(type_name), table_name)
        return
    count = len(node) if isinstance(node, tuple) else 1
    if isinstance(node, tuple) and count > len(parts) and any(valued(p) for p in node[len(parts) :]):
        text = f"the value has {count} components; {type_name} has {len(parts)}"
        yield place.finding(DATA_TYPE, "W", text)
    for index, (_, inner, (low, high), _kind) in enumerate(parts, 1):
        part, below = child(node, index), place.part(index)
        if high == 0 and valued(part):
            yield below.unwanted("component")
        elif valued(part):
            if place.suffix.count(".") < 2:  # nothing stands below a subcomponent
                yield from _value(below, part, inner)
        elif low > 0 and (type_name, index) != ("TS", 2):  # which hl7apy requires in v2.1, before it existed
            yield below.finding(REQUIRED, "W", f"the component is required by {type_name}")
    if type_name in _CODED:
        yield from _claims(place, node)


def _claims(place: _Place, node: Node) -> Iterator[Finding]:
    """A code that names an HL7 table as its system, and is not in it."""
    for code, system in ((1, 3), (4, 6)):
        match = _HL7_TABLE.fullmatch(_text(child(node, system)).strip())
        text = _text(child(node, code))
        if match and text not in {"", NULL} and not in_table(place.version, match[0], text):
            yield place.part(code).finding(TABLE, "W", _not_in(place.version, match[0]))


def _text(node: Node) -> str:
    return first_leaf(node).text


def _primitive(place: _Place, node: Node, type_name: str, table_name: str | None) -> Iterator[Finding]:
    if isinstance(node, tuple):
        if type_name not in _TEXTS and sum(valued(n) for n in node) > 1:
            yield place.finding(DATA_TYPE, "W", f"{type_name} has no components")
        if type_name in _TEXTS:
            return
        node = node[0]
    text = node.text if isinstance(node, Leaf) else ""
    if not text or text == NULL:
        return
    if type_name in _FORMS and not _has_form(type_name, text):
        yield place.finding(DATA_TYPE, "E", f"the value is no {type_name} ({_FORMS[type_name][1]})")
    elif len(text) > (limit := _limit(place, type_name)):
        yield place.finding(TOO_LONG, "W", f"the value has {len(text)} characters; {type_name} has {limit}")
    if table_name and type_name in {"ID", "IS"} and not in_table(place.version, table_name, text):
        severity = "W" if table_name in _EXTENSIBLE else "E"
        yield place.finding(
            TABLE, "I" if type_name == "IS" else severity, _not_in(place.version, table_name, type_name)
        )


def _limit(place: _Place, type_name: str) -> int:
    if type_name == "ST" and place.version.startswith(_NO_ST_LIMIT):
        type_name = "TX"
    if (place.segment.id, place.number) in _LONG_TEXT:
        return 10**9
    return _LENGTHS.get(type_name, 10**9)


def _has_form(type_name: str, text: str) -> bool:
    """Whether a value is of its type to the letter; mapping takes more (ISO 8601, zeros for what is unknown)."""
    text = text.strip()
    if not _PATTERNS[type_name].fullmatch(text):
        return False
    if type_name == "TM":
        return parse_clock(text) is not None
    if type_name in {"NM", "SI"}:
        return True
    moment = parse_moment(text, _UTC)
    return moment is not None and not moment.doubt and "00" not in (text[4:6], text[6:8])


def _not_in(version: str, name: str, type_name: str = "ID") -> str:
    title, codes = table(version, name)
    which = f"HL7 table {name[-4:]}" + (f" ({title.strip().lower()})" if title else "")
    listed = f": {', '.join(sorted(codes))}" if len(codes) <= _LISTED else ""
    if type_name == "IS":
        return f"the value is none that {which} suggests{listed}; the table is the site's own to fill"
    return f"the value is not in {which}{listed}"
