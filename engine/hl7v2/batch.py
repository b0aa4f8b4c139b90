"""Files and frames to single messages: batches, several messages without headers, MLLP frames in files.

Splitting works on bytes: CR and LF are never a part of a multi-byte character in any set of table 0211
but UTF-16 and UTF-32, and those are decoded first. A piece that is no message is still a piece: it gets
an outcome (a rejection) like any other, so that nothing in a file goes unseen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from engine.hl7v2.charset import _BOMS, _wide_without_bom
from engine.records import Issue, Severity

_FRAME = re.compile(rb"\x0b|\x1c\r?")
_MESSAGE_START = re.compile(rb"(?:^|(?<=[\r\n]))[ \t\x0b]*(?=(?:MSH|FHS|BHS|BTS|FTS)[^A-Za-z0-9\s])")


@dataclass(slots=True)
class Piece:
    """What stands between two message starts.

    Attributes:
        payload: bytes of one message, in the character set of the file.
        issues: what the batch around it had wrong; set on the batch's last message.
    """

    payload: bytes
    issues: list[Issue] = field(default_factory=list)


@dataclass(slots=True)
class _Count:
    """Messages since a batch header, to compare with BTS-1; or batches since a file header, with FTS-1."""

    open: bool = False
    seen: int = 0


def split(content: bytes) -> Iterator[Piece]:
    """Messages of a file or frame, in order (HL7 v2.5.1 §2.10.3). Headers and trailers are checked and left out.

    An empty content gives one empty piece: an empty frame is a message that went wrong, not nothing.
    """
    for payload, issues in _attach(_classify(_narrow(content))):
        yield Piece(payload, issues)


def _narrow(content: bytes) -> Iterator[bytes]:
    """Raw pieces. UTF-16/32 is split as text and encoded again piece by piece."""
    for bom, codec in _BOMS:
        if content.startswith(bom):
            if codec == "utf-8":
                content = content[len(bom) :]
                break
            yield from _split_wide(content[len(bom) :], codec, bom)
            return
    else:
        wide = _wide_without_bom(content)
        if wide:
            yield from _split_wide(content, wide, b"")
            return
    yield from _split_narrow(content)


def _split_wide(content: bytes, codec: str, bom: bytes) -> Iterator[bytes]:
    try:
        text = content.decode(codec)
    except UnicodeDecodeError:
        yield bom + content  # the reader refuses it with the exact place
        return
    for piece in _split_narrow(text.encode("utf-8")):
        yield bom + piece.decode("utf-8").encode(codec)


def _split_narrow(content: bytes) -> Iterator[bytes]:
    if b"\x0b" in content or b"\x1c" in content:
        content = _FRAME.sub(b"\r", content)
    starts = [m.end() for m in _MESSAGE_START.finditer(content)]
    if not starts:
        yield content.strip(b"\r\n \t")
        return
    lead = content[: starts[0]].strip(b"\r\n \t")
    if lead:
        yield lead
    for begin, end in zip(starts, [*starts[1:], len(content)], strict=True):
        yield content[begin:end].rstrip(b"\r\n \t")


def _classify(pieces: Iterator[bytes]) -> Iterator[tuple[str, bytes]]:
    for piece in pieces:
        text = piece
        for bom, codec in _BOMS:
            if piece.startswith(bom) and codec != "utf-8":
                text = piece[len(bom) :].decode(codec, "ignore").encode("utf-8")
        if text is piece and (wide := _wide_without_bom(piece)):
            text = piece.decode(wide, "ignore").encode("utf-8")
        head = text[:3].decode("ascii", "replace")
        if head in {"FHS", "BHS", "BTS", "FTS"}:
            lines = text.replace(b"\r\n", b"\r").replace(b"\n", b"\r").split(b"\r", 1)
            yield head, lines[0]
            if len(lines) > 1 and lines[1].strip():
                yield "MSH", lines[1].strip(b"\r\n")
        else:
            yield "MSH", piece


def _attach(pieces: Iterator[tuple[str, bytes]]) -> Iterator[tuple[bytes, list[Issue]]]:
    """Yield messages one behind, so that the findings of a trailer go with the last message before it."""
    batch, file = _Count(), _Count()
    held: bytes | None = None
    issues: list[Issue] = []
    any_seen = False
    for kind, data in pieces:
        if kind == "MSH":
            if held is not None:
                yield held, issues
                issues = []
            held = data
            any_seen = True
            batch.seen += 1
        else:
            any_seen = True
            issues += _header(kind, data, batch, file)
    if batch.open:
        issues.append(_unclosed("BHS[1]", "batch", "BTS"))
    if file.open:
        issues.append(_unclosed("FHS[1]", "file", "FTS"))
    if held is not None:
        yield held, issues
    elif not any_seen:
        yield b"", issues


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
        if file.open:
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
