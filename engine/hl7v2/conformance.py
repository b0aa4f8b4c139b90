"""Conformance of a message with its version's definitions, or with a message profile.

The definitions are hl7apy's: message structures, cardinalities, data types and tables of versions 2.1 to
2.8.2. Findings are what an ERR segment holds (HL7 v2.5.1 §2.15.5): segment, sequence, field, a code of
table 0357 and a severity. This is off the hot path: a feed asks for it in its profile.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.hl7v2.conformance_values import segment_findings
from engine.hl7v2.definitions import segments, table
from engine.hl7v2.finding import (
    CARDINALITY,
    EVENT,
    MESSAGE_TYPE,
    OTHER,
    REQUIRED,
    SEQUENCE,
    TABLE,
    VERSION,
    Finding,
    at_field,
    at_segment,
)
from engine.hl7v2.groups import Group, Structured
from engine.hl7v2.message_profile import MessageProfile
from engine.hl7v2.structure import group_segments
from engine.hl7v2.structures import Spec, is_version, load, structure_name
from engine.hl7v2.tree import Message, Segment

__all__ = ["Finding", "check"]

_STRUCTURAL = frozenset({"segment-order", "segment-missing", "segment-repeated", "segment-unexpected"})


def check(message: Message, profile: MessageProfile | None = None) -> list[Finding]:
    """All deviations of a message, in the order of its segments.

    Args:
        message: as read.
        profile: in place of the definitions, for messages of a structure that it defines.
    """
    name, version, unknown = structure_name(message)
    header = list(_version(message))
    spec = None
    if profile is not None:
        spec = profile.specs.get(name)
        if spec is None:
            known = ", ".join(sorted(profile.specs))
            text = f"The message profile is for {known}; the version's own definitions were used"
            header.append(at_field(message.msh, 9, "", OTHER, "W", text))
    structured = group_segments(message, spec or load(version, name))
    own = message.version if is_version(message.version) else version
    if unknown is not None and spec is None:
        header += _message_type(message, own)
        findings: list[Finding] = []
    else:
        findings = [*_structure(structured, own, spec is not None), *_required(structured.root, message)]
    told = {f.field for f in header if f.code != OTHER}
    for segment, group in structured.placed:
        agreed = profile.segment(name, group.name, segment.id) if profile and spec else None
        if segment.id.startswith("Z") and agreed is None:
            continue
        reference = agreed or segments(own).get(segment.id)
        if reference is not None:
            found = segment_findings(segment, reference, own, agreed=agreed is not None)
            # Of a type or version that is none as a whole, it says nothing more that its parts are in no table.
            findings += [f for f in found if segment is not message.msh or not (f.field in told or _known(f))]
    structured.release()
    order = {(s.id, s.occurrence): i for i, (s, _) in enumerate(structured.placed)}
    return sorted([*header, *findings], key=lambda f: (order.get((f.segment, f.sequence), -1), f.field))


# -- the header --------------------------------------------------------------------------------------------


def _version(message: Message) -> Iterator[Finding]:
    if message.version and not is_version(message.version):
        text = "version ID: no version of HL7 v2 (table 0104: 2.1 to 2.9); checked as 2.5.1"
        yield at_field(message.msh, 12, "", VERSION, "E", text)


def _known(finding: Finding) -> bool:
    """A version that we know and hl7apy's table does not."""
    return finding.field == 12 and finding.code == TABLE


def _message_type(message: Message, version: str) -> Iterator[Finding]:
    """MSH-9 names no structure: the order of segments could not be checked."""
    code, trigger = message.code.upper(), message.trigger.upper()
    unchecked = "the order of the segments was not checked"
    if not code:
        yield at_field(message.msh, 9, "", REQUIRED, "E", f"message type: required and empty; {unchecked}")
    elif code not in table(version, "HL70076")[1]:
        severity = "W" if code.startswith("Z") else "E"
        text = f"message type: not in HL7 table 0076 (message type); {unchecked}"
        yield at_field(message.msh, 9, "", MESSAGE_TYPE, severity, text)
    elif not trigger:
        yield at_field(
            message.msh, 9, "", REQUIRED, "E", f"message type: the trigger event is missing; {unchecked}"
        )
    else:
        local = trigger.startswith("Z") or trigger in table(version, "HL70003")[1]
        text = f"message type: no message structure is known for this trigger event; {unchecked}"
        yield at_field(message.msh, 9, "", EVENT, "W" if local else "E", text)


# -- structure ---------------------------------------------------------------------------------------------


def _structure(structured: Structured, version: str, by_profile: bool) -> Iterator[Finding]:
    forbidden = set(_forbidden(structured.root.spec))
    for issue in structured.issues:
        if issue.code not in _STRUCTURAL:
            continue
        segment_id, _, occurrence = issue.location.partition("[")
        code, text = SEQUENCE, issue.message
        if by_profile and segment_id in forbidden:
            code, text = CARDINALITY, "The profile does not allow this segment here"
        elif issue.code == "segment-repeated":
            code = CARDINALITY
        elif issue.code == "segment-unexpected":
            text = _unexpected(segment_id, structured.structure, version)
        yield Finding(segment_id, int(occurrence.rstrip("]")), 0, issue.location, code, "E", text)


def _unexpected(segment_id: str, structure: str, version: str) -> str:
    if segment_id in segments(version):
        return f"{structure} of version {version} has no place for this segment"
    return f"Version {version} has no such segment; names of a site's own segments begin with Z"


def _forbidden(spec: Spec) -> Iterator[str]:
    """Segments that a profile does not want (usage X)."""
    for child in spec.children:
        if child.maximum == 0:
            yield from child.within
        elif child.is_group:
            yield from _forbidden(child)


def _required(group: Group, message: Message, anchor: Segment | None = None) -> Iterator[Finding]:
    """Segments and groups that must be there and are not, told at the first segment of their group."""
    anchor = _first(group) or anchor or message.msh
    for index, child in enumerate(group.spec.children):
        have = group.counts.get(index, 0)
        if have < child.minimum and not group.spec.choice:
            where = f"group {child.name}" if child.is_group else f"segment {child.name}"
            inside = f" in group {group.name}" if group.parent is not None else ""
            text = f"The required {where} is missing{inside}"
            if have:
                text = f"The {where} is there {have} times{inside}; {child.minimum} are required"
            yield at_segment(anchor, SEQUENCE if not have else CARDINALITY, "E", text)
    for inner in group.groups():
        yield from _required(inner, message, anchor)


def _first(group: Group) -> Segment | None:
    """The first segment anywhere in a group."""
    for item in group.items:
        found = item if isinstance(item, Segment) else _first(item)
        if found is not None:
            return found
    return None
