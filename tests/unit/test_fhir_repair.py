"""Repair: the smallest broken part goes, everything else stays, and every step is told."""

import copy
from decimal import Decimal

import pytest

from engine.fhir.validate import repair, repaired, validate
from engine.fhir.writer import dumps
from engine.records import Severity

PATIENT = {"resourceType": "Patient", "id": "p1", "name": [{"family": "Tan"}]}
ABSENT = {
    "extension": [
        {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
    ]
}


@pytest.mark.parametrize(
    ("change", "expected", "code"),
    [
        ({"active": "TRUE"}, {"active": True}, "wrong-type"),
        ({"multipleBirthInteger": "2"}, {"multipleBirthInteger": 2}, "wrong-type"),
        ({"multipleBirthInteger": Decimal("2.0")}, {"multipleBirthInteger": 2}, "format"),
        ({"gender": "Female"}, {"gender": "female"}, "code"),
        ({"birthDate": " 1970-01-01 "}, {"birthDate": "1970-01-01"}, "format"),
        ({"birthDate": "1970-01-01T00:00:00Z"}, {"birthDate": "1970-01-01"}, "format"),
        (
            {"deceasedDateTime": "2020-01-01 10:00+0800"},
            {"deceasedDateTime": "2020-01-01T10:00:00+08:00"},
            "format",
        ),
        ({"deceasedDateTime": "2020-01-01T10:00:00"}, {"deceasedDateTime": "2020-01-01"}, "format"),
        ({"maritalStatus": "married"}, {"maritalStatus": {"text": "married"}}, "wrong-type"),
        ({"name": {"family": "Lim"}}, {"name": [{"family": "Lim"}]}, "array-expected"),
        ({"birthDate": ["1970"]}, {"birthDate": "1970"}, "single-expected"),
        (
            {"photo": [{"contentType": "text/plain", "data": "SGk"}]},
            {"photo": [{"contentType": "text/plain", "data": "SGk="}]},
            "format",
        ),
        ({"implicitRules": "http://x/a b"}, {"implicitRules": "http://x/a%20b"}, "format"),
        (
            {"managingOrganization": "Organization/1"},
            {"managingOrganization": {"reference": "Organization/1"}},
            "wrong-type",
        ),
        (
            {"managingOrganization": {"reference": "the clinic"}},
            {"managingOrganization": {"display": "the clinic"}},
            "reference-format",
        ),
    ],
)
def test_values_in_the_wrong_form_are_saved(change, expected, code):
    """What the sender meant is plain: the form is corrected and nothing is lost."""
    done = repaired({**PATIENT, **change})
    assert done.resource == {**PATIENT, **expected}
    assert [(issue.code, issue.severity) for issue in done.issues] == [(code, Severity.WARNING)]
    assert done.lost == ()


@pytest.mark.parametrize(
    ("change", "left", "lost"),
    [
        ({"gender": "F"}, {}, "Patient.gender"),
        ({"birthDate": "31/12/1970"}, {}, "Patient.birthDate"),
        ({"nickname": "x"}, {}, "Patient.nickname"),
        (
            {"telecom": [{"system": "pigeon", "value": "1"}]},
            {"telecom": [{"value": "1", "system": "other"}]},
            "Patient.telecom[0].system",
        ),
        ({"text": {"status": "generated"}}, {}, "Patient.text"),
        (
            {"generalPractitioner": [{"reference": "Patient/1"}]},
            {},
            "Patient.generalPractitioner[0].reference",
        ),
        (
            {"deceasedBoolean": True, "deceasedDateTime": "2020"},
            {"deceasedBoolean": True},
            "Patient.deceasedDateTime",
        ),
        ({"birthDate": ["1970", "1971"]}, {"birthDate": "1970"}, "Patient.birthDate[1]"),
    ],
)
def test_what_cannot_be_saved_is_taken_out_and_named(change, left, lost):
    """The rest of the resource stays as it was, and the place of the loss is told."""
    done = repaired({**PATIENT, **change})
    assert done.resource == {**PATIENT, **left}
    assert [path for path, _ in done.lost] == [lost]
    assert all(issue.action for issue in done.issues)


@pytest.mark.parametrize("nothing", [None, "", " ", [], {}, [None], [""], [{}], {"coding": []}])
def test_nothing_is_left_out_without_being_called_a_loss(nothing):
    """Nulls and empty values say nothing: they go, are told, and are no loss."""
    done = repaired({**PATIENT, "maritalStatus" if isinstance(nothing, dict | None) else "name": nothing})
    assert done.resource is not None
    assert done.lost == ()
    assert done.issues
    assert validate(done.resource) == []


def test_locations_are_those_of_the_source():
    """After the first removal later items move up; reports keep the source's indexes."""
    names = [{"family": "A"}, None, {"family": "B", "use": "bad"}, "", {"family": "C", "use": "worse"}]
    done = repaired({**PATIENT, "name": names})
    assert done.resource["name"] == [{"family": "A"}, {"family": "B"}, {"family": "C"}]
    assert [path for path, _ in done.lost] == ["Patient.name[4].use", "Patient.name[2].use"]


def test_a_removed_item_takes_its_twin_along_and_an_extension_keeps_its_place():
    """Arrays of primitives and their twins stay aligned."""
    extension = {"extension": [{"url": "urn:x", "valueString": "y"}]}
    done = repaired({**PATIENT, "name": [{"given": ["", "b", ""], "_given": [None, None, extension]}]})
    assert done.resource["name"] == [{"given": ["b", None], "_given": [None, extension]}]


@pytest.mark.parametrize(
    ("resource", "element", "value"),
    [
        ({"resourceType": "Observation", "code": {"text": "x"}}, "status", "unknown"),
        ({"resourceType": "Observation", "status": "final", "code": {"coding": 5}}, "code", None),
        ({"resourceType": "Encounter", "status": "finished"}, "class", None),
        (
            {
                "resourceType": "Immunization",
                "status": "completed",
                "vaccineCode": {"text": "v"},
                "patient": {"display": "p"},
            },
            "_occurrenceDateTime",
            None,
        ),
    ],
)
def test_required_elements_are_declared_unknown_where_r4_has_a_way(resource, element, value):
    """A good observation is not lost for want of a status; nothing is made up either."""
    fixed, issues = repair(resource)
    assert validate(fixed) == []
    assert any("unknown" in issue.message for issue in issues)
    assert fixed[element] == value if value else "unknown" in dumps(fixed[element]).decode()


@pytest.mark.parametrize(
    ("resource", "element", "said"),
    [
        ({"resourceType": "Condition", "code": {"text": "x"}}, "subject", ABSENT),
        (
            {"resourceType": "DocumentReference", "content": [{"attachment": {"title": "t"}}]},
            "_status",
            ABSENT,
        ),
        (
            {"resourceType": "Provenance", "target": [{"display": "t"}], "recorded": "2020-01-01T00:00:00Z"},
            "agent",
            [{"who": ABSENT}],
        ),
        (
            {"resourceType": "MessageHeader", "eventUri": "urn:x:y", "source": {"name": "no endpoint"}},
            "source",
            {"name": "no endpoint", "_endpoint": ABSENT},
        ),
        (
            {
                "resourceType": "OperationOutcome",
                "issue": [{"code": "invalid", "severity": "dire"}],
            },
            "issue",
            [{"code": "invalid", "_severity": ABSENT}],
        ),
        (
            {"resourceType": "Patient", "link": [{"type": "refer"}]},
            "link",
            [{"type": "refer", "other": ABSENT}],
        ),
        ({"resourceType": "AppointmentResponse", "comment": "c"}, "actor", ABSENT),
        ({"resourceType": "InsurancePlan", "alias": ["a"]}, "_name", ABSENT),
    ],
)
def test_no_resource_goes_because_one_element_that_it_needs_is_bad(resource, element, said):
    """Where the value set has no "unknown", R4's data-absent-reason stands in the element's place."""
    fixed, issues = repair(resource)
    assert fixed[element] == said
    assert validate(fixed) == []
    assert all(issue.severity is not Severity.ERROR for issue in issues)


@pytest.mark.parametrize(
    ("resource", "path"),
    [
        ({"resourceType": "Condition", "id": "c"}, "Condition.subject"),
        (
            {"resourceType": "Linkage", "item": [{"type": "source", "resource": {"display": "one alone"}}]},
            "Linkage",
        ),
        ({"resourceType": "Nothing"}, "Resource.resourceType"),
        ({}, "Resource.resourceType"),
    ],
)
def test_a_resource_that_cannot_be_saved_says_why(resource, path):
    """What tells nothing, what R4 does not know, and a link that links nothing."""
    fixed, issues = repair(resource)
    assert fixed is None
    assert (issues[-1].severity, issues[-1].location) == (Severity.ERROR, path)


def test_a_narrative_with_forbidden_markup_keeps_its_text():
    """The words matter; the markup that R4 forbids does not."""
    div = "<div><script>alert(1)</script><u>Allergic</u> to <b>penicillin</b><br>since 1990</div>"
    fixed, issues = repair({**PATIENT, "text": {"status": "generated", "div": div}})
    assert (
        fixed["text"]["div"]
        == '<div xmlns="http://www.w3.org/1999/xhtml">Allergic to penicillin<br/>since 1990</div>'
    )
    assert issues[0].location == "Patient.text.div"


def test_a_contained_resource_that_is_beyond_repair_takes_its_references_along():
    """No reference is left that points to what is gone."""
    contained = [{"resourceType": "Persona", "id": "o"}]
    fixed, _ = repair(
        {**PATIENT, "contained": contained, "managingOrganization": {"reference": "#o", "display": "Clinic"}}
    )
    assert fixed == {**PATIENT, "managingOrganization": {"display": "Clinic"}}


def test_the_argument_is_never_changed_and_a_valid_resource_is_returned_as_it_is():
    """Callers keep the source beside what was made of it."""
    broken = {**PATIENT, "gender": "x", "name": [{"given": ["a", None, {}]}, None], "foo": {"a": [1]}}
    before = copy.deepcopy(broken)
    repair(broken)
    assert broken == before
    assert repair(PATIENT) == (PATIENT, [])
    assert repair(PATIENT)[0] is PATIENT


def test_repairing_twice_changes_nothing_more():
    """What repair returns is valid, so that a second pass has nothing to do."""
    fixed, _ = repair({**PATIENT, "gender": "x", "contact": [{"gender": "y"}], "telecom": {"value": 5}})
    assert repair(fixed) == (fixed, [])
