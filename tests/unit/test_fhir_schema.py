"""The structural schema of FHIR R4: what the maps and the validator build upon."""

import re
import subprocess
import sys

import pytest

from engine.fhir import schema


def test_a_path_leads_through_data_types_and_backbone_elements():
    """Maps name targets by path; each step must land on the element that R4 defines."""
    assert schema.resolve("Patient.contact.name").types == ("HumanName",)
    assert schema.resolve("Observation.valueQuantity.value").types == ("decimal",)
    assert schema.resolve("Dosage.doseAndRate.doseQuantity").profile == "SimpleQuantity"


@pytest.mark.parametrize("path", ["Patient.nickname", "Patient.birthDate.year", "Nobody.name", "Patient"])
def test_a_path_that_r4_does_not_have_is_a_key_error(path):
    """A typing error in a map must not pass."""
    with pytest.raises(KeyError):
        schema.resolve(path)


@pytest.mark.parametrize(
    ("path", "least", "most"),
    [
        ("Patient.identifier", 0, None),
        ("Observation.status", 1, 1),
        ("Provenance.target", 1, None),
        ("Patient.gender", 0, 1),
    ],
)
def test_cardinality_is_that_of_r4(path, least, most):
    """Required and repeating elements are told as the specification tells them."""
    element = schema.resolve(path)
    assert (element.min, element.max) == (least, most)


def test_choice_elements_stand_under_their_json_names():
    """A choice has one name a type, and its own minimum is told apart."""
    assert schema.resolve("Observation.valueCodeableConcept").choice == "value"
    assert schema.choices("Immunization") == (
        schema.Choice("occurrence", 1, ("occurrenceDateTime", "occurrenceString")),
    )
    assert "value[x]" not in schema.elements("Observation")


def test_an_element_whose_name_ends_like_its_type_is_no_choice():
    """``Coding.code`` ends with its type's name and is a plain element."""
    assert schema.resolve("Coding.code").choice == ""


def test_required_codes_and_their_system_are_known():
    """A map checks a constant against the required binding before any message comes."""
    assert schema.resolve("Patient.gender").codes == {"male", "female", "other", "unknown"}
    clinical = schema.resolve("Condition.clinicalStatus")
    assert clinical.binding_system == "http://terminology.hl7.org/CodeSystem/condition-clinical"
    assert schema.resolve("Attachment.contentType").codes is None
    assert schema.resolve("Attachment.contentType").format == "mime"


def test_content_references_lead_to_the_elements_they_name():
    """Observation.component.referenceRange is defined once, under Observation."""
    assert set(schema.elements("Observation.component.referenceRange")) == set(
        schema.elements("Observation.referenceRange")
    )
    assert schema.resolve("Questionnaire.item.item.item").content == "Questionnaire.item"


def test_reference_targets_are_known_and_any_is_empty():
    """A reference to the wrong type is found; one that may point anywhere is left alone."""
    assert schema.resolve("Patient.managingOrganization").targets == ("Organization",)
    assert schema.resolve("Observation.focus").targets == ()


def test_all_resources_of_r4_and_no_others():
    """R4 has 146 concrete resource types; abstract ones and those of R5 are none."""
    assert len(schema.resource_types()) == 146
    assert schema.is_resource("ServiceRequest")
    assert not any(
        map(schema.is_resource, ["DomainResource", "HumanName", "SubscriptionTopic", "ProcedureRequest", ""])
    )


def test_every_element_has_content_or_a_primitive_type():
    """The data is whole: nothing in it points to a type that is not there."""
    for resource in schema.resource_types():
        for element in schema.elements(resource).values():
            if element.content:
                assert schema.elements(element.content)
            else:
                assert element.types[0] in schema.PRIMITIVES


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("date", "2024-02", "2024-13"),
        ("dateTime", "2024-02-29T10:00:00+08:00", "2024-02-29T10:00+08:00"),
        ("instant", "2024-02-29T10:00:00.123Z", "2024-02-29"),
        ("code", "a b", "a  b"),
        ("id", "A-1.b", "a_b"),
        ("oid", "urn:oid:2.16.840", "2.16.840"),
        ("string", "José 陈 \u00a0", "a\x00"),
        ("decimal", "-1.50", "01"),
    ],
)
def test_primitive_patterns(kind, good, bad):
    """The patterns take what R4 takes, by whole value."""
    assert schema.PRIMITIVES[kind].fullmatch(good)
    assert not schema.PRIMITIVES[kind].fullmatch(bad)


def test_importing_reads_nothing():
    """Start-up stays short: the data is read when first asked for."""
    code = "import engine.fhir.schema as s; print(s._data.cache_info().currsize)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"0\s*", done.stdout)
