"""Which segment belongs to which group: the mistakes other converters make."""

from __future__ import annotations

import pytest

from engine.hl7v2 import er7
from engine.hl7v2.structure import group_segments


def grouped(kind: str, version: str, *segments: str):
    text = "\r".join((f"MSH|^~\\&|A|B|||2026||{kind}|1|P|{version}", *segments))
    return group_segments(er7.parse(text))


def paths(structured) -> list[str]:
    return [f"{g.path()}:{s.id}" for s, g in structured.placed[1:]]


def groups_of(structured, segment_id: str) -> list[int]:
    """The same number for segments of one group instance, in order."""
    seen: dict[int, int] = {}
    return [seen.setdefault(id(g), len(seen)) for s, g in structured.placed if s.id == segment_id]


def test_each_result_goes_to_its_own_order():
    """ORC, OBR and OBX of one order are one group; the next OBR begins the next."""
    s = grouped("ORU^R01", "2.5.1", "PID|1", "ORC|RE", "OBR|1", "OBX|1", "OBX|2", "ORC|RE", "OBR|2", "OBX|1")
    orders = [g for _, g in s.placed if g.name == "ORDER_OBSERVATION"]
    assert [x.id for x in orders[0].segments()] == ["ORC", "OBR"]
    assert len({id(g) for g in orders}) == 2
    assert s.issues == ()


def test_second_obr_without_orc_does_not_take_the_first_orc():
    """An OBR that has no ORC has none, rather than its neighbour's."""
    s = grouped("ORU^R01", "2.5.1", "PID|1", "ORC|RE", "OBR|1", "OBX|1", "OBR|2", "OBX|1")
    second = [g for seg, g in s.placed if seg.id == "OBR"][1]
    assert [x.id for x in second.segments()] == ["OBR"]


def test_obx_after_spm_belongs_to_the_specimen():
    """The observation group of SPECIMEN exists since v2.5; others lose these OBX in silence."""
    s = grouped("ORU^R01", "2.5.1", "PID|1", "OBR|1", "OBX|1", "SPM|1", "OBX|2")
    assert paths(s)[-1] == "PATIENT_RESULT.ORDER_OBSERVATION.SPECIMEN:OBX"


@pytest.mark.parametrize("version", ["2.3", "2.4"])
def test_spm_in_an_older_version_uses_the_definition_that_knows_it(version):
    """Senders write SPM under a version that did not have it yet."""
    s = grouped("ORU^R01", version, "PID|1", "OBR|1", "OBX|1", "SPM|1", "OBX|2")
    assert "SPECIMEN:SPM" in paths(s)[3]


def test_orc_after_obr_in_oul_stays_with_it():
    """OUL puts ORC after OBR; many senders put it before. Both mean one order."""
    for order in (("OBR|1", "ORC|RE"), ("ORC|RE", "OBR|1")):
        s = grouped("OUL^R22", "2.5.1", "PID|1", "SPM|1", *order, "OBX|1", *order, "OBX|1")
        assert groups_of(s, "OBR") == [0, 1]
        assert groups_of(s, "ORC") == [0, 1]


def test_orc_behind_its_obr_stays_with_it_when_the_numbers_say_so():
    """ORU wants ORC first; a sender that puts it second must not get its results on another order."""
    s = grouped(
        "ORU^R01", "2.5.1", "PID|1", "OBR|1|A1", "ORC|RE|A1", "OBX|1", "OBR|2|A2", "ORC|RE|A2", "OBX|1"
    )
    assert groups_of(s, "OBR") == groups_of(s, "ORC") == [0, 1]
    assert [i.code for i in s.issues] == ["segment-order", "segment-order"]


def test_note_stands_beside_what_it_comments_on():
    """An NTE belongs to the segment before it, wherever the definition would have it."""
    s = grouped("ORU^R01", "2.5.1", "PID|1", "OBR|1", "NTE|1", "OBX|1", "NTE|1", "SPM|1", "NTE|1")
    assert [p for p in paths(s) if p.endswith("NTE")] == [
        "PATIENT_RESULT.ORDER_OBSERVATION:NTE",
        "PATIENT_RESULT.ORDER_OBSERVATION.OBSERVATION:NTE",
        "PATIENT_RESULT.ORDER_OBSERVATION.SPECIMEN:NTE",
    ]


def test_segment_out_of_order_finds_its_group():
    """PV1 after the results still is the visit of the patient."""
    s = grouped("ORU^R01", "2.5.1", "PID|1", "OBR|1", "OBX|1", "PV1|1|I")
    assert paths(s)[-1] == "PATIENT_RESULT.PATIENT.VISIT:PV1"
    assert [i.code for i in s.issues] == ["segment-order"]


def test_two_patients_in_one_message_are_two_groups():
    """A second PID begins a second patient result."""
    s = grouped("ORU^R01", "2.5.1", "PID|1", "OBR|1", "OBX|1", "PID|2", "OBR|1", "OBX|1")
    assert groups_of(s, "PID") == [0, 1]
    assert s.issues == ()


def test_results_without_obr_are_kept_and_reported():
    """A missing required segment costs nothing but an issue."""
    s = grouped("ORU^R01", "2.5.1", "PID|1", "OBX|1", "OBX|2")
    assert [i.code for i in s.issues][:1] == ["segment-missing"]
    assert len(s.placed) == 4


def test_z_segments_and_unknown_ones_stay_where_they_were():
    """What the structure does not know stays beside its neighbour; only non-Z segments are a finding."""
    s = grouped("ADT^A01", "2.5.1", "EVN|A01", "PID|1", "ZPI|1", "QQQ|1", "PV1|1")
    assert [x.id for x, _ in s.placed] == ["MSH", "EVN", "PID", "ZPI", "QQQ", "PV1"]
    assert [(i.code, i.location) for i in s.issues] == [("segment-unexpected", "QQQ[1]")]


@pytest.mark.parametrize(
    ("kind", "structure"),
    [
        ("ADT^A04", "ADT_A01"),
        ("ADT^A08^ADT_A01", "ADT_A01"),
        ("ADT^A31", "ADT_A05"),
        ("ADT^A28^ADT_A28", "ADT_A05"),
        ("ADT^A40", "ADT_A39"),
        ("MDM^T04", "MDM_T02"),
        ("SIU^S15", "SIU_S12"),
        ("ADT", "ADT_A01"),
        ("ORU", "ORU_R01"),
    ],
)
def test_trigger_events_share_structures(kind, structure):
    """Table 0354: the event tells the structure, also when MSH-9.3 is missing or wrong."""
    assert grouped(kind, "2.5.1", "PID|1").structure == structure


def test_unknown_type_still_groups_and_says_so():
    """No message is refused for its type."""
    s = grouped("ZZZ^Z01", "2.5.1", "PID|1", "PV1|1", "OBR|1", "OBX|1")
    assert [i.code for i in s.issues] == ["structure-unknown"]
    assert len(s.placed) == 5
