"""Codes of the sender's own and words in the place of codes: kept, told quietly, understood where the meaning is plain."""

from __future__ import annotations

import pytest

HEAD = "MSH|^~\\&|EMR|KGH|WS|SITE|20260101120000||ADT^A01^ADT_A01|C1|P|2.5.1"
PATIENT = "PID|1||7^^^KGH^MR||Tan^Mei||19800203|F"


def converted(process, *segments):
    return process("\r".join((HEAD, *segments)).encode())


def found_in(outcome, code):
    return [(i.severity, i.location) for i in outcome.outcome.issues if i.code == code]


def test_a_local_code_of_a_user_defined_table_keeps_a_system_of_the_sender(process):
    """Two hospitals may call different services GEN: the code stands with the name of who says so."""
    encounter = converted(process, PATIENT, "PV1|1|I||||||||GEN").one("Encounter")
    assert encounter["serviceType"]["coding"] == [
        {"system": "urn:wardstream:codesystem:KGH:v2-0069", "code": "GEN"}
    ]


def test_a_local_code_is_told_once_a_message_and_as_information(process):
    """HL7 leaves table 0069 to sites: a code of their own there is no fault, and saying so ten times is noise."""
    two = converted(process, PATIENT, "PV1|1|I||||||||GEN", "PV1|2|I||||||||GEN")
    assert found_in(two, "code-unknown") == [("information", "PV1[1]-10")]


def test_a_table_that_hl7_leaves_empty_knows_no_unknown_codes(process):
    """PV1-18 has no codes but those of the site."""
    outcome = converted(process, PATIENT, "PV1|1|I||||||||||||||||STAFF")
    assert found_in(outcome, "code-unknown") == []
    (extension,) = outcome.one("Encounter")["extension"]
    assert extension["valueCodeableConcept"]["coding"] == [
        {"system": "urn:wardstream:codesystem:KGH:v2-0018", "code": "STAFF"}
    ]


def test_a_code_that_loses_its_meaning_is_a_warning(process):
    """The marital status has a FHIR code set, and QQ is none of it: somebody must say what it means."""
    outcome = converted(process, PATIENT + "||||||||QQ")
    assert found_in(outcome, "code-unknown") == [("warning", "PID[1]-16")]


@pytest.mark.parametrize(
    ("segment", "resource", "path", "expected"),
    [
        ("PV1|1|Inpatient", "Encounter", "class.code", "IMP"),
        ("PV1|1|Observation", "Encounter", "class.code", "OBSENC"),
        ("PV1|1|Outpatient", "Encounter", "status", "in-progress"),
        ("PID|1||7^^^KGH^MR||Tan^Mei^^^^^Current", "Patient", "name.0.use", "official"),
        ("PID|1||7^^^KGH^MR||Tan^Mei^^^^^Previous", "Patient", "name.0.use", "old"),
        ("PID|1||7^^^KGH^MRN||Tan", "Patient", "identifier.0.type.coding.0.code", "MR"),
        ("PID|1||7^^^KGH^MR||Tan|||||||||||Married", "Patient", "maritalStatus.coding.0.code", "M"),
        ("PID|1||7^^^KGH^MR||Tan||||||1 Road^^Town^^^^Mailing", "Patient", "address.0.type", "postal"),
        ("PID|1||7^^^KGH^MR||Tan||||||1 Road^^Town^^^^Home", "Patient", "address.0.use", "home"),
        ("PID|1||7^^^KGH^MR||Tan||||||||(217)5550188^P^M", "Patient", "telecom.0.use", "mobile"),
        ("PID|1||7^^^KGH^MR||Tan||||||||91234567^PRN^CP", "Patient", "telecom.0.use", "mobile"),
        ("PID|1||7^^^KGH^MR||Tan||||||||91234567^WPN^CP", "Patient", "telecom.0.use", "work"),
        ("PID|1||7^^^KGH^MR||Tan||||||||a@example.org^Email^EMAIL", "Patient", "telecom.0.system", "email"),
        ("AL1|1|Drug|^Codeine|Mild|Nausea", "AllergyIntolerance", "reaction.0.severity", "mild"),
        ("AL1|1|Environmental|^Pollen", "AllergyIntolerance", "category.0", "environment"),
    ],
)
def test_words_in_the_place_of_codes_are_understood(process, segment, resource, path, expected):
    """Large hospital systems write the words of their screens; nobody should have to map Inpatient by hand."""
    segments = (segment,) if segment.startswith("PID") else (PATIENT, segment)
    outcome = converted(process, *segments)
    at = outcome.one(resource)
    for part in path.split("."):
        at = at[int(part)] if part.isdigit() else at[part]
    assert at == expected
    assert found_in(outcome, "code-unknown") == []


def test_a_word_does_not_claim_to_be_of_the_table(process):
    """Married is no code of table 0002: beside the FHIR code it stands as the sender's own."""
    status = converted(process, PATIENT + "||||||||Married").one("Patient")["maritalStatus"]["coding"]
    assert status[1] == {"system": "urn:wardstream:codesystem:KGH:v2-0002", "code": "Married"}


def test_a_display_that_the_fhir_code_has_no_room_for_is_told(process):
    """Encounter.class is one Coding, and its display that of the FHIR code."""
    outcome = converted(process, PATIENT, "PV1|1|O^Ambulant")
    assert outcome.one("Encounter")["class"]["display"] == "ambulatory"
    assert outcome.unmapped()["PV1[1]-2[1].2"] == "the FHIR code has a display of its own"


def test_the_route_of_an_unknown_amount_has_its_place(process):
    """A dosage needs a dose (mad-1): it is there and said to be unknown, and the route is not lost with it."""
    head = HEAD.replace("ADT^A01^ADT_A01", "RAS^O17^RAS_O17")
    segments = ("ORC|RE|O1^EMR", "RXA|0|1|202601011200||^Aspirin|999", "RXR|PO^Oral^HL70162")
    outcome = process("\r".join((head, PATIENT, *segments)).encode())
    dosage = outcome.one("MedicationAdministration")["dosage"]
    assert dosage["dose"]["extension"][0]["valueCode"] == "unknown"
    assert dosage["route"]["coding"][0]["code"] == "PO"


def test_a_person_booked_in_aig_is_no_device(process):
    """Many systems book the clinician as a general resource and say so by its type."""
    head = HEAD.replace("ADT^A01^ADT_A01", "SIU^S12^SIU_S12")
    segments = (
        "SCH|1^A",
        PATIENT,
        "RGS|1",
        "AIG|1|A|1003^FAMILY, FRED|2^PROVIDER",
        "AIG|2|A|X9^Scanner|3^EQUIPMENT",
    )
    outcome = process("\r".join((head, *segments)).encode())
    (person,) = outcome.of("Practitioner")
    assert person["name"] == [{"text": "FAMILY, FRED"}]
    assert person["identifier"][0]["value"] == "1003"
    assert [d["identifier"][0]["value"] for d in outcome.of("Device") if "identifier" in d] == ["X9"]


def test_the_drg_and_the_rank_of_diagnoses_of_a_referral_without_a_visit(process):
    """There is no Encounter to hold them: the referral and the Condition do."""
    head = HEAD.replace("ADT^A01^ADT_A01", "REF^I12^REF_I12")
    diagnosis = "DG1|1||I20.9^Angina^I10||||||||||||2"
    segments = ("RF1|A||CAR|||R1^GP", "PRD|RP|Jones^Jack", PATIENT, diagnosis, "DRG|F10^PCI^99DRG")
    outcome = process("\r".join((head, *segments)).encode())
    assert not outcome.of("Encounter")
    (rank,) = outcome.one("Condition")["extension"]
    assert (rank["url"].rpartition("/")[2], rank["valueDecimal"]) == ("diagnosis-priority", 2)
    assert "F10" in str(outcome.one("ServiceRequest")["extension"])
    assert not {u for u in outcome.unmapped() if u.startswith(("DRG", "DG1[1]-15"))}


@pytest.mark.parametrize(
    ("flag", "code"), [("Abnormal", "A"), ("*", "A"), ("High", "H"), ("Not Detected", "ND")]
)
def test_words_of_the_interpretation_are_understood(process, flag, code):
    """Laboratories print them beside the result."""
    head = HEAD.replace("ADT^A01^ADT_A01", "ORU^R01^ORU_R01")
    segments = ("OBR|1||F1|CHEM^Chemistry", f"OBX|1|ST|1^Test||5|||{flag}|||Final")
    outcome = process("\r".join((head, PATIENT, *segments)).encode())
    observation = outcome.one("Observation")
    assert observation["interpretation"][0]["coding"][0]["code"] == code
    assert observation["status"] == "final"
    assert found_in(outcome, "code-unknown") == []
