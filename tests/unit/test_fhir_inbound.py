"""FHIR in: one outcome a document, a valid transaction out, nothing lost in silence."""

import json
from datetime import UTC, datetime

import pytest

from engine.fhir.inbound import process_fhir
from engine.fhir.outcome import operation_outcome
from engine.fhir.validate import validate, validate_bundle
from engine.fhir.writer import dumps
from engine.keys import patient_key, resource_id
from engine.records import Envelope, Issue, Kind, Severity
from engine.settings import Settings

PATIENT = {
    "resourceType": "Patient",
    "id": "p1",
    "identifier": [{"system": "urn:example:mrn", "value": "M1"}],
    "name": [{"family": "Tan"}],
}
OBSERVATION = {"resourceType": "Observation", "status": "final", "code": {"text": "Glucose"}}


def process(content, charset=None):
    payload = content if isinstance(content, bytes) else json.dumps(content).encode()
    envelope = Envelope(payload, Kind.FHIR, "ward", "m1", datetime(2026, 1, 1, tzinfo=UTC), charset=charset)
    return process_fhir(envelope, Settings())


def one(content):
    (outcome,) = process(content)
    return outcome


def resources(outcome):
    return [entry["resource"] for entry in outcome.bundle["entry"] if "resource" in entry]


def test_a_good_resource_leaves_as_it_came():
    """Nothing is added to, or taken from, what was valid."""
    outcome = one(PATIENT)
    assert outcome.accepted
    assert resources(outcome) == [PATIENT]
    assert (outcome.issues, outcome.unmapped) == ((), ())
    assert (outcome.message_type, outcome.control_id, outcome.charset) == ("Patient", "p1", "utf-8")


def test_extensions_profiles_narratives_and_contained_resources_stay():
    """US Core and IPS documents are not ours to trim."""
    rich = {
        **PATIENT,
        "meta": {"profile": ["http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient"]},
        "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Tan</div>'},
        "contained": [{"resourceType": "Organization", "id": "o", "name": "Clinic"}],
        "managingOrganization": {"reference": "#o"},
        "extension": [
            {"url": "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex", "valueCode": "F"}
        ],
        "_birthDate": {
            "extension": [
                {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
            ]
        },
    }
    assert resources(one(rich)) == [rich]


def test_unknown_elements_are_reported_twice_once_to_read_once_to_count():
    """An issue says what and which version knows it; unmapped says where for the coverage."""
    animal = {"species": {"text": "dog"}, "colour": "brown"}  # with a part that STU3 has not either
    outcome = one({**PATIENT, "nickname": "x", "animal": animal})
    assert [(i.code, i.location) for i in outcome.issues if i.code != "fhir-version"] == [
        ("unknown-element", "Patient.nickname"),
        ("unknown-element", "Patient.animal"),
    ]
    assert "STU3" in outcome.issues[-1].message
    assert [u.location for u in outcome.unmapped] == ["Patient.nickname", "Patient.animal"]


@pytest.mark.parametrize(
    ("path", "version"),
    [({"context": {"reference": "Encounter/1"}}, "STU3"), ({"triggeredBy": [{"type": "reflex"}]}, "R5")],
)
def test_elements_of_other_versions_are_named_as_such(path, version):
    """A sender on another version learns that it is the version."""
    outcome = one({**OBSERVATION, **path})
    assert version in outcome.issues[0].message


def test_decimals_leave_with_their_digits():
    """From bytes to bytes, 1.50 stays 1.50."""
    payload = json.dumps({**OBSERVATION, "valueQuantity": {"value": 1.5}}).replace("1.5", "1.50").encode()
    assert b'"value":1.50' in dumps(one(payload).bundle)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({k: v for k, v in PATIENT.items() if k != "id"}, resource_id("Patient", "urn:example:mrn", "M1")),
        ({**PATIENT, "id": "ward 7"}, resource_id("Patient", "id", "ward 7")),
        ({**PATIENT, "id": 7}, "7"),
    ],
)
def test_ids_are_given_where_there_is_none_that_r4_allows(content, expected):
    """The same sender's thing gets the same id each time, so that a replay writes it again."""
    outcome = one(content)
    assert resources(outcome)[0]["id"] == expected
    assert outcome.bundle["entry"][0]["request"] == {"method": "PUT", "url": f"Patient/{expected}"}


def test_a_reference_to_an_id_that_r4_does_not_allow_follows_its_target():
    """Two messages of one feed still agree on the patient."""
    patient = resources(one({**PATIENT, "id": "ward_7"}))[0]
    observation = resources(one({**OBSERVATION, "subject": {"reference": "Patient/ward_7"}}))[0]
    assert observation["subject"]["reference"] == f"Patient/{patient['id']}"


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (PATIENT, "Patient/p1"),  # as an Observation of that patient, sent alone, would say
        ({k: v for k, v in PATIENT.items() if k != "id"}, patient_key("urn:example:mrn", "M1")),
        ({**PATIENT, "identifier": [{"value": "M1"}]}, "Patient/p1"),
        ({**OBSERVATION, "subject": {"reference": "Patient/p1"}}, "Patient/p1"),
        ({**OBSERVATION, "subject": {"reference": "https://s.org/fhir/Patient/p1"}}, "Patient/p1"),
        (
            {**OBSERVATION, "subject": {"identifier": {"system": "urn:example:mrn", "value": "M1"}}},
            patient_key("urn:example:mrn", "M1"),
        ),
        (
            {**OBSERVATION, "subject": {"reference": "Patient?identifier=urn:example:mrn|M1"}},
            patient_key("urn:example:mrn", "M1"),
        ),
        ({**OBSERVATION, "subject": {"reference": "Group/g"}}, ""),
        ({"resourceType": "Organization", "name": "Clinic"}, ""),
    ],
)
def test_the_key_is_the_patients(content, key):
    """Everything about one patient is kept in order."""
    assert one(content).patient_key == key


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "not-fhir"),
        (b"MSH|^~\\&|", "not-fhir"),
        (b"\xff\xfe\xfd", "charset"),
        (b"[]", "not-fhir"),
        (b"5", "not-fhir"),
        (b"[" * 100_000, "too-large"),
        ({}, "invalid-resource"),
        ({"resourceType": "Persona"}, "invalid-resource"),
        ({"resourceType": ["Patient"]}, "invalid-resource"),
        ({"resourceType": "SubscriptionTopic"}, "invalid-resource"),
        ({"resourceType": "AllergyIntolerance"}, "invalid-resource"),
        (
            {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "x"}]},
            "invalid-resource",
        ),
        (
            {
                "resourceType": "Bundle",
                "type": "collection",
                "entry": [{"resource": {"resourceType": "Persona"}}],
            },
            "invalid-resource",
        ),
        ({"resourceType": "Bundle", "type": "collection", "entry": "x"}, "invalid-resource"),
    ],
)
def test_what_cannot_be_used_is_rejected_with_reason_and_action(content, code):
    """A dead letter that says nothing helps no one; the last issue is the reason."""
    outcome = one(content)
    assert (outcome.accepted, outcome.bundle, outcome.error_code) == (False, None, code)
    assert outcome.error_action
    assert outcome.issues[-1].severity is Severity.ERROR
    assert not outcome.retryable


def test_each_line_of_ndjson_and_item_of_an_array_has_its_own_outcome():
    """One bad neighbour spoils nothing."""
    lines = b"\n".join([json.dumps(PATIENT).encode(), b'{"resourceType":', json.dumps(OBSERVATION).encode()])
    assert [o.status for o in process(lines)] == ["accepted", "rejected", "accepted"]
    assert [o.status for o in process([PATIENT, 1, OBSERVATION])] == ["accepted", "rejected", "accepted"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_other_encodings_and_marks_make_no_difference(encoding):
    """The same resource gives the same Bundle however it was encoded."""
    assert dumps(one(json.dumps(PATIENT).encode(encoding)).bundle) == dumps(one(PATIENT).bundle)


def test_nulls_and_empty_values_are_reported_and_are_no_loss():
    """Nothing is said by null: it goes, with an issue, and does not count as unmapped."""
    outcome = one({**PATIENT, "gender": None, "telecom": [], "maritalStatus": {}, "birthDate": ""})
    assert resources(outcome) == [PATIENT]
    assert {i.code for i in outcome.issues} == {"null", "empty"}
    assert outcome.unmapped == ()


def test_required_elements_that_came_empty_are_counted():
    """Drift watching sees when a feed stops sending a status."""
    outcome = one({k: v for k, v in OBSERVATION.items() if k != "status"})
    assert outcome.empty_required == ("Observation.status",)
    assert resources(outcome)[0]["status"] == "unknown"


def test_codes_are_told_for_drift_watching():
    """Systems and codes, once each."""
    coding = {"system": "http://loinc.org", "code": "2345-7"}
    outcome = one({**OBSERVATION, "code": {"coding": [coding, coding]}})
    assert outcome.codes == (("http://loinc.org", "2345-7"),)


def test_notes_carry_where_they_came_from():
    """A note can be traced to its arrival and its resource."""
    outcome = one({**OBSERVATION, "id": "o1", "valueString": "Patient is resting well."})
    (note,) = outcome.notes
    assert (note.feed, note.message_id, note.control_id, note.document) == (
        "ward",
        "m1",
        "o1",
        "Observation/o1",
    )


def test_an_operation_outcome_is_valid_and_says_it_all():
    """What a sender gets back is itself good FHIR."""
    issues = [
        Issue(Severity.ERROR, "missing", "Patient.link[0].other", "The element is required", "Send it."),
        Issue(Severity.WARNING, "obs-6", "PID[1]-3", "x"),
    ]
    made = operation_outcome(issues)
    assert validate(made) == []
    assert made["issue"][0] == {
        "severity": "error",
        "code": "required",
        "details": {"text": "missing: The element is required"},
        "diagnostics": "Send it.",
        "expression": ["Patient.link[0].other"],
    }
    assert made["issue"][1]["code"] == "invariant"
    assert "PID[1]-3" in made["issue"][1]["details"]["text"]
    assert validate(operation_outcome([])) == []


def test_no_issue_ever_shows_a_value():
    """PHI stays out of reports: a name put in every wrong place is found in none of them."""
    secret = "Zephyrine"
    outcome = one(
        {
            **PATIENT,
            "gender": secret,
            "birthDate": secret,
            secret + " x": secret,
            "id": secret + "_",
            "photo": secret,
            "contact": [{"gender": secret}],
            "link": [{"other": {"reference": secret}, "type": "refer"}],
        }
    )
    told = [f"{i.location} {i.message} {i.action}" for i in outcome.issues] + [
        f"{u.location} {u.reason}" for u in outcome.unmapped
    ]
    assert len(told) > 8
    assert not [text for text in told if secret in text]
    assert validate_bundle(outcome.bundle) == []
