"""Segments that few feeds send: studies, contacts, diets, requisitions, analyser details, infusions."""

from __future__ import annotations

STUDY = "http://hl7.org/fhir/StructureDefinition/workflow-researchStudy"


def converted(process, kind, *lines, version="2.5.1"):
    head = (
        rf"MSH|^~\&|A|B|C|D|20260401101112||{kind}|1|P|{version}|||||SGP",
        "PID|1||7^^^KGH^MR||Tan^Ah Kow",
    )
    return process("\r".join([*head, *lines]).encode())


def extension(resource, name):
    (found,) = (e for e in resource["extension"] if e["url"].rpartition("/")[2] == name)
    return found


def inner(resource, name):
    return {
        e["url"]: next(v for k, v in e.items() if k != "url") for e in extension(resource, name)["extension"]
    }


def nothing_lost(result):
    return [u for u in result.outcome.unmapped if not u.is_structure] == []


def test_a_diet_is_ordered_with_its_contact_and_study(process):
    """ODS, CTD and CTI of an ORM: code and details of the order, a contact's role, a study."""
    result = converted(
        process, "ORM^O01^ORM_O01", "ORC|NW|P1^X", "ODS|D||1^Low salt^99L~2^Soft^99L|No peanuts",
        "CTD|C^Emergency|Doe^Jo|1 Way^^Town|||555", "CTI|RS1|1^Phase one^99L|2^Week two^99L",
    )  # fmt: skip
    order = result.one("ServiceRequest")
    assert order["code"]["coding"][0]["display"] == "Low salt"
    assert order["orderDetail"][0]["coding"][0]["display"] == "Soft"
    assert order["patientInstruction"] == "No peanuts"
    contact = result.get(extension(order, "contact")["valueReference"])
    assert result.get(contact["practitioner"])["name"][0]["family"] == "Doe"
    study = result.get(extension(order, "workflow-researchStudy")["valueReference"])
    assert (study["identifier"][0]["value"], study["phase"]["coding"][0]["display"]) == ("RS1", "Phase one")
    assert extension(order, "study-time-point")["valueCodeableConcept"]["coding"][0]["display"] == "Week two"
    assert nothing_lost(result)


def test_a_requisition_is_an_order_of_things(process):
    """RQD and RQ1: the item, how many, where to and from whom."""
    result = converted(
        process, "ORM^O01^ORM_O01", "ORC|NW|P1^X",
        "RQD|1|I1^Implant^99L|V1^Vendor's^99L||3|{each}^^UCUM|CC1||OT^Theatre^99L|20260501", "RQ1|12|M^Maker^99L|CAT1",
    )  # fmt: skip
    order = result.one("ServiceRequest")
    assert [c["code"] for c in order["code"]["coding"]] == ["I1", "V1"]
    assert (order["quantityQuantity"]["value"], order["quantityQuantity"]["code"]) == (3, "{each}")
    assert order["occurrenceDateTime"] == "2026-05-01"
    assert nothing_lost(result)


def test_how_an_analyser_made_a_result(process):
    """TCD and SID belong to the result before them, INV to the specimen's container."""
    result = converted(
        process, "OUL^R22^OUL_R22", "SPM|1|S1||BLD", "SAC|||C1",
        "INV|CTRL^Control^99L|OK|CO^Control|C2|||100|50|||mL^^UCUM|20270101||||LOT7",
        "OBR|1|P1^X|F1^X|24326-1^Lytes^LN", "OBX|1|NM|2823-3^Potassium^LN||4|mmol/L|||||F",
        "TCD|2823-3^K^LN|1^^:^10|||||Y", "SID|M^Method^99L|LOT1|C9",
    )  # fmt: skip
    observation = result.one("Observation")
    assert inner(observation, "test-detail")["autoDilution"] == "1 : 10"
    assert inner(observation, "reagent")["lot"] == "LOT1"
    substance = result.get(extension(result.one("Specimen"), "substance")["valueReference"])
    assert substance["instance"][0]["expiry"] == "2027-01-01"
    assert substance["instance"][0]["quantity"]["value"] == 50
    assert inner(substance, "inventory")["lot"] == "LOT7"
    assert nothing_lost(result)


def test_an_infusions_bolus_is_told(process):
    """RXV of v2.8.2: doses with their units beside the order."""
    result = converted(
        process, "OMP^O09^OMP_O09", "ORC|NW|P1^X", "RXO|MORPH^Morphine^99L|10||mg", "RXR|IV",
        "RXV|1|C|2|mg^^UCUM|||P|1|mg^^UCUM", version="2.8.2",
    )  # fmt: skip
    infusion = inner(result.one("MedicationRequest"), "infusion")
    assert (infusion["bolusDose"]["value"], infusion["bolusDose"]["code"]) == (2, "mg")
    assert infusion["pcaType"] == "P"
    assert nothing_lost(result)


def test_the_country_is_in_the_senders_address(process):
    """MSH-17, as the official map has it."""
    result = converted(process, "ADT^A08^ADT_A01", "PV1|1|I")
    sender = result.get(result.one("MessageHeader")["sender"])
    assert sender["address"] == [{"country": "SGP"}]
