"""The tree of groups refers to itself; a message that is mapped must not wait for the garbage collector."""

from __future__ import annotations

import gc
from datetime import UTC, datetime

from adapters.composition import make_pipeline
from engine.hl7v2 import er7
from engine.hl7v2.structure import group_segments
from engine.records import Envelope, Kind
from engine.settings import Settings

MESSAGE = (
    b"MSH|^~\\&|LIS|KGH|||20260113070010+0800||ORU^R01^ORU_R01|1|P|2.5.1\rPID|1||1^^^KGH^MR\r"
    b"OBR|1|A^H|B^L|1^Glucose^99KGH\rOBX|1|NM|1^Glucose^99KGH||5.1|mmol/L|||||F\rOBX|2|NM|2^Sodium^99KGH||140|mmol/L|||||F"
)


def test_released_groups_know_none_around_them():
    structured = group_segments(er7.read(MESSAGE))
    assert structured.placed[-1][1].parent is not None
    structured.release()
    assert all(group.parent is None for _, group in structured.placed)


def test_a_mapped_message_leaves_nothing_to_the_collector():
    pipeline = make_pipeline(Settings())
    envelope = Envelope(MESSAGE, Kind.HL7V2, "feed", "id", datetime(2026, 1, 1, tzinfo=UTC))
    pipeline.process(envelope)
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            assert pipeline.process(envelope)[0].accepted
        assert gc.collect() < 20
    finally:
        gc.enable()
