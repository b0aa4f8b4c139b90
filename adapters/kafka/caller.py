"""Where a stage's code runs: on the event loop, or beside it in a thread of the stage's own.

A stage that computes without ever awaiting blocks the loop for as long as it computes. For the usual message that
is a millisecond and a thread would cost more than it saves; for a 20 MB document it is many seconds in which no
acknowledgement would leave the MLLP listener. (Kafka's heartbeats are safe either way: Faust's consumer has a
thread of its own.)
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Protocol

from adapters.kafka.errors import HandlerStuckError, HandlerTimeoutError
from engine.ports import Stage
from engine.records import Publication, Record


class Caller(Protocol):
    """Calls a stage as :class:`engine.ports.Stage` says, within a time limit.

    Beside the stage's own errors ``handle`` raises :class:`HandlerTimeoutError` past the limit, and
    :class:`HandlerStuckError` when the stage's code runs on nevertheless and can't be ended.
    """

    async def handle(self, record: Record) -> Sequence[Publication]: ...

    async def tick(self, now: datetime) -> Sequence[Publication]: ...

    def close(self) -> None: ...


class OnLoop:
    """Calls the stage on the running event loop."""

    def __init__(self, stage: Stage, seconds: float) -> None:
        self._stage = stage
        self._seconds = seconds

    async def handle(self, record: Record) -> Sequence[Publication]:
        async with _limited(self._stage, self._seconds):
            return await self._stage.handle(record)

    async def tick(self, now: datetime) -> Sequence[Publication]:
        return self._stage.tick(now)

    def close(self) -> None:
        """Nothing is held."""


class BesideLoop:
    """Calls the stage on the loop, but for records of over ``over_bytes``: those go to a thread.

    The stage is never entered twice at a time, whichever way. That needs a stage whose ``handle`` never awaits.
    """

    def __init__(self, stage: Stage, seconds: float, over_bytes: int) -> None:
        self._stage = stage
        self._seconds = seconds
        self._over_bytes = over_bytes
        self._turn = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def handle(self, record: Record) -> Sequence[Publication]:
        # The limit holds from the record's own turn on: those behind a slow one are not to blame.
        await self._turn.acquire()
        if len(record.value) > self._over_bytes:
            return await self._in_thread(record)
        try:
            async with _limited(self._stage, self._seconds):
                return await self._stage.handle(record)
        finally:
            self._turn.release()

    async def tick(self, now: datetime) -> Sequence[Publication]:
        async with self._turn:
            return self._stage.tick(now)

    async def _in_thread(self, record: Record) -> Sequence[Publication]:
        home = asyncio.get_running_loop()
        ended = asyncio.Event()

        def end() -> None:
            self._turn.release()
            ended.set()

        async def work() -> Sequence[Publication]:
            try:
                return await self._stage.handle(record)
            finally:
                # The turn ends when the code does, even if nobody waits for its result any more.
                home.call_soon_threadsafe(end)

        result = asyncio.run_coroutine_threadsafe(work(), self._thread_loop())
        try:
            async with _limited(self._stage, self._seconds):
                return await asyncio.wrap_future(result)
        except HandlerTimeoutError as error:
            if ended.is_set():
                raise
            raise HandlerStuckError(error.message, action=error.action) from error

    def _thread_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            # A daemon: a handler that never returns must not keep the process from ending.
            threading.Thread(
                target=_serve, args=(self._loop,), name=f"stage-{self._stage.name}", daemon=True
            ).start()
        return self._loop

    def close(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.close()


@asynccontextmanager
async def _limited(stage: Stage, seconds: float) -> AsyncIterator[None]:
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise HandlerTimeoutError(
            f"Stage {stage.name} did not finish the record within {seconds:g} s",
            action="See what is special about this message; if it is only large, raise kafka.handler_timeout. "
            "Then replay the dead letter.",
        ) from error
