"""Identity, time and codes against input that nobody means and somebody sends."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo

import pytest

from engine.feeds import FeedProfile
from engine.hl7v2 import er7
from engine.hl7v2.datetimes import parse_moment
from engine.mapping.mapper import Mapper

FHIR_TIME = re.compile(
    r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01])(T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?[+-]((0\d|1[0-3]):[0-5]\d|14:00))?)?)?",
    re.ASCII,
)
"""FHIR R4 §2.24.0.1 dateTime, with the offset that a time of day must have."""


@pytest.fixture(scope="module")
def mapper():
    return Mapper()


@pytest.fixture
def convert(mapper):
    def run(*segments: str, kind: str = "ADT^A01", sender: str = "EMR|KGH", **profile):
        head = f"MSH|^~\\&|{sender}|WS|SITE|20260101120000||{kind}|C1|P|2.5.1"
        return mapper.map(er7.parse("\r".join((head, *segments))), FeedProfile(**profile))

    return run


def one(mapped, resource_type: str) -> dict:
    found = [r for r in mapped.resources if r["resourceType"] == resource_type]
    assert len(found) == 1, [r["resourceType"] for r in mapped.resources]
    return found[0]


def patient(convert, cx: str, **more) -> tuple[str, str, str]:
    """Id of the Patient, and system and value of its first identifier."""
    found = one(convert(f"PID|1||{cx}||Tan^Ah Kow", **more), "Patient")
    return found["id"], found["identifier"][0]["system"], found["identifier"][0]["value"]


# -- whose number is it ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        ("7^^^PGH^MR", {}), ("07^^^KGH^MR", {}), ("7^^^KGH:MR^MR", {}), ("7^^^KGH MR^MR", {}), ("7^^^KGH%20MR^MR", {}),
        ("7^^^&1.2.3&ISO^MR", {}), ("7^^^^MR", {}), ("7^^^^PI", {}), ("7^^^^MR", {"sender": "EMR|PGH"}),
        ("7^^^^MR", {"sender": "EMR|", "name": "kgh-adt"}), ("7^^^^MR", {"sender": "EMR|", "name": "pgh-adt"}),
    ],
)  # fmt: skip
def test_other_numbers_are_other_patients_also_by_identifier(convert, other):
    """Neither ids nor (system, value) of two patients ever meet: a receiver matches by either."""
    cx, more = other
    mine, theirs = patient(convert, "7^^^KGH^MR"), patient(convert, cx, **more)
    assert mine[0] != theirs[0]
    assert mine[1:] != theirs[1:]


def test_two_feeds_that_name_no_facility_never_meet(convert):
    """One product's name in MSH-3 is no hospital: the feeds tell their patients apart."""
    ids = {patient(convert, "7^^^^MR", sender="EMR|", name=feed)[:2] for feed in ("kgh", "pgh")}
    assert len(ids) == 2


@pytest.mark.parametrize("cx", ["S0000001X^^^^NRIC", "S0000001X^^^KGH^NRIC", "S0000001X^^^PGH^FIN"])
def test_a_national_number_is_one_person_whoever_sends_it(convert, cx):
    """NRIC and FIN are one numbering of one authority: one patient across hospitals."""
    at_kgh = patient(convert, "S0000001X^^^^NRIC")
    assert patient(convert, cx, sender="EMR|PGH", name="another") == at_kgh


@pytest.mark.parametrize("number", ["3002847361", "S000001", "A12345678"])
def test_the_financial_number_of_a_stay_is_no_foreigners_number(convert, number):
    """US hospitals call it FIN as well; two hospitals' equal numbers must not meet, nor name a patient before the record."""
    for _ in range(3):
        patient(convert, "S0000001X^^^KGH^FIN")
    systems = {patient(convert, f"{number}^^^{name}^FIN")[1] for name in ("KGH", "PGH")}
    assert systems == {"urn:wardstream:authority:KGH", "urn:wardstream:authority:PGH"}
    for _ in range(3):
        assert patient(convert, f"{number}^^^KGH^FIN")[1] == "urn:wardstream:authority:KGH"
    assert patient(convert, "S0000002X^^^KGH^FIN")[1] == "urn:wardstream:authority:sg-nric"


def test_what_makes_the_id_stands_in_the_identifier(convert):
    """Configured names win; the id follows from the system that the identifier shows."""
    authorities = {"KGH": "https://kgh.example/mrn"}
    configured = patient(convert, "7^^^KGH^MR", authorities=authorities)
    assert configured[1] == "https://kgh.example/mrn"
    assert patient(convert, "7^^^KGH^MR", sender="LAB|X", name="lab", authorities=authorities) == configured


# -- when --------------------------------------------------------------------------------------------

TIMES = [
    "2026", "202601", "20260102", "2026010203", "202601020304", "20260102030405", "20260102030405.1234",
    "20260102030405+0800", "20260102030405-0330", "20260102T0304Z", "20260102030405+08:00", "2026-01-02T03:04:05Z",
    "20260000", "20260100", "20260102240000", "20260102235960", "00010101000000", "18500101000000", "99991231235959",
    "99991231240000", "20260229", "20260431", "20261301", "20260102250000", "0000", "00000000", "19000101000000",
    "20260102030405+1500", "20260102030405+0860", "٢٠٢٦٠١٠٢", "2026010２", "1/2/2026", "tomorrow", "-2026", "2026013",
    "20260102030405.", "20260329013000", "20261025013000", "999999999999999999999", "20260102030405+08",
]  # fmt: skip


@pytest.mark.parametrize(
    "zone", ["Asia/Singapore", "Europe/London", "America/St_Johns", "Pacific/Kiritimati"]
)
@pytest.mark.parametrize("text", TIMES)
def test_a_time_is_valid_fhir_or_none(text, zone):
    """Whatever is sent, what comes out is a time of FHIR at the sender's precision, or nothing."""
    moment = parse_moment(text, ZoneInfo(zone))
    if moment is not None:
        assert FHIR_TIME.fullmatch(moment.fhir), moment.fhir
        assert FHIR_TIME.fullmatch(moment.date)
        assert moment.has_time is ("T" in moment.fhir)


@pytest.mark.parametrize("text", ["20260229", "99991231240000", "19800230", "99999999", "1 Jan 1980"])
def test_a_nonsense_date_is_an_issue_and_stays_as_it_came(convert, text):
    """Nobody gets a made-up birthday, and nobody loses what was written."""
    mapped = convert(f"PID|1||7^^^KGH^MR||Tan^Ah Kow||{text}|F")
    found = one(mapped, "Patient")
    assert "birthDate" not in found
    assert found["_birthDate"]["extension"][0]["valueString"] == text
    assert {i.location for i in mapped.issues if i.code == "invalid-time"} == {"PID[1]-7"}


def test_a_local_time_that_the_clocks_skip_or_repeat_is_told(convert):
    """In the gap and in the overlap the offset is a guess: it is told, and the sender's offset ends it."""
    visit = f"PV1|1|I{'|' * 17}V1{'|' * 25}"
    skipped = convert("PID|1||7^^^KGH^MR", f"{visit}20260329013000", timezone="Europe/London")
    assert any(i.code == "time-doubtful" for i in skipped.issues)
    sure = convert("PID|1||7^^^KGH^MR", f"{visit}20260329013000+0100", timezone="Europe/London")
    assert not any(i.code == "time-doubtful" for i in sure.issues)
    assert one(sure, "Encounter")["period"]["start"] == "2026-03-29T01:30:00+01:00"


@pytest.mark.parametrize("minutes", ["99999999999999999999", "1e9", "-5", "", "∞"])
def test_a_duration_beyond_reason_breaks_nothing(convert, minutes):
    """The appointment stays, and what its duration was is told or kept."""
    mapped = convert(f"SCH|P1|F1|||||||{minutes}|min|^^^20260123100000", "PID|1||7^^^KGH^MR", kind="SIU^S12")
    assert one(mapped, "Appointment")["start"] == "2026-01-23T10:00:00+08:00"
    kept = str(mapped.resources)
    assert not minutes or minutes in kept or any(u.location.startswith("SCH[1]-9") for u in mapped.unmapped)


# -- which code --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("segment", "resource", "element", "code", "issue"),
    [
        ("PID|1||7^^^KGH^MR||Tan||19800203|QQ^Odd^L", "Patient", "gender", "QQ", "PID[1]-8[1].1"),
        ("AL1|1|QQ|387207008^Ibuprofen^SCT", "AllergyIntolerance", "category", "QQ", "AL1[1]-2"),
        ("AL1|1|DA|387207008^Ibuprofen^SCT|QQ", "AllergyIntolerance", "criticality", "QQ", "AL1[1]-4"),
    ],
)
def test_an_unknown_code_of_a_required_binding_is_kept_and_told(
    convert, segment, resource, element, code, issue
):
    """The element stays empty, the code does not get lost, and somebody hears of it."""
    segments = (segment,) if segment.startswith("PID") else ("PID|1||7^^^KGH^MR", segment)
    mapped = convert(*segments)
    found = one(mapped, resource)
    assert element not in found
    assert code in str(found) or any(u.location.startswith(issue.split("[1].")[0]) for u in mapped.unmapped)
    assert any(i.code == "code-unknown" and i.location == issue for i in mapped.issues)


@pytest.mark.parametrize(
    ("name", "system"),
    [
        ("LN", "http://loinc.org"), ("SCT", "http://snomed.info/sct"), ("I10", "http://hl7.org/fhir/sid/icd-10"),
        ("I10C", "http://hl7.org/fhir/sid/icd-10-cm"), ("ICD10AM", "http://hl7.org/fhir/sid/icd-10-am"),
        ("UCUM", "http://unitsofmeasure.org"), ("RXNORM", "http://www.nlm.nih.gov/research/umls/rxnorm"),
        ("CVX", "http://hl7.org/fhir/sid/cvx"), ("HL70069", "http://terminology.hl7.org/CodeSystem/v2-0069"),
        ("2.16.840.1.1", "urn:oid:2.16.840.1.1"), ("99KGH", "urn:wardstream:codesystem:KGH:99KGH"),
        ("odd name", "urn:wardstream:codesystem:odd%20name"),
    ],
)  # fmt: skip
def test_coding_systems_have_their_canonical_urls(convert, name, system):
    """Receivers know systems by URL; a name of the sender's own stays the sender's own."""
    mapped = convert("PID|1||7^^^KGH^MR", f"DG1|1||X1^Something^{name}|||F")
    assert one(mapped, "Condition")["code"]["coding"][0]["system"] == system


def test_a_concept_keeps_every_code_it_came_with(convert):
    """A local code and its alternate both stay, each with its own system."""
    marital = "QQ^Very single^99X^S^Single^HL70002"
    mapped = convert(f"PID|1||7^^^KGH^MR||Tan{'|' * 11}{marital}")
    concept = one(mapped, "Patient")["maritalStatus"]
    assert [c["code"] for c in concept["coding"]] == ["QQ", "S"]
    assert [c["system"] for c in concept["coding"]] == [
        "urn:wardstream:codesystem:KGH:99X",
        "http://terminology.hl7.org/CodeSystem/v2-0002",
    ]
