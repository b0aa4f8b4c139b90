"""Conformance findings: ERR-segment style, by the version's own definitions."""

from __future__ import annotations

import pytest

from engine.hl7v2 import definitions, er7
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
        (2, "PID|1||7^^^H^MR||Tan^Ah" + "|" * 19 + "N~Y", ("PID[1]-24", "198", "E")),
        (2, "PID|1||7^^^H^MR||Tan^Ah|" + "|" * 40 + "x", ("PID[1]-46", "102", "W")),
        (3, "PV1|1|I\rOBX|1|NM|A^a||ten|||||F", ("OBX[1]-5", "102", "E")),
        (3, "PV1|1|I\rOBX|1|NM|A^a||10||||||QQ", ("OBX[1]-11", "103", "E")),
        (3, "AL1|1||P^p", ("MSH[1]", "100", "E")),
        (1, "EVN|A01|20260101\rQQQ|1", ("QQQ[1]", "100", "E")),
        (1, "EVN|A01|20260101\rOBR|1|||A", ("OBR[1]", "100", "E")),
        (3, "PV1|1|I\rPV1|2|I", ("PV1[2]", "198", "E")),
        (2, 'PID|1||""||""', ("PID[1]-3", "101", "W")),
        (2, "PID|1||7^^^H&1.2&UUU^MR||Tan^Ah", ("PID[1]-3[1].4.3", "103", "E")),
        (2, "PID|1||7^^^H^MR||Tan^Ah||1980-01-01", ("PID[1]-7[1].1", "102", "E")),
        (2, "PID|1||7^^^H^MR||Tan^Ah||19800230", ("PID[1]-7[1].1", "102", "E")),
        (2, "PID|12345||7^^^H^MR||Tan^Ah", ("PID[1]-1", "104", "W")),
        (2, "PID|1||7^^^H^MR||" + "T" * 200, ("PID[1]-5[1].1.1", "104", "W")),
        (2, "PID|1||7^^^H^MR||Tan^Ah|||Q", ("PID[1]-8", "103", "I")),
        (2, "PID|1||7^^^H^MR||Tan^Ah|||||||||||QQ^x^HL70002", ("PID[1]-16[1].1", "103", "W")),
        (3, "PV1|1|I\rOBX|1|DT|A^a||20260101120000||||||F", ("OBX[1]-5", "102", "E")),
        (3, "PV1|1|I\rOBX|1|TM|A^a||2561||||||F", ("OBX[1]-5", "102", "E")),
        (3, "PV1|1|I\rOBX|1|SN|A^a||>^ten||||||F", ("OBX[1]-5[1].2", "102", "E")),
        (3, "PV1|1|I\rOBX|1||A^a||10||||||F", ("OBX[1]-2", "101", "E")),
        (3, "PV1|1|I\rOBX|1|XX|A^a||10||||||F", ("OBX[1]-2", "103", "E")),
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


def test_what_senders_write_by_the_book_is_not_found():
    """Values that only look odd: a check that cries wolf is switched off."""
    segments = (
        MSH,
        "EVN|A01|2026",
        "PID|1||7^^^H&1.2.3&ISO^MR||Tan^Ah||198001|F",
        "PV1|1|I",
        "OBX|1|NM|A^a||-.5||||||F",
        "OBX|2|TM|A^a||0915+0800||||||F",
        "OBX|3|DT|A^a||2026||||||F",
        "OBX|4|TS|A^a||20260101093000.1234+0800||||||F",
        "OBX|5|SN|A^a||>^10^:^20||||||F",
        "OBX|6|ST|A^a||a^b & c||||||F",
        "OBX|7|CWE|A^a||QQ^x^99KGH||||||F",
        "OBX|8|CE|A^a||Y^Yes^HL70136||||||F",
        "OBX|9|TX|A^a||" + "long " * 100 + "||||||F",
    )
    assert findings(*segments) == []


@pytest.mark.parametrize(
    "version", ["2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.8", "2.9", "2.9.1"]
)
def test_every_version_is_judged_by_its_own_definitions(version):
    """A number that is none is an error in all; what is right in all is never one."""
    pid = "PID|1||7||Tan^Ah" if version < "2.3" else GOOD[2]
    segments = (
        MSH.replace("2.5.1", version),
        "EVN|A01|20260101",
        pid,
        "NK1|1|Tan^Bo",
        "PV1|1|I|W",
        "OBX|1|NM|A^a||ten||||||F",
    )
    found = [f for f in findings(*segments) if f[2] == "E"]
    if version == "2.1":  # which has no OBX in an ADT
        assert found == [("OBX[1]", "100", "E"), ("OBX[1]-5", "102", "E")]
    else:
        assert found == [("OBX[1]-5", "102", "E")]


@pytest.mark.parametrize(
    "version", ["2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.8", "2.8.1", "2.8.2"]
)
def test_every_segment_of_every_version_can_be_checked(version):
    """hl7apy's definitions have holes (QRD of 2.7 has no fields): no message may end as a fault of ours."""
    segments = [
        MSH.replace("2.5.1", version),
        *(f"{name}|" + "1&2^3~4|" * 40 for name in definitions.segments(version)),
    ]
    segments += [f"{name}|1" for name in ("QRD", "QRF", "URD", "URS", "ORO")]
    found = check(er7.parse("\r".join(s for s in segments if not s.startswith(("MSH|1", "BHS", "FHS")))))
    assert {f.segment for f in found} > {"PID", "OBR"}


def test_a_picture_in_an_obx_is_no_fault():
    """Types of MIME are not HL7's to list, and every sender of documents uses them."""
    header = MSH.replace("ADT^A01^ADT_A01", "ORU^R01^ORU_R01")
    document = "OBX|1|ED|A^a||KGH^application^pdf^Base64^JVBERi0=||||||F"
    assert [f for f in findings(header, GOOD[2], "OBR|1||7|A^a", document) if f[2] == "E"] == []


def test_a_segment_of_a_later_version_is_found_in_an_older_message():
    """SPM came with v2.5: a v2.4 receiver does not know it."""
    segments = (
        MSH.replace("ADT^A01^ADT_A01", "ORU^R01").replace("2.5.1", "2.4"),
        "PID|1||7||Tan",
        "OBR|1|||A",
        "SPM|1",
    )
    (found,) = [f for f in check(er7.parse("\r".join(segments))) if f.segment == "SPM"]
    assert "Version 2.4 has no such segment" in found.message


@pytest.mark.parametrize(
    ("event", "version", "expected"),
    [
        ("ADT^A99", "2.5.1", ("MSH[1]-9", "201", "E")),
        ("ADT^Z99", "2.5.1", ("MSH[1]-9", "201", "W")),
        ("QQQ^A01", "2.5.1", ("MSH[1]-9", "200", "E")),
        ("ZZZ^Z01^ZZZ_Z01", "2.5.1", ("MSH[1]-9", "200", "W")),
        ("ADT", "2.5.1", ("MSH[1]-9", "101", "E")),
        ("ADT^A01^ADT_A01", "3.0", ("MSH[1]-12", "203", "E")),
    ],
)
def test_a_type_or_version_that_is_unknown_is_told_once(event, version, expected):
    """Nobody is told that an invented structure's required group is missing."""
    header = MSH.replace("ADT^A01^ADT_A01", event).replace("2.5.1", version)
    assert findings(header, *GOOD[1:]) == [expected]


def test_missing_groups_are_told_at_a_segment_that_is_there():
    """A place in the message, not the name of what is missing."""
    header = MSH.replace("ADT^A01^ADT_A01", "ORU^R01^ORU_R01")
    assert findings(header) == [("MSH[1]", "100", "E")]
    assert findings(header, GOOD[2]) == [("PID[1]", "100", "E")]


def test_findings_tell_name_and_choice_and_never_the_value():
    """Patient data stays out of logs and dead letters."""
    segments = (*GOOD[:2], "PID|1||7^^^H^MR||Tan^Ah^^^^^^QQ7||99secret|F", "PV1|1|I")
    texts = [f.message for f in check(er7.parse("\r".join(segments)))]
    assert any("date time of birth" in t and "YYYY" in t for t in texts)
    assert not any("99secret" in t or "QQ7" in t for t in texts)


def test_z_segments_are_nobodys_business():
    """What a site defines for itself is not judged."""
    assert findings(*GOOD, "ZZZ|1|anything") == []
