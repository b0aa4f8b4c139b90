"""One connection of the sender: writes frames, and gives each acknowledgement to the message it names."""

from __future__ import annotations

import asyncio
from collections import Counter

import structlog

from adapters.mllp.errors import AckTimeoutError, LinkLostError
from adapters.mllp.peek import Ack, read_ack
from engine.hl7v2.mllp import Broken, Commit, Event, FrameReader
from engine.settings import Mllp

_READ_BYTES = 64 * 1024
_ACTION = "The message may or may not have arrived: send it again if the receiver copes with duplicates."

_log = structlog.get_logger("wardstream.mllp")


class Link:
    """A connection, and the messages on it that wait for their acknowledgement.

    An acknowledgement belongs to the waiting message whose MSH-10 equals its MSA-2, and to no other. When
    one does not come in time the whole connection is given up, so that a late one has nowhere to arrive.
    """

    def __init__(
        self,
        stream: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        settings: Mllp,
        stats: Counter[str],
        peer: str,
    ) -> None:
        self._stream = stream
        self._writer = writer
        self._settings = settings
        self._stats = stats
        self._peer = peer
        self._frames = FrameReader(max_frame_bytes=settings.send_max_ack_bytes)
        self._waiting: dict[bytes, asyncio.Future[Ack]] = {}
        self._changed = asyncio.Event()
        self._reading = asyncio.create_task(self._read_all())
        self.lost = False

    async def room_for(self, control_id: bytes) -> None:
        """Wait until there is room in the window and the answer can't be confused, or the link is lost.

        No two messages with one control id are on the way together, and one without any travels alone.
        """
        while not self.lost and not self._has_room(control_id):
            self._changed.clear()
            await self._changed.wait()

    def expect(self, control_id: bytes) -> asyncio.Future[Ack]:
        """Say that an acknowledgement of this message will be on the way. Call :meth:`room_for` first."""
        answer: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
        self._waiting[control_id] = answer
        return answer

    async def write(self, wire: bytes) -> None:
        """Write a frame.

        Raises:
            LinkLostError: the receiver is gone, or does not read.
        """
        limit = asyncio.timeout(self._settings.write_timeout)
        try:
            async with limit:
                self._writer.write(wire)
                await self._writer.drain()
        except OSError as error:
            why = "the receiver does not read" if limit.expired() else "the connection was lost"
            self.give_up(why)
            raise LinkLostError(f"Not acknowledged: {why}", action=_ACTION) from error

    async def wait_for(
        self, control_id: bytes, answer: asyncio.Future[Ack], *, errors_only: bool = False
    ) -> Ack:
        """The acknowledgement that :meth:`expect` promised.

        Args:
            control_id, answer: as given to and by :meth:`expect`.
            errors_only: silence for ``mllp.send_silence`` is success, and gives an Ack without code.

        Raises:
            AckTimeoutError: none came within ``mllp.send_ack_timeout``.
            LinkLostError: the connection ended before.
        """
        s = self._settings
        try:
            async with asyncio.timeout(
                min(s.send_silence, s.send_ack_timeout) if errors_only else s.send_ack_timeout
            ):
                return await answer
        except TimeoutError as error:
            if errors_only:
                return Ack("", control_id.decode("latin-1"))
            self._stats["timeouts"] += 1
            raise AckTimeoutError(
                f"No acknowledgement within {self._settings.send_ack_timeout:g} s", action=_ACTION
            ) from error
        finally:
            self.forget(control_id)

    def forget(self, control_id: bytes) -> None:
        """The message is answered, or nobody waits for it any more."""
        if self._waiting.pop(control_id, None) is not None:
            self._changed.set()

    def give_up(self, why: str) -> None:
        """End the connection at once. Every message that still waits gets a LinkLostError."""
        if self.lost:
            return
        self.lost = True
        self._stats["links_lost"] += 1
        _log.warning("mllp link given up", peer=self._peer, reason=why, waiting=len(self._waiting))
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(LinkLostError(f"Not acknowledged: {why}", action=_ACTION))
        self._writer.transport.abort()
        self._reading.cancel()
        self._changed.set()

    async def close(self) -> None:
        """Flush what was written, then end the connection."""
        if self._waiting:
            self.give_up("the sender was closed")
        self.lost = True
        self._changed.set()
        self._reading.cancel()
        await asyncio.wait((self._reading,))
        try:
            async with asyncio.timeout(self._settings.write_timeout):
                self._writer.close()
                await self._writer.wait_closed()
        except OSError:
            self._writer.transport.abort()

    def _has_room(self, control_id: bytes) -> bool:
        if not control_id or b"" in self._waiting:
            return not self._waiting
        return len(self._waiting) < self._settings.send_window and control_id not in self._waiting

    async def _read_all(self) -> None:
        try:
            while (data := await self._read()) != b"":
                if data is not None:
                    self._frames.feed(data)
                while not self.lost and (event := self._frames.next_event()) is not None:
                    self._on_event(event)
            self.give_up("the receiver closed the connection")
        except OSError:
            self.give_up("the connection was lost")

    async def _read(self) -> bytes | None:
        """Next bytes; None when the receiver seems to leave out the <CR> after <EB>."""
        if not self._frames.awaiting_trailer:
            return await self._stream.read(_READ_BYTES)
        limit = asyncio.timeout(self._settings.trailer_timeout)
        try:
            async with limit:
                return await self._stream.read(_READ_BYTES)
        except TimeoutError:
            if not limit.expired():
                raise
            self._frames.pause()
            return None

    def _on_event(self, event: Event) -> None:
        match event:
            case Commit(positive=True):
                self._stats["commits"] += 1  # Release 2: stored; the acknowledgement is still to come
            case Commit():
                self.give_up("the receiver could not store a message (MLLP Release 2 NAK)")
            case Broken():
                self.give_up("the receiver sent something that is no MLLP frame")
            case _:
                self._on_answer(read_ack(event.payload))

    def _on_answer(self, ack: Ack | None) -> None:
        answer = self._waiting.get(ack.control_id.encode("latin-1")) if ack is not None else None
        if ack is None or answer is None or answer.done():
            self._stats["strays"] += 1
            _log.warning(
                "mllp stray answer",
                peer=self._peer,
                kind="no acknowledgement" if ack is None else "names no message that waits",
                action="Check what the receiver answers: MSA-2 must be the MSH-10 of the message.",
            )
            return
        self._stats["acks"] += 1
        answer.set_result(ack)
