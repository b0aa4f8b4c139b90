"""The start of ``wardstream run``."""

from __future__ import annotations

import gc
import time

from adapters.running import _ready
from adapters.worker import Engine
from engine.settings import Settings


def test_what_stands_when_the_engine_is_up_no_longer_holds_it_up():
    """A full collection goes through every object but those that are frozen: with the tables loaded it takes 0.1 s."""
    held = [{"n": n} for n in range(300_000)]
    try:
        _ready(Engine((), Settings()))
        started = time.process_time()
        gc.collect()
        frozen = time.process_time() - started
        gc.unfreeze()
        started = time.process_time()
        gc.collect()
        assert frozen < (time.process_time() - started) / 5
    finally:
        gc.unfreeze()
    assert len(held) == 300_000
