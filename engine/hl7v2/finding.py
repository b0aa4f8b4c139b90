"""What a conformance check found: the parts of an ERR segment (HL7 v2.5.1 §2.15.5)."""

from __future__ import annotations

from dataclasses import dataclass

from engine.hl7v2.tree import Segment
from engine.records import Issue, Severity

SEQUENCE, REQUIRED, DATA_TYPE, TABLE, TOO_LONG = "100", "101", "102", "103", "104"
CARDINALITY, OTHER = "198", "199"
MESSAGE_TYPE, EVENT, VERSION = "200", "201", "203"
"""Codes of table 0357. 104, 198 and 199 are v2.7's and later; older versions have no code for them."""

_SEVERITIES = {"E": Severity.ERROR, "W": Severity.WARNING, "I": Severity.INFORMATION}
_ACTION = "Compare with the version's definition, or set strictness in the feed's profile."


@dataclass(frozen=True, slots=True)
class Finding:
    """One deviation.

    Attributes:
        segment, sequence: segment id and its occurrence.
        field: field number, 0 for the segment itself.
        location: as in all reports.
        code: of table 0357.
        severity: ``E``, ``W`` or ``I`` (table 0516).
        message: what was found and what is allowed; never a value.
    """

    segment: str
    sequence: int
    field: int
    location: str
    code: str
    severity: str
    message: str

    def as_issue(self) -> Issue:
        code = f"conformance-{self.code}"
        return Issue(_SEVERITIES[self.severity], code, self.location, self.message, _ACTION)


def at_field(segment: Segment, number: int, suffix: str, code: str, severity: str, message: str) -> Finding:
    """A finding in a field; ``suffix`` is its ``[r].c.s``."""
    location = f"{segment.location}-{number}{suffix}"
    return Finding(segment.id, segment.occurrence, number, location, code, severity, message)


def at_segment(segment: Segment, code: str, severity: str, message: str) -> Finding:
    """A finding about a whole segment."""
    return Finding(segment.id, segment.occurrence, 0, segment.location, code, severity, message)
