"""What must hold for any bytes at all: the functions that coverage-guided fuzzing calls.

Each takes bytes and returns nothing. An exception other than our own errors is a finding, and so is a broken
promise: a byte lost, a different answer for another way of cutting the same stream.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache

from adapters.composition import make_pipeline
from adapters.mllp.peek import read_ack, read_sent
from engine.errors import FramingError, ReadError, WardstreamError
from engine.fhir.inbound import process_fhir
from engine.fhir.reader import read_documents
from engine.fhir.writer import dumps
from engine.hl7v2 import er7
from engine.hl7v2.ack import acknowledge, read_header
from engine.hl7v2.batch import split, split_stream
from engine.hl7v2.charset import decode
from engine.hl7v2.conformance import check
from engine.hl7v2.mllp import Broken, Commit, Frame, FrameReader, frame
from engine.hl7v2.structure import group_segments
from engine.records import Envelope, Kind
from engine.settings import Read, Settings

_AT = datetime(2026, 1, 1, tzinfo=UTC)


def reader(data: bytes) -> None:
    """Bytes of one message: our error, or a message of which nothing is missing."""
    fallback = (None, "8859/1", "BIG-5")[len(data) % 3]
    policy = ("repair", "refuse")[len(data) % 2]
    try:
        decoded = decode(data, fallback=fallback, policy=policy)
    except ReadError as error:
        _says_what_to_do(error)
        return
    if all(issue.code != "charset-not-reversible" for issue in decoded.issues):
        assert decoded.encode() == data, "re-encoding gives the same bytes"
    assert "\ufffd" not in decoded.text or "\ufffd".encode(decoded.charset.partition("+")[0]) in data, (
        "no replacement in silence"
    )
    try:
        message = er7.parse(decoded)
    except ReadError as error:
        _says_what_to_do(error)
        return
    _whole(message, decoded.text)
    header = read_header(data)
    assert header is not None, "what was read can be answered"
    acknowledge(header, "AE", control_id="1", at=_AT, text="x", location="PID[1]-3", kind="type")


def _says_what_to_do(error: WardstreamError) -> None:
    assert error.action, "an error says what to do"


def _whole(message: er7.Message, text: str) -> None:
    kept = "".join(segment.raw for segment in message.segments)
    missing = Counter(_letters(text)) - Counter(_letters(kept))
    assert len(_letters(kept)) + missing.total() == len(_letters(text))
    assert missing == Counter({"A": missing["A"], "D": 2 * missing["A"]}), (
        "every character is in a segment, but the names of ADD"
    )
    streamed = [value[4] for _, value in message.values()]
    assert streamed == [leaf.text for _, leaf in message.located_leaves()], "both walks agree"
    for segment, (number, r, c, u, value) in message.values():
        assert segment.text(number, c, u, r) == value
    if message.delimiters.escape:
        again = er7.parse(er7.write(message))
        assert [(p, x.text) for p, x in again.located_leaves()] == [
            (p, x.text) for p, x in message.located_leaves()
        ], "what is written again reads the same"
    assert len(group_segments(message).placed) == len(message.segments)
    er7.escape_issues(message)
    check(message)


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.upper()))


def framing(data: bytes) -> None:
    """Bytes of a stream or file: how they are cut never changes what comes out, and no byte is lost."""
    for lenient, limit in ((False, 1000), (True, 20)):
        whole = _events([data], lenient, limit)
        assert _events([data[i : i + 1] for i in range(len(data))], lenient, limit) == whole
        seen = sum(
            len(e.payload) if isinstance(e, Frame) else e.seen for e in whole if not isinstance(e, Commit)
        )
        assert len(_alphabetic(data)) <= seen <= len(data)
    try:
        wire = frame(data)
    except FramingError:
        pass
    else:
        expected = Commit(data == b"\x06") if data in {b"\x06", b"\x15"} else Frame(data)
        assert _events([wire], lenient=False, limit=len(data) + 1) == [expected]
    pieces = [(p.payload, p.issues) for p in split(data)]
    third = len(data) // 3
    assert [
        (p.payload, p.issues)
        for p in split_stream([data[:third], data[third : 2 * third], data[2 * third :]])
    ] == pieces
    read_ack(data)
    read_sent(data)


def _events(chunks: list[bytes], lenient: bool, limit: int) -> list[Frame | Broken | Commit]:
    taking = FrameReader(lenient=lenient, max_frame_bytes=limit)
    found: list[Frame | Broken | Commit] = []
    for chunk in chunks:
        taking.feed(chunk)
        found += iter(taking.next_event, None)
    taking.eof()
    return found + list(iter(taking.next_event, None))


def _alphabetic(data: bytes) -> bytes:
    return bytes(b for b in data if chr(b).isascii() and chr(b).isalpha())


def fhir(data: bytes) -> None:
    """Bytes of FHIR: our error, or resources that are written and read again with every digit."""
    try:
        for document in read_documents(data, Read()):
            if document.error is None:
                text = dumps(document.resource)
                again = next(read_documents(text, Read()))
                assert dumps(again.resource) == text, "what is written again reads the same"
    except ReadError as error:
        _says_what_to_do(error)
        return
    try:
        outcomes = process_fhir(_envelope(data, Kind.FHIR), Settings())
    except WardstreamError as error:
        _says_what_to_do(error)
        return
    for outcome in outcomes:
        dumps(outcome.bundle)


def pipeline(data: bytes) -> None:
    """Bytes of HL7 v2 through the whole engine: our error, or a Bundle, and every value accounted for."""
    try:
        outcome = _pipeline()._hl7v2(_envelope(data, Kind.HL7V2))
    except WardstreamError as error:
        _says_what_to_do(error)
        return
    dumps(outcome.bundle)


@cache
def _pipeline():
    return make_pipeline(Settings())


def _envelope(data: bytes, kind: Kind) -> Envelope:
    return Envelope(payload=data, kind=kind, feed="fuzz", message_id="1", received_at=_AT)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "reader": reader,
    "framing": framing,
    "fhir": fhir,
    "pipeline": pipeline,
}
