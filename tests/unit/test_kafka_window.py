"""The window's promises, one by one."""

import pytest

from adapters.kafka.errors import LogGapError
from adapters.kafka.window import Window


def window(**limits):
    return Window(10, **{"max_records": 3, "max_bytes": 100, **limits})


def test_nothing_is_committable_before_a_confirmation():
    """A record that is handled but not confirmed must be read again after a crash."""
    w = window()
    w.admit(10, 1)
    w.finish(10, "a")
    assert w.take() == [(10, "a")]
    assert w.committable is None
    w.confirm(1)
    assert w.committable == 11


def test_output_waits_for_the_records_before_it():
    """A quick record is not published before a slow one that came first."""
    w = window()
    w.admit(10, 1)
    w.admit(11, 1)
    w.finish(11, "b")
    assert w.take() == []
    w.finish(10, "a")
    assert w.take() == [(10, "a"), (11, "b")]


def test_output_is_handed_out_once():
    """While a run is being published no second run overtakes it."""
    w = window()
    for offset in (10, 11):
        w.admit(offset, 1)
        w.finish(offset, offset)
        w.take()
    assert w.take() == []
    w.confirm(1)
    assert w.take() == [(11, 11)]


def test_a_missing_offset_is_an_error():
    """Records deleted before they were read are never skipped in silence."""
    w = window()
    w.admit(10, 1)
    with pytest.raises(LogGapError) as caught:
        w.admit(13, 1)
    assert "11" in str(caught.value)
    assert caught.value.code == "log-gap"


def test_a_record_read_twice_is_taken_once():
    """What Kafka delivers again while it is under way is not handled twice side by side."""
    w = window()
    assert w.admit(10, 1) is True
    assert w.admit(10, 1) is False
    assert len(w) == 1


def test_limits_are_records_and_bytes():
    """Neither many small nor a few large records fill the memory; a giant goes alone."""
    w = window()
    assert w.has_room(5000)
    w.admit(10, 60)
    assert w.has_room(40)
    assert not w.has_room(41)
    w.admit(11, 1)
    w.admit(12, 1)
    assert not w.has_room(1)
