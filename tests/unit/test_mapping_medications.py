"""Prescriptions, dispensing and administration: what a pharmacist or nurse would miss first."""

from __future__ import annotations

from decimal import Decimal

import pytest
from mapped_resources import reference

PID = "PID|1||7^^^KGH^MR||Tan^Ah Kow"


def medication(result, request):
    return result.get(request["medicationReference"])


def coded(concept):
    return concept["coding"][0]["code"]


def test_dose_route_and_timing_of_a_prescription_are_one_instruction(fixture):
    """RXE, TQ1 and RXR tell parts of one dosage instruction; three half ones would be three doses."""
    request = fixture("rde-o11-prescription").one("MedicationRequest")
    (dosage,) = request["dosageInstruction"]
    (dose,) = dosage["doseAndRate"]
    assert (dose["doseQuantity"]["value"], dose["doseQuantity"]["code"]) == (Decimal(40), "mg")
    assert "PO" in [c["code"] for c in dosage["route"]["coding"]]
    assert dosage["timing"]["repeat"]["when"] == ["HS"]
    assert dosage["timing"]["repeat"]["boundsPeriod"]["start"] == "2026-01-09T22:00:00+08:00"
    assert dosage["additionalInstruction"] == [{"text": "Take one tablet at night"}]
    assert request["dispenseRequest"]["numberOfRepeatsAllowed"] == 1
    assert [n["text"] for n in request["note"]] == ["Monitor liver function."]
    assert (request["status"], request["intent"]) == ("active", "order")


def test_timing_of_old_versions_joins_the_same_instruction(fixture):
    """v2.3: ORC-7 tells the timing that TQ1 tells later."""
    result = fixture("rde-o01-v23")
    request = result.one("MedicationRequest")
    (dosage,) = request["dosageInstruction"]
    repeat = dosage["timing"]["repeat"]
    assert (repeat["frequency"], repeat["period"], repeat["periodUnit"]) == (1, 6, "h")
    assert repeat["boundsPeriod"]["end"] == "2026-01-23T10:00:00+08:00"
    assert "boundsDuration" not in repeat, "one bound only"
    assert dosage["route"]["coding"][0]["code"] == "PO"
    assert {d["doseQuantity"]["value"] for d in dosage["doseAndRate"]} == {Decimal(500)}
    assert coded(medication(result, request)["code"]) == "AMOX500"


def test_two_timings_are_two_instructions(message):
    """A second TQ1 goes on after the first: it does not overwrite it and is not lost."""
    result = message(
        "RDE^O11^RDE_O11", PID, "ORC|NW|R1^HIS", "RXE||PRED^Prednisolone|30||mg", "TQ1|1||QD|||5^d", "TQ1|2||QOD|||10^d", "RXR|PO",
    )  # fmt: skip
    first, second = result.one("MedicationRequest")["dosageInstruction"]
    assert first["timing"]["repeat"]["boundsDuration"]["value"] == Decimal(5)
    assert first["doseAndRate"][0]["doseQuantity"]["value"] == Decimal(30)
    assert (second["timing"]["repeat"]["period"], second["timing"]["repeat"]["periodUnit"]) == (
        Decimal(2),
        "d",
    )


def test_what_was_asked_for_and_what_the_pharmacy_made_of_it_stay_apart(fixture):
    """RXO and RXE: two requests, the second based on the first, each with its own route, dose and components."""
    result = fixture("rde-o11-compound-infusion")
    asked, encoded = sorted(result.of("MedicationRequest"), key=lambda r: r["intent"], reverse=True)
    assert (asked["intent"], encoded["intent"]) == ("original-order", "filler-order")
    assert encoded["basedOn"] == [reference(asked)]
    assert coded(medication(result, asked)["code"]) == "NORAD"
    assert coded(medication(result, encoded)["code"]) == "NORINF"
    (dosage,) = encoded["dosageInstruction"]
    assert dosage["doseAndRate"][0]["rateQuantity"]["value"] == Decimal(15)
    assert coded(dosage["site"]) == "CVL"
    assert "site" not in asked["dosageInstruction"][0]
    assert "timing" not in asked["dosageInstruction"][0], "TQ1 behind RXE is the pharmacy's"
    parts = medication(result, encoded)["ingredient"]
    assert [(coded(p["itemCodeableConcept"]), p["isActive"]) for p in parts] == [
        ("NOR4", True),
        ("D5", False),
    ]
    assert parts[1]["strength"]["numerator"]["value"] == Decimal(246)


def test_ids_of_both_requests_do_not_depend_on_their_being_together(message):
    """The pharmacy's order alone has the id that it has beside the original, and never the original's."""
    order = ("ORC|NW|R1^HIS|F1^PH", "RXE||A^A|1||mg")
    alone = message("RDE^O11^RDE_O11", PID, *order).one("MedicationRequest")
    both = message("RDE^O11^RDE_O11", PID, order[0], "RXO|A^A|1||mg", order[1])
    asked = message("OMP^O09^OMP_O09", PID, order[0], "RXO|A^A|1||mg").one("MedicationRequest")
    assert {r["id"] for r in both.of("MedicationRequest")} == {alone["id"], asked["id"]}
    assert alone["id"] != asked["id"]


def test_an_order_tells_strength_form_reason_substitution_and_what_to_dispense(fixture):
    """OMP: what a pharmacy needs beside the dose."""
    result = fixture("omp-o09-order")
    request = result.one("MedicationRequest")
    drug = medication(result, request)
    assert coded(drug["form"]) == "TAB"
    assert drug["ingredient"][0]["strength"]["numerator"]["value"] == Decimal(500)
    assert coded(request["reasonCode"][0]) == "E11.9"
    assert coded(request["substitution"]["allowedCodeableConcept"]) == "G"
    assert request["dispenseRequest"]["quantity"]["value"] == Decimal(14)
    assert "Check renal function" in [n["text"] for n in request["note"]]
    assert request["supportingInformation"] == [reference(result.one("Observation"))]
    role = result.get(request["requester"])
    assert result.get(role["practitioner"])["name"][0]["family"] == "Ong"


def test_a_prescription_in_the_old_order_message_is_no_laboratory_order(message):
    """ORM^O01 with RXO: a MedicationRequest; with OBR beside it: both, each with its own number."""
    result = message(
        "ORM^O01^ORM_O01",
        PID,
        "ORC|NW|R1^HIS",
        "RXO|A^A|1||mg",
        "ORC|NW|L1^HIS",
        "OBR|1|L1^HIS||CBC^CBC",
        version="2.3.1",
    )
    assert result.one("MedicationRequest")["identifier"][0]["value"] == "R1"
    assert result.one("ServiceRequest")["identifier"][0]["value"] == "L1"


def test_a_discontinued_order_keeps_its_identity(message):
    """ORC alone (DC) is about the request that RXE once told."""
    told = message("RDE^O11^RDE_O11", PID, "ORC|NW|R1^HIS|F1^PH", "RXE||A^A|1||mg").one("MedicationRequest")
    ended = message("RDE^O11^RDE_O11", PID, "ORC|DC|R1^HIS|F1^PH").one("MedicationRequest")
    assert (ended["id"], ended["status"]) == (told["id"], "stopped")


def test_what_was_dispensed(fixture):
    """RDS: quantity, who and when, batch, and the number of the prescription that it is of."""
    result = fixture("rds-o13-dispensed")
    dispense = result.one("MedicationDispense")
    assert (dispense["quantity"]["value"], dispense["whenHandedOver"]) == (
        Decimal(14),
        "2026-01-18T10:55:00+08:00",
    )
    assert dispense["authorizingPrescription"][0]["identifier"]["value"] == "RX-20010"
    assert medication(result, dispense)["batch"] == {"lotNumber": "LOT-M1", "expirationDate": "2027-06-30"}
    people = [result.get(p["actor"])["name"][0]["family"] for p in dispense["performer"]]
    assert people == ["Ong", "Yeo"]
    assert [n["text"] for n in dispense["note"]] == ["Counselled", "Given to the daughter."]
    assert not result.of("MedicationRequest"), "what is told in passing must not overwrite the prescription"


def test_each_dose_of_an_order_is_an_administration_of_its_own(fixture):
    """RAS: one given, one refused with its reason; the route is of the dose that it follows."""
    result = fixture("ras-o17-administered")
    given, refused = sorted(result.of("MedicationAdministration"), key=lambda a: a["effectiveDateTime"])
    assert (given["status"], refused["status"]) == ("completed", "not-done")
    assert coded(refused["statusReason"][0]) == "PTREF"
    assert given["dosage"]["dose"]["value"] == Decimal(500)
    assert given["dosage"]["route"]["coding"][0]["code"] == "PO"
    assert "route" not in refused["dosage"]
    assert given["request"]["identifier"]["value"] == "RX-20010"
    nurse = next(p for p in given["performer"] if coded(p["function"]) == "AP")
    assert result.get(nurse["actor"])["name"][0]["family"] == "Koh"
    assert result.one("Observation")["partOf"] == [reference(given)]


def test_a_dose_to_be_given_is_an_instance_of_its_order(fixture):
    """RGV: intent instance-order, the time that it is due, the order's number."""
    give = fixture("rgv-o15-give").one("MedicationRequest")
    assert give["intent"] == "instance-order"
    assert (
        give["dosageInstruction"][0]["timing"]["repeat"]["boundsPeriod"]["start"]
        == "2026-01-18T20:30:00+08:00"
    )
    assert give["identifier"][0]["value"] == "RX-20010"


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("BID^Twice a day^HL70335", {"frequency": 2, "period": Decimal(1), "periodUnit": "d"}),
        ("Q6H", {"frequency": 1, "period": Decimal(6), "periodUnit": "h"}),
        ("QHS|2200", {"frequency": 1, "period": Decimal(1), "periodUnit": "d", "timeOfDay": ["22:00:00"]}),
    ],
)
def test_how_often(message, pattern, expected):
    """Repeat patterns as prescribers send them, also with the code's parts as components, or with clock times."""
    result = message("RDE^O11^RDE_O11", PID, "ORC|NW|R1^HIS", "RXE||A^A|1||mg", f"TQ1|1||{pattern}")
    assert result.one("MedicationRequest")["dosageInstruction"][0]["timing"]["repeat"] == expected
    assert not [i for i in result.outcome.issues if i.code == "tim-10"]


def test_the_timing_of_what_was_dispensed_without_its_order(message):
    """RDS with ORC, TQ1 and RXD alone: how the patient takes it is told with the dispense, route and timing as one."""
    result = message(
        "RDS^O13^RDS_O13",
        PID,
        "ORC|RE|R1^HIS|P1^RX",
        "TQ1|1||BID^Twice a day^HL70335||||20260118080000+0800||R^Routine^HL70485",
        "RXD|1|MET500^Metformin 500 mg tablet^99KGH|20260118105500+0800|14|TAB^Tablet^99KGH",
        "RXR|PO^Oral^HL70162",
    )
    (taken,) = result.one("MedicationDispense")["dosageInstruction"]
    assert taken["timing"]["repeat"]["frequency"] == 2
    assert taken["route"]["coding"][0]["code"] == "PO"
    assert not [k for k, why in result.unmapped().items() if not why.startswith("structure")]


@pytest.mark.parametrize(
    ("kind", "segment", "resource"),
    [
        (
            "RRA^O18^RRA_O18",
            "RXA|0|1|20260118205500+0800||MET500^Metformin^99KGH|500|mg",
            "MedicationAdministration",
        ),
        ("RRD^O14^RRD_O14", "RXD|1|MET500^Metformin^99KGH|20260118105500+0800|14", "MedicationDispense"),
        ("RRG^O16^RRG_O16", "RXG|1|1||MET500^Metformin^99KGH|500||mg", "MedicationRequest"),
    ],
)
def test_an_answer_tells_the_route_as_the_message_that_it_answers(message, kind, segment, resource):
    result = message(kind, "MSA|AA|X1", PID, "ORC|OK|R1^HIS|P1^RX", segment, "RXR|PO^Oral^HL70162")
    found = next(r for r in result.of(resource) if "PO" in str(r))
    dosage = found.get("dosage") or found["dosageInstruction"][0]
    assert dosage["route"]["coding"][0]["code"] == "PO"
    assert not [k for k in result.unmapped() if k.startswith("RXR")]
