"""What the MLLP listener asks of its owner, and what it counts."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import Protocol

from engine.hl7v2.mllp import Reason

Reply = bytes | tuple[bytes, ...] | None
"""An acknowledgement without framing; several, each to go into a frame of its own; or none."""


class Receiver(Protocol):
    """Takes what arrives and says what to answer.

    The calls for one connection are begun in the order in which its frames came and overlap, up to
    ``mllp.pipeline`` of them; the listener puts the answers back in order. A receiver that must keep
    the order of messages therefore fixes it before its first ``await``, or by itself. A call that is
    late by ``mllp.answer_timeout`` is cancelled.

    An answer of None means that the sender wants none (MSH-15 NE, HL7 v2.5.1 §2.9.2). A call that raises
    gets the connection closed without an answer, so that the sender still owns the message.
    """

    async def receive(self, payload: bytes, *, peer: str, connection: str) -> Reply:
        """Make one message safe, or refuse it, and return the acknowledgement, without framing.

        Args:
            payload: the bytes between the framing.
            peer: address and port of the sender.
            connection: our number of the connection, unique while the process lives.
        """

    async def receive_broken(self, payload: bytes, *, peer: str, reason: Reason) -> Reply:
        """Keep a piece of the stream that is no frame, and return what to answer, if anything.

        The answer is sent only where the sender can't take it for that to another message: not for a piece
        that a new frame superseded.

        Args:
            payload: its bytes; of a frame that is too large only the first ``mllp.head_bytes``.
            peer: as above.
            reason: a stable code; :func:`engine.hl7v2.mllp.explain` gives the error for the dead letter.
        """


class End(StrEnum):
    """Why a connection ended; each is counted as ``ended_<value>`` with ``_`` for ``-``."""

    PEER_CLOSED = "peer-closed"
    PEER_LOST = "peer-lost"
    IDLE = "idle"
    FRAME_TIMEOUT = "frame-timeout"
    WRITE_TIMEOUT = "write-timeout"
    FAULTS = "faults"
    RECEIVER_FAILED = "receiver-failed"
    RECEIVER_TIMEOUT = "receiver-timeout"
    STOPPED = "stopped"
    ABORTED = "aborted"


_STATS = (
    "connections_open",
    "connections_accepted",
    "connections_refused",
    "accept_errors",
    "handshakes_failed",
    "bytes_received",
    "bytes_held",
    "frames",
    "frames_unframed",
    "commits",
    "under_way",
    "answers",
    "not_answered",
)
"""Names in :func:`new_stats`. All only grow, but connections_open, bytes_held and under_way, which are gauges.

``frames_unframed`` is the part of ``frames`` that came without <SB>; ``not_answered`` counts frames and pieces
whose connection was gone or closed before an answer could be sent."""


def new_stats() -> Counter[str]:
    """Every counter of the listener at zero, so that a scrape sees them all from the start."""
    names = [
        *_STATS,
        *(f"broken_{reason.value.replace('-', '_')}" for reason in Reason),
        *(f"ended_{end.value.replace('-', '_')}" for end in End),
    ]
    return Counter(dict.fromkeys(names, 0))


def stat_name(prefix: str, code: StrEnum) -> str:
    return f"{prefix}_{code.value.replace('-', '_')}"
