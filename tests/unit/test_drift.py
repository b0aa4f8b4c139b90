"""Telemetry windows and drift monitors."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from engine.drift.events import to_publication
from engine.drift.monitors import Monitors, expand, spread
from engine.drift.telemetry import EdgeTelemetry, IngestTelemetry
from engine.errors import ReadError
from engine.records import DriftEvent, Outcome, Record
from engine.settings import Drift, Settings
from engine.stages.watch import WatchStage

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def window(number: int, *, messages=50, rejected=0, empty=0, codes=None) -> dict:
    return {
        "kind": "ingest", "feed": "f", "window": number, "to": (T0 + timedelta(minutes=number)).isoformat(),
        "messages": messages, "rejected": {"charset": rejected}, "empty_required": {"PID-7": empty},
        "codes": codes or {},
    }  # fmt: skip


def events_of(windows: list[dict]) -> list[DriftEvent]:
    monitors = Monitors(Drift())
    return [event for w in windows for event in monitors.observe(w)]


def test_a_steady_feed_makes_no_event():
    """Ordinary ups and downs are no drift."""
    assert events_of([window(n, rejected=n % 2, empty=1 + n % 3) for n in range(60)]) == []


@pytest.mark.parametrize(
    ("monitor", "change"),
    [
        ("rejected-rate", {"rejected": 15}),
        ("empty-required-rate", {"empty": 30}),
        ("unfamiliar-code-rate", {"codes": {"OBX-3": {"new1": 20, "new2": 30}}}),
    ],
)
def test_a_shift_half_way_makes_an_event_of_its_monitor(monitor, change):
    """Each monitor sees the shift it is for, after it happened, with figures on both sides."""
    before = [window(n, rejected=1, codes={"OBX-3": {"a": 30, "b": 20}}) for n in range(20)]
    after = [
        window(n, **{"rejected": 1, "codes": {"OBX-3": {"a": 30, "b": 20}}, **change}) for n in range(20, 40)
    ]
    found = events_of(before + after)
    assert {e.monitor for e in found} == {monitor}
    assert all(e.window >= 20 for e in found)
    assert found[0].after > found[0].before + 0.05


def test_empty_fields_are_watched_one_by_one():
    """An engineer learns which field the sender stopped to fill."""
    before = [window(n) for n in range(20)]
    after = [{**window(n), "empty_required": {"PID-7": 30, "PID-8": 0}} for n in range(20, 40)]
    assert {e.detail.get("field") for e in events_of(before + after)} == {"PID-7"}


def test_refusals_at_the_edge_are_watched():
    """A sender that starts to send garbage is noticed, though none of it reaches a worker."""
    windows = [
        {
            "kind": "edge",
            "feed": "f",
            "window": n,
            "to": T0.isoformat(),
            "messages": 50,
            "refused": {"not-hl7": k},
        }
        for n, k in enumerate([0] * 20 + [20] * 10)
    ]
    assert [e.monitor for e in events_of(windows)][:1] == ["refused-rate"]


def test_edge_window_closes_by_count_and_by_age():
    """The edge tells what it took and refused, without any clock of its own."""
    edge = EdgeTelemetry(Drift(window_messages=2, window_seconds=30), "f")
    assert edge.add(T0) == []
    body = json.loads(edge.add(T0, "not-hl7")[0].value)
    assert (body["messages"], body["refused"]) == (2, {"not-hl7": 1})
    edge.add(T0)
    assert edge.add(T0 + timedelta(seconds=31)) != []


def test_codes_met_while_learning_are_familiar():
    """The first observations teach what is normal; they alarm nobody."""
    assert events_of([window(n, codes={"OBX-3": {"a": 50}}) for n in range(20)]) == []


def test_confidence_is_watched_from_the_histogram():
    """A reader that becomes unsure is drift too."""

    def annotated(number: int, low: int, high: int) -> dict:
        return {
            "kind": "annotation", "feed": "f", "window": number, "to": T0.isoformat(),
            "histogram": {"0.5": low, "0.6": 0, "0.7": 0, "0.8": 0, "0.9": high},
        }  # fmt: skip

    windows = [annotated(n, 2, 48) for n in range(10)] + [annotated(n, 45, 5) for n in range(10, 20)]
    found = events_of(windows)
    assert [e.monitor for e in found][:1] == ["extractor-confidence"]
    assert found[0].after < found[0].before


def findings(number: int, feed: str, count: int = 40) -> dict:
    return {
        "kind": "findings", "feed": feed, "window": number, "to": (T0 + timedelta(minutes=number)).isoformat(),
        "model": "m@2", "labels": {"PROBLEM": count, "TEST": count},
    }  # fmt: skip


def flagged(number: int, label: str = "PROBLEM", model: str = "m@2") -> dict:
    return {
        "kind": "flag", "feed": "all", "window": 0, "to": (T0 + timedelta(minutes=number)).isoformat(),
        "model": model, "label": label,
    }  # fmt: skip


def test_a_rise_of_flags_on_one_label_of_a_reader_makes_an_event():
    """Whatever feed the notes came by; flags on another reader, and a label that nobody flags more, make none."""
    records = []
    for n in range(40):
        records += (
            [flagged(n)] * (1 if n < 20 else 12) + [flagged(n, "TEST")] + [flagged(n, "TEST", "other@1")] * 9
        )
        records.append(findings(n, "ward" if n % 2 else "clinic"))
    found = events_of(records)
    assert {(e.monitor, e.feed, e.detail["field"]) for e in found} == {("flagged-rate", "all", "m@2 PROBLEM")}
    assert found[0].window >= 20
    assert found[0].after > found[0].before + 0.05


def test_flags_on_readers_that_anybody_may_name_take_no_memory_without_end():
    """Beyond ``drift.max_flagged_models`` they are not watched; those known before still are."""
    monitors = Monitors(Drift(max_flagged_models=2, min_samples=10))
    for record in [flagged(0, model=f"x{n}@1") for n in range(50)]:
        assert monitors.observe(record) == []
    assert len(monitors._flags) == 2


@pytest.mark.parametrize(("ones", "total"), [(0, 5), (5, 5), (2, 5), (1, 7), (3, 4), (0, 0)])
def test_spread_keeps_the_counts(ones, total):
    """As many ones as were counted, no more and no fewer."""
    assert sum(spread(ones, total)) == ones
    assert len(spread(ones, total)) == total


def test_expand_gives_the_middle_of_each_bin():
    """A histogram stands for its values."""
    assert sorted(expand({"0.5": 1, "0.9": 2})) == pytest.approx([0.7, 0.95, 0.95])


def test_steady_confidence_makes_no_event_however_wide_it_is():
    """Mixed confidences within a window are no shift from low to high."""
    windows = [
        {
            "kind": "annotation",
            "feed": "f",
            "window": n,
            "to": T0.isoformat(),
            "histogram": {"0.5": 40, "0.7": 20, "0.9": 40},
        }
        for n in range(30)
    ]
    assert events_of(windows) == []


def test_window_closes_by_count_and_by_time():
    """A busy feed tells soon, a quiet one in time."""
    telemetry = IngestTelemetry(Drift(window_messages=2, window_seconds=30))
    good = Outcome(
        accepted=True, codes=(("T", "a"), ("T", "a"), ("T", "b")), empty_required=("PID-7",), leaves=10
    )
    assert telemetry.add("f", good, T0) == []
    closed = telemetry.add("f", Outcome(accepted=False, error_code="charset"), T0)
    body = json.loads(closed[0].value)
    assert (body["messages"], body["rejected"], body["empty_required"]) == (2, {"charset": 1}, {"PID-7": 1})
    assert sorted(body["codes"]["T"].values()) == [1, 2]
    telemetry.add("f", good, T0)
    assert telemetry.tick(T0 + timedelta(seconds=29)) == []
    assert json.loads(telemetry.tick(T0 + timedelta(seconds=30))[0].value)["window"] == 1


def test_telemetry_never_shows_a_code():
    """A sender may put a name into a coded field: only hashes leave."""
    telemetry = IngestTelemetry(Drift(window_messages=1))
    body = telemetry.add("f", Outcome(accepted=True, codes=(("PID-8", "TAN AH KOW"),)), T0)[0].value
    assert b"TAN" not in body


def test_event_is_a_cloudevent_with_a_stable_id():
    """The same shift told twice is one event to a consumer."""
    event = DriftEvent("rejected-rate", "f", "ADWIN", 0.01, 0.3, 7, 400, T0)
    body = json.loads(to_publication(event).value)
    assert {k: body[k] for k in ("specversion", "type", "source", "time", "datacontenttype")} == {
        "specversion": "1.0",
        "type": "io.wardstream.drift.rejected-rate",
        "source": "/wardstream/feeds/f",
        "time": "2026-01-01T00:00:00Z",
        "datacontenttype": "application/json",
    }
    assert json.loads(to_publication(event).value)["id"] == body["id"]


@pytest.mark.parametrize("value", [b"", b"[]", b"{}", b'{"kind": "ingest"}', b"\xff"])
def test_what_is_no_telemetry_is_a_readable_error(value):
    """A foreign record becomes a dead letter, not a crash."""
    with pytest.raises(ReadError):
        WatchStage(Settings()).process(Record("telemetry", 0, 0, None, value, {}, T0))
