"""HL7 times to FHIR: precision kept, offset always there, nothing invented."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from engine.hl7v2.datetimes import parse_clock, parse_moment

SINGAPORE = ZoneInfo("Asia/Singapore")
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "fhir"),
    [
        ("2026", "2026"),
        ("202602", "2026-02"),
        ("20260228", "2026-02-28"),
        ("2026022813", "2026-02-28T13:00:00+08:00"),
        ("202602281305", "2026-02-28T13:05:00+08:00"),
        ("20260228130559", "2026-02-28T13:05:59+08:00"),
        ("20260228130559.1234", "2026-02-28T13:05:59.1234+08:00"),
        ("20260228130559-0500", "2026-02-28T13:05:59-05:00"),
        ("202602281305+0530", "2026-02-28T13:05:00+05:30"),
        ("20260228+0800", "2026-02-28"),
        (" 20260228 ", "2026-02-28"),
        ("20260000", "2026"),
        ("20260200000000", "2026-02"),
        ("20260228240000", "2026-03-01T00:00:00+08:00"),
        ("2026-02-28", "2026-02-28"),
        ("2026-02-28T13:05:59Z", "2026-02-28T13:05:59+00:00"),
        ("2026-02-28 13:05", "2026-02-28T13:05:00+08:00"),
        ("20260228130560", "2026-02-28T13:05:59+08:00"),
    ],
)
def test_precision_is_kept_and_the_feeds_zone_fills_in(text, fhir):
    """A year stays a year; a time of day gets the offset of its sender's zone."""
    moment = parse_moment(text, SINGAPORE)
    assert moment is not None
    assert moment.fhir == fhir


@pytest.mark.parametrize(
    "text",
    ["", "x", "20260230", "20261301", "20260228250000", "2026022813059", "00000101", "202602281399",
     "20260228130559+2500", "0", "20260228T", "99999999", "20260228130559.", "unknown"],
)  # fmt: skip
def test_nonsense_is_no_time(text):
    """What does not exist in the calendar never becomes a FHIR date."""
    assert parse_moment(text, SINGAPORE) is None


def test_overlap_takes_the_first_of_both_and_says_so():
    """02:30 happens twice on the last Sunday of October in Berlin."""
    moment = parse_moment("20261025023000", BERLIN)
    assert moment is not None
    assert (moment.fhir, moment.doubt) == ("2026-10-25T02:30:00+02:00", "overlap")


def test_gap_is_marked():
    """02:30 does not happen on the last Sunday of March in Berlin."""
    moment = parse_moment("20260329023000", BERLIN)
    assert moment is not None
    assert (moment.fhir, moment.doubt) == ("2026-03-29T02:30:00+01:00", "gap")


@pytest.mark.parametrize(
    ("text", "fhir"),
    [
        ("1305", "13:05:00"),
        ("130559", "13:05:59"),
        ("130559.5", "13:05:59.5"),
        ("13", "13:00:00"),
        ("2500", None),
        ("x", None),
    ],
)
def test_times_of_day(text, fhir):
    """HL7 TM to FHIR time."""
    assert parse_clock(text) == fhir
