"""Transaction Bundles: made by us, and how their entries must agree."""

import copy

import pytest

from engine.fhir.bundle import BASE, transaction
from engine.fhir.ids import best_identifier, from_content, from_identifier, with_id
from engine.fhir.validate import validate_bundle
from engine.fhir.writer import dumps
from engine.keys import patient_key

PATIENT = {"resourceType": "Patient", "id": "p", "active": True}
OBSERVATION = {
    "resourceType": "Observation",
    "id": "o",
    "status": "final",
    "code": {"text": "x"},
    "subject": {"reference": "Patient/p"},
}


def codes(bundle, **options):
    return [finding.code for finding in validate_bundle(bundle, **options)]


def test_a_transaction_writes_each_resource_under_its_own_id():
    """PUT under a deterministic id: a replay changes nothing."""
    bundle = transaction([OBSERVATION, PATIENT])
    assert [entry["request"] for entry in bundle["entry"]] == [
        {"method": "PUT", "url": "Patient/p"},
        {"method": "PUT", "url": "Observation/o"},
    ]
    assert [entry["fullUrl"] for entry in bundle["entry"]] == [BASE + "Patient/p", BASE + "Observation/o"]
    assert codes(bundle) == []


def test_the_order_given_does_not_matter():
    """The same message gives the same bytes, whatever the order in which maps made its resources."""
    assert dumps(transaction([OBSERVATION, PATIENT])) == dumps(transaction([PATIENT, OBSERVATION]))


def test_the_source_is_named_where_there_is_none_and_resources_are_not_changed():
    """meta.source of a sender stays."""
    given = [PATIENT, {**OBSERVATION, "meta": {"source": "urn:theirs"}}]
    before = copy.deepcopy(given)
    bundle = transaction(given, source="urn:ours", identifier={"system": "urn:s", "value": "1"})
    assert [entry["resource"]["meta"]["source"] for entry in bundle["entry"]] == ["urn:ours", "urn:theirs"]
    assert bundle["identifier"] == {"system": "urn:s", "value": "1"}
    assert given == before


def test_equal_copies_are_one_and_different_ones_an_error():
    """A transaction must not write one resource twice (R4 §3.1.0.11.2): that would be our own fault."""
    assert len(transaction([PATIENT, dict(PATIENT)])["entry"]) == 1
    with pytest.raises(ValueError, match="Patient/p"):
        transaction([PATIENT, {**PATIENT, "active": False}])


def test_nothing_to_write_is_still_a_valid_bundle():
    """An empty entry array would be invalid."""
    assert codes(transaction([])) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"fullUrl": "https://x.org/fhir/Patient/q"}, "full-url"),
        ({"fullUrl": "urn:uuid:NOT-A-UUID"}, "full-url"),
        ({"fullUrl": "Patient/p"}, "full-url"),
        ({"request": {"method": "PUT", "url": "Patient/q"}}, "request"),
        ({"request": {"method": "POST", "url": "Observation"}}, "request"),
    ],
)
def test_an_entry_names_what_it_writes(change, code):
    """fullUrl, id and request url must agree, or a server writes the wrong thing."""
    bundle = transaction([PATIENT])
    bundle["entry"][0] = {**bundle["entry"][0], **change}
    assert codes(bundle) == [code]


def test_a_resource_written_twice_is_found():
    """The whole transaction would fail at the server."""
    bundle = transaction([PATIENT])
    bundle["entry"].append({"request": {"method": "DELETE", "url": "Patient/p"}})
    assert codes(bundle) == ["request"]


def test_references_find_their_target():
    """Relative ones must be inside when the Bundle is closed; a URN can only be resolved inside."""
    orphan = transaction([OBSERVATION])
    assert codes(orphan) == ["ref-unresolved"]
    assert codes(orphan, closed=False) == []
    urn = transaction(
        [{**OBSERVATION, "subject": {"reference": "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"}}]
    )
    assert codes(urn, closed=False) == ["ref-unresolved"]
    for free in (
        {"identifier": {"system": "urn:s", "value": "1"}},
        {"reference": "https://other.org/fhir/Patient/9"},
    ):
        assert codes(transaction([{**OBSERVATION, "subject": free}])) == []


def test_duplicate_full_urls_are_found_on_both():
    """bdl-7, with the entries named."""
    bundle = transaction([PATIENT])
    second = {**bundle["entry"][0], "request": {"method": "DELETE", "url": "Patient/q"}}
    del second["resource"]
    bundle["entry"].append(second)
    paths = [finding.path for finding in validate_bundle(bundle) if finding.code == "duplicate-full-url"]
    assert paths == ["Bundle.entry[0].fullUrl", "Bundle.entry[1].fullUrl"]


def test_a_patients_id_agrees_with_the_key_of_their_messages():
    """HL7 v2 and FHIR about one patient go to one partition, and to one Patient."""
    assert patient_key("urn:s", "1") == f"Patient/{from_identifier('Patient', 'urn:s', '1')}"


def test_the_hospitals_own_number_names_a_patient_before_the_states():
    """The same preference as for PID-3; numbers out of use and incomplete ones are passed over."""
    identifiers = [
        {"system": "urn:old", "value": "0", "use": "old", "type": {"coding": [{"code": "MR"}]}},
        {"system": "urn:state", "value": "1", "type": {"coding": [{"code": "NI"}]}},
        {"value": "2", "type": {"coding": [{"code": "MR"}]}},
        {"system": "urn:mrn", "value": "3", "type": {"coding": [{"code": "MR"}]}},
    ]
    assert best_identifier(identifiers) == ("urn:mrn", "3")
    assert best_identifier(identifiers[:1]) is None
    assert best_identifier("none") is None


def test_content_ids_follow_what_is_said_and_not_how():
    """The order of keys, versions and narratives do not make another resource; a digit does."""
    one = with_id(
        {"resourceType": "Basic", "code": {"text": "x"}, "created": "2020", "meta": {"versionId": "1"}}
    )
    two = with_id(
        {"created": "2020", "code": {"text": "x"}, "resourceType": "Basic", "meta": {"versionId": "2"}}
    )
    assert one["id"] == two["id"]
    assert from_content("Basic", {"a": 1}) != from_content("Basic", {"a": 2})
    assert list(two)[:2] == ["resourceType", "id"]
