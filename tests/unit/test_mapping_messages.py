"""HL7 v2 messages to FHIR resources: the behaviours that receivers depend on."""

from __future__ import annotations

import base64
from decimal import Decimal

import pytest
from mapped_resources import of, one

from engine.feeds import FeedProfile
from engine.hl7v2 import er7
from engine.mapping.mapper import Mapper


@pytest.fixture(scope="module")
def mapper():
    return Mapper()


@pytest.fixture
def convert(mapper):
    def run(*segments: str, kind: str = "ADT^A01", version: str = "2.5.1", sender: str = "EMR|KGH"):
        text = "\r".join((f"MSH|^~\\&|{sender}|WS|SITE|20260101120000||{kind}|C1|P|{version}", *segments))
        return mapper.map(er7.parse(text), FeedProfile())

    return run


def obx(convert, kind: str, value: str, units: str = "") -> dict:
    mapped = convert(
        "PID|1||7^^^H^MR",
        "OBR|1||F1^LAB|CBC",
        f"OBX|1|{kind}|718-7^Hb^LN||{value}|{units}|||||F",
        kind="ORU^R01",
    )
    return one(mapped, "Observation")


PID = "PID|1||7^^^H^MR~S0000001X^^^SG-TEST^NI||Tan^Ah Kow^^^Mr||19800203|F"


def test_patient_carries_what_pid_says(convert):
    """Identifiers with their authority, name parts, gender and birth date each reach their element."""
    patient = one(convert(PID), "Patient")
    assert [(i["system"], i["value"], i["type"]["coding"][0]["code"]) for i in patient["identifier"]] == [
        ("urn:wardstream:authority:H", "7", "MR"),
        ("urn:wardstream:authority:SG-TEST", "S0000001X", "NI"),
    ]
    assert patient["name"] == [{"family": "Tan", "given": ["Ah Kow"], "prefix": ["Mr"]}]
    assert (patient["gender"], patient["birthDate"]) == ("female", "1980-02-03")


def test_one_patient_across_feeds_has_one_id(convert):
    """The same number of the same authority is the same Patient, whoever sends it and in whatever order."""
    first = one(convert(PID), "Patient")["id"]
    other = one(convert("PID|1||S0000001X^^^SG-TEST^NI~7^^^H^MR", sender="LAB|KGH"), "Patient")["id"]
    assert first == other


def test_two_patients_never_share_an_id(convert):
    """The same number of another authority, or of a sender that names none, is somebody else."""
    ids = {
        one(convert("PID|1||7^^^H^MR"), "Patient")["id"],
        one(convert("PID|1||7^^^G^MR"), "Patient")["id"],
        one(convert("PID|1||7"), "Patient")["id"],
        one(convert("PID|1||7", sender="EMR|OTHER"), "Patient")["id"],
        one(convert("PID|1||||Tan^Ah Kow"), "Patient")["id"],
    }
    assert len(ids) == 5


def test_the_same_message_twice_gives_the_same_resources(convert):
    """A replay is harmless: every id and every byte is the same."""
    segments = (PID, "PV1|1|I|W1^2^3^KGH||||D1^Lim^Dr|||||||||||V1", "AL1|1|DA|PEN^Penicillin|SV|Rash")
    assert convert(*segments).resources == convert(*segments).resources


def test_same_order_number_of_two_senders_does_not_collide(convert):
    """OBR-2 is unique within its sender only."""
    make = lambda sender: convert(PID, "ORC|NW|1001", "OBR|1|1001||CBC^CBC", kind="ORM^O01", sender=sender)  # noqa: E731
    assert one(make("EMR|KGH"), "ServiceRequest")["id"] != one(make("EMR|PGH"), "ServiceRequest")["id"]


def test_each_report_holds_its_own_results_and_order(convert):
    """Two orders in one message: results and orders are never exchanged."""
    mapped = convert(
        PID,
        "ORC|RE|P1^EMR|F1^LAB", "OBR|1|P1^EMR|F1^LAB|CBC^CBC^L|||20260101|||||||||||||||||||F", "OBX|1|NM|718-7^Hb^LN||13.1|g/dL|||||F",
        "ORC|RE|P2^EMR|F2^LAB", "OBR|2|P2^EMR|F2^LAB|UEC^UEC^L|||20260101|||||||||||||||||||F", "OBX|1|NM|2951-2^Na^LN||140|mmol/L|||||F",
        kind="ORU^R01",
    )  # fmt: skip
    reports = {r["code"]["coding"][0]["code"]: r for r in of(mapped, "DiagnosticReport")}
    results = {f"Observation/{o['id']}": o["code"]["coding"][0]["code"] for o in of(mapped, "Observation")}
    orders = {
        f"ServiceRequest/{o['id']}": o["code"]["coding"][0]["code"] for o in of(mapped, "ServiceRequest")
    }
    assert [results[r["reference"]] for r in reports["CBC"]["result"]] == ["718-7"]
    assert [results[r["reference"]] for r in reports["UEC"]["result"]] == ["2951-2"]
    assert orders[reports["UEC"]["basedOn"][0]["reference"]] == "UEC"


def test_obx_after_spm_is_kept_with_its_specimen(convert):
    """Micro results often follow SPM; other converters lose them in silence."""
    mapped = convert(
        PID, "OBR|1||F1^LAB|BC^Blood culture", "OBX|1|ST|600-7^Bacteria^LN||none|||||F", "SPM|1|^S1&LAB||BLD^Blood",
        "OBX|2|ST|X1^Volume||8 mL|||||F", kind="ORU^R01",
    )  # fmt: skip
    specimen = one(mapped, "Specimen")
    later = next(o for o in of(mapped, "Observation") if o["code"]["coding"][0]["code"] == "X1")
    assert later["specimen"] == {"reference": f"Specimen/{specimen['id']}"}
    assert len(one(mapped, "DiagnosticReport")["result"]) == 2


@pytest.mark.parametrize(
    ("kind", "value", "units", "element", "expected"),
    [
        ("NM", "1.50", "g/dL", "valueQuantity", {"value": Decimal("1.50"), "code": "g/dL", "system": "http://unitsofmeasure.org", "unit": "g/dL"}),
        ("NM", "5", "mg^^UCUM", "valueQuantity", {"value": Decimal(5), "code": "mg", "system": "http://unitsofmeasure.org", "unit": "mg"}),
        ("NM", "<0.01", "ug/L", "valueQuantity", {"value": Decimal("0.01"), "comparator": "<", "code": "ug/L", "system": "http://unitsofmeasure.org", "unit": "ug/L"}),
        ("NM", "see note", "", "valueString", "see note"),
        ("SN", ">^100", "mL", "valueQuantity", {"value": Decimal(100), "comparator": ">", "code": "mL", "system": "http://unitsofmeasure.org", "unit": "mL"}),
        ("SN", "^1^-^5", "", "valueRange", {"low": {"value": Decimal(1)}, "high": {"value": Decimal(5)}}),
        ("SN", "^1^:^128", "", "valueRatio", {"numerator": {"value": Decimal(1)}, "denominator": {"value": Decimal(128)}}),
        ("SN", "<>^5", "", "valueString", "<> 5"),
        ("ST", "positive", "", "valueString", "positive"),
        ("CWE", "260373001^Detected^SCT", "", "valueCodeableConcept", {"coding": [{"code": "260373001", "display": "Detected", "system": "http://snomed.info/sct"}]}),
        ("DT", "20260203", "", "valueDateTime", "2026-02-03"),
        ("TS", "202602031530", "", "valueDateTime", "2026-02-03T15:30:00+08:00"),
        ("TM", "1530", "", "valueTime", "15:30:00"),
        ("XYZ", "a^b", "", "valueString", "a^b"),
    ],
)  # fmt: skip
def test_every_value_type_reaches_its_element(convert, kind, value, units, element, expected):
    """OBX-2 decides the element of OBX-5; what fits none is kept as text."""
    assert obx(convert, kind, value, units)[element] == expected


def test_text_over_repetitions_and_obx_is_one_value(convert):
    """A radiology report sent line by line comes out as one text."""
    mapped = convert(
        PID, "OBR|1||F1^LAB|XR^Chest X-ray", "OBX|1|TX|GDT^Report||FINDINGS~Clear.|||||F", "OBX|2|TX|GDT^Report||IMPRESSION|||||F",
        "OBX|3|TX|GDT^Report||Normal.|||||F", "OBX|4|TX|OTH^Other||x|||||F", kind="ORU^R01",
    )  # fmt: skip
    assert [o["valueString"] for o in of(mapped, "Observation")] == [
        "FINDINGS\nClear.\nIMPRESSION\nNormal.",
        "x",
    ]


def test_coded_repetitions_become_components(convert):
    """Official map OBX[Observation-Component]: repeated coded answers are components of one Observation."""
    found = obx(convert, "CWE", "A^a^L~B^b^L")
    assert [c["valueCodeableConcept"]["coding"][0]["code"] for c in found["component"]] == ["A", "B"]
    assert all(c["code"]["coding"][0]["code"] == "718-7" for c in found["component"])


def test_missing_status_is_unknown_and_a_strange_one_is_kept_beside_it(convert):
    """A required code is never left out and never invented; what the sender wrote stays in an extension."""
    mapped = convert(PID, "OBR|1||F1|CBC", "OBX|1|NM|1^a||5||||||q", kind="ORU^R01")
    observation = one(mapped, "Observation")
    assert observation["status"] == "unknown"
    (kept,) = observation["_status"]["extension"]
    assert kept["url"] == "http://hl7.org/fhir/StructureDefinition/alternate-codes"
    assert kept["valueCodeableConcept"] == {"coding": [{"code": "q"}]}
    assert ("code-unknown", "OBX[1]-11") in {(i.code, i.location) for i in mapped.issues}


def test_merge_ends_one_record_and_points_to_the_other(convert):
    """A40: the record that ends is inactive and replaced by the one that lives on."""
    mapped = convert("EVN|A40|20260101", PID, "MRG|9^^^H^MR", kind="ADT^A40")
    survivor, merged = of(mapped, "Patient")
    assert merged["active"] is False
    assert merged["link"] == [{"other": {"reference": f"Patient/{survivor['id']}"}, "type": "replaced-by"}]
    assert survivor["link"] == [{"other": {"reference": f"Patient/{merged['id']}"}, "type": "replaces"}]


@pytest.mark.parametrize(
    ("event", "pv1", "status"),
    [
        ("A01", "PV1|1|I", "in-progress"),
        ("A03", "PV1|1|I", "finished"),
        ("A11", "PV1|1|I", "cancelled"),
        ("A05", "PV1|1|P", "planned"),
        ("A08", "PV1|1|O" + "|" * 43 + "20260101", "finished"),
        ("A08", "PV1|1|U", "unknown"),
    ],
)
def test_encounter_status_follows_event_and_class(convert, event, pv1, status):
    """A discharge is finished even where PV1-45 is missing; a class alone says in progress."""
    assert one(convert(PID, pv1, kind=f"ADT^{event}"), "Encounter")["status"] == status


def test_document_text_is_one_attachment(convert):
    """MDM: all OBX lines are one document, in order."""
    mapped = convert(
        PID, "TXA|1|DS|TX|20260101||20260101120000|||D1^Lim|||DOC1^EMR|||||AU||AV", "OBX|1|TX|1^Discharge summary||Line one",
        "OBX|2|TX|1^Discharge summary||Line two", kind="MDM^T02",
    )  # fmt: skip
    document = one(mapped, "DocumentReference")
    attachment = document["content"][0]["attachment"]
    assert base64.b64decode(attachment["data"]).decode() == "Line one\nLine two"
    assert attachment["title"] == "Discharge summary"
    assert (document["status"], document["docStatus"]) == ("current", "final")
    assert of(mapped, "Observation") == []


def test_nothing_valued_goes_unseen(convert):
    """Each leaf is either used or in the list, with a reason."""
    mapped = convert(PID + "|" * 42 + "extra", "ZPI|1|secret", "PV1|1|Q")
    reasons = {u.location: u.reason for u in mapped.unmapped}
    assert reasons["ZPI[1]-2"] == "no rule for segment ZPI"
    assert reasons["PID[1]-1"].startswith("structure: set id")
    assert reasons["PID[1]-50"] == "no rule for this field"
    assert mapped.leaves > len(mapped.unmapped)


def test_nulls_are_listed_as_cleared_and_make_no_element(convert):
    """The explicit null is neither a value nor lost."""
    mapped = convert('PID|1||7^^^H^MR||Tan^""||""|F|||""^^""')
    assert mapped.cleared == ("PID[1]-5[1].2", "PID[1]-7", "PID[1]-11[1].1", "PID[1]-11[1].3")
    assert "birthDate" not in one(mapped, "Patient")
    assert not {u.location for u in mapped.unmapped} & set(mapped.cleared)


def test_a_local_code_keeps_its_text_and_gets_no_false_system(convert):
    """A code that is not of the HL7 table must not claim to be."""
    patient = one(convert("PID|1||7^^^H^MR|||||F||||||||X9^Complicated^HL70002"), "Patient")
    assert patient["maritalStatus"]["coding"] == [
        {"system": "urn:wardstream:codesystem:KGH:v2-0002", "code": "X9", "display": "Complicated"}
    ]


def test_known_codes_are_translated_and_the_original_is_kept(convert):
    """The FHIR coding comes first, the sender's own after it."""
    patient = one(convert("PID|1||7^^^H^MR|||||F||||||||A"), "Patient")
    assert [c["code"] for c in patient["maritalStatus"]["coding"]] == ["L", "A"]
    assert patient["maritalStatus"]["coding"][1]["system"] == "http://terminology.hl7.org/CodeSystem/v2-0002"


def test_notes_stay_with_what_they_comment_on(convert):
    """NTE after OBX is a note of that Observation, with its lines kept."""
    mapped = convert(
        PID, "OBR|1||F1|CBC", "NTE|1||order note", "OBX|1|NM|1^a||5|||||F", "NTE|1||first~second", "OBX|2|NM|2^b||6|||||F", kind="ORU^R01"
    )  # fmt: skip
    first, second = of(mapped, "Observation")
    assert first["note"] == [{"text": "first\nsecond"}]
    assert "note" not in second
    assert one(mapped, "ServiceRequest")["note"] == [{"text": "order note"}]


def test_places_hold_each_other(convert):
    """Bed in room in ward in building: the encounter is at the innermost."""
    mapped = convert(PID, "PV1|1|I|W5^12^03^KGH^^^B^L2")
    by_reference = {f"Location/{r['id']}": r for r in of(mapped, "Location")}
    place = by_reference[one(mapped, "Encounter")["location"][0]["location"]["reference"]]
    names = []
    while place:
        names.append(place["name"])
        place = by_reference.get(place.get("partOf", {}).get("reference", ""))
    assert names == ["03", "12", "W5", "L2", "B", "KGH"]
