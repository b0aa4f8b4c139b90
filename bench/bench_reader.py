"""Reading HL7 v2: bytes to a tree with every value read, beside hl7apy and python-hl7, in one run on the same messages.

Ratios are of medians; the readers take turns message by message, so that a noisy machine is noisy for all.
"""

from __future__ import annotations

import argparse
import statistics
import time
import tracemalloc
from collections.abc import Callable

import hl7
from hl7apy.parser import parse_message

from adapters.replay.generate import adt_a01, oru_with
from engine.hl7v2 import er7


def ours(payload: bytes) -> int:
    """Read, and touch every value with its place."""
    return sum(len(value[4]) for segment in er7.read(payload).segments for value in segment.values())


def python_hl7(payload: bytes) -> int:
    """Parse, and touch every leaf of python-hl7's nested containers."""

    def walk(node: object) -> int:
        return len(node) if isinstance(node, str) else sum(walk(part) for part in node)  # type: ignore[attr-defined]

    return walk(hl7.parse(payload.decode("utf-8")))


def by_hl7apy(payload: bytes) -> int:
    """Parse with groups; its values are read lazily, so each is asked for."""
    message = parse_message(payload.decode("utf-8"), find_groups=True)

    def walk(element: object) -> int:
        children = getattr(element, "children", None)
        if not children:
            value = getattr(element, "value", "") or ""
            return len(str(value))
        return sum(walk(child) for child in children)

    return walk(message)


def times(function: Callable[[bytes], int], payloads: list[bytes], repeat: int) -> float:
    """Median seconds a message."""
    found = []
    for payload in payloads:
        for _ in range(repeat):
            started = time.perf_counter()
            function(payload)
            found.append(time.perf_counter() - started)
    return statistics.median(found)


def compare(label: str, payloads: list[bytes], repeat: int) -> None:
    """One line of the table."""
    ours(payloads[0])
    mine, theirs, apy = [], [], []
    for payload in payloads:  # in turns
        mine.append(times(ours, [payload], repeat))
        theirs.append(times(python_hl7, [payload], max(1, repeat // 4)))
        apy.append(times(by_hl7apy, [payload], 1))
    a, b, c = (statistics.median(x) for x in (mine, theirs, apy))
    print(
        f"{label:<18}{len(payloads[0]):>9} B {a * 1e3:>10.3f} ms {b * 1e3:>10.3f} ms {c * 1e3:>10.2f} ms"
        f" {b / a:>8.1f}x {c / a:>8.0f}x"
    )


def growth() -> None:
    """Cost and memory by size: both must stay in line."""
    print(f"\n{'OBX':>8}{'bytes':>12}{'ms':>10}{'ns/byte':>10}{'memory/size':>13}")
    for count in (100, 1_000, 10_000, 100_000):
        payload = oru_with(count, 1)
        started = time.perf_counter()
        ours(payload)
        seconds = time.perf_counter() - started
        tracemalloc.start()
        message = er7.read(payload)
        for segment in message.segments:
            for _ in segment.values():
                pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        del message
        print(
            f"{count:>8}{len(payload):>12}{seconds * 1e3:>10.1f}{seconds / len(payload) * 1e9:>10.0f}"
            f"{peak / len(payload):>13.1f}"
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=20)
    repeat = parser.parse_args().repeat
    print(
        f"{'':<18}{'size':>11} {'ours':>13} {'python-hl7':>13} {'hl7apy':>13} {'to p-hl7':>9} {'to apy':>9}"
    )
    compare("ADT^A01", [adt_a01(seed) for seed in range(12)], repeat)
    compare("ORU, 10 OBX", [oru_with(10, seed) for seed in range(8)], repeat)
    compare("ORU, 200 OBX", [oru_with(200, seed) for seed in range(3)], max(1, repeat // 4))
    growth()


if __name__ == "__main__":
    main()
