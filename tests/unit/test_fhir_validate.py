"""Validation of structure, formats, codes and references."""

from decimal import Decimal

import pytest

from engine.fhir.validate import second_opinion, validate
from engine.records import Severity

PATIENT = {
    "resourceType": "Patient",
    "id": "p1",
    "identifier": [{"system": "urn:example:mrn", "value": "M1"}],
    "name": [{"family": "Tan", "given": ["Mei", "Ling"]}],
    "gender": "female",
    "birthDate": "1970-02-28",
}
OBSERVATION = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"text": "Glucose"},
    "valueQuantity": {"value": Decimal("5.50"), "unit": "mmol/L"},
}


def found(resource):
    return [
        (finding.code, finding.path) for finding in validate(resource) if finding.severity is Severity.ERROR
    ]


def test_valid_resources_have_no_findings():
    """A finding on a good resource would send it through repair for nothing."""
    assert validate(PATIENT) == []
    assert validate(OBSERVATION) == []


@pytest.mark.parametrize(
    ("change", "code", "path"),
    [
        ({"nickname": "x"}, "unknown-element", "Patient.nickname"),
        ({"name": {"family": "T"}}, "array-expected", "Patient.name"),
        ({"birthDate": ["1970"]}, "single-expected", "Patient.birthDate"),
        ({"active": "true"}, "wrong-type", "Patient.active"),
        ({"multipleBirthInteger": True}, "wrong-type", "Patient.multipleBirthInteger"),
        ({"multipleBirthInteger": Decimal("1.0")}, "format", "Patient.multipleBirthInteger"),
        ({"birthDate": "1970-02-30"}, "format", "Patient.birthDate"),
        ({"deceasedDateTime": "2020-01-01T10:00:00"}, "format", "Patient.deceasedDateTime"),
        ({"gender": "F"}, "code", "Patient.gender"),
        ({"language": "english language"}, "code", "Patient.language"),
        ({"name": []}, "empty", "Patient.name"),
        ({"maritalStatus": {}}, "empty", "Patient.maritalStatus"),
        ({"maritalStatus": {"id": "x"}}, "empty", "Patient.maritalStatus"),
        ({"birthDate": ""}, "empty", "Patient.birthDate"),
        ({"birthDate": None}, "null", "Patient.birthDate"),
        ({"name": [None]}, "null", "Patient.name[0]"),
        ({"name": [{"given": ["a", None]}]}, "null", "Patient.name[0].given[1]"),
        ({"name": [{"family": "\x00"}]}, "format", "Patient.name[0].family"),
        ({"name": [{"family": "  "}]}, "empty", "Patient.name[0].family"),
        ({"id": "a_b"}, "format", "Patient.id"),
        ({"deceasedBoolean": False, "deceasedDateTime": "2020"}, "choice", "Patient.deceasedDateTime"),
        ({"link": [{"type": "refer"}]}, "missing", "Patient.link[0].other"),
        (
            {"managingOrganization": {"reference": "Patient/1"}},
            "target",
            "Patient.managingOrganization.reference",
        ),
        (
            {"managingOrganization": {"reference": "the clinic"}},
            "reference-format",
            "Patient.managingOrganization.reference",
        ),
        ({"managingOrganization": {"reference": "#x"}}, "ref-1", "Patient.managingOrganization.reference"),
        ({"photo": [{"contentType": "image/png", "data": "SGk"}]}, "format", "Patient.photo[0].data"),
        ({"photo": [{"contentType": "picture", "url": "http://x"}]}, "code", "Patient.photo[0].contentType"),
        ({"text": {"status": "generated", "div": "<div>no namespace</div>"}}, "format", "Patient.text.div"),
        ({"extension": [{"url": "relative", "valueCode": "x"}]}, "ext-url", "Patient.extension[0].url"),
        ({"resourceType": "Persona"}, "resource-type", "Resource.resourceType"),
    ],
)
def test_each_breach_is_found_where_it_stands(change, code, path):
    """A person reads the code and the place, and needs nothing else to find the fault."""
    assert found({**PATIENT, **change}) == [(code, path)]


def test_findings_never_show_values():
    """Values are patient data; locations and kinds are all that may be told."""
    secret = "Zephyrine"
    broken = {
        **PATIENT,
        "gender": secret,
        "birthDate": secret,
        "active": secret,
        "name": secret,
        secret + " Tan": 1,
    }
    assert len(validate(broken)) == 5
    assert not any(secret in f"{finding.message}{finding.path}" for finding in validate(broken))


def test_a_required_element_may_be_its_extension_only():
    """R4 allows data-absent-reason in place of a required value (§2.6.2.3)."""
    absent = {
        "extension": [
            {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
        ]
    }
    provenance = {
        "resourceType": "Provenance",
        "target": [{"reference": "Patient/1"}],
        "_recorded": absent,
        "agent": [{"who": {"display": "x"}}],
    }
    assert found(provenance) == []
    del provenance["_recorded"]
    assert found(provenance) == [("missing", "Provenance.recorded")]


def test_nulls_stand_for_values_that_are_extensions_only():
    """Null is a place holder beside an underscore twin, and nothing anywhere else."""
    extension = {"extension": [{"url": "urn:x", "valueString": "y"}]}
    name = {"given": ["a", None], "_given": [None, extension]}
    assert found({**PATIENT, "name": [name]}) == []
    assert found({**PATIENT, "name": [{**name, "_given": [extension]}]}) == [
        ("null", "Patient.name[0].given[1]"),
        ("misaligned", "Patient.name[0].given"),
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"birthDate": "1970-02-28", "_birthDate": {"id": "b"}}, []),
        ({"name": [{"given": ["A", "B"], "_given": [None, {"id": "b"}]}]}, []),
        ({"_birthDate": {"id": "b"}, "birthDate": None}, ["empty"]),
        ({"name": [{"given": ["A", None], "_given": [None, {"id": "b"}]}]}, ["empty"]),
        ({"birthDate": "1970-02-28", "_birthDate": {"id": "a b"}}, ["format"]),
    ],
)
def test_an_id_alone_is_enough_beside_a_value(change, expected):
    """ele-1 asks for a value or children: the id of a value that is there is kept, that of none says nothing."""
    found_codes = [code for code, _ in found({**PATIENT, **change})]
    assert [code for code in found_codes if code != "null"] == expected


def test_a_concept_with_a_required_binding_needs_a_coding_of_the_set():
    """A text, or a code of another system, is not what the binding demands."""
    condition = {"resourceType": "Condition", "subject": {"reference": "Patient/1"}}
    system = "http://terminology.hl7.org/CodeSystem/condition-clinical"
    good = {"coding": [{"system": "urn:local", "code": "A"}, {"system": system, "code": "active"}]}
    assert found({**condition, "clinicalStatus": good}) == []
    for bad in (
        {"text": "active"},
        {"coding": [{"code": "active"}]},
        {"coding": [{"system": system, "code": "aktiv"}]},
    ):
        assert found({**condition, "clinicalStatus": bad}) == [("code", "Condition.clinicalStatus")]


def test_contained_resources_are_referred_to_and_hold_none_themselves():
    """dom-2 to dom-5."""
    organization = {"resourceType": "Organization", "id": "o", "name": "Clinic"}
    holder = {**PATIENT, "managingOrganization": {"reference": "#o"}, "contained": [organization]}
    assert found(holder) == []
    assert found({**PATIENT, "contained": [organization]}) == [("dom-3", "Patient.contained[0]")]
    nested = {**organization, "contained": [{**organization, "id": "i"}], "meta": {"versionId": "1"}}
    assert {code for code, _ in found({**holder, "contained": [nested]})} == {"dom-2", "dom-4"}


def test_a_contained_target_must_be_of_an_allowed_type():
    """``#id`` is followed to see what it points to."""
    device = {"resourceType": "Device", "id": "d"}
    holder = {**PATIENT, "managingOrganization": {"reference": "#d"}, "contained": [device]}
    assert found(holder) == [("target", "Patient.managingOrganization.reference")]


@pytest.mark.parametrize(
    "reference",
    [
        "Organization/1",
        "http://server/fhir/Organization/1",
        "Organization/1/_history/2",
        "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0",
        "Organization?identifier=a|b",
        "https://example.org/any/thing",
    ],
)
def test_all_forms_of_reference_are_taken(reference):
    """R4 knows relative, absolute, URN, contained and, in transactions, conditional references."""
    assert found({**PATIENT, "managingOrganization": {"reference": reference}}) == []


def test_resources_in_a_bundle_are_validated_where_they_stand():
    """The path leads from the Bundle to the fault."""
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": {**PATIENT, "gender": "x"}}],
    }
    assert found(bundle) == [("code", "Bundle.entry[0].resource.gender")]


def test_systems_without_a_scheme_are_warned_of():
    """Receivers refuse relative systems, R4's rules do not: a warning."""
    findings = validate({**PATIENT, "identifier": [{"system": "mrn", "value": "1"}]})
    assert [(f.code, f.severity) for f in findings] == [("system-absolute", Severity.WARNING)]


def test_the_second_opinion_agrees_on_structure():
    """fhir.resources finds what breaks structure, and nothing in what is valid."""
    assert second_opinion(PATIENT) == []
    assert second_opinion(OBSERVATION) == []
    assert [f.path for f in second_opinion({**PATIENT, "nickname": "x"})] == ["Patient.nickname"]
    assert second_opinion({"resourceType": "MedicinalProduct"}) == []
