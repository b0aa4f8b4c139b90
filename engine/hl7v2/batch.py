"""Files and frames to single messages: batches, several messages without headers, MLLP frames in files.

Splitting works on bytes: CR and LF are never a part of a multi-byte character in any set of table 0211
but UTF-16 and UTF-32, and those are decoded first. A piece that is no message is still a piece: it gets
an outcome (a rejection) like any other, so that nothing in a file goes unseen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from engine.hl7v2.charset_shape import byte_order_mark, wide_without_mark
from engine.hl7v2.mllp import Broken, Frame, FrameReader
from engine.hl7v2.mllp_headers import WINDOW, width
from engine.records import Issue, Severity

_FRAME_TO_LINE_END = bytes.maketrans(b"\x0b\x1c", b"\r\r")
_MESSAGE_START = re.compile(
    rb"(?:\A|[\r\n\f])[ \t\f\0\x02-\x04\x1a]{0,240}(?:\xef\xbb\xbf)?((?i:MSH|FHS|BHS|BTS|FTS)[^A-Za-z0-9\s])"
)
"""Files that were joined have the byte order mark of each in their middle, and buffers their filling."""
_OVERLAP = 256
"""A start may lie across two chunks; so much of what was searched is searched again."""
_OPENING = 1 + WINDOW
"""Bytes that tell in what characters a file is written, and whether it begins with a frame."""
_BLANK = b"\r\n \t\f\0\x02\x03\x04\x1a"
_MARK = b"\xef\xbb\xbf"

UNLIMITED = 1 << 62


@dataclass(slots=True)
class Piece:
    """What stands between two message starts.

    Attributes:
        payload: bytes of one message, in the character set of the file.
        issues: what the batch around it had wrong; set on the batch's last message.
        left_out: bytes beyond the size limit that are not in ``payload``; the message must be refused.
    """

    payload: bytes
    issues: list[Issue] = field(default_factory=list)
    left_out: int = 0


@dataclass(slots=True)
class _Count:
    """Messages since a batch header, to compare with BTS-1; or batches since a file header, with FTS-1."""

    open: bool = False
    seen: int = 0


def split(content: bytes, *, limit: int = UNLIMITED) -> Iterator[Piece]:
    """Messages of a file or frame, in order (HL7 v2.5.1 §2.10.3). Headers and trailers are checked and left out.

    An empty content gives one empty piece: an empty frame is a message that went wrong, not nothing.
    """
    yield from split_stream([content], limit=limit)


def split_stream(chunks: Iterable[bytes], *, limit: int = UNLIMITED) -> Iterator[Piece]:
    """As :func:`split`, for contents of any size: memory is bounded by the largest message and ``limit``.

    Args:
        chunks: the content in any portions.
        limit: bytes kept of one message; what is beyond is counted in ``Piece.left_out``.
    """
    yield from _attach(_classify(_raw_pieces(iter(chunks), limit)))


def _raw_pieces(chunks: Iterator[bytes], limit: int) -> Iterator[Piece]:
    first = b""
    for chunk in chunks:
        first += chunk
        if len(first) >= _OPENING:
            break
    if first[:1] == b"\x0b" and width(first[1:])[1] > 1:
        yield from _framed_wide_pieces(_chain(first, chunks), limit)
        return
    mark, codec = byte_order_mark(first)
    wide = codec if mark and codec != "utf-8" else wide_without_mark(first)
    if wide:
        yield from _wide_pieces(first + b"".join(chunks), wide, mark, limit)
        return
    yield from _narrow_pieces(_chain(first[len(mark) :], chunks), limit)


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _framed_wide_pieces(chunks: Iterator[bytes], limit: int) -> Iterator[Piece]:
    """MLLP frames in UTF-16 or UTF-32: framing bytes stand in their characters too, so that the frames come first."""
    reader = FrameReader(max_frame_bytes=limit, lenient=True)
    for chunk in chunks:
        reader.feed(chunk)
        yield from _of_frames(reader, limit)
    reader.eof()
    yield from _of_frames(reader, limit)


def _of_frames(reader: FrameReader, limit: int) -> Iterator[Piece]:
    for event in iter(reader.next_event, None):
        if isinstance(event, Broken):
            yield Piece(event.payload, left_out=event.seen - len(event.payload))
        elif isinstance(event, Frame):
            yield from _raw_pieces(iter([event.payload]), limit)


def _wide_pieces(content: bytes, codec: str, mark: bytes, limit: int) -> Iterator[Piece]:
    """UTF-16 and UTF-32 are split as text, and each message is encoded as it was."""
    try:
        text = content[len(mark) :].decode(codec)
    except UnicodeDecodeError:
        yield Piece(
            content[:limit], left_out=max(0, len(content) - limit)
        )  # the reader tells the exact place
        return
    for piece in _narrow_pieces(iter([text.encode("utf-8")]), limit):
        yield Piece(
            mark + piece.payload.decode("utf-8", "ignore").encode(codec), piece.issues, piece.left_out
        )


def _narrow_pieces(chunks: Iterator[bytes], limit: int) -> Iterator[Piece]:
    buffer = bytearray()
    searched = left_out = 0
    seen_any = False
    for chunk in chunks:
        buffer += chunk.translate(_FRAME_TO_LINE_END)
        begin = 0
        for match in _MESSAGE_START.finditer(buffer, max(0, searched - _OVERLAP)):
            start = match.start(1)
            if start <= begin:
                continue
            payload = bytes(buffer[begin:start]).strip(_BLANK).removesuffix(_MARK).rstrip(_BLANK)
            if payload or left_out:
                yield Piece(payload, left_out=left_out)
                seen_any = True
            begin, left_out = start, 0
        del buffer[:begin]
        if len(buffer) > limit + _OVERLAP:
            # Keep the beginning for the refusal and the end for the search of the next start.
            left_out += len(buffer) - limit - _OVERLAP
            del buffer[limit:-_OVERLAP]
        searched = len(buffer)
    payload = bytes(buffer).strip(_BLANK)
    if payload or left_out or not seen_any:
        over = max(0, len(payload) - limit)
        yield Piece(payload[:limit] if left_out or over else payload, left_out=left_out + over)


def _classify(pieces: Iterator[Piece]) -> Iterator[tuple[str, Piece]]:
    for piece in pieces:
        text = _narrow_text(piece.payload)
        head = text[:3].decode("ascii", "replace").upper()
        if head not in {"FHS", "BHS", "BTS", "FTS"}:
            yield "MSH", piece
            continue
        lines = text.replace(b"\r\n", b"\r").replace(b"\n", b"\r").split(b"\r", 1)
        yield head, Piece(lines[0])
        rest = lines[1].strip(_BLANK) if len(lines) > 1 else b""
        if rest:
            yield "MSH", Piece(rest)


def _narrow_text(payload: bytes) -> bytes:
    """The payload with wide characters made narrow, to look at its first letters."""
    mark, codec = byte_order_mark(payload)
    wide = codec if mark and codec != "utf-8" else wide_without_mark(payload)
    if not wide:
        return payload
    return payload[len(mark) :].decode(wide, "ignore").encode("utf-8")


def _attach(pieces: Iterator[tuple[str, Piece]]) -> Iterator[Piece]:
    """Yield messages one behind, so that the findings of a trailer go with the last message before it."""
    batch, file = _Count(), _Count()
    held: Piece | None = None
    early: list[Issue] = []
    any_seen = False
    for kind, piece in pieces:
        any_seen = True
        if kind == "MSH":
            if held is not None:
                yield held
            held = piece
            held.issues += early
            early = []
            batch.seen += 1
            continue
        issues = _header(kind, piece.payload, batch, file)
        (held.issues if held is not None else early).extend(issues)
    left = [_unclosed(f"{c}[1]", what, t) for c, what, t, n in _OPEN if (batch, file)[n].open]
    if held is not None:
        held.issues += left
        yield held
    elif early or left or not any_seen:
        # A batch that says that it has messages, and has none: they are missed, so that there must be an outcome.
        yield Piece(b"", [*early, *left])


_OPEN = (("BHS", "batch", "BTS", 0), ("FHS", "file", "FTS", 1))


def _header(kind: str, data: bytes, batch: _Count, file: _Count) -> list[Issue]:
    issues: list[Issue] = []
    if kind == "FHS":
        file.open, file.seen = True, 0
    elif kind == "BHS":
        if batch.open:
            issues.append(_unclosed("BHS[1]", "batch", "BTS"))
        batch.open, batch.seen = True, 0
        file.seen += 1
    elif kind == "BTS":
        issues += _check_count("BTS[1]-1", data, batch.seen, "messages")
        batch.open, batch.seen = False, 0
    elif kind == "FTS":
        issues += _check_count("FTS[1]-1", data, file.seen, "batches")
        file.open, file.seen = False, 0
    return issues


def _check_count(location: str, trailer: bytes, seen: int, what: str) -> list[Issue]:
    fields = trailer.split(trailer[3:4]) if len(trailer) > 3 else []
    stated = fields[1].strip() if len(fields) > 1 else b""
    if not stated:
        return []
    if stated.isdigit() and int(stated) == seen:
        return []
    said = str(int(stated)) if stated.isdigit() and len(stated) < 10 else "no number"
    return [
        Issue(
            Severity.WARNING,
            "batch-count",
            location,
            f"The trailer states {said} {what}; {seen} were found",
            "Check that the file is whole: the sender counted differently or messages were lost on the way.",
        )
    ]


def _unclosed(location: str, what: str, trailer: str) -> Issue:
    return Issue(
        Severity.WARNING,
        "batch-unclosed",
        location,
        f"The {what} has no {trailer} trailer",
        "Check that the file is whole; the messages found were processed.",
    )
