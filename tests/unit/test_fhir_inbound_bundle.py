"""Bundles in: what each kind of entry becomes, and that references follow."""

import json
from datetime import UTC, datetime

import pytest

from engine.fhir.inbound import process_fhir
from engine.fhir.validate import validate_bundle
from engine.fhir.writer import dumps
from engine.records import Envelope, Kind, Severity
from engine.settings import Settings

P, E = "urn:uuid:11111111-1111-4111-8111-111111111111", "urn:uuid:22222222-2222-4222-8222-222222222222"
PATIENT = {"resourceType": "Patient", "identifier": [{"system": "urn:s", "value": "1"}]}
ENCOUNTER = {
    "resourceType": "Encounter",
    "status": "finished",
    "class": {"code": "AMB"},
    "subject": {"reference": P},
}


def process(kind, *entries, **elements):
    bundle = {"resourceType": "Bundle", "type": kind, **elements, "entry": list(entries)}
    envelope = Envelope(json.dumps(bundle).encode(), Kind.FHIR, "f", "m", datetime(2026, 1, 1, tzinfo=UTC))
    (outcome,) = process_fhir(envelope, Settings())
    if outcome.accepted:
        errors = [f for f in validate_bundle(outcome.bundle, closed=False) if f.severity is Severity.ERROR]
        assert errors == []
    return outcome


def entry(resource, full_url=None, method=None, url=None, **request):
    made = {"resource": resource}
    if full_url:
        made["fullUrl"] = full_url
    if method:
        made["request"] = {"method": method, "url": url or resource["resourceType"], **request}
    return made


def requests(outcome):
    return [(e["request"]["method"], e["request"]["url"]) for e in outcome.bundle.get("entry", [])]


def held(outcome, kind):
    return next(
        e["resource"] for e in outcome.bundle["entry"] if e.get("resource", {}).get("resourceType") == kind
    )


def test_posts_become_puts_under_deterministic_ids_and_references_follow():
    """A replayed transaction of POSTs would double every resource; ours writes the same ones again."""
    outcome = process("transaction", entry(ENCOUNTER, E, "POST"), entry(PATIENT, P, "POST"))
    patient, encounter = held(outcome, "Patient"), held(outcome, "Encounter")
    assert requests(outcome) == [("PUT", f"Patient/{patient['id']}"), ("PUT", f"Encounter/{encounter['id']}")]
    assert encounter["subject"] == {"reference": f"Patient/{patient['id']}"}


def test_a_senders_fresh_uuids_make_no_new_resources():
    """The same visit, sent tomorrow under other URNs, is the same visit."""
    other = "urn:uuid:33333333-3333-4333-8333-333333333333"
    first = process("transaction", entry(PATIENT, P, "POST"), entry(ENCOUNTER, E, "POST"))
    again = process(
        "transaction",
        entry(PATIENT, other, "POST"),
        entry({**ENCOUNTER, "subject": {"reference": other}}, P, "POST"),
    )
    assert dumps(first.bundle) == dumps(again.bundle)


def test_two_patients_with_alike_visits_under_the_same_urn_stay_two():
    """A placeholder URN that a sender uses in every message must not merge two patients' data."""
    second = {"resourceType": "Patient", "identifier": [{"system": "urn:s", "value": "2"}]}
    one = process("transaction", entry(PATIENT, P, "POST"), entry(ENCOUNTER, E, "POST"))
    two = process("transaction", entry(second, P, "POST"), entry(ENCOUNTER, E, "POST"))
    assert held(one, "Encounter")["id"] != held(two, "Encounter")["id"]


def test_entries_that_say_the_same_twice_are_two():
    """Two doses written alike are two doses."""
    outcome = process("batch", entry(ENCOUNTER, None, "POST"), entry(ENCOUNTER, None, "POST"))
    assert len({url for _, url in requests(outcome)}) == 2


def test_entries_that_share_an_identifier_and_differ_are_both_kept():
    """Order numbers stand on many results: the second result must not overwrite the first."""
    result = {
        "resourceType": "Observation",
        "status": "final",
        "identifier": [{"system": "urn:order", "value": "7"}],
    }
    outcome = process(
        "transaction",
        entry({**result, "code": {"text": "Na"}}, None, "POST"),
        entry({**result, "code": {"text": "K"}}, None, "POST"),
    )
    assert len({url for _, url in requests(outcome)}) == 2


def test_circular_references_are_no_trap():
    """Two resources may point to each other."""
    first = {"resourceType": "Basic", "code": {"text": "a"}, "subject": {"reference": E}}
    second = {"resourceType": "Basic", "code": {"text": "b"}, "subject": {"reference": P}}
    outcome = process("transaction", entry(first, P, "POST"), entry(second, E, "POST"))
    targets = {e["resource"]["subject"]["reference"] for e in outcome.bundle["entry"]}
    assert targets == {url for _, url in requests(outcome)}


def test_conditional_requests_keep_their_meaning():
    """The server decides whom "identifier=urn:s|1" means; references use a URN that it resolves."""
    outcome = process(
        "transaction",
        entry(PATIENT, P, "POST", ifNoneExist="identifier=urn:s|1"),
        entry(ENCOUNTER, E, "POST"),
    )
    created = next(e for e in outcome.bundle["entry"] if e["request"]["method"] == "POST")
    assert created["request"] == {"method": "POST", "url": "Patient", "ifNoneExist": "identifier=urn:s|1"}
    assert held(outcome, "Encounter")["subject"]["reference"] == created["fullUrl"]
    update = process("transaction", entry(PATIENT, P, "PUT", "Patient?identifier=urn:s|1"))
    assert requests(update) == [("PUT", "Patient?identifier=urn:s|1")]


def test_deletes_and_patches_go_on_and_questions_do_not():
    """What changes the server's state is passed on; what asks it something can't be answered here."""
    patch = {"resourceType": "Parameters", "parameter": [{"name": "operation", "valueCode": "x"}]}
    outcome = process(
        "transaction",
        {"request": {"method": "DELETE", "url": "Patient/1"}},
        entry(patch, None, "PATCH", "Patient/2"),
        {"request": {"method": "GET", "url": "Patient/3"}},
        entry({"resourceType": "Parameters"}, None, "POST", "Patient/$match"),
    )
    assert sorted(requests(outcome)) == [("DELETE", "Patient/1"), ("PATCH", "Patient/2")]
    assert [u.location for u in outcome.unmapped] == ["Bundle.entry[2]", "Bundle.entry[3]"]
    assert {i.code for i in outcome.issues} == {"patch", "not-supported"}


@pytest.mark.parametrize("kind", ["collection", "document", "message", "searchset", "history"])
def test_bundles_of_every_kind_are_written(kind):
    """Whatever a Bundle was made for, its resources are content."""
    outcome = process(kind, entry({**PATIENT, "id": "a"}, "http://s.org/fhir/Patient/a"))
    assert requests(outcome) == [("PUT", "Patient/a")]
    assert outcome.patient_key


def test_references_resolve_by_full_url_base_and_version():
    """R4's rules for references within a Bundle (§2.36.4.1)."""
    base = "https://s.org/fhir/"
    observation = {
        "resourceType": "Observation",
        "id": "o",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": base + "Patient/a"},
        "focus": [{"reference": "Patient/a/_history/2"}, {"reference": "https://other.org/Patient/a"}],
    }
    outcome = process(
        "searchset",
        entry(observation, base + "Observation/o"),
        entry({**PATIENT, "id": "a"}, base + "Patient/a"),
    )
    sent = held(outcome, "Observation")
    assert sent["subject"]["reference"] == "Patient/a"
    assert [r["reference"] for r in sent["focus"]] == ["Patient/a", "https://other.org/Patient/a"]


def test_a_urn_that_nothing_answers_to_becomes_a_logical_reference():
    """A server would refuse the whole transaction for it; the link itself is not thrown away."""
    outcome = process("transaction", entry(ENCOUNTER, E, "POST"))
    assert held(outcome, "Encounter")["subject"] == {
        "identifier": {"system": "urn:ietf:rfc:3986", "value": P}
    }
    assert [i.code for i in outcome.issues] == ["ref-unresolved"]


def test_the_newer_of_two_versions_is_written():
    """A history holds the newest first; elsewhere later entries are newer."""
    old, new = {**PATIENT, "id": "a", "gender": "male"}, {**PATIENT, "id": "a", "gender": "female"}
    for kind, entries in (("history", [new, old]), ("collection", [old, new])):
        outcome = process(kind, *(entry(resource) for resource in entries))
        assert held(outcome, "Patient")["gender"] == "female"
        assert [i.code for i in outcome.issues] == ["duplicate-resource"]
        assert len(outcome.unmapped) == 1


def test_what_a_transaction_has_no_place_for_is_reported():
    """Signature, counts and links of the Bundle, search scores and answers of its entries."""
    link = [{"relation": "self", "url": "http://s"}]
    found = {**entry({**PATIENT, "id": "a"}), "search": {"mode": "match", "score": 1}}
    outcome_entry = {"resource": {"resourceType": "OperationOutcome"}, "search": {"mode": "outcome"}}
    outcome = process("searchset", found, outcome_entry, total=1, link=link, id="b1", oddity=1)
    assert {u.location for u in outcome.unmapped} == {
        "Bundle.total",
        "Bundle.link",
        "Bundle.id",
        "Bundle.oddity",
        "Bundle.entry[0].search",
        "Bundle.entry[1]",
    }
    assert outcome.control_id == "b1"


def test_the_bundles_identifier_and_time_go_out_with_it():
    """They name the message wherever it goes."""
    identifier = {"system": "urn:msg", "value": "B7"}
    outcome = process(
        "collection", entry({**PATIENT, "id": "a"}), identifier=identifier, timestamp="2026-01-01T00:00:00Z"
    )
    assert (outcome.bundle["identifier"], outcome.bundle["timestamp"]) == (identifier, "2026-01-01T00:00:00Z")
    assert outcome.control_id == "B7"


def test_one_entry_beyond_repair_does_not_take_the_others_along():
    """The rest is written, and the loss is an error with its place."""
    outcome = process(
        "collection", entry({"resourceType": "AllergyIntolerance"}), entry({**PATIENT, "id": "a"}), None, "x"
    )
    assert requests(outcome) == [("PUT", "Patient/a")]
    assert any(
        i.severity is Severity.ERROR and i.location == "Bundle.entry[0].resource.patient"
        for i in outcome.issues
    )
    assert {u.location for u in outcome.unmapped} == {
        "Bundle.entry[0].resource",
        "Bundle.entry[2]",
        "Bundle.entry[3]",
    }


def test_a_put_names_the_resource_by_its_url():
    """The address decides over a missing or other id."""
    outcome = process(
        "transaction",
        entry(PATIENT, None, "PUT", "Patient/a"),
        entry({**PATIENT, "id": "x"}, None, "PUT", "Patient/b"),
    )
    assert requests(outcome) == [("PUT", "Patient/a"), ("PUT", "Patient/b")]
    assert [i.code for i in outcome.issues] == ["id-replaced"]


@pytest.mark.parametrize("kind", ["transaction-response", "batch-response", "collection"])
def test_a_bundle_with_nothing_to_write_is_accepted_and_says_so(kind):
    """A server's answer is no fault of the feed; it gives an empty transaction."""
    entries = [{"response": {"status": "200"}}] if "response" in kind else []
    outcome = process(kind, *entries)
    assert outcome.accepted
    assert "entry" not in outcome.bundle
    assert [i.code for i in outcome.issues] == ["nothing-to-write"]


def test_a_missing_type_is_reported_and_read_as_a_collection():
    """The content matters more than the label."""
    outcome = process(None, entry({**PATIENT, "id": "a"}))
    assert requests(outcome) == [("PUT", "Patient/a")]
    assert [i.location for i in outcome.issues] == ["Bundle.type"]


def test_an_entry_outside_an_array_is_read_and_told():
    """A sender that writes one entry without its array learns of it."""
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": {"resource": PATIENT}}
    envelope = Envelope(json.dumps(bundle).encode(), Kind.FHIR, "f", "m", datetime(2026, 1, 1, tzinfo=UTC))
    (outcome,) = process_fhir(envelope, Settings())
    assert len(outcome.bundle["entry"]) == 1
    assert ("array-expected", "Bundle.entry") in {(i.code, i.location) for i in outcome.issues}
