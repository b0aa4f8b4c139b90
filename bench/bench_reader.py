"""Reading HL7 v2: bytes to a tree with every value read, beside hl7apy and python-hl7, in one run on the same messages.

Ratios are of medians; the readers take turns message by message, so that a noisy machine is noisy for all. Memory is
what reading adds to the bytes of the message, in times of their number: by tracemalloc, and as the process grows.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import hl7
from hl7apy.parser import parse_message

from adapters.replay.generate import adt_a01, oru_with
from engine.hl7v2 import er7

MARKS = {"python-hl7": 5, "hl7apy": 100, "memory": 6}
"""What the project sets itself: at least so many times faster, at most so many times the size."""


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


def times(function: Callable[[bytes], int], payload: bytes, repeat: int) -> float:
    """Median seconds."""
    found = []
    for _ in range(repeat):
        started = time.process_time()
        function(payload)
        found.append(time.process_time() - started)
    return statistics.median(found)


def compare(label: str, payloads: list[bytes], repeat: int) -> tuple[float, float]:
    """One line of the table; returns how many times faster than python-hl7 and hl7apy."""
    ours(payloads[0])
    mine, theirs, apy = [], [], []
    for payload in payloads:  # in turns
        mine.append(times(ours, payload, repeat))
        theirs.append(times(python_hl7, payload, max(1, repeat // 4)))
        apy.append(times(by_hl7apy, payload, 1))
    a, b, c = (statistics.median(x) for x in (mine, theirs, apy))
    print(
        f"{label:<18}{len(payloads[0]):>9} B {a * 1e3:>10.3f} ms {b * 1e3:>10.3f} ms {c * 1e3:>10.2f} ms"
        f" {b / a:>8.1f}x {c / a:>8.0f}x",
        flush=True,
    )
    return b / a, c / a


def walked(payload: bytes) -> None:
    """Read, and walk all leaves with their locations."""
    message = er7.read(payload)
    for _ in message.located_leaves():
        pass


def of_process(what: str) -> int:
    """Bytes of memory that this process has (VmRSS) or had at most (VmHWM; unlike getrusage's not of its parent)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))


def alone(path: Path) -> None:
    """Seconds and memory of one file, in this process and no other: its growth is then the reader's."""
    payload = path.read_bytes()
    walked(adt_a01(1))  # what is loaded at first use belongs to no message
    before = of_process("VmRSS")
    started = time.process_time()
    ours(payload)
    seconds = time.process_time() - started
    grown = of_process("VmHWM") - before
    tracemalloc.start()
    walked(payload)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    kept(payload)
    whole = tracemalloc.get_traced_memory()[1]
    print(seconds, *(found / len(payload) for found in (grown, peak, whole)))


def kept(payload: bytes) -> None:
    """Read, and make the tree of every field, which stays in memory: what mapping does, segment by segment."""
    for segment in er7.read(payload).segments:
        for number in segment.valued_fields():
            segment.repetitions(number)


def growth(counts: tuple[int, ...]) -> list[tuple[int, float, float, float]]:
    """Cost and memory by size: both must stay in line. Rows are bytes, ns a byte, growth of the process, peak.

    The last column is a tree of which every leaf was asked for as an object: one text a value takes the six times alone.
    """
    print(
        f"\n{'OBX':>8}{'bytes':>12}{'ms':>10}{'ns/byte':>10}{'traced/size':>13}{'process/size':>14}{'all leaves/size':>17}"
    )
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "message.hl7"
        for count in counts:
            payload = oru_with(count, 1)
            path.write_bytes(payload)
            answer = subprocess.run(
                [sys.executable, __file__, "--alone", str(path)], capture_output=True, text=True, check=True
            )
            seconds, grown, peak, whole = map(float, answer.stdout.split())
            rows.append((len(payload), seconds / len(payload) * 1e9, grown, peak))
            # A small message does not make a process grow: its memory was there.
            process = f"{grown:>14.1f}" if len(payload) > 1_000_000 else f"{'-':>14}"
            print(
                f"{count:>8}{len(payload):>12}{seconds * 1e3:>10.1f}{rows[-1][1]:>10.0f}{peak:>13.1f}{process}{whole:>17.1f}"
            )
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="fewer messages and sizes")
    parser.add_argument("--alone", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.alone:
        alone(asked.alone)
        return
    repeat = 4 if asked.quick else asked.repeat
    few = 4 if asked.quick else 1
    print(
        f"{'':<18}{'size':>11} {'ours':>13} {'python-hl7':>13} {'hl7apy':>13} {'to p-hl7':>9} {'to apy':>9}"
    )
    compare("ADT^A01", [adt_a01(seed) for seed in range(12 // few)], repeat)
    compare("ORU, 10 OBX", [oru_with(10, seed) for seed in range(8 // few)], repeat)
    compare("ORU, 200 OBX", [oru_with(200, seed) for seed in range(max(1, 3 // few))], max(1, repeat // 4))
    rows = growth((100, 1_000, 10_000) if asked.quick else (100, 1_000, 10_000, 145_000))
    print(
        f"Marks: {MARKS['python-hl7']}x python-hl7, {MARKS['hl7apy']}x hl7apy, memory {MARKS['memory']} times the"
        f" size; the largest took {rows[-1][1] / rows[1][1]:.1f} times as long a byte as that of 1,000 OBX"
    )


if __name__ == "__main__":
    main()
