"""One client of the MLLP listener, from its first byte to the log line that ends it.

Two tasks share a connection. One reads, cuts frames and begins a call of the receiver for each; the
other sends what these calls return, in the order of the frames. While ``mllp.pipeline`` calls are
under way, or all connections hold ``mllp.max_held_bytes``, nothing is read, and TCP has the client wait.
"""

from __future__ import annotations

import asyncio
from collections import Counter

import structlog

from adapters.mllp.calls import Calls
from adapters.mllp.memory import MemoryGate
from adapters.mllp.receiver import End, Receiver, stat_name
from engine.errors import FramingError
from engine.hl7v2.mllp import Broken, Commit, Frame, FrameReader, Reason, frame
from engine.settings import Mllp

READ_BYTES = 64 * 1024
"""One read. Also asyncio's own buffer limit, so that a connection holds little that we have not looked at."""

_log = structlog.get_logger("wardstream.mllp")

_UNFINISHED: dict[End, Reason] = {
    End.PEER_LOST: Reason.CUT_OFF,
    End.FRAME_TIMEOUT: Reason.TIMED_OUT,
    End.STOPPED: Reason.STOPPED,
}
"""What a piece under way becomes, by the end of its connection. At the ends not listed there is none, or
the client misbehaved or we failed: then what is left is not looked at, and was never acknowledged."""

_LINGER = {End.IDLE, End.FRAME_TIMEOUT, End.FAULTS, End.STOPPED}
"""Ends that the client did not ask for: it may be sending, and must still get to read its last answers."""


class Connection:
    """Serves one client. Call :meth:`run` once; :meth:`wind_down` asks it to end in good order."""

    def __init__(
        self,
        stream: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        peer: str,
        number: str,
        settings: Mllp,
        receiver: Receiver,
        gate: MemoryGate,
        stats: Counter[str],
    ) -> None:
        self._stream = stream
        self._writer = writer
        self._peer = peer
        self._number = number
        self._settings = settings
        self._gate = gate
        self._stats = stats
        self._own: Counter[str] = Counter()
        self._frames = FrameReader(
            max_frame_bytes=settings.max_frame_bytes,
            head_bytes=settings.head_bytes,
            lenient=settings.lenient,
        )
        self._calls = Calls(receiver, settings, peer=peer, connection=number)
        self._loop = asyncio.get_running_loop()
        self._started = self._quiet_since = self._loop.time()
        self._end: End | None = None
        self._mute = False  # nothing is answered any more: an answer is missing, or can't be sent
        self._timer: asyncio.Timeout | None = None
        self._frame_deadline: float | None = None
        self._trailer_deadline: float | None = None
        self._read_until: float | None = None
        self._faults_in_a_row = 0
        self._arriving = self._answering = 0  # bytes, as the gate knows them

    async def run(self) -> None:
        """Serve until the connection ends, for whatever reason; then say so in one log line."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._answer_in_order())
                await self._read_all()
                self._calls.shut()
            await self._close()
        except asyncio.CancelledError:
            self._end = End.ABORTED
            raise
        finally:
            self._writer.transport.abort()
            self._tally("not_answered", len(self._calls))
            self._stats["under_way"] -= len(self._calls)
            self._gate.change(arriving=-self._arriving, answering=-self._answering)
            self._gate.done(self)
            self._log_end()
            await self._calls.cancel()

    def wind_down(self, read_until: float) -> None:
        """Finish the frame that is being received, if any, by that time of the loop; answer all; close."""
        self._read_until = read_until
        self._wake()

    async def _read_all(self) -> None:
        while self._end is None:
            await self._take_events()
            if self._read_until is not None and not self._frames.in_progress:
                self._finish(End.STOPPED)
            if self._end is None:
                await self._read()
        if self._end is End.PEER_CLOSED:
            self._frames.eof()
            await self._take_events()
        elif self._end in _UNFINISHED:
            self._frames.abandon(_UNFINISHED[self._end])
            await self._take_events()

    async def _read(self) -> None:
        """Read once, or find that a deadline has passed."""
        try:
            data = await self._next_bytes()
        except OSError:
            self._finish(End.PEER_LOST)
            return
        if data is None:
            self._on_deadline()
        elif data:
            self._tally("bytes_received", len(data))
            self._frames.feed(data)
            if len(data) == READ_BYTES:
                await asyncio.sleep(0)  # a full buffer would be read again and again; others get their turn
        else:
            self._finish(End.PEER_CLOSED)
        self._trailer_deadline = None

    async def _next_bytes(self) -> bytes | None:
        """What the client sent, b"" when it has ended the stream, None when a deadline has passed or we were woken."""
        timer = asyncio.timeout_at(self._deadline())
        try:
            async with timer as self._timer:
                await self._gate.wait(self, within_frame=self._frames.in_progress)
                if self._frames.awaiting_trailer:
                    self._trailer_deadline = self._loop.time() + self._settings.trailer_timeout
                    timer.reschedule(self._deadline())
                return await self._stream.read(READ_BYTES)
        except TimeoutError:  # the kernel knows one, too: that is a peer that vanished
            if not timer.expired():
                raise
            return None
        finally:
            self._timer = None

    def _deadline(self) -> float:
        if not self._frames.in_progress:
            return self._quiet_since + self._settings.idle_timeout
        if self._frame_deadline is None:
            self._frame_deadline = self._loop.time() + self._settings.frame_timeout
        deadlines = (self._frame_deadline, self._trailer_deadline, self._read_until)
        return min(deadline for deadline in deadlines if deadline is not None)

    def _on_deadline(self) -> None:
        """Act on the deadline that has passed. None has when we were only woken."""
        now = self._loop.time()
        if self._frames.in_progress:
            if self._trailer_deadline is not None and now >= self._trailer_deadline:
                self._frames.pause()
            elif self._read_until is not None and now >= self._read_until:
                self._finish(End.STOPPED)
            elif self._frame_deadline is not None and now >= self._frame_deadline:
                self._finish(End.FRAME_TIMEOUT)
        elif self._calls:
            self._quiet_since = now  # the client is not idle: it waits for us
        elif now >= self._quiet_since + self._settings.idle_timeout:
            self._finish(End.IDLE)

    async def _take_events(self) -> None:
        """Hand on what has been read, as far as slots allow."""
        while not self._mute and self._end is not End.FAULTS:
            event = self._frames.next_event()
            if event is None:
                break
            self._frame_deadline = None
            self._quiet_since = self._loop.time()
            self._gate.done(self)
            if isinstance(event, Commit):
                self._tally("commits")
                await asyncio.sleep(0)  # there may be 65,536 of them in one read; others get their turn
            else:
                self._tally_event(event)
                await self._begin(event)
        self._account()

    async def _begin(self, event: Frame | Broken) -> None:
        self._account(waiting=len(event.payload))
        if await self._calls.begin(event):
            self._stats["under_way"] += 1
        else:
            self._tally("not_answered")

    async def _answer_in_order(self) -> None:
        async for answer in self._calls.answers():
            if isinstance(answer, End):
                self._hang_up(answer)
            if self._mute:
                self._tally("not_answered")
            elif answer is not None and not isinstance(answer, End):
                await self._send((answer,) if isinstance(answer, bytes) else answer)
            self._calls.finished()
            self._stats["under_way"] -= 1
            self._quiet_since = self._loop.time()
            self._account()

    async def _send(self, answers: tuple[bytes, ...]) -> None:
        """Write the answer to one frame, which may be several frames, and have the client read it, more or less: the buffers have room again."""
        limit = asyncio.timeout(self._settings.write_timeout)
        try:
            async with limit:
                self._writer.write(b"".join(map(frame, answers)))
                await self._writer.drain()
            self._tally("answers")
            return
        except FramingError as error:
            _log.error("mllp answer can't be framed", connection=self._number, action=error.action)
            self._hang_up(End.RECEIVER_FAILED)
        except OSError:
            self._hang_up(End.WRITE_TIMEOUT if limit.expired() else End.PEER_LOST)
        self._tally("not_answered")

    async def _close(self) -> None:
        """Close so that the client can still read what was sent; what this does not achieve in time is cut."""
        if self._mute:
            return
        try:
            async with asyncio.timeout(self._settings.write_timeout):
                if self._end in _LINGER and self._writer.can_write_eof():
                    await self._linger()
                self._writer.close()
                await self._writer.wait_closed()
        except OSError:
            return

    async def _linger(self) -> None:
        """Say that we are done and let the client finish. Closing over unread bytes sends a reset, at which
        Windows throws away what its program has not read yet: our last answers.
        """
        self._writer.write_eof()
        try:
            async with asyncio.timeout(self._settings.linger_timeout):
                while await self._stream.read(READ_BYTES):
                    pass
        except TimeoutError:
            return

    def _finish(self, end: End) -> None:
        """Note why the connection ends. The first reason counts."""
        if self._end is None:
            self._end = end
            self._wake()

    def _hang_up(self, end: End) -> None:
        """End without further answers: the client keeps what it was not told about."""
        self._mute = True
        self._calls.shut()
        self._finish(end)

    def _wake(self) -> None:
        """Interrupt a read that waits."""
        if self._timer is not None and not self._timer.expired():
            self._timer.reschedule(self._loop.time())

    def _tally(self, name: str, by: int = 1) -> None:
        self._stats[name] += by
        self._own[name] += by

    def _tally_event(self, event: Frame | Broken) -> None:
        if isinstance(event, Frame):
            self._faults_in_a_row = 0
            self._tally("frames")
            self._tally("frames_unframed", int(not event.framed))
            return
        self._tally(stat_name("broken", event.reason))
        self._own["broken"] += 1
        self._faults_in_a_row += 1
        if self._faults_in_a_row >= self._settings.max_faults:
            self._finish(End.FAULTS)

    def _account(self, waiting: int = 0) -> None:
        """Tell the gate how much this connection holds now, ``waiting`` bytes included."""
        arriving, answering = self._frames.held, self._calls.held + waiting
        self._gate.change(arriving=arriving - self._arriving, answering=answering - self._answering)
        self._arriving, self._answering = arriving, answering
        self._stats["bytes_held"] = self._gate.held

    def _log_end(self) -> None:
        end = self._end or End.ABORTED
        self._stats[stat_name("ended", end)] += 1
        self._stats["bytes_held"] = self._gate.held
        _log.info(
            "mllp connection ended",
            peer=self._peer,
            connection=self._number,
            reason=end.value,
            seconds=round(self._loop.time() - self._started, 3),
            bytes=self._own["bytes_received"],
            frames=self._own["frames"],
            unframed=self._own["frames_unframed"],
            broken=self._own["broken"],
            answered=self._own["answers"],
            not_answered=self._own["not_answered"],
        )
