r"""MLLP framing without a socket: bytes in, events out (HL7 Transport Specification: MLLP, Release 1).

A block on the wire is ``<SB> payload <EB><CR>`` with SB = 0x0B, EB = 0x1C, CR = 0x0D. The reader is in
one of four states and knows four marks; everything it may do is this table, which the code runs:

=========  =======  ==========================================================  ===========
state      mark     what the bytes held so far become                           next state
=========  =======  ==========================================================  ===========
BETWEEN    START    nothing                                                     FRAME
BETWEEN    COMMIT   Commit                                                      BETWEEN
BETWEEN    OTHER    nothing (the byte begins a stray piece)                     STRAY
BETWEEN    CLOSE    nothing                                                     CLOSED
FRAME      START    Broken(restarted): the sender gave up and began again       FRAME
FRAME      END      Frame, or Commit if the payload is one commit byte          BETWEEN
FRAME      CLOSE    Broken(cut-off), or the reason given to ``abandon``         CLOSED
STRAY      START    Broken(outside-frame)                                       FRAME
STRAY      END      Broken(outside-frame); lenient and it is HL7: Frame         BETWEEN
STRAY      CLOSE    the same, if the stream ended in good order                 CLOSED
=========  =======  ==========================================================  ===========

A piece longer than ``max_frame_bytes`` becomes Broken(too-large) at its end, whatever its state; until
then its bytes are counted and let go, all but the first few that name the message.

Which bytes are marks:

- END is an EB followed by CR, LF or SB, or by nothing: the stream has ended, or has paused
  (:meth:`FrameReader.pause`). Any other 0x1C is data. In a payload that begins as UTF-16 or UTF-32, whose
  characters may hold just these bytes (``U+0D1C``), what stands around them must agree: the EB stands behind a
  segment's end, or the next frame or nothing behind its CR. (MLLP does not allow such payloads; they come.)
- START is an SB outside of a frame, and inside of one only if a message header follows it. Any other
  0x0B inside is data: word processors use it as a line break, and it ends up in notes.
- COMMIT is 0x06 or 0x15 between frames, the commit bytes of Release 2 without the block they should be in.
- CR, LF, blanks, lone EBs and byte order marks between frames are no marks and carry nothing: they are skipped.

Events depend on the bytes alone, never on how they were cut into pieces. The cost is linear.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, StrEnum, auto

from engine.errors import FramingError, ReadError, TooLargeError
from engine.hl7v2.mllp_headers import BOMS, HEADERS, LINE_ENDS, MAX_WIDTH, WINDOW, header_follows, width

SB, EB, CR, LF, ACK, NAK = 0x0B, 0x1C, 0x0D, 0x0A, 0x06, 0x15

DEFAULT_MAX_FRAME_BYTES = 16 * 1024 * 1024
"""See ``engine.settings.Mllp.max_frame_bytes``."""
DEFAULT_HEAD_BYTES = 4096
"""See ``engine.settings.Mllp.head_bytes``."""

_TOLERATED = re.compile(rb"[\r\n \x1c]*")
_RUN_OF_SB = re.compile(rb"\x0b+")
_CONTROL = re.compile(rb"[\x0b\x1c]")
_TRAILER = re.compile(rb"[\r\n \x1c]{0,4}")
"""What may stand between a frame's EB and the next frame, as far as a decision needs it."""
_COMMITS = (b"\x06", b"\x15")


class Reason(StrEnum):
    """Why a piece of the stream is not a frame. The values are stable; :func:`explain` says what to do."""

    RESTARTED = "restarted"
    CUT_OFF = "cut-off"
    TIMED_OUT = "timed-out"
    STOPPED = "stopped"
    OUTSIDE = "outside-frame"
    TOO_LARGE = "too-large"


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole payload. ``framed`` is False for HL7 that came without its start block (lenient only)."""

    payload: bytes
    framed: bool = True


@dataclass(frozen=True, slots=True)
class Broken:
    """A piece that is no frame. It may hold patient data: keep it as a dead letter, never log it.

    Attributes:
        payload: its bytes, all of them unless ``reason`` is too-large; then the first ones.
        reason: what happened.
        seen: how many bytes it had on the wire, without SB and EB.
        superseded: a new frame took its place. The sender then waits for one answer, to that frame; an answer
            to this piece would be taken for it, and every later one for the message before.
    """

    payload: bytes
    reason: Reason
    seen: int
    superseded: bool = False


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit acknowledgement of MLLP Release 2 (§1.2.2.2): True for 0x06, False for 0x15."""

    positive: bool


Event = Frame | Broken | Commit


class _State(Enum):
    BETWEEN = auto()
    FRAME = auto()
    STRAY = auto()
    CLOSED = auto()


class _Mark(Enum):
    START = auto()
    END = auto()
    COMMIT = auto()
    OTHER = auto()
    CLOSE = auto()


class _Becomes(Enum):
    NOTHING = auto()
    COMMIT = auto()
    WHOLE = auto()
    RESTARTED = auto()
    UNFINISHED = auto()
    OUTSIDE = auto()
    UNFRAMED = auto()


_RULES: dict[tuple[_State, _Mark], tuple[_Becomes, _State]] = {
    (_State.BETWEEN, _Mark.START): (_Becomes.NOTHING, _State.FRAME),
    (_State.BETWEEN, _Mark.COMMIT): (_Becomes.COMMIT, _State.BETWEEN),
    (_State.BETWEEN, _Mark.OTHER): (_Becomes.NOTHING, _State.STRAY),
    (_State.BETWEEN, _Mark.CLOSE): (_Becomes.NOTHING, _State.CLOSED),
    (_State.FRAME, _Mark.START): (_Becomes.RESTARTED, _State.FRAME),
    (_State.FRAME, _Mark.END): (_Becomes.WHOLE, _State.BETWEEN),
    (_State.FRAME, _Mark.CLOSE): (_Becomes.UNFINISHED, _State.CLOSED),
    (_State.STRAY, _Mark.START): (_Becomes.OUTSIDE, _State.FRAME),
    (_State.STRAY, _Mark.END): (_Becomes.UNFRAMED, _State.BETWEEN),
    (_State.STRAY, _Mark.CLOSE): (_Becomes.UNFRAMED, _State.CLOSED),
}

_FIRST_BYTE = {SB: _Mark.START, ACK: _Mark.COMMIT, NAK: _Mark.COMMIT}


class FrameReader:
    """Turns a byte stream into events.

    Call :meth:`feed` with bytes as they come and :meth:`next_event` until it gives None. When the
    stream ends, call :meth:`eof` (in good order) or :meth:`abandon` (not), and pull the last events.

    Args:
        max_frame_bytes: a longer payload is reported as too large and not kept.
        head_bytes: how much of a payload that is too large is kept, so that it can be answered.
        lenient: take HL7 that lacks its start block as a frame. It then ends with EB or the stream.
    """

    def __init__(
        self,
        *,
        max_frame_bytes: int = DEFAULT_MAX_FRAME_BYTES,
        head_bytes: int = DEFAULT_HEAD_BYTES,
        lenient: bool = False,
    ) -> None:
        self._max = max_frame_bytes
        self._head_bytes = min(head_bytes, max_frame_bytes)
        self._lenient = lenient
        self._state = _State.BETWEEN
        self._buffer = bytearray()  # the piece under way, then bytes not looked at yet
        self._scan = 0  # how many of them belong to the piece for certain
        self._let_go = 0  # bytes of the piece that are no longer in the buffer: it is too large
        self._opening = b""  # the first of these
        self._closing: Reason | None = None
        self._paused = False

    @property
    def in_progress(self) -> bool:
        """Whether a piece has begun and not ended. Meaningful after :meth:`next_event` gave None."""
        return self._state in {_State.FRAME, _State.STRAY}

    @property
    def awaiting_trailer(self) -> bool:
        """Whether an EB has come that only the next bytes, or a pause, can settle."""
        return self.in_progress and self._buffer[self._scan : self._scan + 1] == b"\x1c"

    @property
    def held(self) -> int:
        """Bytes kept in memory."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Add the next bytes of the stream."""
        if self._closing is not None:
            raise ValueError("bytes after the end of the stream")
        self._buffer += data
        self._paused = False

    def pause(self) -> None:
        """Say that no byte has come for a while: an EB at the end of the buffer ends its frame."""
        self._paused = True

    def eof(self) -> None:
        """Say that the stream has ended in good order."""
        self._closing = Reason.CUT_OFF

    def abandon(self, reason: Reason) -> None:
        """Say that the stream will not be read any further; ``reason`` is given to what is unfinished."""
        self._closing = reason
        self._lenient = False  # a piece that ends because we stopped reading is not whole

    def next_event(self) -> Event | None:
        """The next event, or None when more bytes are needed or the stream has ended."""
        while (found := self._next_mark()) is not None:
            mark, length, consumed = found
            becomes, self._state = _RULES[self._state, mark]
            event = self._make(becomes, length, superseded=mark is _Mark.START)
            del self._buffer[:consumed]
            self._scan = self._let_go = 0
            if event is not None:
                return event
        return None

    def _next_mark(self) -> tuple[_Mark, int, int] | None:
        """The next mark, how long the piece before it is in the buffer, and where the next begins."""
        if self._state is _State.CLOSED:
            return None
        found = self._mark_between() if self._state is _State.BETWEEN else self._mark_inside()
        if found is None and self._closing is not None:
            return _Mark.CLOSE, len(self._buffer), len(self._buffer)
        return found

    def _mark_between(self) -> tuple[_Mark, int, int] | None:
        buffer = self._buffer
        blank = _TOLERATED.match(buffer)
        assert blank is not None, "the pattern matches the empty string"
        del buffer[: blank.end()]
        if not buffer:
            return None
        mark = _FIRST_BYTE.get(buffer[0], _Mark.OTHER)
        length = 1 if mark is _Mark.COMMIT else 0
        return mark, length, 0 if mark is _Mark.OTHER else 1

    def _mark_inside(self) -> tuple[_Mark, int, int] | None:
        buffer = self._buffer
        while (control := _CONTROL.search(buffer, self._scan)) is not None:
            at = control.start()
            is_mark = self._is_end(at) if buffer[at] == EB else self._is_start(at)
            if is_mark is None:
                self._scan = at
                self._let_go_if_too_large()
                return None
            if is_mark and buffer[at] == SB:
                return _Mark.START, at, _run_of_sb_ends(buffer, at)
            if is_mark:
                return _Mark.END, at, at + 2 if buffer.startswith((b"\r", b"\n"), at + 1) else at + 1
            self._scan = at + 1
        self._scan = len(buffer)
        self._let_go_if_too_large()
        return None

    def _is_end(self, at: int) -> bool | None:
        """Whether the EB at ``at`` ends the piece; None when the bytes to tell have not come yet."""
        buffer = self._buffer
        if at + 1 == len(buffer):
            return True if self._ended else None
        if buffer[at + 1] not in {CR, LF, SB}:
            return False
        lead, unit = width(self._opening if self._let_go else buffer)
        return unit == 1 or self._is_end_of_wide(at, lead, unit)

    @property
    def _ended(self) -> bool:
        """Whether nothing more comes, as far as can be told."""
        return self._paused or self._closing is not None

    def _is_end_of_wide(self, at: int, lead: int, unit: int) -> bool | None:
        """The same among characters of ``unit`` bytes behind ``lead`` others, which may hold EB and CR themselves."""
        buffer = self._buffer
        whole = (self._let_go + at - lead) % unit == 0
        if whole and bytes(buffer[max(0, at - unit) : at]) in LINE_ENDS[unit]:
            return True
        trailer = _TRAILER.match(buffer, at + 1)
        assert trailer is not None, "the pattern matches the empty string"
        if trailer.end() == len(buffer):
            return True if self._ended else None
        if buffer[trailer.end()] != SB:
            return False
        verdict = header_follows(buffer, trailer.end() + 1)
        return False if verdict is None and self._closing is not None else verdict

    def _is_start(self, at: int) -> bool | None:
        """Whether the SB at ``at``, within a piece, begins a new frame; None as above."""
        if self._state is _State.FRAME and at + self._let_go == 0:
            return True  # several SB in a row: nothing stands between them
        if self._state is _State.STRAY and not self._is_hl7():
            return True
        verdict = header_follows(self._buffer, at + 1)
        return False if verdict is None and self._closing is not None else verdict

    def _is_hl7(self) -> bool:
        """Whether the piece under way begins as a message or batch does."""
        opening = self._opening if self._let_go else bytes(self._buffer[:WINDOW])
        return opening.startswith(HEADERS)

    def _let_go_if_too_large(self) -> None:
        if self._let_go + self._scan <= max(self._max, WINDOW):
            return
        if not self._let_go:
            self._opening = bytes(self._buffer[: max(self._head_bytes, WINDOW)])
        let_go = max(0, self._scan - MAX_WIDTH)  # what stands before an EB may have to be looked at
        self._let_go += let_go
        del self._buffer[:let_go]
        self._scan -= let_go

    def _make(self, becomes: _Becomes, length: int, *, superseded: bool) -> Event | None:
        """The event that the first ``length`` bytes of the buffer become."""
        if becomes is _Becomes.NOTHING:
            return None
        seen = self._let_go + length
        if seen > self._max:
            head = self._opening if self._let_go else bytes(self._buffer[: self._head_bytes])
            return Broken(head[: self._head_bytes], Reason.TOO_LARGE, seen, superseded)
        with memoryview(self._buffer) as view:
            payload = bytes(view[:length])
        match becomes:
            case _Becomes.WHOLE if payload not in _COMMITS:
                return Frame(payload)
            case _Becomes.WHOLE | _Becomes.COMMIT:
                return Commit(positive=payload[0] == ACK)
            case _Becomes.RESTARTED:
                return Broken(payload, Reason.RESTARTED, seen, superseded) if payload else None
            case _Becomes.UNFINISHED:
                return Broken(payload, self._closing or Reason.CUT_OFF, seen)
            case _Becomes.UNFRAMED if self._lenient and payload.startswith(HEADERS):
                return Frame(payload, framed=False)
            case _:
                return None if payload in BOMS else Broken(payload, Reason.OUTSIDE, seen, superseded)


def _run_of_sb_ends(data: bytearray, at: int) -> int:
    run = _RUN_OF_SB.match(data, at)
    assert run is not None, "there is an SB at that place"
    return run.end()


def ended(payload: bytes) -> bytes:
    """The payload with the end of its last segment where a frame needs it: files and queues often leave it out.

    HL7 v2 ends every segment by a CR (v2.5.1 §2.5.1); only a payload in UTF-16 or UTF-32 can't be framed without.
    """
    lead, unit = width(payload)
    if unit == 1 or (len(payload) - lead) % unit or payload[-unit:] in LINE_ENDS[unit]:
        return payload
    big = payload[lead] in {0x00, 0xFE}  # of the M of MSH, or of the byte order mark
    return payload + "\r".encode(f"utf-{8 * unit}-{'be' if big else 'le'}")


def frame(payload: bytes) -> bytes:
    """``<SB> payload <EB><CR>``.

    Raises:
        FramingError: the payload holds bytes that the receiver would take for the end or the start of a frame, or it
            is in UTF-16 or UTF-32 and nothing but a last segment's end could tell where it ends.
    """
    lead, unit = width(payload)
    if unit > 1 and ((len(payload) - lead) % unit or payload[-unit:] not in LINE_ENDS[unit]):
        raise FramingError(
            "The message is in UTF-16 or UTF-32 and does not end with a segment's end",
            action="End its last segment by a carriage return, or send it in UTF-8, as MLLP has it.",
        )
    controls = _CONTROL.finditer(payload) if b"\x0b" in payload or b"\x1c" in payload else ()
    for control in controls:
        at = control.start()
        if payload[at] == EB:
            clash = payload[at + 1 : at + 2] in {b"\r", b"\n", b"\x0b"}
        else:
            clash = at == 0 or header_follows(payload, at + 1) is True
        if clash:
            raise FramingError(
                f"Byte {at} of the message is 0x{payload[at]:02X} where MLLP would take it for framing",
                action="Remove the control character from the message, or escape it as \\X0B\\ or \\X1C\\.",
            )
    return b"\x0b" + payload + b"\x1c\r"


_ADVICE: dict[Reason, tuple[type[ReadError], str, str]] = {
    Reason.RESTARTED: (
        FramingError,
        "A frame was begun and a new one started before its end block",
        "Check the sender: it gave up in the middle of a message. The half message was not processed.",
    ),
    Reason.CUT_OFF: (
        FramingError,
        "The connection ended in the middle of a frame",
        "Have the sender send the message again; it was not acknowledged.",
    ),
    Reason.TIMED_OUT: (
        FramingError,
        "A frame was begun and not finished in time",
        "Check the sender and the network, or raise mllp.frame_timeout for a slow line.",
    ),
    Reason.STOPPED: (
        FramingError,
        "The listener stopped in the middle of a frame",
        "Have the sender send the message again; it was not acknowledged.",
    ),
    Reason.OUTSIDE: (
        FramingError,
        "Bytes arrived outside of an MLLP frame",
        "Have the sender put <SB> before and <EB><CR> after each message; mllp.lenient accepts HL7 without <SB>.",
    ),
    Reason.TOO_LARGE: (
        TooLargeError,
        "The frame exceeds mllp.max_frame_bytes; only its first bytes were kept",
        "Raise mllp.max_frame_bytes if this size is meant, and have the message sent again.",
    ),
}


def explain(reason: Reason) -> ReadError:
    """The error, with the action to take, that stands for a broken piece of a stream."""
    kind, message, action = _ADVICE[reason]
    return kind(message, action=action)
