"""The few steps that nearly all times are read in say the same as the whole grammar."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.hl7v2.datetimes import unusual, usual

ZONES = [
    ZoneInfo(name)
    for name in (
        "Asia/Singapore", "Europe/London", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca",
    )
]  # fmt: skip
two = st.integers(0, 99).map("{:02}".format)
digits = st.one_of(
    st.tuples(st.dates(date(1800, 1, 1), date(2100, 1, 1)), st.times()).map(
        "{0[0]:%Y%m%d}{0[1]:%H%M%S}".format
    ),
    st.tuples(st.integers(0, 9999).map("{:04}".format), two, two, two, two, two).map("".join),
)
offsets = st.sampled_from(["", "", "+0800", "-0330", "+0000", "+1459", "+1400", "-9999", "+08:0", "0800"])


@settings(max_examples=3000, deadline=None)
@given(
    text=digits,
    length=st.sampled_from([4, 6, 8, 8, 10, 12, 14, 14]),
    offset=offsets,
    zone=st.sampled_from(ZONES),
)
def test_the_short_way_never_says_otherwise(text, length, offset, zone):
    written = text[:length] + offset
    quick = usual(written, zone)
    assert quick is None or quick == unusual(written, zone), written


@settings(max_examples=500, deadline=None)
@given(year=st.integers(1950, 2037), hour=st.integers(0, 8800), zone=st.sampled_from(ZONES))
def test_days_when_the_clocks_change_go_the_long_way(year, hour, zone):
    """In the hour that is left out or comes twice the answer tells so."""
    local = datetime(year, 1, 1, tzinfo=UTC) + timedelta(hours=hour)
    written = local.strftime("%Y%m%d%H%M")
    told = unusual(written, zone)
    assert told is not None
    if told.doubt:
        assert usual(written, zone) is None


def test_nearly_all_times_go_the_short_way():
    for text in ("19480603", "202601050800", "20260105080000", "20260105080000+0800"):
        assert usual(text, ZONES[0]) is not None
