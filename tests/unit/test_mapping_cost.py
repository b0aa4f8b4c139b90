"""What making FHIR costs, beside hl7apy's parse alone in the same run, by the time of the processor."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from hl7apy.parser import parse_message

from adapters.composition import make_pipeline
from adapters.replay.generate import adt_a01, oru_with
from engine.fhir.writer import dumps
from engine.pipeline import Pipeline
from engine.records import Envelope, Kind
from engine.settings import Mapping, Settings

WHEN = datetime(2026, 1, 1, tzinfo=UTC)
GENERATORS = {"ADT^A01": adt_a01, "ORU^R01": lambda seed: oru_with(10, seed)}
WARM = 250
"""Messages before the clock runs: tables, shapes and what is remembered."""
TURNS = 12


def make(pipeline: Pipeline, payload: bytes) -> bytes:
    (outcome,) = pipeline.process(Envelope(payload, Kind.HL7V2, "cost", "id", WHEN))
    assert outcome.accepted
    return dumps(outcome.bundle)


def make_all(pipeline: Pipeline, payloads: list[bytes]) -> None:
    for payload in payloads:
        make(pipeline, payload)


def seconds(action: Callable[[], object]) -> float:
    started = time.process_time()
    action()
    return time.process_time() - started


@pytest.mark.parametrize(("kind", "times"), [("ADT^A01", 5.0), ("ORU^R01", 6.0)])
def test_making_fhir_takes_a_small_part_of_what_hl7apy_takes_to_parse(kind, times):
    """The whole way against its parse alone. Each is the best of some turns, which take turns with each other."""
    pipeline, generate = make_pipeline(Settings()), GENERATORS[kind]
    for seed in range(WARM):
        make(pipeline, generate(seed))
    ours, theirs = [], []
    for turn in range(TURNS):
        payloads = [generate(10_000 + 5 * turn + n) for n in range(5)]
        ours.append(seconds(partial(make_all, pipeline, payloads)) / len(payloads))
        theirs.append(seconds(partial(parse_message, payloads[0].decode("utf-8"), find_groups=True)))
    assert min(theirs) > times * min(ours)


def effort(action: Callable[[], object]) -> int:
    """Lines of Python run: the same on every machine, however busy it is."""
    count = 0

    def tracer(_frame: Any, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return tracer

    sys.settrace(tracer)
    try:
        action()
    finally:
        sys.settrace(None)
    return count


def test_results_of_known_tests_take_much_less_than_those_never_seen():
    """Codes, units, doctors and places that came before are remembered; where that is switched off, nothing is."""
    efforts = []
    for limits in (Mapping(), Mapping(remembered_chars=0)):
        pipeline = make_pipeline(Settings(mapping=limits))
        for seed in range(60):
            make(pipeline, oru_with(10, seed))
        efforts.append(effort(partial(make, pipeline, oru_with(10, 1_000))))
    assert efforts[0] < 0.75 * efforts[1]


def test_what_is_remembered_is_bounded(monkeypatch):
    """A feed of nothing but new values, or of new senders, fills no memory."""
    pipeline = make_pipeline(Settings(mapping=Mapping(remembered_values=64)))
    memory = pipeline._mapper.memory
    for seed in range(80):
        make(pipeline, adt_a01(seed).replace(b"|KGH|", f"|H{seed}|".encode()))
        assert len(memory.recent) <= 64
        assert len(memory._old) <= 64
        assert len(memory._contexts) <= 64
        assert len(memory.answers) <= 64


def test_long_texts_are_not_kept():
    """A report of a megabyte in OBX-5 must not stay in memory once its message is done."""
    pipeline = make_pipeline(Settings())
    memory = pipeline._mapper.memory
    report = "x" * 1_000_000
    for seed in range(3):
        make(pipeline, adt_a01(seed) + f"OBX|9|TX|1^Report^L||{report}{seed}||||||F\r".encode())
    kept = [key[2] for key in memory.answers] + [str(key[1]) for key in (*memory.recent, *memory._old)]
    assert kept
    assert max(map(len, kept)) < 2_000
