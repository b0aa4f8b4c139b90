"""R4's invariants: for each a resource that keeps it and one that breaks it, and what repair then does."""

import pytest

from engine.fhir.validate import repair, validate
from engine.records import Severity

SUBJECT = {"subject": {"reference": "Patient/1"}}
PATIENT = {"patient": {"reference": "Patient/1"}}
ALLERGY = "http://terminology.hl7.org/CodeSystem/allergyintolerance-"
CONDITION = "http://terminology.hl7.org/CodeSystem/condition-"


def coded(system, code):
    return {"coding": [{"system": system, "code": code}]}


def made(kind, **elements):
    return {"resourceType": kind, **elements}


def observation(**elements):
    return made("Observation", status="final", code=coded("http://loinc.org", "1-8"), **elements)


def timed(**repeat):
    return made(
        "MedicationStatement",
        status="active",
        medicationCodeableConcept={"text": "m"},
        **SUBJECT,
        dosage=[{"timing": {"repeat": repeat}}],
    )


def bundle(kind="collection", **elements):
    return made("Bundle", type=kind, **elements)


ENTRY = {"resource": made("Patient")}
PUT = {**ENTRY, "request": {"method": "PUT", "url": "Patient/1"}}
ACTIVE = coded(ALLERGY + "clinical", "active")
IN_ERROR = coded(ALLERGY + "verification", "entered-in-error")

CASES = [
    (
        "ait-1",
        made("AllergyIntolerance", **PATIENT, clinicalStatus=ACTIVE),
        made("AllergyIntolerance", **PATIENT),
    ),
    (
        "ait-2",
        made("AllergyIntolerance", **PATIENT, verificationStatus=IN_ERROR),
        made("AllergyIntolerance", **PATIENT, verificationStatus=IN_ERROR, clinicalStatus=ACTIVE),
    ),
    (
        "app-1",
        made(
            "Appointment",
            status="proposed",
            participant=[{"actor": {"reference": "Patient/1"}, "status": "accepted"}],
        ),
        made(
            "Appointment",
            status="proposed",
            participant=[{"status": "accepted"}, {"actor": {"display": "x"}, "status": "accepted"}],
        ),
    ),
    (
        "app-3",
        made(
            "Appointment", status="waitlist", participant=[{"actor": {"display": "x"}, "status": "accepted"}]
        ),
        made("Appointment", status="booked", participant=[{"actor": {"display": "x"}, "status": "accepted"}]),
    ),
    (
        "att-1",
        made("Patient", photo=[{"contentType": "image/png", "data": "SGk="}]),
        made("Patient", photo=[{"data": "SGk="}]),
    ),
    ("bdl-1", bundle("searchset", total=1), bundle(total=1)),
    ("bdl-3", bundle("transaction", entry=[PUT]), bundle("transaction", entry=[ENTRY])),
    ("bdl-3", bundle(entry=[ENTRY]), bundle(entry=[PUT])),
    (
        "bdl-7",
        bundle(entry=[{**ENTRY, "fullUrl": "urn:a:1"}]),
        bundle(entry=[{**ENTRY, "fullUrl": "urn:a:1"}] * 2),
    ),
    ("bdl-12", bundle("collection"), bundle("message", entry=[ENTRY])),
    (
        "cmp-1",
        None,
        made(
            "Composition",
            status="final",
            type={"text": "t"},
            date="2024",
            author=[{"display": "a"}],
            title="t",
            section=[{"title": "s"}],
        ),
    ),
    (
        "con-2",
        made("Condition", **SUBJECT, evidence=[{"code": [{"text": "e"}]}]),
        made("Condition", **SUBJECT, evidence=[{"extension": [{"url": "urn:x", "valueCode": "y"}]}]),
    ),
    (
        "con-4",
        made(
            "Condition",
            **SUBJECT,
            abatementDateTime="2020",
            clinicalStatus=coded(CONDITION + "clinical", "resolved"),
        ),
        made("Condition", **SUBJECT, abatementDateTime="2020"),
    ),
    (
        "con-4",
        made("Condition", **SUBJECT, clinicalStatus=coded(CONDITION + "clinical", "active")),
        made(
            "Condition",
            **SUBJECT,
            abatementString="last year",
            clinicalStatus=coded(CONDITION + "clinical", "active"),
        ),
    ),
    (
        "con-5",
        made("Condition", **SUBJECT, verificationStatus=coded(CONDITION + "ver-status", "entered-in-error")),
        made(
            "Condition",
            **SUBJECT,
            verificationStatus=coded(CONDITION + "ver-status", "entered-in-error"),
            clinicalStatus=coded(CONDITION + "clinical", "active"),
        ),
    ),
    (
        "cpt-2",
        made("Patient", telecom=[{"system": "phone", "value": "1"}]),
        made("Patient", telecom=[{"value": "1"}]),
    ),
    (
        "ext-1",
        made("Patient", extension=[{"url": "urn:x", "valueCode": "y"}]),
        made("Patient", extension=[{"url": "urn:x"}]),
    ),
    (
        "fhs-1",
        made(
            "FamilyMemberHistory",
            status="completed",
            relationship={"text": "r"},
            **PATIENT,
            bornString="1950",
        ),
        made(
            "FamilyMemberHistory",
            status="completed",
            relationship={"text": "r"},
            **PATIENT,
            bornString="1950",
            ageString="70",
        ),
    ),
    (
        "imm-1",
        None,
        made(
            "Immunization",
            status="completed",
            vaccineCode={"text": "v"},
            **PATIENT,
            occurrenceString="2020",
            education=[{"publicationDate": "2020"}],
        ),
    ),
    (
        "mad-1",
        None,
        made(
            "MedicationAdministration",
            status="completed",
            medicationCodeableConcept={"text": "m"},
            **SUBJECT,
            effectiveDateTime="2020",
            dosage={"text": "x"},
        ),
    ),
    (
        "mdd-1",
        made(
            "MedicationDispense",
            status="completed",
            medicationCodeableConcept={"text": "m"},
            whenPrepared="2020-01-01",
            whenHandedOver="2020-01-02",
        ),
        made(
            "MedicationDispense",
            status="completed",
            medicationCodeableConcept={"text": "m"},
            whenPrepared="2020-01-03",
            whenHandedOver="2020-01-02",
        ),
    ),
    (
        "obs-3",
        observation(referenceRange=[{"text": "<5"}]),
        observation(referenceRange=[{"type": {"text": "t"}}]),
    ),
    (
        "obs-6",
        observation(dataAbsentReason={"text": "x"}),
        observation(dataAbsentReason={"text": "x"}, valueString="v"),
    ),
    (
        "obs-7",
        observation(
            valueString="v", component=[{"code": coded("http://loinc.org", "2-6"), "valueString": "w"}]
        ),
        observation(
            valueString="v", component=[{"code": coded("http://loinc.org", "1-8"), "valueString": "w"}]
        ),
    ),
    ("org-1", made("Organization", name="n"), made("Organization", active=True)),
    (
        "org-2",
        made("Organization", name="n", address=[{"use": "work", "city": "c"}]),
        made("Organization", name="n", address=[{"use": "home", "city": "c"}]),
    ),
    (
        "pat-1",
        made("Patient", contact=[{"name": {"text": "c"}}]),
        made("Patient", contact=[{"gender": "male"}]),
    ),
    (
        "per-1",
        made(
            "Encounter",
            status="finished",
            **{"class": {"code": "AMB"}},
            period={"start": "2020", "end": "2020-05"},
        ),
        made(
            "Encounter",
            status="finished",
            **{"class": {"code": "AMB"}},
            period={"start": "2020-06", "end": "2020-05"},
        ),
    ),
    (
        "prr-1",
        None,
        made("ServiceRequest", status="active", intent="order", **SUBJECT, orderDetail=[{"text": "d"}]),
    ),
    (
        "qty-3",
        observation(valueQuantity={"value": 1, "code": "mg", "system": "http://unitsofmeasure.org"}),
        observation(valueQuantity={"value": 1, "code": "mg"}),
    ),
    (
        "rat-1",
        observation(valueRatio={"numerator": {"value": 1}, "denominator": {"value": 2}}),
        observation(valueRatio={"numerator": {"value": 1}}),
    ),
    (
        "rng-2",
        observation(valueRange={"low": {"value": 1}, "high": {"value": 2}}),
        observation(valueRange={"low": {"value": 3}, "high": {"value": 2}}),
    ),
    (
        "sqty-1",
        observation(referenceRange=[{"low": {"value": 1}}]),
        observation(referenceRange=[{"low": {"value": 1, "comparator": "<"}}]),
    ),
    ("tim-1", timed(duration=1, durationUnit="h"), timed(duration=1)),
    ("tim-2", timed(period=1, periodUnit="d"), timed(period=1)),
    ("tim-9", timed(offset=5, when=["AC"]), timed(offset=5, when=["C"])),
    ("tim-10", timed(when=["AC"]), timed(when=["AC"], timeOfDay=["08:00:00"])),
]


def errors(resource):
    return [finding.code for finding in validate(resource) if finding.severity is Severity.ERROR]


@pytest.mark.parametrize(
    ("key", "good", "bad"), CASES, ids=[f"{key}-{n}" for n, (key, _, _) in enumerate(CASES)]
)
def test_an_invariant_is_kept_and_broken(key, good, bad):
    """The good one passes, so the rule is not too strict; the bad one is found under R4's own key."""
    if good is not None:
        assert errors(good) == []
    assert errors(bad) == [key]


@pytest.mark.parametrize(
    ("key", "good", "bad"), CASES, ids=[f"{key}-{n}" for n, (key, _, _) in enumerate(CASES)]
)
def test_repair_mends_a_broken_invariant_or_gives_up_with_a_reason(key, good, bad):
    """Nothing that breaks an invariant leaves, and what was done is told under the invariant's key."""
    repaired, issues = repair(bad)
    assert any(issue.code == key and issue.action for issue in issues)
    assert errors(repaired) == [] if repaired is not None else issues[-1].severity is Severity.ERROR
    assert (repaired is None) == (key in {"app-3", "bdl-3", "bdl-7", "bdl-12"})


def test_an_allergy_without_status_is_shown_as_active():
    """Losing an allergy, or making it look past, can hurt; the rule is stated in the issue."""
    repaired, issues = repair(made("AllergyIntolerance", **PATIENT))
    assert repaired["clinicalStatus"]["coding"][0]["code"] == "active"
    assert "set to active" in issues[0].message


def test_only_the_use_of_an_organizations_home_address_goes():
    """The address itself is good information: the smallest broken part is its use."""
    repaired, _ = repair(
        made("Organization", name="n", address=[{"use": "home", "city": "c"}, {"use": "work", "city": "d"}])
    )
    assert repaired["address"] == [{"city": "c"}, {"use": "work", "city": "d"}]


def test_a_phone_number_of_unknown_kind_is_kept():
    """cpt-2 is mended by saying what is known, which loses nothing."""
    repaired, _ = repair(made("Patient", telecom=[{"value": "+65 0000 0000"}]))
    assert repaired["telecom"] == [{"value": "+65 0000 0000", "system": "other"}]
