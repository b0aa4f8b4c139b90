"""The calls of the receiver that one connection has under way, given back in the order of their frames."""

from __future__ import annotations

import asyncio
import traceback
from collections import deque
from collections.abc import AsyncIterator
from pathlib import PurePath

import structlog

from adapters.mllp.receiver import End, Receiver, Reply
from engine.errors import WardstreamError
from engine.hl7v2.mllp import Broken, Frame
from engine.settings import Mllp

_log = structlog.get_logger("wardstream.mllp")

Answer = Reply | End
"""What to send; None when the sender wants to hear nothing; or why there is no answer."""


class Calls:
    """At most ``mllp.pipeline`` calls. One task begins them, another takes what they return.

    A call keeps its slot until its answer was dealt with: a client that does not read its answers gets
    no further message in.
    """

    def __init__(self, receiver: Receiver, settings: Mllp, *, peer: str, connection: str) -> None:
        self._receiver = receiver
        self._settings = settings
        self._peer = peer
        self._connection = connection
        self._slots = asyncio.Semaphore(settings.pipeline)
        self._line: deque[tuple[asyncio.Task[Answer], int]] = deque()
        self._changed = asyncio.Event()
        self._shut = False
        self.held = 0
        """Payload bytes of calls under way and of the one that waits for a slot."""

    def __len__(self) -> int:
        return len(self._line)

    async def begin(self, event: Frame | Broken) -> bool:
        """Wait for a slot and begin the call. False when the line was shut meanwhile: nothing was begun."""
        size = len(event.payload)
        self.held += size
        await self._slots.acquire()
        if self._shut:
            self.held -= size
            self._slots.release()
            return False
        self._line.append((asyncio.create_task(self._call(event)), size))
        self._changed.set()
        return True

    def shut(self) -> None:
        """Begin nothing any more; :meth:`answers` ends when what is under way has been answered."""
        self._shut = True
        self._changed.set()

    async def answers(self) -> AsyncIterator[Answer]:
        """Answers in the order of the frames. Say :meth:`finished` before asking for the next."""
        while self._line or not self._shut:
            if not self._line:
                self._changed.clear()
                await self._changed.wait()
                continue
            call, _ = self._line[0]
            if not call.done():
                await asyncio.wait((call,))
            yield End.RECEIVER_FAILED if call.cancelled() else call.result()

    def finished(self) -> None:
        """The oldest call was answered, or never will be: its slot and its bytes are free."""
        _, size = self._line.popleft()
        self.held -= size
        self._slots.release()

    async def cancel(self) -> None:
        """End what is under way, without answers."""
        calls = [call for call, _ in self._line]
        for call in calls:
            call.cancel()
        if calls:
            await asyncio.wait(calls, timeout=self._settings.linger_timeout)

    async def _call(self, event: Frame | Broken) -> Answer:
        limit = asyncio.timeout(self._settings.answer_timeout)
        try:
            async with limit:
                if isinstance(event, Broken):
                    answer = await self._receiver.receive_broken(
                        event.payload, peer=self._peer, reason=event.reason
                    )
                    return None if event.superseded else answer
                return await self._receiver.receive(
                    event.payload, peer=self._peer, connection=self._connection
                )
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the message is not safe: no ACK
            end = End.RECEIVER_TIMEOUT if limit.expired() else End.RECEIVER_FAILED
            _log.error(  # without the exception's text and trace: they may hold a patient's data
                "mllp message not acknowledged",
                peer=self._peer,
                connection=self._connection,
                reason=end.value,
                error=error.code if isinstance(error, WardstreamError) else type(error).__name__,
                raised_at=raised_at(error),
                action="The sender keeps the message and is expected to send it again.",
            )
            return end


def raised_at(error: BaseException) -> str:
    """File and line that raised, without the source line or any value."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    at = ""
    for place, line in traceback.walk_tb(error.__traceback__):
        at = f"{PurePath(place.f_code.co_filename).name}:{line}"
    return at
