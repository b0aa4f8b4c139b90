"""What holds of the generator for every seed, length and mixture of kinds."""

from __future__ import annotations

import json
from itertools import islice

from hypothesis import assume, given
from hypothesis import strategies as st

from adapters.replay.generate import KINDS, generate

SEEDS = st.integers(min_value=-(2**70), max_value=2**70)
MIXTURES = st.lists(st.sampled_from(KINDS), min_size=1, max_size=5)
COUNTS = st.integers(min_value=0, max_value=25)


def control_id(raw: bytes) -> str:
    """MSH-10, or the value of the Bundle's identifier."""
    if raw.startswith(b"{"):
        value: str = json.loads(raw)["identifier"]["value"]
        return value
    return raw.split(b"|", 10)[9].decode("ascii")


@given(SEEDS, MIXTURES, COUNTS)
def test_same_seed_same_bytes(seed, kinds, count):
    """A run can be repeated."""
    assert list(generate(kinds, count, seed)) == list(generate(kinds, count, seed))


@given(SEEDS, SEEDS, MIXTURES)
def test_different_seeds_differ(one, other, kinds):
    """Two seeds are two hospitals, also when they differ in sign alone."""
    assume(one != other)

    assert set(generate(kinds, 5, one)).isdisjoint(generate(kinds, 5, other))


@given(SEEDS, MIXTURES, COUNTS)
def test_control_ids_are_unique_and_short_enough(seed, kinds, count):
    """Each message of a stream can be acknowledged and traced by its own id, within MSH-10's 20 characters."""
    ids = [control_id(raw) for raw in generate(kinds, count, seed)]

    assert len(set(ids)) == len(ids) == count
    assert all(0 < len(identifier) <= 20 for identifier in ids)


@given(SEEDS, MIXTURES, COUNTS, COUNTS)
def test_a_longer_or_shifted_stream_begins_the_same(seed, kinds, count, shift_at):
    """The shift and the length change what comes after, never what came before."""
    short = list(generate(kinds, count, seed))
    longer = list(islice(generate(kinds, count + 10, seed), count))
    shifted = list(generate(kinds, count, seed, shift_at=shift_at))

    assert longer == short
    assert shifted[:shift_at] == short[:shift_at]
    assert len(shifted) == count


@given(SEEDS, st.sampled_from(KINDS), COUNTS)
def test_messages_are_of_the_kind_asked_for(seed, kind, count):
    """Asking for one kind gives that kind alone."""
    for raw in generate([kind], count, seed):
        found = "fhir" if raw.startswith(b"{") else raw.split(b"|", 9)[8][:3].decode().lower()
        assert found == kind


@given(SEEDS, COUNTS)
def test_every_line_is_a_segment(seed, count):
    """No text breaks out of its field: each CR is followed by a segment id, and the last one ends the message."""
    for raw in generate([kind for kind in KINDS if kind != "fhir"], count, seed):
        *lines, rest = raw.split(b"\r")
        assert rest == b""
        assert b"\n" not in raw
        assert all(line[:3].isalnum() and line[:3].isupper() and line[3:4] == b"|" for line in lines)
