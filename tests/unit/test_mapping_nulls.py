"""Absent, null and present are three things, through to what a FHIR server is told."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from adapters.composition import make_mapper
from engine.feeds import FeedProfile
from engine.fhir.validate import validate_bundle
from engine.fhir.writer import dumps
from engine.mapping.clearing import cleared_paths
from engine.pipeline import Pipeline
from engine.records import Envelope, Kind
from engine.settings import Settings


@pytest.fixture(scope="module")
def mapper():
    return make_mapper(Settings())


def outcome(mapper, *segments: str, event: str = "ADT^A08", policy: str = "auto"):
    profile = FeedProfile(update_policy=policy)
    pipeline = Pipeline(Settings(), mapper, lambda _feed: profile, "1")
    text = "\r".join((f"MSH|^~\\&|EMR|KGH|||20260101120000||{event}|1|P|2.5.1", *segments))
    envelope = Envelope(text.encode(), Kind.HL7V2, "f", "id", datetime(2026, 1, 1, tzinfo=UTC))
    (found,) = pipeline.process(envelope)
    return found


def entry(found, kind: str) -> dict:
    return next(e for e in found.bundle["entry"] if e["request"]["url"].startswith(f"{kind}/"))


def operations(found, kind: str = "Patient") -> list[tuple[str, str]]:
    written = entry(found, kind)
    assert written["request"]["method"] == "PATCH"
    parts = [{p["name"]: p for p in op["part"]} for op in written["resource"]["parameter"]]
    return [
        (
            p["type"]["valueCode"],
            p["path"]["valueString"] + (f".{p['name']['valueString']}" if "name" in p else ""),
        )
        for p in parts
    ]


PID = "PID|1||7^^^H^MR||Tan^Ah||19800101|F|||{address}||{home}|{work}"


def test_null_deletes_exactly_its_element_and_leaves_its_like(mapper):
    """The home number goes; the number at work, of which the message says nothing, stays."""
    found = outcome(mapper, PID.format(address="", home='""', work=""))
    deleted = [path for what, path in operations(found) if what == "delete"]
    assert "Patient.telecom.where(use = 'home')" in deleted
    assert not any(path in {"Patient.telecom", "Patient.telecom.where(use = 'work')"} for path in deleted)
    assert found.cleared == ("PID[1]-13",)


def test_what_is_sent_replaces_and_what_is_absent_is_not_touched(mapper):
    """Name and sex are set anew; the address, absent, is not mentioned at all."""
    done = operations(outcome(mapper, PID.format(address="", home='""', work="")))
    assert ("delete", "Patient.name") in done
    assert ("add", "Patient.name") in done
    assert ("add", "Patient.gender") in done
    assert not any("address" in path for _, path in done)


@pytest.mark.parametrize(
    ("field", "path"),
    [
        (11, "Patient.address"),
        (15, "Patient.communication"),
        (16, "Patient.maritalStatus"),
        (17, "Patient.extension.where(url = 'http://hl7.org/fhir/StructureDefinition/patient-religion')"),
        (29, "Patient.deceased"),
        (7, "Patient.birthDate"),
    ],
)
def test_each_nulled_field_names_its_element(mapper, field, path):
    """The tables that say where a value goes say what a null clears."""
    found = outcome(mapper, "PID|1||7^^^H^MR" + "|" * (field - 3) + '""')
    assert ("delete", path) in operations(found)


def test_a_null_among_participants_clears_that_role_alone(mapper):
    """PV1-7 null ends the attending doctor, not the consultants."""
    found = outcome(mapper, "PID|1||7^^^H^MR", 'PV1|1|I|||||""||||||||||||V1^^^H')
    assert (
        "delete",
        "Encounter.participant.where(type.coding.code | '' | 'ATND' = type.coding.code | '')",
    ) in operations(found, "Encounter")


def test_null_that_no_element_can_be_named_for_is_reported(mapper):
    """Deleting "the" identifier would delete others': a person is told instead."""
    found = outcome(mapper, 'PID|1|""|7^^^H^MR')
    assert ("null-not-carried", "PID[1]-2") in {(i.code, i.location) for i in found.issues}


@pytest.mark.parametrize(
    ("event", "policy", "method"),
    [
        ("ADT^A08", "auto", "PATCH"),
        ("ADT^A08", "merge", "PATCH"),
        ("ADT^A08", "snapshot", "PUT"),
        ("ADT^A01", "auto", "PUT"),
        ("ADT^A28", "merge", "PUT"),
    ],
)
def test_policy_and_event_decide_how_a_null_is_written(mapper, event, policy, method):
    """A PUT without the element clears it too; who tells the whole story from the beginning may use it."""
    found = outcome(mapper, PID.format(address='""', home="", work=""), event=event, policy=policy)
    assert entry(found, "Patient")["request"]["method"] == method


@pytest.mark.parametrize(("policy", "method"), [("auto", "PUT"), ("merge", "PATCH")])
def test_update_without_nulls(mapper, policy, method):
    """A sender that never sends nulls sends snapshots, unless its profile says otherwise."""
    found = outcome(mapper, PID.format(address="", home="", work=""), policy=policy)
    assert entry(found, "Patient")["request"]["method"] == method


def test_results_never_overwrite_the_patient(mapper):
    """A laboratory's idea of the patient creates one that is unknown and changes none that is known."""
    found = outcome(
        mapper, "PID|1||7^^^H^MR", "PV1|1|I", "OBR|1||F1|CBC", "OBX|1|NM|1^a||5|||||F", event="ORU^R01"
    )
    assert entry(found, "Patient")["request"]["ifNoneMatch"] == "*"
    assert entry(found, "Encounter")["request"]["ifNoneMatch"] == "*"
    assert "ifNoneMatch" not in entry(found, "Observation")["request"]


def test_patches_are_valid_fhir(mapper):
    """Parameters with every kind of value, extensions and backbone elements too."""
    rich = "PID|1||7^^^H^MR||Tan^Ah||19800101|F||||||6000 0000||en|M|BUD|||||||||||SGP"
    found = outcome(mapper, rich.replace("6000 0000", '""'), 'PV1|1|I|W^1^2|""||||D1^Lim', policy="merge")
    assert [f for f in validate_bundle(found.bundle) if f.severity.value == "error"] == []


def test_a_patch_carries_what_was_sent_in_place_of_a_date(process):
    """A date that is none has its text in an extension; a patch holds it as a PUT would."""
    head = "MSH|^~\\&|A|B|C|D|20230405101112||ADT^A08^ADT_A01|1|P|2.5.1\rEVN|A08|20230405101112\r"
    patient = 'PID|1||7^^^KGH^MR||Tan^Ah Kow||someday|M|||""\rPV1|1|I'
    entries = process((head + patient).encode()).outcome.bundle["entry"]
    (patch,) = (e for e in entries if e["request"]["method"] == "PATCH" and "Patient/" in e["request"]["url"])
    assert '"_valueDate"' in dumps(patch).decode()
    assert "someday" in dumps(patch).decode()


def test_a_null_in_any_field_of_any_table_has_its_paths(mapper):
    """Fixed values of a row's neighbours, such as a reference without code, must not break the message."""
    rows = {(row.table.name, row.resource): row.table for row in mapper.rules if row.table is not None}
    asked = [(table, kind, number) for (_, kind), table in rows.items() for number in table.fields]
    assert len(asked) > 500
    for table, kind, number in asked:
        for path in cleared_paths(table, kind, number, lambda _rule: True):
            assert path.startswith(kind)
            assert path.count("(") == path.count(".where("), "HAPI FHIR takes no parenthesis within a where"
