"""Nothing valued is dropped in silence: put a mark anywhere, and find it in the Bundle or in the report."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.composition import make_pipeline
from engine.errors import ReadError
from engine.fhir.writer import dumps
from engine.hl7v2 import er7
from engine.hl7v2.batch import split
from engine.hl7v2.tree import HEADERS, Message
from engine.pipeline import Pipeline
from engine.records import Envelope, Kind
from engine.settings import Settings

MARK = "Zq7x451"
_STRUCTURAL = {("MSH", 9), ("MSH", 12), ("MSH", 18)}
"""Fields that decide how the rest is read: a mark there makes another message."""


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return make_pipeline(Settings())


Place = tuple[int, int, int, int, int, str]


def leaves(message: Message) -> list[Place]:
    """(segment, field, repetition, component, subcomponent, location) of every valued leaf."""
    return [
        place
        for si, segment in enumerate(message.segments)
        for fi in range(3 if segment.id in HEADERS else 1, len(segment.fields))
        if segment.fields[fi] and (segment.id, fi) not in _STRUCTURAL
        for place in field_leaves(message, si, fi)
    ]


def field_leaves(message: Message, si: int, fi: int) -> list[Place]:
    """The same for one field."""
    d, segment = message.delimiters, message.segments[si]
    base = f"{segment.id}[{segment.occurrence}]-{fi}"
    repetitions = segment.fields[fi].split(d.repetition)
    found: list[Place] = []
    for ri, repetition in enumerate(repetitions):
        components = repetition.split(d.component)
        for ci, component in enumerate(components):
            parts = component.split(d.subcomponent) if d.subcomponent else [component]
            location = base
            if len(parts) > 1 or len(components) > 1:
                location = f"{base}[{ri + 1}].{ci + 1}"
            elif len(repetitions) > 1:
                location = f"{base}[{ri + 1}]"
            for ui, part in enumerate(parts):
                if part and part != '""':
                    found.append((si, fi, ri, ci, ui, f"{location}.{ui + 1}" if len(parts) > 1 else location))
    return found


def marked(message: Message, place: Place) -> bytes:
    """The message with the mark in the place of one leaf."""
    d = message.delimiters
    si, fi, ri, ci, ui, _ = place
    segment = message.segments[si]
    fields = list(segment.fields)
    repetitions = fields[fi].split(d.repetition)
    components = repetitions[ri].split(d.component)
    parts = components[ci].split(d.subcomponent) if d.subcomponent else [components[ci]]
    parts[ui] = MARK
    components[ci] = (d.subcomponent or "").join(parts)
    repetitions[ri] = d.component.join(components)
    fields[fi] = d.repetition.join(repetitions)
    if segment.id in HEADERS:
        del fields[1]
    lines = [s.raw for s in message.segments]
    lines[si] = d.field.join(fields)
    return "\r".join(lines).encode("utf-8")


def shown(bundle: dict) -> str:
    """The Bundle's text, with attached texts decoded."""
    text = dumps(bundle).decode("utf-8")
    attached = (base64.b64decode(x) for x in re.findall(r'"data":"([A-Za-z0-9+/=]+)"', text))
    return text + "".join(a.decode("utf-8", "ignore") for a in attached)


def check(pipeline: Pipeline, message: Message, place: Place) -> None:
    envelope = Envelope(marked(message, place), Kind.HL7V2, "f", "id", datetime(2026, 1, 1, tzinfo=UTC))
    (outcome,) = pipeline.process(envelope)
    assert outcome.accepted, outcome.issues
    assert MARK in shown(outcome.bundle) or place[5] in {u.location for u in outcome.unmapped}, place[5]


def readable(path: Path) -> list[Message]:
    found = []
    for piece in split(path.read_bytes()):
        try:
            message = er7.read(piece.payload)
        except ReadError:
            continue
        if message.delimiters.escape and len(message.segments) < 120:
            found.append(message)
    return found


def test_every_leaf_of_the_rich_fixtures_is_accounted_for(pipeline, root):
    """One mark at a time, in every place of messages that use most of the maps."""
    for name in ("adt-a01-rich.hl7", "oru-r01-fbc-uecr.hl7"):
        for message in readable(root / "fixtures/hl7v2" / name):
            for place in leaves(message):
                check(pipeline, message, place)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_leaf_of_any_fixture_is_accounted_for(pipeline, root, data):
    """The same for places drawn from all fixtures."""
    files = sorted((root / "fixtures/hl7v2").glob("*.hl7"))
    messages = readable(data.draw(st.sampled_from(files)))
    if not messages:
        return
    message = data.draw(st.sampled_from(messages))
    places = leaves(message)
    if places:
        check(pipeline, message, data.draw(st.sampled_from(places)))


@pytest.mark.corpora
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_leaf_of_the_corpora_is_accounted_for(pipeline, corpora, data):
    """The same for messages that hospitals and laboratories wrote."""
    files = sorted(p for p in (corpora / "hl7").rglob("*") if p.suffix.lower() in {".hl7", ".txt"})
    path = data.draw(st.sampled_from(files))
    messages = readable(path) if path.stat().st_size < 30_000 else []
    if not messages:
        return
    message = data.draw(st.sampled_from(messages))
    places = leaves(message)
    if places:
        check(pipeline, message, data.draw(st.sampled_from(places)))
