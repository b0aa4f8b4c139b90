"""A thread that ends the process when its event loop can't: blocked for too long, or late with stopping.

What is not acknowledged then is read again after the restart, so ending hard loses nothing.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import sys
import threading
import time
from typing import Final

log = logging.getLogger(__name__)

_LOOK_EVERY: Final = 0.5


class Watchdog:
    """Ends the process with ``exit_code`` when the running loop does not answer for ``stall_timeout`` seconds."""

    def __init__(self, stall_timeout: float, exit_code: int) -> None:
        self._stall_timeout = stall_timeout
        self._exit_code = exit_code
        self._loop = asyncio.get_running_loop()
        self._answered = time.monotonic()
        self._end_at: float | None = None
        self._stopped = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def end_within(self, seconds: float, exit_code: int) -> None:
        """End the process hard with ``exit_code`` if :meth:`stop` is not called within ``seconds``."""
        self._exit_code = exit_code
        self._end_at = time.monotonic() + seconds

    def _watch(self) -> None:
        while not self._stopped.wait(_LOOK_EVERY):
            try:
                self._loop.call_soon_threadsafe(self._answer)
            except RuntimeError:
                return  # the loop is closed: the program is over
            now = time.monotonic()
            if now - self._answered > self._stall_timeout:
                self._end(f"the event loop has been blocked for {now - self._answered:.0f} s")
            if self._end_at is not None and now > self._end_at:
                self._end("stopping took longer than its deadline")

    def _answer(self) -> None:
        self._answered = time.monotonic()

    def _end(self, why: str) -> None:
        log.critical("process ended hard: %s; nothing unconfirmed was acknowledged", why)
        # Frames name files and lines only: no message shows in them.
        faulthandler.dump_traceback(sys.stderr)
        sys.stderr.flush()
        os._exit(self._exit_code)
