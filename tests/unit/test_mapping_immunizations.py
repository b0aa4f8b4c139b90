"""Vaccinations: given, historical and refused ones, and what OBX says of them."""

from __future__ import annotations

from mapped_resources import reference

PID = "PID|1||7^^^KGH^MR||Tan^Ah Kow"


def vaccine(result, code):
    (found,) = (i for i in result.of("Immunization") if i["vaccineCode"]["coding"][0]["code"] == code)
    return found


def test_what_was_given_by_whom_where_and_from_which_batch(fixture):
    """RXA and RXR in one Immunization, with the order's number."""
    result = fixture("vxu-v04-information-sheets")
    shot = vaccine(result, "110")
    assert (shot["status"], shot["occurrenceDateTime"]) == ("completed", "2026-01-19T13:50:00+08:00")
    assert (shot["lotNumber"], shot["expirationDate"]) == ("LOT-TEST-2", "2027-02-28")
    assert shot["doseQuantity"]["code"] == "mL"
    assert shot["site"]["coding"][0]["code"] == "LT"
    assert shot["primarySource"] is True
    assert {i["value"] for i in shot["identifier"]} == {"IMM-9", "IMM-10003"}
    roles = {p["function"]["coding"][0]["code"]: result.get(p["actor"]) for p in shot["performer"]}
    assert {k: p["name"][0]["family"] for k, p in roles.items()} == {"OP": "Fernandez", "AP": "Koh"}
    assert not result.of("ServiceRequest")


def test_information_sheets_are_kept_apart(fixture):
    """OBX of one sheet share OBX-4: each sheet with its own dates."""
    shot = vaccine(fixture("vxu-v04-information-sheets"), "110")
    assert shot["education"] == [
        {"documentType": "DTaP", "publicationDate": "2025-08-01", "presentationDate": "2026-01-19"},
        {"documentType": "Hepatitis B", "publicationDate": "2025-05-15", "presentationDate": "2026-01-19"},
    ]
    assert shot["programEligibility"][0]["coding"][0]["code"] == "NCIS"
    assert shot["fundingSource"]["coding"][0]["code"] == "PBF"
    assert shot["protocolApplied"] == [{"doseNumberPositiveInt": 2}]


def test_every_obx_is_an_observation_of_its_own_vaccination(fixture):
    """The official map: Observation.partOf; none of it reaches the neighbouring vaccination."""
    result = fixture("vxu-v04-information-sheets")
    shot = vaccine(result, "110")
    assert len(result.of("Observation")) == 9
    assert all(o["partOf"] == [reference(shot)] for o in result.of("Observation"))
    assert "education" not in vaccine(result, "08")


def test_placeholder_numbers_do_not_make_vaccinations_collide(fixture):
    """9999 is sent wherever nothing was administered: a historical and a refused one are two."""
    result = fixture("vxu-v04-information-sheets")
    old, refused = vaccine(result, "08"), vaccine(result, "21")
    assert old["id"] != refused["id"]
    assert (old["status"], old["primarySource"]) == ("completed", False)
    assert old["reportOrigin"]["coding"][0]["code"] == "01"
    assert (refused["status"], refused["statusReason"]["coding"][0]["code"]) == ("not-done", "00")
    assert "doseQuantity" not in refused, "999 is no amount"


def test_deleted_vaccination_is_entered_in_error_under_its_id(message):
    """RXA-21 = D takes back what the same number told before."""
    segments = (PID, "ORC|RE||I1^CLINIC", "RXA|0|1|20260101||03^MMR^CVX|0.5|mL^^UCUM|||||||||||||CP|{}")
    told, taken = (
        message("VXU^V04^VXU_V04", *segments[:2], segments[2].format(action)).one("Immunization")
        for action in "AD"
    )
    assert told["id"] == taken["id"]
    assert (told["status"], taken["status"]) == ("completed", "entered-in-error")


def test_a_reaction_is_linked_to_the_vaccination(message):
    """LOINC 31044-1: the Observation stays, Immunization.reaction points to it."""
    result = message(
        "VXU^V04^VXU_V04", PID, "ORC|RE||I1^CLINIC", "RXA|0|1|20260101||03^MMR^CVX|0.5|mL^^UCUM|||||||||||||CP|A",
        "OBX|1|CE|31044-1^Reaction^LN|1|39579001^Anaphylaxis^SCT||||||F",
    )  # fmt: skip
    assert result.one("Immunization")["reaction"] == [{"detail": reference(result.one("Observation"))}]


def test_an_administration_time_that_is_none_is_told_as_text(message):
    """R4 demands occurrence[x]; what the sender wrote there stays."""
    result = message("VXU^V04^VXU_V04", PID, "ORC|RE||IMM-1", "RXA|0|1|X||107^DTAP^CVX|1")
    assert vaccine(result, "107")["occurrenceString"] == "X"


def test_a_placeholder_is_no_number(process):
    """ORC-3 9999 stands on every refusal and history that has no number: as an identifier it would make them one."""
    lines = (
        r"MSH|^~\&|A|B|C|D|20260401101112||VXU^V04^VXU_V04|1|P|2.5.1", "PID|1||7^^^KGH^MR||Tan^Ah Kow",
        "ORC|RE||9999^REG", "RXA|0|1|20260401||08^Hep B^CVX|999|||||||||||00^Refused^NIP002||RE",
    )  # fmt: skip
    result = process("\r".join(lines).encode())
    assert "identifier" not in result.one("Immunization")
    assert result.unmapped()["ORC[1]-3[1].1"] == "9999 says that the vaccination has no number"
