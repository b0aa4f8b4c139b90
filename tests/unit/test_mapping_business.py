"""Charges, accounts, referrals, master files and acknowledgements: what receivers of them depend on."""

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
    def run(kind: str, *segments: str, version: str = "2.5.1", sender: str = "EMR|KGH"):
        head = f"MSH|^~\\&|{sender}|WS|SITE|20260101120000+0800||{kind}|C1|P|{version}"
        return mapper.map(er7.parse("\r".join((head, *segments))), FeedProfile())

    return run


PID = f"PID|1||7^^^KGH^MR||Tan^Ah Kow{'|' * 13}A1^^^KGH"
PV1 = f"PV1|1|O{'|' * 17}V1"


def ft1(number: str, kind: str, more: str = "") -> str:
    return f"FT1|1|{number}||20260101|20260102|{kind}|71045^Chest film^C4|||2|100&SGD|50&SGD|RAD^Radiology|{more}"


@pytest.mark.parametrize("event", ["P03", "P11"])
def test_a_charge_says_what_for_whom_how_much_and_on_which_account(convert, event):
    """Each FT1 is one ChargeItem with its patient, visit, account, price and performer."""
    mapped = convert(
        f"DFT^{event}", "EVN|P03", PID, PV1, ft1("T1", "CG", "|||||J18.9^Pneumonia^I10|D1^Lim^Doc"),
        "PR1|1||71045^Chest film^C4||20260101",
    )  # fmt: skip
    charge = one(mapped, "ChargeItem")
    assert charge["status"] == "billable"
    assert charge["code"]["coding"][0] == {
        "system": "http://www.ama-assn.org/go/cpt",
        "code": "71045",
        "display": "Chest film",
    }
    assert (str(charge["quantity"]["value"]), str(charge["priceOverride"]["value"])) == ("2", "100")
    assert charge["priceOverride"]["currency"] == "SGD"
    assert charge["subject"] == reference(one(mapped, "Patient"))
    assert charge["context"] == reference(one(mapped, "Encounter"))
    assert charge["account"] == [reference(one(mapped, "Account"))]
    assert charge["performer"][0]["actor"] == reference(one(mapped, "Practitioner"))
    assert charge["service"] == [reference(one(mapped, "Procedure"))]
    assert charge["reason"][0]["coding"][0]["system"] == "http://hl7.org/fhir/sid/icd-10"


def test_a_credit_is_never_billed(convert):
    """A credit under the number of its charge is another item, and not billable."""
    mapped = convert("DFT^P03", "EVN|P03", PID, PV1, ft1("T1", "CG"), ft1("T1", "CD"), ft1("T2", "PY"))
    assert [c["status"] for c in of(mapped, "ChargeItem")] == ["billable", "not-billable", "not-billable"]
    assert len({c["id"] for c in of(mapped, "ChargeItem")}) == 3


def test_a_charge_sent_again_is_the_same_item(convert):
    """The number and the patient make its id; another sender's number is another charge."""
    ids = [
        one(convert("DFT^P03", PID, ft1("T1", "CG"), sender=s), "ChargeItem")["id"]
        for s in ("EMR|KGH", "EMR|KGH", "EMR|PGH")
    ]
    assert ids[0] == ids[1] != ids[2]


def test_a_purged_account_is_inactive(convert):
    """BAR^P01 opens an account, P02 ends it; both are the same Account."""
    opened, purged = (one(convert(f"BAR^{e}", "EVN|P01", PID, PV1), "Account") for e in ("P01", "P02"))
    assert (opened["status"], purged["status"]) == ("active", "inactive")
    assert opened["id"] == purged["id"]


def test_bar_p12_tells_diagnoses_and_procedures_of_the_visit(convert):
    """P12 carries DG1, DRG and PR1 of one visit."""
    mapped = convert(
        "BAR^P12", "EVN|P12", PID, PV1, "DG1|1||E11^Diabetes^I10|||F", "PR1|1||47.0^Appendectomy^I9C"
    )
    visit = one(mapped, "Encounter")
    assert visit["diagnosis"][0]["condition"] == reference(one(mapped, "Condition"))
    assert one(mapped, "Procedure")["encounter"] == reference(visit)


def test_a_referral_goes_from_one_provider_to_another(convert):
    """RP requests, RT performs, PP is the general practitioner; a contact belongs to its own provider."""
    mapped = convert(
        "REF^I12", "RF1|A^Accepted|S^Stat|Med^Medical|SO^Second opinion|O^Outpatient|R1^GP|20260101|20260601|20260102",
        "PRD|RP^Referring|Lim^Doc||||||D1^MD", "CTD|C^Contact|Ng^Nurse|||^WPN^PH^^^^60000002",
        "PRD|RT^Referred to|Ho^Spec|||||||||Heart Clinic", "PRD|PP^Primary|Ong^Gp", PID,
    )  # fmt: skip
    referral = one(mapped, "ServiceRequest")
    people = {p["name"][0]["family"]: reference(p)["reference"] for p in of(mapped, "Practitioner")}
    roles = {reference(r)["reference"]: r for r in of(mapped, "PractitionerRole")}
    assert roles[referral["requester"]["reference"]]["practitioner"]["reference"] == people["Lim"]
    assert [roles[p["reference"]]["practitioner"]["reference"] for p in referral["performer"]] == [
        people["Ho"]
    ]
    gp = one(mapped, "Patient")["generalPractitioner"][0]["reference"]
    assert roles[gp]["practitioner"]["reference"] == people["Ong"]
    contact = next(
        e for e in roles[referral["requester"]["reference"]]["extension"] if e["url"].endswith("/contact")
    )
    assert roles[contact["valueReference"]["reference"]]["practitioner"]["reference"] == people["Ng"]
    assert (referral["status"], referral["priority"]) == ("active", "stat")
    assert referral["occurrencePeriod"] == {"start": "2026-01-01", "end": "2026-06-01"}
    assert referral["subject"] == reference(one(mapped, "Patient"))


def test_a_cancelled_referral_is_revoked(convert):
    """REF^I14 cancels what I12 sent, whatever RF1-1 says."""
    first, last = (
        one(convert(f"REF^{e}", "RF1|A||||O|R1^GP", "PRD|RP", PID), "ServiceRequest") for e in ("I12", "I14")
    )
    assert (first["status"], last["status"]) == ("active", "revoked")
    assert first["id"] == last["id"]


STF = "STF|D1^^99STAFF|D1|Lim^Doc^^^Dr||M|19700101|A|||^WPN^PH^^^^60000003"


def test_a_staff_entry_is_the_practitioner_that_visits_name(convert):
    """MFN^M02 tells of the same Practitioner that PV1-7 refers to, with roles and qualifications."""
    mapped = convert(
        "MFN^M02", "MFI|STF^Staff^HL70175||UPD|||AL", "MFE|MUP|E1||D1^^99STAFF|CWE", STF,
        "PRA|D1^^99STAFF|HG^Heart Group|MD^Doctor||Cardiology^Board^C^20000101", "ORG|1|W1^Ward 1", "EDU|1|MD^Doctor of Medicine",
    )  # fmt: skip
    staff = one(mapped, "Practitioner")
    visited = one(convert("ADT^A01", PID, "PV1|1|I|||||D1^Lim^Doc"), "Practitioner")
    assert staff["id"] == visited["id"]
    assert (staff["active"], staff["gender"], staff["birthDate"]) == (True, "male", "1970-01-01")
    assert [q["code"].get("text") or q["code"]["coding"][0]["code"] for q in staff["qualification"]] == [
        "Cardiology",
        "MD",
    ]
    organizations = {reference(o)["reference"]: o["name"] for o in of(mapped, "Organization")}
    roles = of(mapped, "PractitionerRole")
    assert all(r["practitioner"] == reference(staff) for r in roles)
    assert [organizations[r["organization"]["reference"]] for r in roles] == ["Heart Group", "Ward 1"]


@pytest.mark.parametrize(("event", "active"), [("MDL", False), ("MDC", False), ("MAC", True), ("MUP", True)])
def test_a_deleted_or_deactivated_staff_member_is_inactive(convert, event, active):
    """MFE-1 comes before STF-7."""
    mapped = convert("MFN^M02", "MFI|STF||UPD|||AL", f"MFE|{event}|E1||D1^^99STAFF|CWE", STF)
    assert one(mapped, "Practitioner")["active"] is active


def test_each_staff_entry_keeps_to_its_own(convert):
    """Two entries: the second one's education is not the first one's."""
    mapped = convert(
        "MFN^M02", "MFI|STF||UPD|||AL", "MFE|MAD|E1||D1|CWE", STF, "EDU|1|MD", "MFE|MAD|E2||D2|CWE",
        "STF|D2|D2|Ng^Bee", "EDU|1|RN",
    )  # fmt: skip
    degrees = {p["name"][0]["family"]: p["qualification"][0]["code"]["coding"][0]["code"] for p in of(mapped, "Practitioner")}  # fmt: skip
    assert degrees == {"Lim": "MD", "Ng": "RN"}


def test_a_place_of_the_master_file_is_the_bed_that_visits_name(convert):
    """MFN^M05 completes the Location that PV1-3 refers to, inside its room and ward."""
    mapped = convert(
        "MFN^M05", "MFI|LOC||UPD|||AL", "MFE|MAD|E1||W1^2^A^KGH|PL", "LOC|W1^2^A^KGH|By the window|B^Bed",
        "LCH|W1^2^A^KGH|||SMK^Smoking|N", "LDP|W1^2^A^KGH|CAR^Cardiology|CAR|||I",
    )  # fmt: skip
    visit = convert("ADT^A01", PID, "PV1|1|I|W1^2^A^KGH")
    bed = one(visit, "Encounter")["location"][0]["location"]["reference"]
    place = next(p for p in of(mapped, "Location") if reference(p)["reference"] == bed)
    assert (place["description"], place["status"]) == ("By the window", "inactive")
    assert place["partOf"]["reference"] in {reference(p)["reference"] for p in of(visit, "Location")}


def test_an_acknowledgement_says_what_went_wrong(convert):
    """ACK: MSA is the response of the header, ERR its OperationOutcome; AA has none."""
    mapped = convert(
        "ACK^A01^ACK", "MSA|AE|C99", "ERR||PID^1^3|101^Required field missing^HL70357|E||||Say who it is"
    )
    header, outcome = one(mapped, "MessageHeader"), one(mapped, "OperationOutcome")
    assert header["response"]["identifier"] == "C99"
    assert header["response"]["code"] == "fatal-error"
    assert header["response"]["details"] == reference(outcome)
    assert (outcome["issue"][0]["severity"], outcome["issue"][0]["code"]) == ("error", "required")
    fine = convert("ACK^A01^ACK", "MSA|AA|C99")
    assert one(fine, "MessageHeader")["response"]["code"] == "ok"
    assert of(fine, "OperationOutcome") == []


def test_an_error_without_a_severity_is_an_error_all_the_same(process):
    """ERR-4 and ERR-3 empty or of no table: the OperationOutcome stays, with what the rest says."""
    raw = rb"MSH|^~\&|A|B|C|D|20230405||ACK^A01|1|P|2.5.1" + b"\rMSA|AE|C99\rERR||PID^1^3|zz^Odd||||in full"
    (issue,) = process(raw).one("OperationOutcome")["issue"]
    assert (issue["severity"], issue["code"], issue["diagnostics"]) == ("error", "processing", "in full")


def test_a_diagnosis_told_beside_each_of_several_orders_is_one_condition(message):
    """Word for word the same is told once; another wording of the code is another statement. Nothing is unmapped."""
    segments = ["PID|1||7^^^KGH^MR", "PV1|1|I|W52||||||||||||||||V1^^^KGH^VN"]
    for n, words in enumerate(("Hypertension", "Hypertension", "Benign hypertension"), 1):
        segments += [f"ORC|NW|O{n}^HIS", f"OBR|{n}|O{n}^HIS||{n}-1^P^LN", f"DG1|1||I10^{words}^I10|||A"]
    result = message("OML^O21^OML_O21", *segments)
    reasons = [result.numbered("ServiceRequest", f"O{n}")["reasonReference"] for n in (1, 2, 3)]
    assert reasons[0] == reasons[1] != reasons[2]
    assert len(result.of("Condition")) == 2
    assert [d["condition"] for d in result.one("Encounter")["diagnosis"]] == [*reasons[0], *reasons[2]]
    assert not [k for k in result.unmapped() if k.startswith("DG1") and not k.endswith("-1")]


def test_results_that_are_alike_are_two_results(message):
    """Two readings may well be equal: events are never taken for one."""
    result = message(
        "ORU^R01^ORU_R01",
        "PID|1||7^^^KGH^MR",
        "OBR|1|O1^HIS|F1^LAB|1-1^P^LN",
        *["OBX|1|NM|2-2^Glucose^LN||5|mmol/L|||||F"] * 2,
    )
    assert len(result.of("Observation")) == 2
