"""Rules on long notes beside the event loop.

What the rules make of a usual note takes some milliseconds. Of a letter of 100,000 characters it is a second or more, in
which no acknowledgement would leave the MLLP listener and no health check be answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

#: Characters from which a note is worth a thread: the rules and the making of FHIR take about 15 ms of it.
LONG = 2_000


class Aside:
    """One thread, shared by all who read notes in a process: pure Python gains nothing from more.

    It has no queue limit of its own: each caller waits for its answer, and their number is limited where they come in
    (``http.max_requests``, one record a partition). Who gives up waiting does not stop what has begun; what has not is
    left out.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "note-rules")

    async def run(self, characters: int, work: Callable[[], T]) -> T:
        """The answer of ``work``, called at once for a short note and in the thread for a long one."""
        if characters < LONG:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
