"""One deadline that all steps of a stop share."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable

log = logging.getLogger(__name__)


class Deadline:
    """A point in time some seconds from now."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self._at - time.monotonic())

    async def bound(self, work: Awaitable[object], what: str) -> bool:
        """Wait for ``work`` no longer than the time that is left; False if it was not done by then or failed."""
        try:
            async with asyncio.timeout(max(self.remaining(), 0.1)):
                await work
        except TimeoutError:
            log.warning("stopping: no time left to %s", what)
            return False
        except Exception as error:  # noqa: BLE001 - the other steps of the stop must still be taken
            log.warning("stopping: could not %s: %s", what, type(error).__name__)
            return False
        return True
