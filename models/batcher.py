"""Windows of many notes and many callers, in batches by padded pieces (after text-embeddings-inference's queue).

Numbers, all from settings: a batch holds at most ``batch_pieces`` padded pieces; the oldest window waits at most
``batch_wait`` for company; at most ``queue_pieces`` wait, and who comes then is told so at once. Windows are sorted by
length over several batches' worth, so that little is padding. A batch that fails is run again window by window: the one
that can't be read takes no other along.

Who brings few windows and who brings many wait in lanes of their own, and the lanes take turns. So a short note never waits
for the end of a long one, and a stream of short ones takes no more than half from a long one. Each lane is first come,
first served.

There is no task while nothing waits: windows start as many as may run at one time, and each ends when none is left. So a
batcher needs no closing, and lives through several event loops, one after another.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.errors import ExtractorError, OverloadedError

Row = NDArray[np.int32]
Scores = NDArray[np.float32]
Run = Callable[[Sequence[Row]], Scores]

#: Batches' worth of windows that are sorted by length together. More would keep the oldest waiting for longer.
SORTED_TOGETHER = 8
#: Windows of one caller up to which it waits in the lane of short ones: some 5,000 characters of English.
SHORT = 6


@dataclass(frozen=True, slots=True)
class Limits:
    """See the module's docstring; seconds and pieces.

    Attributes:
        batch_pieces: padded pieces in a batch; a single window may be longer.
        batch_wait: how long the oldest window waits for company.
        queue_pieces: pieces that may wait.
        rows: windows in a batch at most. 1 on a CPU: dynamic int8 scales numbers over the whole batch, so that a note's
            answer would depend on its neighbours, and a batch is no faster there than its rows one by one.
        parallel: batches that run at one time.
    """

    batch_pieces: int
    batch_wait: float
    queue_pieces: int
    rows: int = 4096
    parallel: int = 1


@dataclass(slots=True, eq=False)
class _Waiting:
    row: Row
    since: float
    future: asyncio.Future[Scores]


@dataclass(slots=True)
class Served:
    """What was done so far, for metrics and the bench.

    Attributes:
        batches, windows: how many ran.
        pieces, padded: pieces that ran, and those with padding.
        seconds: spent in the model.
        overloads: callers turned away.
    """

    batches: int = 0
    windows: int = 0
    pieces: int = 0
    padded: int = 0
    seconds: float = 0.0
    overloads: int = 0


class Batcher:
    """Shares one model among callers of one event loop.

    Args:
        run: computes ``[rows, longest, outputs]``; called in ``executor``, for ``limits.parallel`` batches at a time.
        executor: where the model runs, so that the event loop goes on.
        limits: see :class:`Limits`.
    """

    def __init__(self, run: Run, executor: Executor, limits: Limits) -> None:
        self._run, self._executor, self._limits = run, executor, limits
        self._lanes: tuple[deque[_Waiting], deque[_Waiting]] = (deque(), deque())
        self._turn = 0
        self._pieces = 0
        self._full = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.served = Served()

    async def submit(self, rows: Sequence[Row]) -> list[Scores]:
        """Scores of each row, without padding: ``[len(row), outputs]``. All rows are taken, or none.

        Raises:
            OverloadedError: they would not fit in the queue.
            ExtractorError: the model can't read one of them.
        """
        if not rows:
            return []
        size = sum(len(row) for row in rows)
        # One caller alone may be larger than the queue, or a very long note could never be read.
        if self._pieces and self._pieces + size > self._limits.queue_pieces:
            self.served.overloads += 1
            raise OverloadedError(
                f"{self._pieces} pieces of text already wait for the model, {size} more were brought",
                action="Wait and try again; if it lasts, add workers with the role annotate or raise nlp.queue_pieces.",
            )
        loop = asyncio.get_running_loop()
        items = [_Waiting(row, time.monotonic(), loop.create_future()) for row in rows]
        self._lanes[len(items) > SHORT].extend(items)
        self._pieces += size
        self._wake(loop)
        try:
            return list(await asyncio.gather(*(item.future for item in items)))
        finally:
            self._forget(items)

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._pieces >= self._limits.batch_pieces:
            self._full.set()
        self._tasks = {task for task in self._tasks if not task.done()}
        if not self._tasks:
            self._full = asyncio.Event()
        while len(self._tasks) < self._limits.parallel:
            self._tasks.add(loop.create_task(self._serve()))

    def _forget(self, items: Sequence[_Waiting]) -> None:
        """A caller that gave up (time-out, one bad window) takes what still waits of it out of the queue."""
        for item in items:
            item.future.cancel()

    async def _serve(self) -> None:
        while any(self._lanes):
            await self._company()
            for batch in self._take():
                await self._serve_batch([item for item in batch if not item.future.cancelled()])

    async def _company(self) -> None:
        """Waits until a batch is full or the oldest has waited long enough."""
        if self._limits.rows == 1:
            return
        oldest = min(lane[0].since for lane in self._lanes if lane)
        left = oldest + self._limits.batch_wait - time.monotonic()
        if self._pieces < self._limits.batch_pieces and left > 0:
            self._full.clear()
            try:
                async with asyncio.timeout(left):
                    await self._full.wait()
            except TimeoutError:
                return

    def _take(self) -> list[list[_Waiting]]:
        """The next window; where several run together, batches' worth of them, sorted by length and cut by padded pieces."""
        budget = self._limits.batch_pieces * SORTED_TOGETHER if self._limits.rows > 1 else 0
        taken: list[_Waiting] = []
        size = 0
        while any(self._lanes):
            lane = self._lanes[self._turn] or self._lanes[1 - self._turn]
            if taken and size + len(lane[0].row) > budget:
                break
            size += len(lane[0].row)
            taken.append(lane.popleft())
            self._turn = 1 - self._turn
        self._pieces -= size
        taken.sort(key=lambda item: len(item.row))
        batches: list[list[_Waiting]] = []
        for item in taken:
            rows = len(batches[-1]) + 1 if batches else 0
            if batches and rows <= self._limits.rows and rows * len(item.row) <= self._limits.batch_pieces:
                batches[-1].append(item)
            else:
                batches.append([item])
        return batches

    async def _serve_batch(self, batch: list[_Waiting]) -> None:
        if not batch:
            return
        try:
            await self._compute(batch)
        except Exception as error:  # noqa: BLE001 - a fault of ours must reach the callers, or they wait for ever
            if len(batch) == 1:
                _fail(batch[0], error)
                return
            for item in batch:
                if not item.future.done():
                    await self._serve_batch([item])

    async def _compute(self, batch: list[_Waiting]) -> None:
        loop = asyncio.get_running_loop()
        started = time.monotonic()
        logits = await loop.run_in_executor(self._executor, self._run, [item.row for item in batch])
        self._count(batch, time.monotonic() - started)
        for at, item in enumerate(batch):
            scores = logits[at, : len(item.row)]
            if item.future.done():
                continue
            if np.isfinite(scores).all():
                item.future.set_result(scores)
            else:
                _fail(item, _not_numbers())

    def _count(self, batch: list[_Waiting], seconds: float) -> None:
        served = self.served
        served.batches += 1
        served.windows += len(batch)
        served.pieces += sum(len(item.row) for item in batch)
        served.padded += len(batch) * max(len(item.row) for item in batch)
        served.seconds += seconds


def _fail(item: _Waiting, error: Exception) -> None:
    if not item.future.done():
        item.future.set_exception(error)


def _not_numbers() -> ExtractorError:
    return ExtractorError(
        "The model answered with something that is no number",
        action="Use the fp32 model or the CPU: float16 overflows in some models.",
    )
