"""Files and frames to messages."""

from __future__ import annotations

import pytest

from engine.hl7v2 import er7
from engine.hl7v2.batch import split, split_stream


def msg(n: int) -> bytes:
    return f"MSH|^~\\&|A|B|||2026||ADT^A01|{n}|P|2.5\rPID|1||{n}".encode()


def numbers(content: bytes) -> list[int]:
    return [int(p.payload.split(b"|")[9]) for p in split(content)]


def codes(content: bytes) -> list[list[str]]:
    return [[i.code for i in p.issues] for p in split(content)]


def batch(*messages: bytes, count: object = None, end: bytes = b"\r") -> bytes:
    stated = len(messages) if count is None else count
    return (
        end.join((b"FHS|^~\\&|A", b"BHS|^~\\&|A", *messages, f"BTS|{stated}".encode(), b"FTS|1")).replace(
            b"\r", end
        )
        + end
    )


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"])
def test_batch_gives_its_messages_and_right_counts_give_no_issue(end):
    """Headers and trailers are no messages."""
    content = batch(msg(1), msg(2), msg(3), end=end)
    assert numbers(content) == [1, 2, 3]
    assert codes(content) == [[], [], []]


def test_wrong_count_is_reported_on_the_last_message():
    """A lost message of a batch must not go unseen."""
    content = batch(msg(1), msg(2), count=3)
    assert codes(content) == [[], ["batch-count"]]


def test_count_that_is_no_number_is_reported():
    """BTS-1 that can't be compared is a mismatch, not a crash."""
    assert codes(batch(msg(1), count="many")) == [["batch-count"]]


def test_missing_trailers_are_reported():
    """A truncated batch file shows."""
    content = b"FHS|^~\\&|A\rBHS|^~\\&|A\r" + msg(1) + b"\r" + msg(2)
    assert codes(content) == [[], ["batch-unclosed", "batch-unclosed"]]


def test_several_messages_without_headers():
    """Dumps of interface engines are messages one after another."""
    assert numbers(msg(1) + b"\r\n\r\n" + msg(2) + b"\n" + msg(3)) == [1, 2, 3]


def test_mllp_frames_in_a_file():
    """Captured traffic keeps its framing bytes."""
    assert numbers(b"".join(b"\x0b" + msg(n) + b"\r\x1c\r" for n in (1, 2, 3))) == [1, 2, 3]


def test_what_stands_before_the_first_message_is_a_piece_of_its_own():
    """Nothing in a file goes unseen: garbage gets an outcome too."""
    pieces = list(split(b"hello\r" + msg(1)))
    assert [p.payload[:5] for p in pieces] == [b"hello", b"MSH|^"]


def test_no_message_at_all_is_one_piece():
    """A file that is no HL7 gets one outcome."""
    assert [p.payload for p in split(b"nothing here")] == [b"nothing here"]
    assert [p.payload for p in split(b"")] == [b""]


def test_wide_files_split_into_wide_messages():
    """UTF-16 files are split as text, and each message stays UTF-16."""
    content = b"\xff\xfe" + (msg(1) + b"\r" + msg(2)).decode().encode("utf-16-le")
    pieces = list(split(content))
    assert len(pieces) == 2
    assert all(p.payload.startswith(b"\xff\xfeM\x00") for p in pieces)


def test_bytes_of_a_message_are_not_changed():
    """What is dead-lettered later must be what was sent."""
    payload = "MSH|^~\\&|A|||||||1|P|2.5|||||||BIG-5\rPID|1||許功".encode("big5")
    assert next(p.payload for p in split(payload + b"\r" + msg(2))) == payload


def test_a_batch_that_promises_messages_and_has_none_is_told():
    """A file whose messages were lost on the way must leave a trace: an outcome that says what is missing."""
    (piece,) = split(b"FHS|^~\\&|A\rBHS|^~\\&|A\rBTS|4\rFTS|1\r")
    assert piece.payload == b""
    assert [(i.code, i.location) for i in piece.issues] == [("batch-count", "BTS[1]-1")]
    assert list(split(b"FHS|^~\\&|A\rBHS|^~\\&|A\rBTS|0\rFTS|1\r")) == []


def test_a_file_trailer_is_checked_without_its_header():
    """FTS tells how many batches there were, whether or not FHS came."""
    pieces = list(split(msg(1) + b"\rFTS|5\r"))
    assert [(i.code, i.location) for i in pieces[-1].issues] == [("batch-count", "FTS[1]-1")]


def test_form_feeds_part_messages():
    """Exports that were meant for a printer have a form feed between messages."""
    assert numbers(msg(1) + b"\r\x0c" + msg(2)) == [1, 2]


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_frames_in_wide_characters_inside_a_file_keep_their_bytes(codec):
    """U+0D1C is 1C 0D in UTF-16: not a byte of a message changes, and none is taken for its neighbour's."""
    messages = [f"MSH|^~\\&|A\rPID|{n}||\u0d1c\u0d15\u0b1c\r".encode(codec) for n in range(3)]
    content = b"".join(b"\x0b" + message + b"\x1c\r" for message in messages)
    pieces = [piece.payload for piece in split_stream([content[:5], content[5:40], content[40:]])]
    assert [er7.read(p).get("PID-3") for p in pieces] == ["\u0d1c\u0d15\u0b1c"] * 3
    assert [er7.read(p).get("PID-1") for p in pieces] == ["0", "1", "2"]
