"""What is remembered of values changes nothing: warm or cold, with memory or without, the outcome is the same."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from full_messages import TYPES, Full
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import mutate, originals

from adapters.composition import make_pipeline
from engine.fhir.writer import dumps
from engine.pipeline import Pipeline
from engine.records import Envelope, Kind
from engine.settings import Mapping, Settings

WHEN = datetime(2026, 1, 1, tzinfo=UTC)
FEW = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def pipelines() -> tuple[Pipeline, Pipeline]:
    """One that remembers, one that does not."""
    return make_pipeline(Settings()), make_pipeline(Settings(mapping=Mapping(remembered_chars=0)))


@pytest.fixture(scope="module")
def messages(root) -> list[bytes]:
    return [m for m in originals(root / "fixtures") if m.startswith(b"MSH") and len(m) < 10_000]


def told(pipeline: Pipeline, message: bytes) -> object:
    (outcome,) = pipeline.process(Envelope(message, Kind.HL7V2, "f", "id", WHEN))
    report = (outcome.issues, outcome.unmapped, outcome.cleared, outcome.leaves, outcome.notes)
    return dumps(outcome.bundle), report, outcome.codes, outcome.unknown_codes


def same(pipelines: tuple[Pipeline, ...], message: bytes) -> None:
    """Twice, so that the second time all that can be remembered is."""
    warm, forgetful = pipelines
    expected = told(forgetful, message)
    assert told(warm, message) == expected, message
    assert told(warm, message) == expected, message


def test_every_fixture_gives_the_same_cold_and_warm(pipelines, messages):
    assert len(messages) > 80
    for message in messages:
        same(pipelines, message)


@settings(FEW, max_examples=50)
@given(seed=st.integers(0, 2**32))
def test_bad_values_are_told_of_each_time(pipelines, messages, seed):
    """What was good once and is bad now, or stands where something else was before it."""
    chance = random.Random(seed)
    same(pipelines, mutate(chance.choice(messages), chance))


def test_what_a_code_said_twice_leaves_unused_is_told_alike(pipelines):
    """The same code again, with more behind it, where its place is taken."""
    message = (
        b"MSH|^~\\&|LIS|KGH|||20260113070010+0800||ORU^R01^ORU_R01|1|P|2.5.1\r"
        b"OBR|1|A^H|B^L|1^Glucose^99KGH||||||||||||||||||||CH|F~F^X&not a uri&URI"
    )
    for _ in range(3):
        same(pipelines, message)


ODD = [
    "Ming",
    "Ming",
    "Ming Hui",
    "O'Neil",
    "12",
    "a\\T\\b",
    "{XTN.7}",
    "urn:oid:1.2.x",
    '""',
    " x ",
    "a&b",
    "\\.br\\",
    "x\x7f",
    "陈",
]
"""What may stand in a name, number or address where something else stood before."""


@settings(FEW, max_examples=60)
@given(seed=st.integers(0, 2**32))
def test_what_is_passed_on_is_the_messages_own(pipelines, messages, seed):
    """Values that differ only in parts that no row looks at share what is remembered, and nothing of each other's text."""
    chance = random.Random(seed)
    message = chance.choice([m for m in messages if m[3:8] == b"|^~\\&"])
    lines = message.decode("utf-8", "replace").split("\r")
    for n, line in enumerate(lines[1:], 1):
        fields = line.split("|")
        for f, field in enumerate(fields[1:], 1):
            parts = [chance.choice(ODD) if p and chance.random() < 0.3 else p for p in field.split("^")]
            fields[f] = "^".join(parts) if chance.random() < 0.5 else field
        lines[n] = "|".join(fields)
    same(pipelines, "\r".join(lines).encode("utf-8"))


@settings(FEW, max_examples=6)
@given(seed=st.integers(0, 2**32), structure=st.sampled_from(sorted(TYPES)))
def test_every_row_of_the_tables_gives_the_same(pipelines, seed, structure):
    same(pipelines, Full(random.Random(seed), bad=0.1).message(structure))


@pytest.mark.parametrize(
    "change",
    [(b"|KGH|", b"|TGH|"), (b"^~\\&", b"^~\\$"), (b"KGH-HIS", b"OTHER")],
    ids=["another sender", "other delimiters", "another application"],
)
def test_one_senders_values_are_not_anothers(pipelines, messages, change):
    """The same texts under another sender or other delimiters: numbers without authority are of the sender."""
    for message in messages:
        told(pipelines[0], message)
        changed = message.replace(*change)
        assert told(pipelines[0], changed) == told(pipelines[1], changed), changed
