"""Public FHIR R4 data goes through as it came."""

import json
from datetime import UTC, datetime

import pytest

from engine.fhir.inbound import process_fhir
from engine.fhir.validate import second_opinion, validate, validate_bundle
from engine.records import Envelope, Kind, Severity
from engine.settings import Settings

pytestmark = pytest.mark.corpora

EMPTY_NARRATIVE = "diagnosticreport-cbc.json"
"""Theirs: its narrative has a status and no div, which R4 demands (the publisher of the guide fills it in)."""


def process(path):
    return process_fhir(
        Envelope(path.read_bytes(), Kind.FHIR, "corpora", "m", datetime(2026, 1, 1, tzinfo=UTC)), Settings()
    )


def test_us_core_examples_leave_unchanged(corpora):
    """Every example is accepted without an issue, and its resource leaves as it came."""
    paths = sorted((corpora / "hl7" / "us-core-examples").rglob("*.json"))
    assert len(paths) > 100
    for path in paths:
        (outcome,) = process(path)
        assert outcome.accepted, path.name
        source = json.loads(path.read_text("utf-8"))
        if source["resourceType"] == "Bundle" or path.name == EMPTY_NARRATIVE:
            continue
        assert outcome.issues == (), path.name
        assert json.loads(json.dumps(outcome.bundle["entry"][0]["resource"], default=float)) == source, (
            path.name
        )
        assert second_opinion(outcome.bundle["entry"][0]["resource"]) == [], path.name


def test_synthea_bundles_keep_every_resource_and_every_note(corpora):
    """Large transactions of POSTs: all entries are written, all references resolve, all notes are read."""
    paths = sorted((corpora / "hl7" / "synthea-r4-notes").rglob("*.json"))
    assert paths
    for path in paths[:3]:
        source = json.loads(path.read_text("utf-8"))
        (outcome,) = process(path)
        assert outcome.issues == (), path.name
        assert len(outcome.bundle["entry"]) == len(source["entry"])
        assert [f for f in validate_bundle(outcome.bundle, closed=True) if f.severity is Severity.ERROR] == []
        resources = [entry["resource"] for entry in source["entry"]]
        texts = sum("presentedForm" in r or r["resourceType"] == "DocumentReference" for r in resources)
        assert len(outcome.notes) == texts
        assert outcome.patient_key.startswith("Patient/")


def test_expected_bundles_of_a_converter_are_judged_without_failing(corpora):
    """91 Bundles of another converter hold many faults; each is found, and none makes us fail."""
    paths = sorted((corpora / "hl7" / "ms-fhir-converter" / "expected").rglob("*.json"))
    assert paths
    for path in paths:
        resource = json.loads(path.read_text("utf-8-sig"))
        validate(resource)
        assert process(path)[0].status in {"accepted", "rejected"}
