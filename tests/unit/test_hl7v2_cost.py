"""What reading costs: time in line with the size, memory within six times the size.

How time grows is counted in calls and lines that Python runs: the same on every machine, however busy it is.
"""

from __future__ import annotations

import subprocess
import sys
import time
import tracemalloc

import pytest

from adapters.replay.generate import adt_a01, oru_with
from engine.hl7v2 import er7
from engine.hl7v2.batch import split
from engine.hl7v2.structure import group_segments

HEADER = "MSH|^~\\&|A|B|C|D|20260101||ORU^R01^ORU_R01|1|P|2.5.1\rPID|1||9^^^E^MR||Tan^A\rOBR|1|1|1|X^Y\r"


def obx(number: int, status: str = "F") -> str:
    return f"OBX|{number}|NM|C{number}^Name^99X||{number}.5|mmol/L|||||{status}\r"


SHAPES = {
    "results": lambda n: HEADER + "".join(obx(i) for i in range(n)),
    "results behind a specimen": lambda n: HEADER + "SPM|1|1\r" + "".join(obx(i) for i in range(n)),
    "orders": lambda n: HEADER + "".join(f"OBR|{i}|{i}|{i}|X\r{obx(i)}" for i in range(n)),
    "late orders": lambda n: (
        HEADER + "".join(f"OBR|{i}|{i}|{i}|X\rORC|RE|{i}|{i}\r{obx(i)}" for i in range(n))
    ),
    "notes": lambda n: HEADER + "".join(f"{obx(i)}NTE|1||note {i}\r" for i in range(n)),
    "unknown segments": lambda n: HEADER + "".join(f"{obx(i)}XYZ|{i}|x\r" for i in range(n)),
    "patients among results": lambda n: HEADER + "".join(f"{obx(i)}PID|{i}||{i}\r" for i in range(n)),
    "visits among results": lambda n: HEADER + "".join(f"{obx(i)}PV1|{i}|I\r" for i in range(n)),
    "raw lines": lambda n: (
        HEADER + "OBX|1|TX|A||text\r" + "".join(f"line {i} of the text\n" for i in range(n))
    ),
    "ADD": lambda n: HEADER + "OBX|1|TX|A||text\r" + "".join(f"ADD|part {i} \r" for i in range(n)),
    "small letters": lambda n: HEADER + "".join(obx(i).lower() for i in range(n)),
    "lone escapes": lambda n: HEADER + "OBX|1|TX|A||" + "a\\b " * n + "\r",
    "formatting": lambda n: HEADER + "OBX|1|FT|A||" + "line\\.br\\" * n + "\r",
    "repetitions": lambda n: HEADER + "PD1|" + "~".join(f"a^b&{i}" for i in range(n)) + "\r",
}


def effort(payload: bytes) -> int:
    """Lines of Python run to split, read, walk and group."""
    count = 0

    def tracer(_frame, event, _arg):
        nonlocal count
        count += event == "line"
        return tracer

    sys.settrace(tracer)
    try:
        for piece in split(payload):
            message = er7.read(piece.payload)
            for _ in message.values():
                pass
            er7.escape_issues(message)
            group_segments(message)
    finally:
        sys.settrace(None)
    return count


@pytest.mark.parametrize("shape", SHAPES)
def test_effort_is_in_line_with_size(shape):
    """Four times the message takes four times the work, whatever repeats in it."""
    effort(SHAPES[shape](10).encode())  # what is loaded at first use
    small, large = (effort(SHAPES[shape](n).encode()) for n in (150, 600))
    assert large < 4.6 * small


def traced(payload: bytes, walk) -> float:
    walk(er7.read(payload))
    tracemalloc.start()
    walk(er7.read(payload))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / len(payload)


@pytest.mark.parametrize(
    "payload",
    [
        oru_with(1_000, 1),
        oru_with(1_000, 1).replace(b"\r", b"\r\n"),
        oru_with(1_000, 1).replace(b"Hemoglobin", "血紅蛋白".encode()),
        oru_with(1_000, 1).replace(b"|1|NM", "|🙂|NM".encode(), 1),
        (HEADER + "OBX|1|FT|A||" + "Some text.\\.br\\" * 20_000 + "\r").encode(),
        (HEADER + "OBX|1|TX|A||x\r" + "a line of text\n" * 20_000).encode(),
    ],
    ids=["results", "CRLF", "Chinese", "one emoji", "long text", "raw lines"],
)
@pytest.mark.parametrize("walk", ["values", "located_leaves"])
def test_memory_is_at_most_six_times_the_message(payload, walk):
    """Reading and walking all values, at its highest, by what Python allocates."""
    assert traced(payload, lambda m: [None for _ in getattr(m, walk)()].clear()) <= 6


def test_a_tree_kept_whole_is_no_larger_than_its_values_make_it():
    """Where every leaf is asked for as an object, objects and texts take some twenty times a message of short values.

    Beyond the six times of a walk, and known: mapping counts the uses of each leaf. Empty fields must cost nothing.
    """

    def keep(message):
        for segment in message.segments:
            for number in range(1, 60):
                segment.repetitions(number)
        return message

    assert traced(oru_with(1_000, 1), keep) <= 23


def test_the_process_grows_by_at_most_six_times_the_message(root, tmp_path):
    """The same by the operating system, on a megabyte: what the allocator keeps counts too."""
    path = tmp_path / "large.hl7"
    path.write_bytes(oru_with(8_000, 1))
    command = [sys.executable, str(root / "bench" / "bench_reader.py"), "--alone", str(path)]
    _, process, peak, _ = map(float, subprocess.run(command, capture_output=True, check=True).stdout.split())
    assert process <= 6
    assert peak <= 6


def test_keying_touches_msh_and_pid_only():
    """At the edge no other segment is split: that is what makes an answer to a large message quick."""
    message = er7.read(oru_with(200, 1))
    assert message.first("PID").text(3)
    assert message.msh.text(10)
    assert [s.id for s in message.segments if s.is_split] == ["MSH", "PID"]


@pytest.mark.parametrize(
    "payload", [adt_a01(1), oru_with(10, 1), oru_with(200, 1)], ids=["ADT", "10 OBX", "200 OBX"]
)
def test_reading_beats_the_others_by_far(monkeypatch, payload):
    """100 times hl7apy and 5 times python-hl7, by the time this process got: the best of rounds in turns, so that a busy machine is busy for all."""
    monkeypatch.syspath_prepend("bench")
    import bench_reader

    readers = {
        reader: (repeat, [])
        for reader, repeat in (
            (bench_reader.ours, 20),
            (bench_reader.python_hl7, 4),
            (bench_reader.by_hl7apy, 1),
        )
    }
    for reader in readers:
        reader(payload)  # what is loaded at first use
    for _ in range(3 + 12_000 // len(payload)):
        for reader, (repeat, found) in readers.items():
            started = time.process_time()
            for _ in range(repeat):
                reader(payload)
            found.append((time.process_time() - started) / repeat)
    mine, theirs, apy = (min(found) for _, found in readers.values())
    assert apy >= 100 * mine
    assert theirs >= 5 * mine
