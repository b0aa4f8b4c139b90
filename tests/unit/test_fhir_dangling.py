"""References to what could not be emitted are taken out, and no further than needed."""

from engine.fhir.dangling import without_dangling

PATIENT = {"resourceType": "Patient", "id": "p"}


def test_a_reference_goes_and_its_display_and_neighbours_stay():
    dispense = {
        "resourceType": "MedicationDispense",
        "id": "d",
        "status": "completed",
        "medicationCodeableConcept": {"text": "x"},
        "authorizingPrescription": [{"reference": "MedicationRequest/gone", "display": "RX 1"}],
        "receiver": [{"reference": "Patient/gone"}, {"reference": "Patient/p"}],
        "location": {"reference": "Location/gone"},
    }
    kept, issues = without_dangling(
        [PATIENT, dispense], {"MedicationRequest/gone", "Patient/gone", "Location/gone"}
    )
    assert kept[0] is PATIENT
    assert kept[1] == {
        **{k: v for k, v in dispense.items() if k != "location"},
        "authorizingPrescription": [{"display": "RX 1"}],
        "receiver": [{"reference": "Patient/p"}],
    }
    assert [i.code for i in issues] == ["reference-lost"]


def test_what_cannot_be_without_the_reference_says_that_it_is_unknown():
    """The allergy is still one, and what refers to it still does."""
    allergy = {
        "resourceType": "AllergyIntolerance",
        "id": "a",
        "clinicalStatus": {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical",
                    "code": "active",
                }
            ]
        },
        "code": {"text": "nuts"},
        "patient": {"reference": "Patient/gone"},
    }
    flag = {
        "resourceType": "Basic",
        "id": "b",
        "code": {"text": "x"},
        "subject": {"reference": "AllergyIntolerance/a"},
    }
    kept, issues = without_dangling([PATIENT, allergy, flag], {"Patient/gone"})
    unknown = {
        "url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason",
        "valueCode": "unknown",
    }
    assert kept == [PATIENT, {**allergy, "patient": {"extension": [unknown]}}, flag]
    assert issues[0].code == "reference-lost"
