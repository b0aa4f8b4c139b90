"""Properties of MLLP framing that hold for any bytes and any way of cutting them."""

from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters.mllp.peek import read_ack, read_sent
from engine.errors import FramingError
from engine.hl7v2.mllp import Commit, Frame, FrameReader, frame

# Streams made of what matters to the reader find far more than random bytes do; both are tried.
TOKENS = [
    *(
        b"\x0b",
        b"\x1c",
        b"\r",
        b"\n",
        b" ",
        b"\x06",
        b"\x15",
        b"\x00",
        b"M",
        b"MS",
        b"MSH|",
        b"FHS|",
        b"x",
        b"abc",
    ),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x0bMSH|a", b"\x1c\r", b"M\0S\0H\0", b"\0M\0S\0H"),
]
STREAMS = st.one_of(st.lists(st.sampled_from(TOKENS), max_size=40).map(b"".join), st.binary(max_size=300))
OPTIONS = st.fixed_dictionaries({"lenient": st.booleans(), "max_frame_bytes": st.sampled_from([5, 20, 1000])})
THOROUGH = settings(max_examples=400, deadline=None)


def events_of(chunks, **options):
    reader = FrameReader(**options)
    events = []
    for chunk in chunks:
        reader.feed(chunk)
        events += iter(reader.next_event, None)
    reader.eof()
    return events + list(iter(reader.next_event, None))


def cut(stream, places):
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[a:b] for a, b in pairwise(edges)]


@THOROUGH
@given(STREAMS, OPTIONS)
@example(b"M\x00S\x00H\x00\x0b\x0b", {"lenient": False, "max_frame_bytes": 5})
def test_byte_at_a_time_equals_whole_buffer(stream, options):
    """How TCP cuts the stream never changes what was received: single bytes."""
    assert events_of([bytes([b]) for b in stream], **options) == events_of([stream], **options)


@THOROUGH
@given(STREAMS, st.lists(st.integers(min_value=0), max_size=10), OPTIONS)
def test_any_split_equals_whole_buffer(stream, places, options):
    """How TCP cuts the stream never changes what was received: arbitrary packets, empty ones included."""
    assert events_of(cut(stream, places), **options) == events_of([stream], **options)


@THOROUGH
@given(st.lists(STREAMS, max_size=4))
def test_frames_come_back_as_sent(payloads):
    """What frame() lets through is read back to the byte, one after another; the rest it refuses."""
    wire, expected = b"", []
    for payload in payloads:
        try:
            wire += frame(payload)
        except FramingError:
            continue
        is_commit = payload in {b"\x06", b"\x15"}
        expected.append(Commit(payload == b"\x06") if is_commit else Frame(payload))
    assert events_of([wire]) == expected


@THOROUGH
@given(STREAMS, OPTIONS)
def test_no_letter_is_lost_or_moved(stream, options):
    """Every byte that could be text is in exactly one event, in order, whatever the framing around it."""
    options["max_frame_bytes"] = 1000
    payloads = b"".join(e.payload for e in events_of([stream], **options) if not isinstance(e, Commit))
    assert letters(payloads) == letters(stream)


@THOROUGH
@given(STREAMS, OPTIONS)
def test_sizes_add_up_even_when_bytes_are_let_go(stream, options):
    """Too large pieces tell their true size: no event sees more or fewer letters than the stream has."""
    events = [e for e in events_of([stream], **options) if not isinstance(e, Commit)]
    seen = sum(len(e.payload) if isinstance(e, Frame) else e.seen for e in events)
    assert len(letters(stream)) <= seen <= len(stream)


@THOROUGH
@given(STREAMS, OPTIONS)
def test_no_payload_exceeds_the_limit(stream, options):
    """Whatever arrives, nothing larger than the limit is handed on."""
    events = [e for e in events_of([stream], **options) if not isinstance(e, Commit)]
    assert all(len(e.payload) <= options["max_frame_bytes"] for e in events)


HEADER = b"MSH|^~\\&|A|B|C|D|2026||ACK|K1|P|2.5\r"
FIELDS = [b"MSH", b"MSA", b"|", b"^", b"\r", b"\n", b"AA", b"17", b"\0", b"\xff\xfe", b" ", b"FHS|", b"\xe9"]


@THOROUGH
@given(
    st.sampled_from([b"", HEADER]), st.lists(st.sampled_from(FIELDS), max_size=30).map(b"".join) | st.binary()
)
def test_peeking_never_fails(start, rest):
    """Whatever a peer sends, looking for its control id gives an answer or None; it never ends a connection's task."""
    ack = read_ack(start + rest)
    assert ack is None or ack.raw == start + rest
    assert isinstance(read_sent(start + rest).control_id, bytes)


def letters(data):
    return bytes(b for b in data if chr(b).isascii() and chr(b).isalpha())
