"""What a sender may make as long as he likes is not kept thousands of times."""

from __future__ import annotations

import tracemalloc
from zoneinfo import ZoneInfo

import pytest

from engine.fhir.primitives import EXISTS
from engine.fhir.references import parse_reference
from engine.fhir.sure import surely_valid
from engine.hl7v2.datetimes import parse_moment
from engine.mapping.codes import safe
from engine.mapping.naming import Naming
from engine.mapping.ucum import is_ucum, unit_meant
from engine.remembering import remembered

ZONE = ZoneInfo("Asia/Singapore")
NAMING = Naming((), "urn:x:")


def test_short_texts_are_asked_of_once_and_long_ones_each_time():
    asked: list[str] = []

    @remembered(2, longest=3)
    def ask(text: str, more: int = 0) -> int:
        asked.append(text)
        return len(text) + more

    assert [ask("abc"), ask("abc"), ask("abc", 1), ask("abcd"), ask("abcd")] == [3, 3, 4, 4, 4]
    assert asked == ["abc", "abc", "abcd", "abcd"]


@pytest.mark.parametrize(
    "ask",
    [
        lambda text: parse_moment(text, ZONE),
        EXISTS["dateTime"],
        parse_reference,
        safe,
        is_ucum,
        unit_meant,
        lambda text: NAMING.told(text, "", ""),
        lambda text: surely_valid({"resourceType": "Practitioner", "id": text[:3], "name": [{"text": text}]}),
        lambda text: surely_valid(
            {"resourceType": "Basic", "code": {"text": "x"}, "subject": {"reference": f"{text}/1"}}
        ),
    ],
)
def test_long_texts_leave_nothing_behind(ask):
    """A hundred of 100,000 characters: 10 MB if they were kept."""
    ask("warm")
    tracemalloc.start()
    try:
        for n in range(100):
            ask(f"{n:03}" * 33_333)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000
