"""Orders, specimens and results: which belongs to which, and under what number."""

from __future__ import annotations

from decimal import Decimal

import pytest
from mapped_resources import reference

PID = "PID|1||7^^^KGH^MR||Tan^Ah Kow"


def extension(resource, name):
    return next(e for e in resource["extension"] if e["url"].rpartition("/")[2] == name)


def test_susceptibilities_point_to_the_organism_and_it_to_them(fixture):
    """Micro: results of the child order are derived from the parent's organism, not from its colony count."""
    result = fixture("oru-r01-micro-spm")
    organism, count = result.coded("Observation", "630-4"), result.coded("Observation", "COLCT")
    children = [result.coded("Observation", c) for c in ("18864-9", "18906-8", "18928-2")]
    assert [c["derivedFrom"] for c in children] == [[reference(organism)]] * 3
    assert organism["hasMember"] == [reference(c) for c in children]
    assert "hasMember" not in count
    child_order = result.coded("ServiceRequest", "29576-6")
    parent_order = result.coded("ServiceRequest", "630-4")
    assert child_order["basedOn"][0]["reference"] == reference(parent_order)["reference"]
    assert child_order["basedOn"][0]["identifier"]["value"] == "ORD-50021"


def test_two_cultures_of_one_message_keep_their_susceptibilities_apart(message):
    """Both parents say the same code and sub-id: OBR-29 tells which order's result is meant."""
    segments = [PID]
    for n, organism in ((1, "ECOLI"), (2, "KPNEU")):
        segments += [
            f"OBR|{n}|P{n}^HIS|F{n}^LAB|630-4^Culture^LN",
            f"OBX|1|CE|630-4^Bacteria^LN|1|{organism}||||||F",
        ]
    for n in (1, 2):
        segments += [
            f"OBR|{n + 2}|P{n}^HIS|F{n}S^LAB|29576-6^Susceptibility^LN||||||||||||||||||||||630-4&Bacteria&LN^1|||P{n}&HIS^F{n}&LAB",
            f"OBX|1|NM|18864-9^Ampicillin^LN||{n}|||R|||F",
        ]
    result = message("ORU^R01^ORU_R01", *segments)
    parents = {
        o["valueCodeableConcept"]["coding"][0]["code"]: o
        for o in result.of("Observation")
        if "valueCodeableConcept" in o
    }
    children = {int(o["valueQuantity"]["value"]): o for o in result.of("Observation") if "valueQuantity" in o}
    assert children[1]["derivedFrom"] == [reference(parents["ECOLI"])]
    assert children[2]["derivedFrom"] == [reference(parents["KPNEU"])]


def test_each_result_of_a_specimen_centred_message_has_its_own_order_and_specimen(fixture):
    """OUL^R22: OBR before ORC, several orders a specimen, several specimens a message."""
    result = fixture("oul-r22-specimen-results")
    for code, order, specimen, orderer in (
        ("2951-2", "ORD-50041", "SP-26040", "Ong"),
        ("2823-3", "ORD-50042", "SP-26040", "Fernandez"),
        ("2955-3", "ORD-50043", "SP-26041", "Ong"),
    ):
        observation = result.coded("Observation", code)
        request = result.numbered("ServiceRequest", order)
        report = result.numbered("DiagnosticReport", order)
        tube = reference(result.numbered("Specimen", specimen))
        assert observation["specimen"] == tube
        assert (report["specimen"], request["specimen"]) == ([tube], [tube])
        assert (report["result"], report["basedOn"]) == ([reference(observation)], [reference(request)])
        requester = result.get(request["requester"])
        person = result.get(requester["practitioner"]) if "practitioner" in requester else requester
        assert person["name"][0]["family"] == orderer
    index = result.coded("Observation", "HIL")
    assert index["focus"] == [index["specimen"]]
    assert result.numbered("ServiceRequest", "ORD-50041")["status"] == "completed"
    assert not [i for i in result.outcome.issues if i.code == "segment-order"]


def test_a_specimen_is_never_a_neighbouring_orders(message):
    """Two orders, a specimen behind the first only: the second has none."""
    result = message(
        "ORU^R01^ORU_R01", PID, "OBR|1||F1^LAB|BC^Blood culture", "OBX|1|ST|600-7^Bacteria^LN||none||||||F",
        "SPM|1|^S1&LAB||BLD^Blood^HL70487", "OBR|2||F2^LAB|UFEME^Urine", "OBX|1|ST|5799-2^Leucocytes^LN||none||||||F",
    )  # fmt: skip
    assert "specimen" in result.coded("Observation", "600-7")
    assert "specimen" not in result.coded("Observation", "5799-2")
    assert "specimen" not in result.coded("DiagnosticReport", "UFEME")


def test_two_orders_of_one_specimen_keep_priority_orderer_and_answer_apart(fixture):
    """OML^O33: the second ORC opens the next order, not an earlier result of the first."""
    result = fixture("oml-o33-one-specimen-two-orders")
    first, second = (result.numbered("ServiceRequest", n) for n in ("ORD-50051", "ORD-50052"))
    assert (first["priority"], second["priority"]) == ("stat", "routine")
    assert first["specimen"] == second["specimen"] == [reference(result.one("Specimen"))]
    assert first["requester"] != second["requester"]
    assert second["supportingInfo"] == [reference(result.coded("Observation", "FAST"))]
    assert "supportingInfo" not in first
    assert not result.of("DiagnosticReport"), "an order is no result"


def test_earlier_results_sent_along_with_an_order_are_reports_of_their_own(message):
    """OML^O21: PRIOR_RESULT begins with PID; ORC-1 = PR is the earlier order, the next ORC a new one."""
    result = message(
        "OML^O21^OML_O21", PID, "ORC|NW|P1^HIS", "OBR|1|P1^HIS||58410-2^CBC^LN", PID, "ORC|PR|P0^HIS|F0^LAB",
        "OBR|1|P0^HIS|F0^LAB|718-7^Haemoglobin^LN|||20250101", "OBX|1|NM|718-7^Haemoglobin^LN||9.1|g/dL|||||F",
        "ORC|NW|P2^HIS", "OBR|2|P2^HIS||2951-2^Sodium^LN",
    )  # fmt: skip
    report = result.one("DiagnosticReport")
    assert report["result"] == [reference(result.one("Observation"))]
    assert {r["identifier"][0]["value"] for r in result.of("ServiceRequest")} == {"P0", "P1", "P2"}
    assert len(result.of("Patient")) == 1
    assert result.numbered("ServiceRequest", "P2")["status"] == "active"


def test_the_answer_of_the_laboratory_is_about_the_order_that_was_sent(fixture):
    """ORL names the placer's number and the same test: the same ServiceRequest, now with the filler's number."""
    sent = fixture("oml-o33-one-specimen-two-orders").numbered("ServiceRequest", "ORD-50051")
    answered = fixture("orl-o22-accepted").one("ServiceRequest")
    assert answered["id"] == sent["id"]
    assert [i["value"] for i in answered["identifier"]] == ["ORD-50051", "L26-4010"]
    refused = fixture("orr-o02-unable").one("ServiceRequest")
    assert refused["id"] == fixture("omg-o19-imaging-order").one("ServiceRequest")["id"]
    reason = extension(refused, "request-statusReason")["valueCodeableConcept"]
    assert reason["coding"][0]["code"] == "SCANNER"


def test_an_order_names_who_asked_where_why_and_who_typed_it(fixture):
    """OMG: the orderer in their hospital, the reason, the note, and the enterer as Provenance of this order alone."""
    result = fixture("omg-o19-imaging-order")
    request = result.one("ServiceRequest")
    role = result.get(request["requester"])
    assert result.get(role["practitioner"])["name"][0]["family"] == "Ong"
    hospital = result.get(role["organization"])
    assert hospital["address"][0]["postalCode"] == "000100"
    assert hospital["telecom"][0]["value"].endswith("00001234")
    assert request["reasonReference"] == [reference(result.one("Condition"))]
    assert [n["text"] for n in request["note"]] == ["Compare with the film of last year."]
    (entry,) = (p for p in result.of("Provenance") if p["target"] == [reference(request)])
    enterer = next(a for a in entry["agent"] if a["type"]["coding"][0]["code"] == "enterer")
    assert result.get(enterer["who"])["name"][0]["family"] == "Haridas"


def test_orderer_told_twice_is_one_person_and_nothing_of_it_is_lost(message):
    """ORC-12 and OBR-16 name the same doctor; what only OBR-16 tells is added to the one Practitioner."""
    result = message(
        "ORU^R01^ORU_R01", PID, "ORC|RE|P1^HIS|F1^LAB|||||||||D1^Lim^Mei^^^^^^SMC",
        "OBR|1|P1^HIS|F1^LAB|CBC^CBC||||||||||||D1^Lim^Mei^^^Dr^^^SMC|||||||||F", "OBX|1|NM|718-7^Hb^LN||13|g/dL|||||F",
    )  # fmt: skip
    doctor = result.one("Practitioner")
    assert doctor["name"] == [{"family": "Lim", "given": ["Mei"], "prefix": ["Dr"]}]
    assert not [x for x in result.unmapped() if x.startswith(("OBR[1]-16", "ORC[1]-12"))]


def test_second_orderer_is_kept_beside_the_first(message):
    """ServiceRequest has one requester; two persons never become one Practitioner with two names."""
    result = message(
        "ORM^O01^ORM_O01", PID, "ORC|NW|P1^HIS||||||||||D1^Lim^Mei^^^^^^SMC~D2^Ong^Kai^^^^^^SMC|||||||||KGH^L",
        "OBR|1|P1^HIS||CBC^CBC",
    )  # fmt: skip
    assert sorted(len(p["name"]) for p in result.of("Practitioner")) == [1, 1]
    other = extension(result.one("ServiceRequest"), "other-requester")["valueReference"]
    assert result.get(other)["name"][0]["family"] == "Ong"


def test_same_order_number_of_two_laboratories_is_two_reports(message):
    """OBR-2 and OBR-3 without authority are unique within their sender only."""
    segments = (PID, "OBR|1|1001|2002|CBC^CBC", "OBX|1|NM|718-7^Hb^LN||13|g/dL|||||F")
    one, other = (message("ORU^R01^ORU_R01", *segments, sender=s) for s in ("LAB|KGH", "LAB|LZP"))
    for kind in ("ServiceRequest", "DiagnosticReport", "Observation"):
        assert one.one(kind)["id"] != other.one(kind)["id"]
    again = message("ORU^R01^ORU_R01", *segments, sender="LAB|KGH")
    assert again.outcome.bundle == one.outcome.bundle


def test_performing_laboratory_is_each_results_own(message):
    """OBX-23 of one result is not its neighbour's, also where results share a group behind SPM."""
    result = message(
        "ORU^R01^ORU_R01", PID, "OBR|1||F1^LAB|CBC^CBC", "SPM|1|^S1&LAB||BLD^Blood^HL70487",
        "OBX|1|NM|718-7^Hb^LN||13|g/dL|||||F||||||||||||North Lab^^^^^AUTH^XX^^^N1|1 Road^^Singapore|M1^Chia^B",
        "OBX|2|NM|789-8^RBC^LN||4|10*12/L|||||F",
    )  # fmt: skip
    performers = [result.get(r) for r in result.coded("Observation", "718-7")["performer"]]
    role = next(p for p in performers if p["resourceType"] == "PractitionerRole")
    laboratory = result.get(role["organization"])
    assert (laboratory["name"], laboratory["address"][0]["city"]) == ("North Lab", "Singapore")
    assert result.get(role["practitioner"])["name"][0]["family"] == "Chia"
    assert "performer" not in result.coded("Observation", "789-8")


def test_participations_go_to_what_they_follow(fixture):
    """v2.8: the interpreter is the report's, the observer and the analyser are the result's."""
    result = fixture("oru-r01-v28-participations")
    observation, report = result.one("Observation"), result.one("DiagnosticReport")
    family = lambda role: result.get(result.get(role)["practitioner"])["name"][0]["family"]  # noqa: E731
    assert [family(r) for r in report["resultsInterpreter"]] == ["Fernandez"]
    assert [family(r) for r in observation["performer"]] == ["Ng"]
    assert result.get(observation["device"])["identifier"][0]["value"] == "ANALYZER-1"


def test_a_message_that_is_one_order_keeps_all_of_it_together(fixture):
    """ORU^R30: nothing repeats but OBX; report, order and result are linked."""
    result = fixture("oru-r30-bedside-glucose")
    report, observation = result.one("DiagnosticReport"), result.one("Observation")
    assert report["result"] == [reference(observation)]
    assert report["basedOn"] == [reference(result.one("ServiceRequest"))]
    assert observation["referenceRange"][0]["high"]["value"] == Decimal("7.8")
    assert observation["encounter"] == reference(result.one("Encounter"))


def test_pathology_text_stays_whole_and_its_report_names_the_interpreter(fixture):
    """Text over several OBX of one sub-id is one value; another sub-id is another."""
    result = fixture("oru-r01-pathology")
    assert result.coded("Observation", "22634-0")["valueString"].splitlines() == [
        "Received in formalin, labelled right breast, a core 14 mm long.",
        "All embedded in one block.",
    ]
    assert result.coded("Observation", "22637-3")["valueString"].splitlines() == [
        "Fibroadenoma.",
        "No atypia, no malignancy.",
    ]
    (interpreter,) = result.one("DiagnosticReport")["resultsInterpreter"]
    assert result.get(interpreter)["name"][0]["family"] == "Chia"
    assert result.one("Specimen")["collection"]["bodySite"]["coding"][0]["code"] == "80248007"


@pytest.mark.parametrize("version", ["2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.8"])
def test_results_keep_together_in_every_version(message, version):
    """The groups of ORU^R01 have other names and depths from version to version; who belongs to whom has not."""
    result = message(
        "ORU^R01", PID, "PV1|1|I", "ORC|RE|P1^HIS|F1^LAB", "OBR|1|P1^HIS|F1^LAB|CBC^CBC", "OBX|1|NM|718-7^Hb^LN||13|g/dL|||||F",
        "NTE|1||first", "ORC|RE|P2^HIS|F2^LAB", "OBR|2|P2^HIS|F2^LAB|UEC^UEC", "OBX|1|NM|2951-2^Na^LN||140|mmol/L|||||F",
        version=version,
    )  # fmt: skip
    for code, number in (("718-7", "P1"), ("2951-2", "P2")):
        report = result.numbered("DiagnosticReport", number)
        assert report["result"] == [reference(result.coded("Observation", code))]
        assert report["basedOn"] == [reference(result.numbered("ServiceRequest", number))]
    assert [n["text"] for n in result.coded("Observation", "718-7")["note"]] == ["first"]


@pytest.mark.parametrize(
    ("name", "container"), [("oul-r21-automation", "T-900007"), ("oul-r23-containers", "T-900005")]
)
def test_containers_are_the_specimens(fixture, name, container):
    """SAC completes the specimen that it holds, and is one itself where no SPM stands before it."""
    result = fixture(name)
    specimen = result.one("Specimen")
    assert container in [c["identifier"][0]["value"] for c in specimen["container"]]
    for report in result.of("DiagnosticReport"):
        assert report["specimen"] == [reference(specimen)]
        (observation,) = (result.get(r) for r in report["result"])
        assert observation["specimen"] == reference(specimen)
        assert observation["code"] == report["code"]


def test_every_repetition_of_a_value_keeps_its_unit_and_type(message):
    """OBX-5 repeats: one component each, all with the unit; what is no number stays a text."""
    result = message(
        "ORU^R01^ORU_R01", PID, "OBR|1||F1^LAB|X^X", "OBX|1|NM|N^n||1~2~pending|mg^^UCUM|||||F", "OBX|2|SN|S^s||>^5~^1^-^2||||||F",
        "OBX|3|NA|E^ecg||1^2^3~4^5^6||||||F",
    )  # fmt: skip
    numbers = result.coded("Observation", "N")["component"]
    assert [c.get("valueQuantity", {}).get("value") for c in numbers] == [Decimal(1), Decimal(2), None]
    assert [c["valueQuantity"]["code"] for c in numbers[:2]] == ["mg", "mg"]
    assert numbers[2]["valueString"] == "pending"
    first, second = result.coded("Observation", "S")["component"]
    assert (first["valueQuantity"]["comparator"], second["valueRange"]["high"]["value"]) == (">", Decimal(2))
    assert [c["valueSampledData"]["data"] for c in result.coded("Observation", "E")["component"]] == [
        "1 2 3",
        "4 5 6",
    ]
    assert not [i for i in result.outcome.issues if i.code in {"choice", "obs-7"}]


def test_each_susceptibility_order_is_based_on_the_culture_and_not_on_its_sibling(process):
    """All orders of one request have its placer number; the filler number of OBR-29 tells the parent among them."""
    child = "OBR|{n}|P1^HIS|F1-{n}^LAB|29576-6^Panel^LN" + "|" * 22 + "630-4^{n}^x|||P1&HIS^F1&LAB"
    lines = (
        r"MSH|^~\&|LAB|KGH|||20260401101112||ORU^R01^ORU_R01|1|P|2.5.1", "PID|1||7^^^KGH^MR||Tan",
        "OBR|1|P1^HIS|F1^LAB|630-4^Culture^LN", "OBX|1|ST|630-4^Bacteria^LN|2|E. coli||||||F",
        child.format(n=2), "OBX|1|ST|28-1^Ampicillin^LN||R||||||F", child.format(n=3), "OBX|1|ST|383-0^Oxacillin^LN||R||||||F",
    )  # fmt: skip
    result = process("\r".join(lines).encode())
    culture = result.numbered("ServiceRequest", "F1")
    for number in ("F1-2", "F1-3"):
        based_on = result.numbered("ServiceRequest", number)["basedOn"]
        assert {b["reference"] for b in based_on} == {f"ServiceRequest/{culture['id']}"}


@pytest.mark.parametrize(
    ("control", "status", "report", "expected"),
    [
        ("RE", "", "F", "completed"),
        ("RE", "", "C", "completed"),
        ("RE", "", "P", "active"),
        ("RE", "", "X", "revoked"),
        ("RE", "CA", "F", "revoked"),
        ("NW", "", "", "active"),
        ("CA", "", "", "active"),
        ("CA", "CA", "", "revoked"),
        ("CR", "", "", "revoked"),
        ("OC", "", "", "revoked"),
        ("DC", "", "", "revoked"),
        ("OD", "", "", "revoked"),
        ("OH", "", "", "on-hold"),
        ("UA", "", "", "unknown"),
    ],
)
def test_the_state_of_an_order(message, control, status, report, expected):
    """CA asks for a cancellation that the filler may refuse (UC); CR and OC say that it is done."""
    result = message(
        "ORU^R01^ORU_R01" if report else "OML^O21^OML_O21",
        PID,
        f"ORC|{control}|O1^HIS|F1^LAB||{status}",
        f"OBR|1|O1^HIS|F1^LAB|1-1^Panel^LN|||20260101{'|' * 18}{report}",
    )
    assert result.one("ServiceRequest")["status"] == expected


@pytest.mark.parametrize(
    ("state", "expected"),
    [("D", "entered-in-error"), ("W", "entered-in-error"), ("X", "cancelled"), ("C", "corrected")],
)
def test_a_result_that_is_taken_back_or_mended_keeps_its_id(message, state, expected):
    """A correction must meet the result that it corrects."""
    first, second = (
        message(
            "ORU^R01^ORU_R01",
            PID,
            "OBR|1|O1^HIS|F1^LAB|1-1^Panel^LN",
            f"OBX|1|NM|2-2^Sodium^LN||{value}|mmol/L|||||{how}",
        ).one("Observation")
        for value, how in (("139", "F"), ("", state) if state in "DX" else ("141", state))
    )
    assert second["id"] == first["id"]
    assert second["status"] == expected


def test_a_priority_told_twice_alike_has_arrived(message):
    """ORC-7 and TQ1-9 both say routine; what says another thing has no place and is told."""
    segments = [PID, "ORC|NW|O1^HIS|||||^^^^^R", "OBR|1|O1^HIS||1-1^Panel^LN"]
    for said, left in (("R^Routine^HL70485", []), ("S", ["TQ1[1]-9"])):
        result = message("OML^O21^OML_O21", *segments[:2], f"TQ1|1||||||||{said}", segments[2])
        assert result.one("ServiceRequest")["priority"] == "routine"
        unmapped = [k for k, why in result.unmapped().items() if not why.startswith("structure")]
        assert [k for k in unmapped if k.startswith("TQ1")] == left


def test_the_name_of_a_priority_is_kept(message):
    result = message(
        "OML^O21^OML_O21",
        PID,
        "ORC|NW|O1^HIS",
        "TQ1|1||||||||T^Timing critical^HL70485",
        "OBR|1|O1^HIS||1^P^L",
    )
    order = result.one("ServiceRequest")
    assert order["priority"] == "urgent"
    (sent,) = [e for e in order["extension"] if e["url"].endswith("/order-priority")]
    assert sent["valueCodeableConcept"]["coding"][0]["display"] == "Timing critical"
