"""Patients, visits and their events: what a receiver of ADT depends on."""

from __future__ import annotations

import pytest
from mapped_resources import of, one, reference

from engine.feeds import FeedProfile
from engine.hl7v2 import er7
from engine.mapping.mapper import Mapper


@pytest.fixture(scope="module")
def mapper():
    return Mapper()


@pytest.fixture
def convert(mapper):
    def run(event: str, *segments: str, version: str = "2.5.1"):
        text = "\r".join((f"MSH|^~\\&|EMR|KGH|WS|SITE|20260101120000||ADT^{event}|C1|P|{version}", *segments))
        return mapper.map(er7.parse(text), FeedProfile())

    return run


def by_number(mapped, resource_type: str) -> dict[str, dict]:
    return {r["identifier"][0]["value"]: r for r in of(mapped, resource_type)}


PID = "PID|1||7^^^KGH^MR||Tan^Ah Kow"


@pytest.mark.parametrize("event", ["A18", "A30", "A34", "A36", "A39", "A40", "A47"])
def test_a_merge_ends_one_record_and_keeps_the_other(convert, event):
    """The replaced record is inactive and points to the survivor, which points back and stays as it is."""
    patients = by_number(convert(event, PID, "MRG|8^^^KGH^MR"), "Patient")
    assert patients["8"]["active"] is False
    assert patients["8"]["link"] == [{"other": reference(patients["7"]), "type": "replaced-by"}]
    assert patients["7"]["link"] == [{"other": reference(patients["8"]), "type": "replaces"}]
    assert "active" not in patients["7"]


def test_each_merge_of_one_message_keeps_to_its_own_patient(convert):
    """A40 may hold several patients: no record is merged into the neighbour's."""
    mapped = convert("A40^ADT_A39", PID, "MRG|8^^^KGH^MR", "PID|2||70^^^KGH^MR||Lim^B", "MRG|80^^^KGH^MR")
    patients = by_number(mapped, "Patient")
    assert patients["8"]["link"][0]["other"] == reference(patients["7"])
    assert patients["80"]["link"][0]["other"] == reference(patients["70"])
    assert len(patients["7"]["link"]) == len(patients["70"]["link"]) == 1


def test_a_record_is_never_merged_into_itself(convert):
    """A sender that repeats PID-3 in MRG-1 must not switch its patient off."""
    mapped = convert("A40^ADT_A39", PID, "MRG|7^^^KGH^MR")
    assert "active" not in one(mapped, "Patient")
    assert "link" not in one(mapped, "Patient")
    assert any(u.location.startswith("MRG[1]-1") for u in mapped.unmapped)


@pytest.mark.parametrize("event", ["A41", "A44", "A45", "A50"])
def test_events_of_accounts_and_visits_end_no_patient(convert, event):
    """MRG-1 names whose account or visit it was; that person's record lives on."""
    mapped = convert(event, PID, "MRG|8^^^KGH^MR||A9^^^KGH||V9^^^KGH", "PV1|1|I|||||||||||||||||V10^^^KGH")
    assert [p["identifier"][0]["value"] for p in of(mapped, "Patient")] == ["7"]
    assert "active" not in one(mapped, "Patient")


def test_a44_moves_the_account_to_the_other_patient(convert):
    """The Account that earlier messages made, by its number, now belongs to the patient of PID."""
    before = one(convert("A01", f"PID|1||8^^^KGH^MR{'|' * 15}A1^^^KGH"), "Account")
    mapped = convert("A44", f"{PID}{'|' * 13}A1^^^KGH", "MRG|8^^^KGH^MR||A1^^^KGH")
    account = one(mapped, "Account")
    assert account["id"] == before["id"]
    assert account["subject"] == [reference(one(mapped, "Patient"))]
    assert account["status"] == "active"
    assert account["subject"] != before["subject"]


def test_a45_moves_the_visit_to_the_other_patient(convert):
    """The Encounter that earlier messages made, by its number, now has the patient of PID."""
    before = one(convert("A01", "PID|1||8^^^KGH^MR", f"PV1|1|I{'|' * 17}V9^^^KGH"), "Encounter")
    mapped = convert("A45", PID, "MRG|8^^^KGH^MR||||V9^^^KGH", f"PV1|1|I{'|' * 17}V9^^^KGH")
    encounter = one(mapped, "Encounter")
    assert encounter["id"] == before["id"]
    assert encounter["subject"] == reference(one(mapped, "Patient"))
    assert encounter["class"]["code"] == "IMP"


def test_a_visit_that_changes_its_number_ends_under_the_old_one(convert):
    """A50: the old Encounter is marked as entered in error and says which one goes on."""
    mapped = convert("A50", PID, "MRG|7^^^KGH^MR||||V9^^^KGH", f"PV1|1|I{'|' * 17}V10^^^KGH")
    visits = by_number(mapped, "Encounter")
    assert visits["V9"]["status"] == "entered-in-error"
    assert visits["V9"]["extension"][0]["valueReference"] == reference(visits["V10"])
    assert visits["V10"]["status"] == "in-progress"


def test_a17_swaps_beds_and_not_patients(convert):
    """Each Encounter has its own patient, the bed it is in now and the one it left."""
    mapped = convert(
        "A17", PID, f"PV1|1|I|W1^2^A^KGH|||W1^2^B^KGH{'|' * 13}V1",
        "PID|2||9^^^KGH^MR||Lim^Bee", f"PV1|2|I|W1^2^B^KGH|||W1^2^A^KGH{'|' * 13}V2",
    )  # fmt: skip
    patients, visits = by_number(mapped, "Patient"), by_number(mapped, "Encounter")
    beds = {f"Location/{p['id']}": p["name"] for p in of(mapped, "Location")}
    for visit, patient, now, before in (("V1", "7", "A", "B"), ("V2", "9", "B", "A")):
        assert visits[visit]["subject"] == reference(patients[patient])
        places = {p["status"]: beds[p["location"]["reference"]] for p in visits[visit]["location"]}
        assert places == {"active": now, "completed": before}


def test_a20_tells_the_status_of_the_bed_that_visits_name(convert):
    """The Location of NPU-1 is the one that PV1-3 refers to, with its operational status."""
    bed = convert("A01", PID, "PV1|1|I|W1^2^A^KGH").resources
    mapped = convert("A20", "NPU|W1^2^A^KGH|H")
    told = next(p for p in of(mapped, "Location") if "operationalStatus" in p)
    assert told["operationalStatus"] == {
        "system": "http://terminology.hl7.org/CodeSystem/v2-0116",
        "code": "H",
    }
    assert told["id"] in {r["id"] for r in bed if r.get("name") == "A"}
    assert {r["id"] for r in of(mapped, "Location")} == {
        r["id"] for r in bed if r["resourceType"] == "Location"
    }


def test_a24_links_two_records_and_a37_leaves_none(convert):
    """Linked records see each other and both stay in use."""
    other = "PID|2||9^^^KGH^MR||Tan^A K"
    linked = by_number(convert("A24", PID, other), "Patient")
    assert linked["7"]["link"] == [{"other": reference(linked["9"]), "type": "seealso"}]
    assert linked["9"]["link"] == [{"other": reference(linked["7"]), "type": "seealso"}]
    assert all("link" not in p for p in of(convert("A37", PID, other), "Patient"))


@pytest.mark.parametrize(
    ("event", "discharged", "status"),
    [
        ("A01", "", "in-progress"), ("A02", "", "in-progress"), ("A03", "20260105", "finished"), ("A03", "", "finished"),
        ("A04", "", "in-progress"), ("A05", "", "planned"), ("A08", "20260105", "finished"), ("A11", "", "cancelled"),
        ("A12", "", "in-progress"), ("A13", "20260105", "in-progress"), ("A14", "", "planned"), ("A21", "", "onleave"),
        ("A22", "", "in-progress"), ("A23", "", "entered-in-error"), ("A27", "", "cancelled"), ("A38", "", "cancelled"),
        ("A52", "", "in-progress"), ("A53", "", "onleave"), ("A54", "", "in-progress"), ("A55", "", "in-progress"),
        ("A61", "", "in-progress"),
    ],
)  # fmt: skip
def test_the_event_says_how_the_visit_stands(convert, event, discharged, status):
    """A receiver's bed list follows from the status of the Encounter."""
    mapped = convert(event, PID, f"PV1|1|I|W1^2^A{'|' * 16}V1{'|' * 25}20260101|{discharged}")
    assert one(mapped, "Encounter")["status"] == status


def test_a54_names_the_new_attending_doctor(convert):
    """PV1-7 and a role of PV1 both reach the participants of the Encounter."""
    mapped = convert(
        "A54", PID, f"PV1|1|I|W1||||D1^Lim^Doc{'|' * 12}V1", "ROL|1|AD|AT^Attending^HL70443|D2^Ng^Doc"
    )
    participants = one(mapped, "Encounter")["participant"]
    assert [p["type"][0]["coding"][0]["code"] for p in participants] == ["ATND", "ATND"]
    role = one(mapped, "PractitionerRole")
    assert participants[1]["individual"] == reference(role)
    assert role["practitioner"] == reference(by_number(mapped, "Practitioner")["D2"])


def test_roles_belong_to_what_they_stand_behind(convert):
    """A role behind PID is the general practitioner or the care team, behind PR1 a performer, never another's."""
    mapped = convert(
        "A01", PID, "ROL|1|AD|PP^Primary care^HL70443|D1^Lim", "ROL|2|AD|FHCP^Family doctor^HL70443|D2^Ng",
        "PV1|1|I|W1", "PR1|1||47562-1^Appendectomy^LN||20260101", "ROL|3|AD|SU^Surgeon|D3^Ho",
    )  # fmt: skip
    roles = {r["practitioner"]["reference"]: reference(r) for r in of(mapped, "PractitionerRole")}
    doctors = {n: reference(d) for n, d in by_number(mapped, "Practitioner").items()}
    assert one(mapped, "Patient")["generalPractitioner"] == [roles[doctors["D1"]["reference"]]]
    assert [p["member"] for p in one(mapped, "CareTeam")["participant"]] == [doctors["D2"]]
    assert one(mapped, "Procedure")["performer"][0]["actor"] == roles[doctors["D3"]["reference"]]
    assert "participant" not in one(mapped, "Encounter")


def test_allergies_by_iam_keep_their_number_and_reaction(convert):
    """A60: a delete is entered in error, anything else active; IAR adds a reaction."""
    mapped = convert(
        "A60", PID, "PV1|1|I", "IAM|1|DA|387207008^Ibuprofen^SCT|SV|Wheeze|A^Add|AL1^KGH", "IAR|247472004^Hives^SCT|MI",
        "IAM|2|FA|256349002^Peanut^SCT|||D^Delete|AL2^KGH", version="2.8",
    )  # fmt: skip
    allergies = by_number(mapped, "AllergyIntolerance")
    assert allergies["AL1"]["clinicalStatus"]["coding"][0]["code"] == "active"
    assert [r["severity"] for r in allergies["AL1"]["reaction"]] == ["severe", "mild"]
    assert allergies["AL2"]["verificationStatus"]["coding"][0]["code"] == "entered-in-error"
    assert "clinicalStatus" not in allergies["AL2"]


def test_next_of_kin_is_person_and_contact_an_employer_only_contact(convert):
    """As the official map has it: both for a person, no RelatedPerson for an employer or agency."""
    mapped = convert(
        "A01", PID, "NK1|1|Tan^Mei|MTH^Mother||^PRN^PH^^^^60000001", "NK1|2|Example Works|EMR^Employer"
    )
    assert one(mapped, "RelatedPerson")["name"][0]["family"] == "Tan"
    assert [c["name"]["family"] for c in one(mapped, "Patient")["contact"]] == ["Tan", "Example Works"]


def test_coverage_names_insurer_subscriber_and_beneficiary(convert):
    """A child insured through a parent: the parent subscribes, the child benefits, the insurer pays."""
    insured = (
        "IN1|1|IP^Integrated plan^L|C1^^^KGH|Example Life||||G1||||||||Tan^Mei^^^Mdm|MTH^Mother|19600101"
    )
    mapped = convert("A01", PID, "PV1|1|I", insured)
    coverage = one(mapped, "Coverage")
    assert coverage["beneficiary"] == reference(one(mapped, "Patient"))
    assert coverage["subscriber"] == reference(one(mapped, "RelatedPerson"))
    assert coverage["payor"] == [reference(by_number(mapped, "Organization")["C1"])]


def test_who_is_insured_himself_subscribes_himself(convert):
    """No second person is made of the patient."""
    mapped = convert("A01", PID, "IN1|1|IP^Plan^L|C1^^^KGH|Example Life||||||||||||Tan^Ah Kow|SEL^Self")
    assert one(mapped, "Coverage")["subscriber"] == reference(one(mapped, "Patient"))
    assert of(mapped, "RelatedPerson") == []


def test_one_patient_told_twice_is_one_patient(convert):
    """The same PID again, as results of several orders have it, makes no second person."""
    assert len(of(convert("A08", PID, PID), "Patient")) == 1


def test_an_unknown_event_keeps_what_is_known(convert):
    """Never a refusal for its type: header, patient, visit, known segments, and a warning."""
    mapped = convert(
        "Z99^ZZZ_Z99", PID, "PV1|1|I|W1", "AL1|1|DA|387207008^Ibuprofen^SCT", "IN1|1|IP|C1|Example Life"
    )
    types = {r["resourceType"] for r in mapped.resources}
    assert {"MessageHeader", "Patient", "Encounter", "AllergyIntolerance", "Coverage"} <= types
    assert any(i.code == "structure-unknown" for i in mapped.issues)


def test_an_admission_is_in_progress_whatever_the_class(convert):
    """A01 of a patient whose class is still P: the official map of events says in-progress, also of the bed."""
    visit = one(convert("A01", PID, "PV1|1|P|W1^2^A^KGH"), "Encounter")
    assert visit["status"] == "in-progress"
    assert visit["location"][0]["status"] == "active"
    assert one(convert("A05", PID, "PV1|1|P"), "Encounter")["status"] == "planned"


def test_a_place_told_in_words_alone_is_a_place(convert):
    """PL with nothing but PL.9 (official map: Location.description)."""
    mapped = convert("A01", PID, "PV1|1|O|^^^^^^^^Tent behind the car park")
    (place,) = of(mapped, "Location")
    assert place["description"] == "Tent behind the car park"
    assert one(mapped, "Encounter")["location"][0]["location"] == reference(place)


def test_two_patients_in_one_message_keep_their_own_accounts(convert):
    """A17 swaps beds, not bills: each visit has the account of the PID before it, and none where that tells none."""
    first = PID + "|" * 13 + "ACC1^^^KGH^AN"
    second = "PID|2||8^^^KGH^MR||Lee^B"
    visits = ("PV1|1|I" + "|" * 17 + "V1^^^KGH^VN", "PV1|1|I" + "|" * 17 + "V2^^^KGH^VN")
    mapped = convert("A17", first, visits[0], second + "|" * 13 + "ACC2^^^KGH^AN", visits[1])
    accounts, encounters = by_number(mapped, "Account"), by_number(mapped, "Encounter")
    assert encounters["V1"]["account"] == [reference(accounts["ACC1"])]
    assert encounters["V2"]["account"] == [reference(accounts["ACC2"])]
    alone = by_number(convert("A17", first, visits[0], second, visits[1]), "Encounter")
    assert "account" in alone["V1"]
    assert "account" not in alone["V2"]


@pytest.mark.parametrize(
    ("event", "there"),
    [
        ("A01", "active"),
        ("A03", "completed"),
        ("A05", "planned"),
        ("A14", "planned"),
        ("A11", None),
        ("A38", None),
    ],
)
def test_nobody_lies_in_a_bed_of_a_visit_that_has_not_begun_or_was_called_off(convert, event, there):
    (place,) = one(convert(event, PID, "PV1|1|I|W1^2^A^KGH"), "Encounter")["location"]
    assert place.get("status") == there


def test_a_merged_account_is_inactive(convert):
    mapped = convert("A41", PID + "|" * 13 + "ACC1^^^KGH^AN", "MRG|7^^^KGH^MR||ACC2^^^KGH^AN")
    accounts = by_number(mapped, "Account")
    assert (accounts["ACC1"]["status"], accounts["ACC2"]["status"]) == ("active", "inactive")
