"""A limit on the bytes that all connections together may hold."""

from __future__ import annotations

import asyncio


class MemoryGate:
    """Open while less than ``limit`` bytes are held; connections wait here before they read.

    While it is closed, answers that leave free memory. If there are none to come, all that is held are
    frames that are still arriving, each waiting for room that the others take. Then one of them at a time
    is let in until it is whole. So what is held may exceed the limit by one frame, and by one read for each
    connection that was let in together with others.

    Attributes:
        arriving: bytes of frames that are not whole yet.
        answering: bytes of frames whose answer has not left yet.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._changed = asyncio.Event()
        self._let_in: object | None = None
        self.arriving = 0
        self.answering = 0

    @property
    def held(self) -> int:
        return self.arriving + self.answering

    async def wait(self, who: object, *, within_frame: bool) -> None:
        """Return when ``who`` may read: at once while there is room.

        A connection that was let in ``within_frame`` says :meth:`done` when its frame is whole or given up.
        """
        while not self._may_read(who, within_frame=within_frame):
            self._changed.clear()
            await self._changed.wait()

    def _may_read(self, who: object, *, within_frame: bool) -> bool:
        if self.held < self._limit:
            return True
        if self.answering or not within_frame:
            return False
        if self._let_in is None:
            self._let_in = who
        return self._let_in is who

    def done(self, who: object) -> None:
        if self._let_in is who:
            self._let_in = None
            self._changed.set()

    def change(self, *, arriving: int = 0, answering: int = 0) -> None:
        """Hold so many bytes more, or fewer."""
        self.arriving += arriving
        self.answering += answering
        if self.held < self._limit or not self.answering:
            self._changed.set()
