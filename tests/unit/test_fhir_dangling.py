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


def test_what_cannot_be_without_the_reference_goes_too_and_so_does_what_refers_to_it():
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
    assert kept == [PATIENT, {k: v for k, v in flag.items() if k != "subject"}]
    assert len(issues) == 2
