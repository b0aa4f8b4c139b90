"""What systems of the field send beside the book: lines of a report, words of a schedule, numbers of a role."""

from __future__ import annotations

import pytest
from mapped_resources import reference

PID = "PID|1||7^^^KGH^MR||Tan^Ah Kow"
NPI = "http://hl7.org/fhir/sid/us-npi"


def test_an_empty_line_parts_two_paragraphs_of_a_report(message):
    """A line a segment, or a repetition: an OBX without a value and an empty repetition are empty lines."""
    result = message(
        "ORU^R01^ORU_R01",
        PID,
        "OBR|1|P1|F1|XR^Chest^L",
        "OBX|1|TX|GDT^Report^L|1|EXAM: CHEST~~Two views.||||||F",
        "OBX|2|TX|GDT^Report^L|1|||||||F",
        "OBX|3|TX|GDT^Report^L|1|IMPRESSION: clear.||||||F",
        "OBX|4|TX|GDT^Report^L|1|||||||F",
    )
    assert result.one("Observation")["valueString"] == "EXAM: CHEST\n\nTwo views.\n\nIMPRESSION: clear."


def test_a_text_that_is_nulled_or_empty_is_no_value(message):
    """Empty lines alone are no text."""
    result = message(
        "ORU^R01^ORU_R01", PID, "OBR|1|P1|F1|XR^Chest^L", 'OBX|1|TX|A||""||||||F', "OBX|2|TX|B||~~||||||F"
    )
    assert [o.get("valueString") for o in result.of("Observation")] == [None, None]


def test_a_result_without_a_time_of_its_own_has_its_reports(message):
    """v2.5.1 §7.4.2.14: OBX-14 is sent where it differs from OBR-7."""
    result = message(
        "ORU^R01^ORU_R01",
        PID,
        "OBR|1|P1|F1|BMP^Panel^L|||20260220121500-0500",
        "OBX|1|NM|NA^Sodium^L||131|mmol/L|||||F",
        "OBX|2|NM|K^Potassium^L||4|mmol/L|||||F|||20260220130000-0500",
        "OBR|2|P2|F2|CRCL^Clearance^L|||202602200600-0500|202602210600-0500",
        "OBX|1|NM|CR^Creatinine^L||1|mg/dL|||||F",
    )
    assert result.coded("Observation", "NA")["effectiveDateTime"] == "2026-02-20T12:15:00-05:00"
    assert result.coded("Observation", "K")["effectiveDateTime"] == "2026-02-20T13:00:00-05:00"
    assert result.coded("Observation", "CR")["effectivePeriod"] == {
        "start": "2026-02-20T06:00:00-05:00",
        "end": "2026-02-21T06:00:00-05:00",
    }


def test_an_answer_beside_an_order_does_not_get_the_orders_time(message):
    """An order's OBR-7 says nothing of when the question was answered."""
    result = message(
        "ORM^O01", PID, "ORC|NW|P1", "OBR|1|P1||BMP^Panel^L|||20260220121500", "OBX|1|ST|FAST^Fasting^L||Y"
    )
    assert not {"effectiveDateTime", "effectivePeriod"} & result.one("Observation").keys()


def test_the_timing_of_an_order_stands_beside_its_administration(message):
    """RAS and RRA tell TQ1 of an order that they do not hold: the order is never overwritten by a part of it."""
    result = message(
        "RAS^O17^RAS_O17",
        PID,
        "ORC|RE|RX1^EHR|F1^PH",
        "TQ1|1||BID||||20260505080000+0800",
        "RXA|0|1|20260505120500+0800||197^Amlodipine^RXNORM|5|mg",
        "ORC|RE|RX2^EHR|F2^PH",
        "RXA|0|1|20260505120600+0800||198^Aspirin^RXNORM|100|mg",
    )
    assert not result.of("MedicationRequest")
    timings = {
        a["medicationReference"]["display"]: e["valueTiming"]["repeat"]
        for a in result.of("MedicationAdministration")
        for e in a["extension"]
        if e["url"].endswith("order-timing")
    }
    assert timings == {
        "Amlodipine": {
            "frequency": 2,
            "period": 1,
            "periodUnit": "d",
            "boundsPeriod": {"start": "2026-05-05T08:00:00+08:00"},
        }
    }


@pytest.mark.parametrize(
    ("number", "kept"), [("1", False), ("12", False), ("1^KGH", True), ("R-4711", True), ("4711", True)]
)
@pytest.mark.parametrize(
    "segment", ["ROL|{}|AD|PP^Primary^HL70443|D1^Ong", "PRT|{}|AD||PP^Primary^HL70912|D1^Ong"]
)
def test_a_set_id_is_no_number_of_a_role(message, segment, number, kept):
    """Senders count ROL and PRT: two roles, both with number 1 of one sender, would be one to whoever looks it up."""
    result = message("ADT^A31^ADT_A05", "EVN|A31|20260101", PID, segment.format(number))
    assert ("identifier" in result.one("PractitionerRole")) is kept


@pytest.mark.parametrize(
    ("value", "system"),
    [
        ("1234567893^Lim^Dina^^^^^^^^^^NPI", NPI),
        ("1234567893^Lim^Dina^^^^^^KGH^^^^NPI", NPI),
        ("55^Lim^Dina^^^^^^KGH^^^^NPI", "urn:wardstream:authority:KGH"),
        ("1234567893^Lim^Dina^^^^^^KGH^^^^EI", "urn:wardstream:authority:KGH"),
    ],
)
def test_a_us_provider_number_is_of_one_numbering_whoever_sends_it(message, value, system):
    """One doctor known to two hospitals is one Practitioner; what has not its form is a number of the sender."""
    result = message("ADT^A01^ADT_A01", "EVN|A01|20260101", PID, f"PV1|1|I||||||{value}")
    assert result.one("Practitioner")["identifier"][0]["system"] == system


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("TENTATIVE", "tentative"),
        ("Declined", "declined"),
        ("Confirmed", "accepted"),
        ("XYZ", "needs-action"),
        ("", "accepted"),
    ],
)
def test_the_word_of_a_booked_person_is_understood_and_no_other_is_an_acceptance(message, word, status):
    """Nobody accepted what a word unknown to us says."""
    result = message(
        "SIU^S12^SIU_S12",
        "SCH|P1^C|F1^S|||||||30|min|^^^20260501090000^20260501093000||||||||||||||Booked",
        PID,
        "RGS|1",
        f"AIP|1||D1^Ong^Mei|MD||||||||{word}",
    )
    parts = result.one("Appointment")["participant"]
    (doctor,) = [p for p in parts if p["actor"] == reference(result.one("Practitioner"))]
    assert doctor["status"] == status


def test_two_services_of_an_appointment_are_not_two_codes_of_one(message):
    """Codings of one concept say the same: a visit is no X-ray."""
    result = message(
        "SIU^S12^SIU_S12",
        f"SCH|P1^C|F1^S|||||||30|min|^^^20260501090000^20260501093000{'|' * 14}Booked||ORD1^C",
        PID,
        "RGS|1",
        "AIS|1||99213^Visit^C4",
        "AIS|2||73562^X-ray knee^C4",
    )
    assert [c["code"] for c in result.one("ServiceRequest")["code"]["coding"]] == ["99213"]
    services = [s["coding"][0]["code"] for s in result.one("Appointment")["serviceType"]]
    assert services == ["99213", "73562"]


def test_what_each_line_of_a_text_repeats_is_told_as_repeated(message):
    """An observer beside every line is no loss; a time that differs is told."""
    lines = [f"OBX|{n}|TX|A^Report^L|1|line {n}||||||F|||2026012{n}|LAB^Lab^L|D1^Ong" for n in (1, 2)]
    result = message("ORU^R01^ORU_R01", PID, "OBR|1|P1|F1|XR^Chest^L", *lines)
    reasons = result.unmapped()
    assert result.one("Observation")["effectiveDateTime"] == "2026-01-21"
    assert "this one continues" in reasons["OBX[2]-16[1].1"]
    assert "already filled" in reasons["OBX[2]-14"]


def test_a_number_with_a_part_behind_it_is_no_number(message):
    """13^5 may be 13.5: neither 13 nor a quantity without a value stands for it."""
    result = message("ORU^R01^ORU_R01", PID, "OBR|1|P1|F1|HB^Hb^L", "OBX|1|NM|HB^Hb^L||13^5|g/dL|12-16||||F")
    observation = result.one("Observation")
    assert observation["valueString"] == "13^5"
    assert "valueQuantity" not in observation


@pytest.mark.parametrize(
    ("pointer", "kind"),
    [
        ("http://x.example.org/a.pdf^MUSE^AP^PDF", "application/pdf"),
        ("http://x.example.org/a.jpg^PACS^IM^JPEG", "image/jpeg"),
        ("http://x.example.org/a^PACS^application^dicom", "application/dicom"),
    ],
)
def test_what_a_pointer_points_to_has_a_media_type(message, pointer, kind):
    """RP-3 and RP-4 are codes of tables 0191 and 0291 as in ED; AP/PDF is nothing that a browser knows."""
    result = message("ORU^R01^ORU_R01", PID, "OBR|1|P1|F1|X^X^L", f"OBX|1|RP|X^X^L||{pointer}||||||F")
    (extension,) = result.one("Observation")["extension"]
    assert extension["valueAttachment"]["contentType"] == kind


def test_a_deleted_allergy_is_in_error_and_nothing_beside(message):
    """Confirmed but inactive, and deleted: codings of one concept never contradict each other."""
    result = message(
        "ADT^A60^ADT_A60",
        "EVN|A60|20260101",
        PID,
        "IAM|1|DA|7980^Penicillin^RXNORM|SV|Rash|D|A1^H||||||||||I",
    )
    status = result.one("AllergyIntolerance")["verificationStatus"]
    assert [c["code"] for c in status["coding"]] == ["entered-in-error"]


def test_a_merged_account_moved_from_no_other_patient(message):
    """A41: both accounts are of the patient that PID and MRG name."""
    result = message(
        "ADT^A41^ADT_A39",
        "EVN|A41|20260101",
        f"{PID}|||||||||||||ACC1^^^KGH^AN",
        "MRG|7^^^KGH^MR||ACC2^^^KGH^AN",
    )
    urls = [e["url"] for a in result.of("Account") for e in a.get("extension", ())]
    assert [u for u in urls if u.endswith("moved-from")] == []
    assert [u for u in urls if u.endswith("replaced-by")] != []


def test_a_comment_without_words_is_no_note(message):
    """An NTE that only says where it comes from: told at its own place, and nothing half made."""
    result = message(
        "ORU^R01^ORU_R01", PID, "OBR|1|P1|F1|X^X^L", "OBX|1|NM|A||5||||||F", "NTE|1|L", "NTE|2|L|text"
    )
    assert [note["text"] for note in result.one("Observation")["note"]] == ["text"]
    assert "NTE[1]-2" in result.unmapped()
    assert not [i for i in result.outcome.issues if i.severity == "warning"]


def test_a_licence_number_that_is_an_npi_is_one(message):
    """PRA-6 and PRD-7 tell a kind of number: the referring doctor is the one whom orders name."""
    result = message(
        "REF^I12^REF_I12", "RF1|P", "PRD|RP^Referring^HL70286|Lim^Dina|||||1234567893^NPI~BD1^DEA^WI", PID
    )
    systems = [i["system"] for i in result.one("Practitioner")["identifier"]]
    assert systems == [NPI, "urn:wardstream:sender:KGH:licence"]
