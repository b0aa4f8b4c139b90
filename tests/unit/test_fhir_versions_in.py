"""FHIR of other versions comes in as R4 or is refused by its name; canonical form where a site asks for it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiohttp.test_utils import TestClient, TestServer

from adapters.composition import make_pipeline
from adapters.http.server import HttpServer
from adapters.observability.metrics import Metrics
from engine.records import Envelope, Kind, Outcome, Record
from engine.settings import Mapping, Settings
from engine.stages import envelopes

AT = datetime(2026, 1, 1, tzinfo=UTC)
US_CORE = Path(__file__).parents[3] / "shared" / "corpora" / "hl7" / "us-core-examples"
SUBJECT = {"reference": "Patient/p"}
CODE = {"coding": [{"system": "http://loinc.org", "code": "718-7"}]}


def process(document, **mapping) -> Outcome:
    pipeline = make_pipeline(Settings(mapping=Mapping(**mapping)))
    (outcome,) = pipeline.process(Envelope(json.dumps(document).encode(), Kind.FHIR, "f", "m", AT))
    return outcome


def converted(document):
    """The R4 resource, nothing lost, and the issue that says what was done."""
    outcome = process(document)
    assert outcome.accepted
    assert [u.reason for u in outcome.unmapped] == []
    assert "fhir-version" in {issue.code for issue in outcome.issues}
    (entry,) = outcome.bundle["entry"]
    return entry["resource"]


def test_observation_of_stu3():
    """The encounter, comment and members of a result keep their meaning under R4's names."""
    found = converted(
        {
            "resourceType": "Observation", "status": "final", "code": CODE, "subject": SUBJECT,
            "category": [{"coding": [{"system": "http://hl7.org/fhir/observation-category", "code": "laboratory"}]}],
            "context": {"reference": "Encounter/e"}, "comment": "haemolysed",
            "related": [
                {"type": "has-member", "target": {"reference": "Observation/a"}},
                {"type": "derived-from", "target": {"reference": "Observation/b"}},
            ],
            "interpretation": {"coding": [{"system": "http://hl7.org/fhir/v2/0078", "code": "H"}]},
        }
    )  # fmt: skip
    assert found["encounter"] == {"reference": "Encounter/e"}
    assert found["note"] == [{"text": "haemolysed"}]
    assert found["hasMember"] == [{"reference": "Observation/a"}]
    assert found["derivedFrom"] == [{"reference": "Observation/b"}]
    assert found["interpretation"] == [
        {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0078", "code": "H"}]}
    ]
    category = found["category"][0]["coding"][0]["system"]
    assert category == "http://terminology.hl7.org/CodeSystem/observation-category"


def test_condition_and_allergy_of_stu3():
    """Status codes become concepts of R4's code systems; when it was asserted is kept."""
    condition = converted(
        {
            "resourceType": "Condition", "clinicalStatus": "active", "verificationStatus": "confirmed",
            "code": {"text": "cough"}, "subject": SUBJECT, "context": {"reference": "Encounter/e"},
            "assertedDate": "2017-01-02", "stage": {"summary": {"text": "II"}},
        }
    )  # fmt: skip
    assert condition["clinicalStatus"]["coding"] == [
        {"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}
    ]
    assert condition["verificationStatus"]["coding"][0]["code"] == "confirmed"
    assert condition["extension"][0]["valueDateTime"] == "2017-01-02"
    assert condition["stage"] == [{"summary": {"text": "II"}}]
    allergy = converted(
        {
            "resourceType": "AllergyIntolerance", "clinicalStatus": "resolved", "verificationStatus": "confirmed",
            "patient": SUBJECT, "code": {"text": "nuts"}, "assertedDate": "2017",
        }
    )  # fmt: skip
    assert allergy["clinicalStatus"]["coding"][0]["code"] == "resolved"
    assert allergy["recordedDate"] == "2017"


def test_orders_and_medicines_of_stu3():
    """A dose stands in doseAndRate, the requester is the agent, and a thing not done has that status."""
    request = converted(
        {
            "resourceType": "MedicationRequest", "status": "active", "intent": "order", "subject": SUBJECT,
            "medicationCodeableConcept": {"text": "x"}, "requester": {"agent": {"reference": "Practitioner/d"}},
            "category": {"text": "inpatient"}, "substitution": {"allowed": True},
            "dosageInstruction": [{"text": "daily", "doseQuantity": {"value": 5, "unit": "mg"}}],
        }
    )  # fmt: skip
    assert request["requester"] == {"reference": "Practitioner/d"}
    assert request["category"] == [{"text": "inpatient"}]
    assert request["substitution"] == {"allowedBoolean": True}
    assert request["dosageInstruction"][0]["doseAndRate"] == [{"doseQuantity": {"value": 5, "unit": "mg"}}]
    shot = converted(
        {
            "resourceType": "Immunization", "status": "completed", "notGiven": True, "patient": SUBJECT,
            "vaccineCode": {"text": "MMR"}, "date": "2017-05-05", "primarySource": True,
            "explanation": {"reasonNotGiven": [{"text": "fever"}]},
            "practitioner": [{"role": {"text": "nurse"}, "actor": {"reference": "Practitioner/n"}}],
        }
    )  # fmt: skip
    assert (shot["status"], shot["occurrenceDateTime"]) == ("not-done", "2017-05-05")
    assert shot["statusReason"] == {"text": "fever"}
    assert shot["performer"] == [{"actor": {"reference": "Practitioner/n"}, "function": {"text": "nurse"}}]
    procedure = converted(
        {"resourceType": "Procedure", "status": "aborted", "subject": SUBJECT, "code": {"text": "x"},
         "context": {"reference": "Encounter/e"}}
    )  # fmt: skip
    assert procedure["status"] == "stopped"


def test_the_visit_of_a_stu3_bundle_is_found_by_its_address():
    """Synthea and others refer by urn:uuid: which type stands behind it, its own entry says."""
    visit, episode = ("urn:uuid:11111111-1111-4111-8111-11111111111" + n for n in "12")
    entries = [
        {"fullUrl": visit, "resource": {"resourceType": "Encounter", "status": "finished", "class": {"code": "IMP"}}},
        {"fullUrl": episode, "resource": {"resourceType": "EpisodeOfCare", "status": "active", "patient": SUBJECT}},
        *(
            {"resource": {"resourceType": "Observation", "id": name, "status": "final", "code": CODE,
                          "context": {"reference": at}, "comment": "x"}}
            for name, at in (("a", visit), ("b", episode))
        ),
    ]  # fmt: skip
    outcome = process({"resourceType": "Bundle", "type": "collection", "entry": entries})
    held = {e["resource"]["id"]: e["resource"] for e in outcome.bundle["entry"]}
    assert held["a"]["encounter"]["reference"].startswith("Encounter/")
    assert "type" not in held["a"]["encounter"]
    assert "encounter" not in held["b"]
    assert [u.location for u in outcome.unmapped] == ["Bundle.entry[3].resource.context"]


def test_a_bundle_of_stu3_keeps_its_references():
    """A ProcedureRequest becomes a ServiceRequest, and whoever is based on it still is."""
    bundle = {
        "resourceType": "Bundle", "type": "transaction",
        "entry": [
            {"resource": {"resourceType": "ProcedureRequest", "id": "r1", "status": "active", "intent": "order",
                          "code": {"text": "CT"}, "subject": SUBJECT},
             "request": {"method": "PUT", "url": "ProcedureRequest/r1"}},
            {"resource": {"resourceType": "DiagnosticReport", "id": "d1", "status": "final", "code": CODE,
                          "basedOn": [{"reference": "ProcedureRequest/r1"}]},
             "request": {"method": "PUT", "url": "DiagnosticReport/d1"}},
        ],
    }  # fmt: skip
    outcome = process(bundle)
    assert outcome.accepted
    assert outcome.unmapped == ()
    made = {e["request"]["url"]: e["resource"] for e in outcome.bundle["entry"]}
    assert set(made) == {"ServiceRequest/r1", "DiagnosticReport/d1"}
    assert made["DiagnosticReport/d1"]["basedOn"] == [{"reference": "ServiceRequest/r1"}]
    told = [i.location for i in outcome.issues if i.code == "fhir-version"]
    assert told == ["Bundle.entry[0].resource"]


def test_what_r4_has_no_place_for_is_reported_not_dropped():
    """On whose behalf an order was made, and a relation that R4 does not tell, stand in the report."""
    outcome = process(
        {
            "resourceType": "Observation", "status": "final", "code": CODE, "context": {"reference": "EpisodeOfCare/x"},
            "related": [{"type": "sequel-to", "target": {"reference": "Observation/a"}}],
        }
    )  # fmt: skip
    assert outcome.accepted
    assert {u.location for u in outcome.unmapped} == {"Observation.context", "Observation.related"}
    assert all("STU3" in u.reason for u in outcome.unmapped)


@pytest.mark.parametrize(
    ("kind", "version"),
    [
        ("DataElement", "STU3"),
        ("Sequence", "STU3"),
        ("SubscriptionStatus", "R4B"),
        ("DeviceAssociation", "R5"),
    ],
)
def test_a_type_that_r4_lacks_is_refused_by_the_name_of_its_version(kind, version):
    """The sender learns which version that is, and what to send."""
    outcome = process({"resourceType": kind, "id": "x", "status": "active"})
    assert not outcome.accepted
    assert any(f"FHIR {version}" in i.message and "R4 (4.0.1)" in i.action for i in outcome.issues)


def test_r4_and_r4b_of_the_common_types_pass_as_they_are():
    """Nothing is taken for STU3 that is R4, and R4B's Patient and Observation are R4's."""
    patient = {"resourceType": "Patient", "id": "p", "gender": "male",
               "meta": {"profile": ["http://hl7.org/fhir/4.3/StructureDefinition/Patient|4.3.0"]}}  # fmt: skip
    outcome = process(patient)
    assert outcome.bundle["entry"][0]["resource"] == patient
    assert outcome.issues == ()
    profiled = {"resourceType": "Patient", "id": "p", "meta": {"profile": ["http://x/Patient|3.0.2"]}}
    assert [i.code for i in process(profiled).issues] == ["fhir-version"]


def coded(system):
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": system, "code": "x"}]},
    }


@pytest.mark.parametrize(
    ("sent", "canonical"),
    [
        ("urn:oid:2.16.840.1.113883.6.1", "http://loinc.org"),
        ("urn:oid:2.16.840.1.113883.12.1", "http://terminology.hl7.org/CodeSystem/v2-0001"),
        ("http://hl7.org/fhir/v3/ActCode", "http://terminology.hl7.org/CodeSystem/v3-ActCode"),
        ("https://kgh.example/codes", "https://kgh.example/codes"),
    ],
)
def test_canonical_form_names_code_systems_as_hl7_v2_input_gets_them(sent, canonical):
    """Only where asked: the default leaves what came."""

    def system(**mapping):
        outcome = process(coded(sent), **mapping)
        return outcome.bundle["entry"][0]["resource"]["code"]["coding"][0]["system"]

    assert system() == sent
    assert system(canonical_fhir=True) == canonical


def test_one_number_is_one_patient_from_v2_and_from_fhir_in_canonical_form(tmp_path):
    """The site's table names an authority once; a FHIR sender's OID for it leads to the Patient that v2 made."""
    (tmp_path / "authorities.csv").write_text(
        "name,system,note\nKGH,https://kgh.example/mrn,\n1.2.3.4,https://kgh.example/mrn,\n", encoding="utf-8"
    )
    settings = Settings(mapping=Mapping(overlay=str(tmp_path), canonical_fhir=True))
    pipeline = make_pipeline(settings)
    v2 = b"MSH|^~\\&|A|KGH|||2026||ADT^A01|1|P|2.5.1\rPID|1||77^^^KGH^MR"
    fhir = {"resourceType": "Patient", "identifier": [{"system": "urn:oid:1.2.3.4", "value": "77"}],
            "telecom": [{"system": "phone", "value": "0000 0000"}]}  # fmt: skip
    (first,) = pipeline.process(Envelope(v2, Kind.HL7V2, "f", "m", AT))
    (second,) = pipeline.process(Envelope(json.dumps(fhir).encode(), Kind.FHIR, "f", "m", AT))
    assert first.patient_key == second.patient_key
    (entry,) = second.bundle["entry"]
    assert f"Patient/{entry['resource']['id']}" == first.patient_key
    assert entry["resource"]["telecom"] == fhir["telecom"]


@pytest.mark.corpora
@pytest.mark.skipif(not US_CORE.is_dir(), reason="the development corpora are not beside the project")
def test_us_core_stays_intact_also_in_canonical_form():
    """Profiles, extensions and every value of HL7's US Core examples go through; none is taken for STU3."""
    files = sorted(US_CORE.rglob("*.json"))[:60]
    assert files
    pipeline = make_pipeline(Settings(mapping=Mapping(canonical_fhir=True)))
    compared = 0
    for file in files:
        source = json.loads(file.read_text(encoding="utf-8"))
        if source.get("resourceType") in {"Bundle", None} or "entry" in source:
            continue
        (outcome,) = pipeline.process(Envelope(file.read_bytes(), Kind.FHIR, "f", "m", AT))
        if not outcome.accepted:
            continue
        assert "fhir-version" not in {i.code for i in outcome.issues}, file
        compared += 1
        made = outcome.bundle["entry"][0]["resource"]
        assert made.get("meta", {}).get("profile") == source.get("meta", {}).get("profile"), file
        assert made.get("extension") == source.get("extension"), file
    assert compared > 20


class Kept:
    """Stands for Kafka and the clock."""

    def __init__(self):
        self.records = []

    async def publish(self, publications):
        self.records += publications

    def now(self):
        return AT


async def sent(document, content_type):
    """The answer's status, and the outcome of what was kept."""
    log = Kept()
    server = HttpServer(Settings(), log, log, Metrics(), SimpleNamespace())
    async with TestClient(TestServer(server.application())) as client:
        headers = {"Content-Type": content_type}
        async with client.post("/fhir", data=json.dumps(document), headers=headers) as reply:
            status = reply.status
    inbound = [p for p in log.records if p.topic == envelopes.FHIR_INBOUND]
    if not inbound:
        return status, None
    (kept,) = inbound
    record = Record(kept.topic, 0, 0, kept.key, kept.value, kept.headers, AT)
    (outcome,) = make_pipeline(Settings()).process(envelopes.from_record(record, Kind.FHIR))
    return status, outcome


AMBIGUOUS = {
    "resourceType": "Condition", "subject": SUBJECT, "code": CODE,
    "category": [{"coding": [{"system": "http://hl7.org/fhir/condition-category", "code": "problem-list-item"}]}],
}  # fmt: skip
"""STU3, but for its code system, which is none of the signs."""


@pytest.mark.parametrize(
    ("content_type", "system"),
    [
        (
            "application/fhir+json; fhirVersion=3.0",
            "http://terminology.hl7.org/CodeSystem/condition-category",
        ),
        (
            "application/fhir+json;FHIRVersion=3.0.2",
            "http://terminology.hl7.org/CodeSystem/condition-category",
        ),
        ("application/fhir+json; fhirVersion=4.0", "http://hl7.org/fhir/condition-category"),
        ("application/fhir+json", "http://hl7.org/fhir/condition-category"),
    ],
)
async def test_the_version_of_the_content_type_is_believed(content_type, system):
    """What the sender declares goes along through Kafka and decides how the document is read."""
    status, outcome = await sent(AMBIGUOUS, content_type)
    assert status == 202
    (entry,) = outcome.bundle["entry"]
    assert entry["resource"]["category"][0]["coding"][0]["system"] == system


async def test_r4_that_looks_like_stu3_stays_as_its_sender_says():
    """With fhirVersion=4.0 nothing is converted: the stray element is reported and the rest is left alone."""
    document = {"resourceType": "Observation", "status": "final", "code": CODE, "comment": "x"}
    _, guessed = await sent(document, "application/fhir+json")
    _, declared = await sent(document, "application/fhir+json; fhirVersion=4.0")
    assert "note" in guessed.bundle["entry"][0]["resource"]
    assert [u.location for u in declared.unmapped] == ["Observation.comment"]


@pytest.mark.parametrize("version", ["5.0", "1.0", "0.0", "four"])
async def test_a_version_that_is_not_read_is_refused_by_name(version):
    """Nothing is kept of it: the sender still owns the message."""
    assert await sent(AMBIGUOUS, f"application/fhir+json; fhirVersion={version}") == (415, None)


@pytest.mark.parametrize(
    ("document", "place"),
    [
        (
            {"resourceType": "MedicationRequest", "status": "active", "intent": "order", "subject": SUBJECT,
             "medication": {"concept": {"text": "Metformin"}}},
            "MedicationRequest.medication",
        ),
        (
            {"resourceType": "MedicationRequest", "status": "active", "intent": "order", "subject": SUBJECT,
             "medication": {"reference": {"reference": "Medication/m"}}},
            "MedicationRequest.medication",
        ),
        (
            {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": {
                "resourceType": "AllergyIntolerance", "patient": SUBJECT,
                "reaction": [{"manifestation": [{"concept": {"text": "Rash"}}]}]}}]},
            "Bundle.entry[0].resource.reaction[0].manifestation[0]",
        ),
    ],
)  # fmt: skip
def test_r5_that_would_lose_its_medicine_is_refused_by_name(document, place):
    outcome = process(document)
    assert not outcome.accepted
    assert outcome.error_code == "fhir-version"
    assert [i.location for i in outcome.issues if i.code == "fhir-version"] == [place]


def test_a_care_plan_of_r4_that_refers_to_its_activities_is_no_r5():
    plan = {"resourceType": "CarePlan", "status": "active", "intent": "plan", "subject": SUBJECT,
            "activity": [{"reference": {"reference": "ServiceRequest/s"}}]}  # fmt: skip
    assert process(plan).accepted


def test_what_a_care_plan_contains_tells_that_it_is_stu3():
    goal = {
        "resourceType": "Goal",
        "id": "g",
        "status": "in-progress",
        "description": {"text": "Walk"},
        "subject": SUBJECT,
    }
    found = converted({"resourceType": "CarePlan", "status": "active", "intent": "plan", "subject": SUBJECT,
                       "contained": [goal], "goal": [{"reference": "#g"}]})  # fmt: skip
    assert found["contained"][0]["lifecycleStatus"] == "active"
    assert found["contained"][0]["achievementStatus"]["coding"][0]["code"] == "in-progress"


def test_medicine_device_and_account_of_stu3():
    """What R4 renamed is kept: how much of each ingredient, the batch, the device's own identifier, the account's period."""
    medicine = converted({"resourceType": "Medication", "code": CODE, "package": {"batch": [{"lotNumber": "L1"}]},
                          "ingredient": [{"itemCodeableConcept": CODE, "amount": {"numerator": {"value": 5}, "denominator": {"value": 1}}}]})  # fmt: skip
    assert medicine["ingredient"][0]["strength"]["numerator"]["value"] == 5
    assert medicine["batch"]["lotNumber"] == "L1"
    device = converted(
        {
            "resourceType": "Device",
            "udi": {"deviceIdentifier": "123", "name": "Pacer"},
            "model": "M1",
            "version": "2",
        }
    )
    assert device["udiCarrier"][0]["deviceIdentifier"] == "123"
    assert device["deviceName"] == [{"name": "Pacer", "type": "udi-label-name"}]
    assert (device["modelNumber"], device["version"]) == ("M1", [{"value": "2"}])
    account = converted(
        {"resourceType": "Account", "status": "active", "subject": SUBJECT, "period": {"start": "2016"}}
    )
    assert (account["servicePeriod"], account["subject"]) == ({"start": "2016"}, [SUBJECT])
