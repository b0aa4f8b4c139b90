"""What was wrong in the FHIR of notes of further kinds: discharge, pathology, operations, diets, lists of medicines. Each line was read by eye."""

import asyncio

import pytest

from engine.nlp.readers import Readers
from engine.nlp.terminology import TableTerminology
from engine.nlp.to_fhir import annotate
from engine.records import Note
from models.baseline import SHORTHAND_SCORES, RuleExtractor

RULES = RuleExtractor(SHORTHAND_SCORES)


def made(text):
    """The resources of a note by type, and what was withheld."""
    reading = asyncio.run(
        Readers(RULES).read(Note("n", text, document="DocumentReference/d"), however_short=True)
    )
    found = annotate(
        reading, RULES.info, TableTerminology(), base="urn:w:", min_score=0.5, recorded="2026-03-04T05:06:07Z"
    )
    by_type = {}
    for entry in found.bundle["entry"]:
        by_type.setdefault(entry["resource"]["resourceType"], []).append(entry["resource"])
    return by_type, found.withheld


def verified(text):
    """Verification status of each Condition, by its words."""
    conditions = made(text)[0].get("Condition", [])
    return {c["code"]["text"]: c["verificationStatus"]["coding"][0]["code"] for c in conditions}


def doses(text):
    """(status, words of the dosages) of each medicine."""
    taken = made(text)[0].get("MedicationStatement", [])
    return {
        m["medicationCodeableConcept"]["text"]: (m["status"], [d["text"] for d in m.get("dosage", [])])
        for m in taken
    }


def measured(text):
    """Each number of a test, in any order."""
    results = made(text)[0].get("Observation", [])
    return sorted(
        (o["code"]["text"], float(o["valueQuantity"]["value"])) for o in results if "valueQuantity" in o
    )


def test_a_medicine_not_taken_denies_no_disease_behind_it():
    assert verified("Known AF not on anticoagulation, HTN") == {"AF": "unconfirmed", "HTN": "unconfirmed"}
    assert doses("Not on warfarin")["warfarin"][0] == "not-taken"


def test_a_dash_begins_what_is_said_anew():
    assert verified("No milk - lactose intolerance") == {"lactose intolerance": "unconfirmed"}
    assert verified("Denies - fever, cough") == {"fever": "refuted", "cough": "refuted"}


@pytest.mark.parametrize("word", ["STOP", "Hold", "Withhold", "Discontinue"])
def test_a_medicine_to_be_stopped_is_not_active_on_a_list(word):
    found = doses(f"Discharge medications:\nBisoprolol 2.5 mg OM\n{word}: amlodipine 5 mg OM")
    assert found["Bisoprolol"][0] == "active"
    assert found["amlodipine"][0] == "unknown"


def test_what_a_dose_was_is_no_dosage():
    assert doses("Discharge medications:\nFrusemide 40 mg OM (increased from 20 mg)")["Frusemide"] == (
        "active",
        ["40 mg OM"],
    )
    assert doses("Increase empagliflozin 10 mg -> 25 mg OM")["empagliflozin"][1] == ["25 mg OM"]


def test_a_dose_behind_another_name_is_of_that_name():
    """Known or not; words such as "then" name none."""
    assert doses("Cont metformin 850 mg TDS, zorbatex 40 mg ON")["metformin"][1] == ["850 mg TDS"]
    assert doses("Paracetamol 1 g QDS, max 4 g")["Paracetamol"][1] == ["1 g QDS, max 4 g"]
    assert doses("IV rocephin 1 g OD, IV D5 1 L over 12 h")["rocephin"][1] == ["IV 1 g OD"]


def test_oxygen_breathed_in_is_no_result():
    assert measured("SpO2 86% RA -> 91% on 28% VM, ABG on 28%: pH 7.31") == [
        ("SpO2", 86.0),
        ("SpO2", 91.0),
        ("pH", 7.31),
    ]


def test_a_value_of_some_time_ago_is_of_the_past():
    results = made("HbA1c 8.9% (3/12 ago 9.6%)")[0]["Observation"]
    assert {float(o["valueQuantity"]["value"]): "_effectiveDateTime" in o for o in results}[9.6] is True


def test_headings_of_pathology_are_no_tests():
    results = made(
        "Macroscopy: Four cores 8 to 14 mm.\nMicroscopy: invasive ductal carcinoma. ER positive (90%), HER2 negative."
    )[0]
    assert {o["code"]["text"] for o in results["Observation"]} == {"ER", "HER2"}


def test_advice_on_a_disease_is_not_the_disease():
    assert verified("Scalp laceration sutured. Discharged with head injury advice.") == {
        "Scalp laceration": "unconfirmed"
    }


def test_what_an_allergy_did_may_be_told_in_a_clause():
    (allergy,) = made("He is allergic to penicillin, which caused a rash in 2015.")[0]["AllergyIntolerance"]
    assert allergy["reaction"][0]["manifestation"][0]["text"] == "rash"
    assert "Condition" not in made("He is allergic to penicillin, which caused a rash in 2015.")[0]


def test_a_disease_of_childhood_in_brackets_is_of_the_past():
    conditions = made("Asthma (childhood, resolved), eczema")[0]["Condition"]
    assert {c["code"]["text"]: "clinicalStatus" in c for c in conditions} == {"Asthma": False, "eczema": True}


def test_a_procedure_named_again_is_told_once():
    by_type, withheld = made("ESRF on HD. Missed HD x1. Urgent HD arranged.")
    assert len(by_type["Procedure"]) < 3
    assert withheld["repeated"] >= 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("XR: R NOF #, Garden 4.", "NOF #"),
        ("c/o lower abdo pain since am", "lower abdo pain"),
        ("Wt loss 6 kg in 3 months", "Wt loss"),
    ],
)
def test_shorthand_for_problems_is_known(text, words):
    assert words in verified(text)


def test_visual_acuity_is_no_length_of_time():
    results = made("RE: VA 6/12, IOP 24 mmHg. LE: VA 6/9")[0]["Observation"]
    assert {o["valueString"] for o in results if o["code"]["text"] == "VA"} == {"6/12", "6/9"}


def test_the_region_belongs_to_an_x_ray():
    results = made("X-ray hip: no fracture")[0]["Observation"]
    assert [o["code"]["text"] for o in results] == ["X-ray hip"]
