"""Conformance findings: ERR-segment style, by the version's own definitions."""

from __future__ import annotations

import pytest

from engine.hl7v2 import er7
from engine.hl7v2.conformance import check

MSH = "MSH|^~\\&|EMR|KGH|||20260101120000||ADT^A01^ADT_A01|C1|P|2.5.1"
GOOD = (MSH, "EVN|A01|20260101", "PID|1||7^^^H^MR||Tan^Ah||19800101|F", "PV1|1|I")


def findings(*segments: str):
    return [(f.location, f.code, f.severity) for f in check(er7.parse("\r".join(segments)))]


def test_a_message_by_the_book_has_none():
    """Nothing is found where nothing is wrong."""
    assert findings(*GOOD) == []


@pytest.mark.parametrize(
    ("index", "segment", "expected"),
    [
        (2, "PID|1||||Tan^Ah", ("PID[1]-3", "101", "E")),
        (2, "PID|1||7^^^H^MR||Tan^Ah||yesterday|F", ("PID[1]-7[1].1", "102", "E")),
        (2, "PID|x||7^^^H^MR||Tan^Ah", ("PID[1]-1", "102", "E")),
        (2, "PID|1||7^^^H^MR||Tan^Ah" + "|" * 19 + "N~Y", ("PID[1]-24", "198", "W")),
        (2, "PID|1||7^^^H^MR||Tan^Ah|" + "|" * 40 + "x", ("PID[1]-46", "102", "W")),
        (3, "PV1|1|I\rOBX|1|NM|A^a||ten|||||F", ("OBX[1]-5", "102", "E")),
        (3, "PV1|1|I\rOBX|1|NM|A^a||10||||||QQ", ("OBX[1]-11", "103", "E")),
        (3, "AL1|1||P^p", ("MSH[1]", "100", "E")),
        (1, "EVN|A01|20260101\rQQQ|1", ("QQQ[1]", "100", "E")),
    ],
)
def test_each_kind_of_deviation_is_found_at_its_place(index, segment, expected):
    """Segment, field and table 0357 code tell the sender's engineer what to look at."""
    segments = list(GOOD)
    segments[index] = segment
    assert expected in findings(*segments)


def test_older_versions_have_their_own_definitions():
    """PV1-2 is required in v2.5.1; v2.1 does not know MSH-12's later fields."""
    old = MSH.replace("2.5.1", "2.3").replace("^ADT_A01", "")
    assert findings(old, "EVN|A01|20260101", "PID|1||7||Tan^Ah", "PV1|1|I") == []


def test_z_segments_are_nobodys_business():
    """What a site defines for itself is not judged."""
    assert findings(*GOOD, "ZZZ|1|anything") == []
