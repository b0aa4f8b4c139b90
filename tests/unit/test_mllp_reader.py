"""What the frame reader makes of right, sloppy and wrong framing."""

import pytest

from engine.errors import FramingError, TooLargeError
from engine.hl7v2.mllp import Broken, Commit, Frame, FrameReader, Reason, ended, explain, frame

MESSAGE = b"MSH|^~\\&|LAB|SGH\rPID|1\r"
OTHER = b"MSH|^~\\&|ADT|SGH\rPID|2\r"


def events_of(wire, *, whole=True, **options):
    reader = FrameReader(**options)
    reader.feed(wire)
    events = drain(reader)
    if whole:
        reader.eof()
        events += drain(reader)
    return events


def drain(reader):
    return list(iter(reader.next_event, None))


def test_one_frame():
    """A frame gives its payload, to the byte, the last segment's end included."""
    assert events_of(b"\x0b" + MESSAGE + b"\x1c\r") == [Frame(MESSAGE)]


def test_frame_is_complete_without_waiting_for_more():
    """The trailing CR completes a frame; the sender, who waits for its answer, will send nothing more."""
    assert events_of(frame(MESSAGE), whole=False) == [Frame(MESSAGE)]


def test_empty_frame():
    """An empty frame is a message that went wrong, not nothing: it needs an outcome."""
    assert events_of(b"\x0b\x1c\r") == [Frame(b"")]


@pytest.mark.parametrize(
    "trailer", [b"\x1c\r", b"\x1c", b"\x1c\n", b"\x1c\r\n", b"\x1c\r\r\n ", b"\x1c\r\x1c\r"]
)
def test_sloppy_trailers(trailer):
    """Vendors end frames in many ways; none of them costs a message or reports a fault."""
    assert events_of(b"\x0b" + MESSAGE + trailer + b"\x0b" + OTHER + trailer) == [
        Frame(MESSAGE),
        Frame(OTHER),
    ]


def test_end_block_without_cr_is_settled_by_a_pause():
    """A sender that leaves out the CR and waits for its answer gets one as soon as the stream pauses."""
    reader = FrameReader()
    reader.feed(b"\x0b" + MESSAGE + b"\x1c")
    assert drain(reader) == []
    assert reader.awaiting_trailer
    reader.pause()
    assert drain(reader) == [Frame(MESSAGE)]
    assert not reader.in_progress


def test_cr_that_comes_after_the_pause():
    """The CR that a pause did not wait for is no part of the next frame and no fault."""
    reader = FrameReader()
    reader.feed(b"\x0b" + MESSAGE + b"\x1c")
    reader.pause()
    assert drain(reader) == [Frame(MESSAGE)]
    reader.feed(b"\r" + frame(OTHER))
    assert drain(reader) == [Frame(OTHER)]


def test_file_separator_within_text_does_not_end_a_frame():
    """0x1C counts as an end block only where a trailer, a new frame or nothing follows."""
    payload = MESSAGE + b"NTE|1||left\x1cright\r"
    assert events_of(b"\x0b" + payload + b"\x1c\r") == [Frame(payload)]


def test_vertical_tab_within_text_does_not_start_a_frame():
    """Word processors put 0x0B between lines and it reaches notes: the message must not be torn in two."""
    payload = MESSAGE + b"NTE|1||first line\x0bsecond line\r"
    assert events_of(b"\x0b" + payload + b"\x1c\r") == [Frame(payload)]


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_utf16_payload_with_framing_bytes_in_its_characters(codec):
    """U+4E1C and U+4E0B are everyday Chinese whose UTF-16 holds 0x1C and 0x0B; the frame stays whole."""
    payload = "MSH|^~\\&|A\rPID|1||\u4e1c\u4e0b\u4e1c\u4e0b\r".encode(codec)
    assert events_of(b"\x0b" + payload + b"\x1c\r") == [Frame(payload)]


def test_several_start_blocks():
    """Repeated start blocks before a message carry nothing, so nothing is reported."""
    assert events_of(b"\x0b\x0b\x0b" + MESSAGE + b"\x1c\r") == [Frame(MESSAGE)]


@pytest.mark.parametrize("lead", [b"", b"\r\n", b"\xef\xbb\xbf"])
def test_restart_within_a_frame(lead):
    """A sender that begins a message anew leaves a half one: its bytes are kept and reported, the new one is whole."""
    half = MESSAGE[:15]
    assert events_of(b"\x0b" + half + b"\x0b" + lead + OTHER + b"\x1c\r") == [
        Broken(half, Reason.RESTARTED, len(half), superseded=True),
        Frame(lead + OTHER),
    ]


def test_stream_that_ends_within_a_frame():
    """A half message at the end of the stream is reported with its bytes, never taken for a whole one."""
    assert events_of(b"\x0b" + MESSAGE) == [Broken(MESSAGE, Reason.CUT_OFF, len(MESSAGE))]


def test_abandoned_frame_bears_the_reason_given():
    """Whoever stops reading says why, and the half message is reported with that."""
    reader = FrameReader()
    reader.feed(b"\x0b" + MESSAGE)
    reader.abandon(Reason.TIMED_OUT)
    assert drain(reader) == [Broken(MESSAGE, Reason.TIMED_OUT, len(MESSAGE))]


def test_bytes_outside_of_a_frame():
    """What stands between frames is reported with its bytes, and the frames around it are read."""
    assert events_of(frame(MESSAGE) + b"hello" + frame(OTHER)) == [
        Frame(MESSAGE),
        Broken(b"hello", Reason.OUTSIDE, 5, superseded=True),
        Frame(OTHER),
    ]


@pytest.mark.parametrize("bom", [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"])
def test_byte_order_mark_before_the_start_block(bom):
    """A byte order mark that a sender's text library put before the frame is no fault."""
    assert events_of(bom + frame(MESSAGE)) == [Frame(MESSAGE)]


@pytest.mark.parametrize("wire", [b"\x0b\x06\x1c\r", b"\x06"])
def test_commit_bytes_of_release_2(wire):
    """Commit acknowledgements are told apart from messages, in their block or bare, and at once."""
    assert events_of(wire + frame(MESSAGE), whole=False) == [Commit(positive=True), Frame(MESSAGE)]
    assert events_of(wire.replace(b"\x06", b"\x15"), whole=False) == [Commit(positive=False)]


def test_unframed_message_is_a_fault_by_default():
    """HL7 without its start block is reported, not accepted: nobody can say that it is whole."""
    assert events_of(MESSAGE) == [Broken(MESSAGE, Reason.OUTSIDE, len(MESSAGE))]


@pytest.mark.parametrize("wire", [MESSAGE, MESSAGE + b"\x1c\r", b"\xef\xbb\xbf" + MESSAGE])
def test_unframed_message_is_taken_when_lenient(wire):
    """A lenient reader takes HL7 without start block at its end block or the end of the stream, and marks it."""
    payload = wire.removesuffix(b"\x1c\r")
    assert events_of(wire, lenient=True) == [Frame(payload, framed=False)]


def test_lenient_does_not_take_what_is_no_hl7():
    """Lenient is about missing framing, not about anything at all."""
    assert events_of(b"GET / HTTP/1.1\r\n\r\n", lenient=True)[0].reason is Reason.OUTSIDE


@pytest.mark.parametrize("ending", ["abandoned", "overtaken"])
def test_unframed_message_without_an_end_is_never_whole(ending):
    """Unframed HL7 that a time-out or a new frame ends may be a half message: it is reported."""
    reader = FrameReader(lenient=True)
    reader.feed(MESSAGE)
    if ending == "abandoned":
        reader.abandon(Reason.TIMED_OUT)
    else:
        reader.feed(frame(OTHER))
    overtaken = ending == "overtaken"
    assert drain(reader)[0] == Broken(MESSAGE, Reason.OUTSIDE, len(MESSAGE), superseded=overtaken)


def test_frame_of_exactly_the_limit():
    """The limit is the largest size that passes."""
    assert events_of(frame(b"x" * 64), max_frame_bytes=64) == [Frame(b"x" * 64)]


def test_too_large_frame_is_skipped_and_reading_goes_on():
    """Beyond the limit only the first bytes are kept, the true size is told, and the next frame is read."""
    large = MESSAGE + b"x" * 1000
    assert events_of(frame(large) + frame(OTHER), max_frame_bytes=100, head_bytes=30) == [
        Broken(large[:30], Reason.TOO_LARGE, len(large)),
        Frame(OTHER),
    ]


def test_restart_after_a_too_large_frame():
    """A sender that gives up an endless message and starts anew is understood at once."""
    wire = b"\x0b" + b"x" * 1000 + frame(OTHER)
    assert events_of(wire, max_frame_bytes=100)[1:] == [Frame(OTHER)]


def test_memory_stays_bounded_while_a_too_large_frame_passes():
    """The reader lets the bytes of a frame go as soon as it is over the limit."""
    reader = FrameReader(max_frame_bytes=10_000)
    reader.feed(b"\x0b")
    peak = 0
    for _ in range(200):
        reader.feed(b"x" * 4096)
        assert reader.next_event() is None
        peak = max(peak, reader.held)
    assert peak <= 10_000 + 4096


@pytest.mark.timeout(60)
def test_byte_at_a_time_is_linear():
    """Two million single bytes take seconds; with a copy of the buffer for each they would take days."""
    reader = FrameReader()
    wire = frame(MESSAGE + b"x" * 2_000_000)
    events = []
    for at in range(len(wire)):
        reader.feed(wire[at : at + 1])
        if (event := reader.next_event()) is not None:
            events.append(event)
    assert [len(event.payload) for event in events] == [len(MESSAGE) + 2_000_000]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "unit", [b"\x0b", b"\x1c", b"\x1cx", b"\x0bx", b"\x0bM", b"\x0b\x1c\r", b"\x06", b"\r", b"x"]
)
def test_hostile_repetition_is_linear(unit):
    """A megabyte of any control byte, fed in packets, is worked off in linear time."""
    reader = FrameReader(max_frame_bytes=10_000)
    reader.feed(b"\x0bx")
    for _ in range(256):
        reader.feed(unit * (4096 // len(unit)))
        drain(reader)
    assert reader.held <= 10_000 + 4096


def test_bytes_after_the_end_are_a_bug_of_the_caller():
    """Feeding after eof would lose the bytes; it fails loudly instead."""
    reader = FrameReader()
    reader.eof()
    with pytest.raises(ValueError):
        reader.feed(b"x")


@pytest.mark.parametrize("payload", [b"\x0bMSH|", b"a\x1c\rb", b"a\x1c\x0bb", b"a\x0bMSH|", b"a\x1c\nb"])
def test_payload_that_would_break_its_frame_is_refused(payload):
    """A frame that the receiver would cut elsewhere is never sent; the error says which byte and what to do."""
    with pytest.raises(FramingError) as caught:
        frame(payload)
    assert "0x" in caught.value.message
    assert caught.value.action


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_an_error_with_an_action(reason):
    """Each kind of broken piece becomes a dead letter that tells its reader what happened and what to do."""
    error = explain(reason)
    assert error.message
    assert error.action
    assert isinstance(error, TooLargeError) == (reason is Reason.TOO_LARGE)


WIDE = ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]
# Their bytes: 1C 0D, 1C 0B, 1C 0A in one order, 0D 1C .. in the other; and a character that ends in 1C before one of 0Dxx.
MALAYALAM = "\u0d1c\u0d28\u0d1c, \u0b1c \u0a1c \u1c0d\u1c0b \u4e1c\u0d30 \u0b4d\u0053"


@pytest.mark.parametrize("codec", WIDE)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_wide_message_is_not_cut_at_characters_that_look_like_the_end_of_a_frame(codec, mark):
    """U+0D1C, a common letter of Malayalam, is 1C 0D in UTF-16: the frame goes on behind it, and ends at once at its end."""
    payload = f"{mark}{MESSAGE.decode()}PID|1||7||{MALAYALAM}\rNTE|1||{MALAYALAM}\r".encode(codec)
    assert b"\x1c\r" in payload
    wire = b"\x0b" + payload + b"\x1c\r"
    assert events_of(wire + wire, whole=False) == [Frame(payload)] * 2
    reader, found = FrameReader(), []
    for i in range(len(wire)):
        reader.feed(wire[i : i + 1])
        found += drain(reader)
    assert found == [Frame(payload)]


@pytest.mark.parametrize("codec", WIDE)
def test_a_wide_message_without_its_last_segment_end_ends_before_the_next_frame_or_at_a_pause(codec):
    """Nothing but what follows can tell there."""
    payload = f"MSH|^~\\&|A\rNTE|1||{MALAYALAM}".encode(codec)
    wire = b"\x0b" + payload + b"\x1c\r"
    reader = FrameReader()
    reader.feed(wire + wire)
    assert drain(reader) == [Frame(payload)]
    assert reader.awaiting_trailer
    reader.pause()
    assert drain(reader) == [Frame(payload)]
    assert events_of(b"\x0b" + MESSAGE + b"\x1c\r" + wire) == [Frame(MESSAGE), Frame(payload)]


def test_a_wide_message_that_is_too_large_ends_where_it_ends():
    """Its bytes are let go, and the end is found all the same, however they come."""
    payload = f"MSH|^~\\&|A\rNTE|1||{MALAYALAM * 50}\r".encode("utf-16-le")
    wire = b"\x0b" + payload + b"\x1c\r\x0b" + MESSAGE + b"\x1c\r"
    for size in (1, 7, len(wire)):
        reader, found = FrameReader(max_frame_bytes=100, head_bytes=20), []
        for i in range(0, len(wire), size):
            reader.feed(wire[i : i + size])
            found += drain(reader)
        assert found == [Broken(payload[:20], Reason.TOO_LARGE, len(payload)), Frame(MESSAGE)]


def test_a_wide_message_is_sent_only_if_its_end_can_be_told():
    """Behind a segment's end no character is mistaken for the frame's."""
    text = "MSH|^~\\&|A\rPID|1"
    with pytest.raises(FramingError, match="segment's end"):
        frame(text.encode("utf-16-le"))
    whole = f"{text}\r".encode("utf-16-le")
    assert events_of(frame(whole), whole=False) == [Frame(whole)]


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("mark", [True, False])
def test_what_lacks_its_last_end_is_given_it_to_be_sent(codec, mark):
    """Messages split out of a file have no last CR; the same characters go out, and the end that HL7 wants."""
    text = ("\ufeff" if mark else "") + "MSH|^~\\&|A|B|C|D|20260105||ADT^A01|1|P|2.5.1\rPID|1||ഽ"
    whole = ended(text.encode(codec))
    assert whole.decode(codec) == text + "\r"
    assert ended(whole) == whole
    assert frame(whole).startswith(b"\x0b")


def test_a_message_of_single_bytes_goes_out_as_it_is():
    assert ended(b"MSH|^~\\&|A") == b"MSH|^~\\&|A"
