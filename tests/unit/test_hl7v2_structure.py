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


@pytest.mark.parametrize("between", ["PV1|1|I", "NK1|1", "PD1||a", "TQ1|1"])
@pytest.mark.parametrize("visit", [True, False])
@pytest.mark.parametrize("version", ["2.3", "2.5.1", "2.8.2"])
def test_what_stands_between_an_order_and_its_results_takes_none_away(between, visit, version):
    """A visit, a relative or a timing among the results: those behind it still are results of the order before."""
    start = ("PID|1", "PV1|1|O") if visit else ("PID|1",)
    s = grouped("ORU^R01", version, *start, "OBR|1", "OBX|1", between, "OBX|2", "NTE|1")
    results = [g for segment, g in s.placed if segment.id == "OBX"]
    assert {x.id for x in results[0].parent.segments()} >= {"OBR"}
    assert results[1].parent is results[0].parent
    assert s.placed[-1][1] is results[1]
    assert len([g for g in s.root.groups() if g.name in {"PATIENT_RESULT", "RESPONSE"}]) == 1


def test_a_timing_behind_its_results_opens_no_order_of_its_own():
    """TQ1 belongs before OBX; behind it, it is the same order's all the same."""
    s = grouped("ORU^R01", "2.5.1", "PID|1", "ORC|RE", "OBR|1", "OBX|1", "TQ1|1", "OBX|2")
    assert len({id(g) for seg, g in s.placed if g.name == "ORDER_OBSERVATION"}) == 1
    assert [(i.code, i.location) for i in s.issues] == [("segment-order", "TQ1[1]")]


def test_services_behind_their_place_belong_to_the_resources_before():
    """Schedulers write AIL before AIS: both are of one RGS."""
    s = grouped("SIU^S12", "2.4", "SCH|1", "PID|1", "RGS|1", "AIL|1", "AIS|1", "RGS|2", "AIS|1")
    assert [p.split(":")[0] for p in paths(s)[3:5]] == ["RESOURCES.LOCATION_RESOURCE", "RESOURCES.SERVICE"]
    assert len({id(g) for _, g in s.placed if g.name == "RESOURCES"}) == 2


def test_results_before_the_first_order_are_not_given_to_it():
    """What is told of the patient before any OBR is no result of the order behind it."""
    s = grouped("ORU^R01", "2.5.1", "PID|1", "OBX|1", "OBR|1", "OBX|2")
    first, second = (g.parent for segment, g in s.placed if segment.id == "OBX")
    assert first is not second
    assert [x.id for x in second.segments()] == ["OBR"]


def test_a_second_request_is_no_earlier_result():
    """OML: an OBR without ORC begins the next order. Taken as PRIOR_RESULT, it would be no order at all."""
    for version in ("2.5.1", "2.8.2"):
        s = grouped("OML^O21", version, "PID|1", "ORC|NW", "OBR|1", "OBR|2", "PRT|1", "OBX|1", "SPM|1")
        assert all("PRIOR" not in g.path() for _, g in s.placed)
        assert (
            len(
                {id(g) for _, g in s.placed if g.name == "ORDER"}
                | {id(g.parent) for _, g in s.placed if g.name == "OBSERVATION_REQUEST"}
            )
            == 2
        )


@pytest.mark.parametrize(
    ("kind", "segments", "about"),
    [
        ("ORU^R01", ("OBR|1", "OBX|1", "SPM|1", "PRT|1"), "SPM"),
        ("ADT^A01", ("PV1|1", "IN1|1", "PR1|1", "ROL|1"), "PR1"),
    ],
)
def test_who_took_part_is_told_of_the_segment_before(kind, segments, about):
    """PRT and ROL behind a segment out of its place go with it, not with another one that could have them."""
    s = grouped(kind, "2.8.2" if "PRT|1" in segments else "2.5.1", "PID|1", *segments)
    assert [g for x, g in s.placed if x.id == about] == [s.placed[-1][1]]


def test_insurances_behind_the_orders_are_the_patients():
    """IN1 behind the order that it pays: a group of the patient, kept in one with its IN2."""
    s = grouped("ORM^O01", "2.5.1", "PID|1", "ORC|NW", "OBR|1", "IN1|1", "IN2|1", "IN1|2", "OBX|1")
    assert [p.split(":")[0] for p in paths(s)[3:6]] == ["PATIENT.INSURANCE"] * 3
    assert groups_of(s, "IN1") == [0, 1]
    assert paths(s)[-1].startswith("ORDER.ORDER_DETAIL.OBSERVATION")


def test_two_merges_of_one_patient_stay_with_it():
    """A40 with a second MRG: nothing but a PID begins another patient."""
    s = grouped("ADT^A40", "2.5.1", "EVN|A40", "PID|1", "MRG|1", "MRG|2")
    assert groups_of(s, "MRG") == [0, 0]


@pytest.mark.parametrize(
    "version",
    [
        "2.0",
        "2.1",
        "2.2",
        "2.3",
        "2.3.1",
        "2.3.2",
        "2.4",
        "2.5",
        "2.5.1",
        "2.6",
        "2.7",
        "2.7.1",
        "2.8",
        "2.8.1",
        "2.8.2",
        "2.9",
        "2.9.1",
    ],
)
def test_every_version_has_its_structures(version):
    """Table 0104 from end to end: a result under its order, notes with what they are about, no word of an unknown version."""
    s = grouped(
        "ORU^R01", version, "PID|1", "NTE|1", "PV1|1", "ORC|RE", "OBR|1", "NTE|1", "OBX|1", "NTE|1", "OBX|2"
    )
    assert s.issues == ()
    result = s.placed[7][1]
    assert (result.name, result.parent.name) == ("OBSERVATION", "ORDER_OBSERVATION")
    notes = [g for segment, g in s.placed if segment.id == "NTE"]
    assert [g.name for g in notes] == ["PATIENT", "ORDER_OBSERVATION", "OBSERVATION"]
