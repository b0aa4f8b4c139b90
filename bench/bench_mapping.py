"""One core from bytes to a serialised Bundle: time a stage, messages a second, and hl7apy's parse alone beside it.

    python bench/bench_mapping.py [--count N] [--rounds R] [--profile]

Times are of the CPU, not of the clock, so that a busy machine changes them little. Every message is new: what comes
again is what comes again in a feed, doctors, places, codes and units. The rounds of all measurements take turns, and the
middle one counts. ``--profile`` prints where the time of the ADT goes.
With ``build/compiled`` on PYTHONPATH (``make compiled``) the package is native code, whose stages can't be told apart.
The ratio to Faust's passthrough is in bench_passthrough.py, which runs both on the same broker.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from hl7apy.parser import parse_message

import engine.pipeline as story
from adapters.composition import make_pipeline
from adapters.replay.generate import adt_a01, oru_with
from adapters.running import settle_memory
from engine.records import Envelope, Kind
from engine.settings import Settings

MARKS = {"ADT^A01": 1000, "ORU^R01, 10 OBX": 500}
"""Messages a second on one core that the project sets itself."""
DISTINCT = 200
"""Messages of each kind in a round."""
NATIVE = not str(story.__file__).endswith(".py")
WARM = 500
"""Messages before the clock runs: tables of structures are loaded when first met, and what comes often gets known."""
STAGES = {
    "read": (story.er7, "read"),
    "check": (story.Pipeline, "_check"),
    "map": (story.Mapper, "map"),
    "complete": (story.Pipeline, "_completed"),
    "validate": (story.Pipeline, "_valid"),
    "bundle": (story, "from_entries"),
    "notes": (story.Pipeline, "_notes"),
}


def envelopes(payloads: list[bytes]) -> list[Envelope]:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return [Envelope(payload, Kind.HL7V2, "bench", str(n), at) for n, payload in enumerate(payloads)]


def seconds(action: Callable[[Any], object], values: list[Any]) -> float:
    """CPU seconds for one of the values."""
    started = time.process_time()
    for value in values:
        action(value)
    return (time.process_time() - started) / len(values)


@contextmanager
def timed(spent: dict[str, float]) -> Iterator[None]:
    """Have every stage add its time to ``spent``."""
    originals = {}
    for name, (owner, attribute) in STAGES.items():
        originals[name] = vars(owner)[attribute]
        static = isinstance(originals[name], staticmethod)
        wrapper = _timer(originals[name].__func__ if static else originals[name], name, spent)
        setattr(owner, attribute, staticmethod(wrapper) if static else wrapper)
    try:
        yield
    finally:
        for name, (owner, attribute) in STAGES.items():
            setattr(owner, attribute, originals[name])


def _timer(inner: Callable[..., Any], name: str, spent: dict[str, float]) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        started = time.perf_counter()
        found = inner(*arguments, **named)
        spent[name] = spent.get(name, 0.0) + time.perf_counter() - started
        return found

    return call


def measure(label: str, generate: Callable[[int], bytes], count: int, rounds: int) -> None:
    pipeline = make_pipeline(Settings())
    settle_memory()
    payloads = [generate(seed) for seed in range(count)]

    def whole(envelope: Envelope) -> None:
        (outcome,) = pipeline.process(envelope)
        assert outcome.bundle_json

    def hl7apy(payload: bytes) -> None:
        parse_message(payload.decode("utf-8"), find_groups=True)

    seconds(whole, envelopes([generate(-1 - seed) for seed in range(WARM)]))
    ours, theirs = [], []
    spent: dict[str, float] = {}
    for turn in range(rounds):
        messages = envelopes([generate(count * turn + seed) for seed in range(count)])
        # One of theirs for every ten of ours: what slows the machine down slows both alike.
        turns = [
            (seconds(whole, messages[at : at + 10]), seconds(hl7apy, payloads[at : at + 1]))
            for at in range(0, len(messages), 10)
        ]
        ours.append(statistics.mean(own for own, _ in turns))
        theirs.append(statistics.mean(other for _, other in turns))
    if not NATIVE:
        with timed(spent):
            for envelope in envelopes([generate(count * rounds + seed) for seed in range(count)]):
                pipeline.process(envelope)
    middle, parse = statistics.median(ours), statistics.median(theirs)
    size = round(statistics.mean(map(len, payloads)))
    print(f"{label}, {size} bytes on average, {'native code' if NATIVE else 'Python'}")
    print(
        f"  bytes to serialised Bundle {middle * 1e3:7.2f} ms  {1 / middle:6,.0f}/s"
        f"  ({1 / max(ours):,.0f}-{1 / min(ours):,.0f}; the mark is {MARKS[label]:,}/s)"
    )
    print(
        f"  hl7apy, parse alone        {parse * 1e3:7.2f} ms  {1 / parse:6,.0f}/s  x{parse / middle:.1f} of its time"
    )
    if spent:
        total = sum(spent.values())
        print("  " + ", ".join(f"{name} {took / total:.0%}" for name, took in spent.items()))


def profile(payloads: list[bytes]) -> None:
    pipeline = make_pipeline(Settings())
    messages = envelopes(payloads)
    pipeline.process(messages[0])
    profiler = cProfile.Profile()
    profiler.enable()
    for envelope in messages:
        pipeline.process(envelope)
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(45)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=DISTINCT, help="messages of each kind in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    kinds: dict[str, Callable[[int], bytes]] = {
        "ADT^A01": adt_a01,
        "ORU^R01, 10 OBX": lambda seed: oru_with(10, seed),
    }
    for label, generate in kinds.items():
        if arguments.profile:
            profile([generate(seed) for seed in range(arguments.count)])
        else:
            measure(label, generate, arguments.count, arguments.rounds)


if __name__ == "__main__":
    main()
