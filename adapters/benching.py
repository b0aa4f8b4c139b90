"""``wardstream bench``: the measurements of ``bench/``, one after another, under one head that names the machine.

Each is a script that can be run alone and prints its own lines; each runs in a process of its own, so that none
measures what another left in memory. They are part of a checkout, not of the installed package.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from adapters.composition import software_version
from engine.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Part:
    """One script of ``bench/``.

    Attributes:
        title: what it measures.
        script: file name.
        quick: arguments of a run that takes seconds and says less.
        needs: file or folder of the checkout without which it can't run; "" if none.
        native: whether it is run once more with the package as ``make compiled`` makes it, where that is there.
    """

    title: str
    script: str
    quick: tuple[str, ...] = ()
    needs: str = ""
    native: bool = False


COMPILED = "build/compiled"
"""Where ``make compiled`` puts the package."""
PARTS = {
    "reader": Part("Reading HL7 v2, beside python-hl7 and hl7apy", "bench_reader.py", ("--quick",)),
    "mapping": Part(
        "From bytes to a Bundle on one core",
        "bench_mapping.py",
        ("--count", "20", "--rounds", "2"),
        native=True,
    ),
    "mllp": Part("MLLP, message and answer", "bench_mllp.py", ("--seconds", "1")),
    "passthrough": Part(
        "The engine beside Faust alone", "bench_passthrough.py", ("--count", "3000", "--rounds", "1")
    ),
    "notes": Part(
        "Reading notes by the shipped model", "bench_ner.py", ("--rounds", "1"), "models/artifacts/default"
    ),
}


def bench_command(parts: list[str], *, quick: bool) -> int:
    """Run them; returns 0 if every part that could run did, 1 if one failed.

    Raises:
        SettingsError: this is no checkout, or there is no such part.
    """
    unknown = [name for name in parts if name not in PARTS]
    if unknown:
        raise SettingsError(f"There is no part {unknown[0]!r}", action=f"Name some of: {', '.join(PARTS)}.")
    root = _checkout()
    _say(_head(quick=quick))
    failed = [name for name in parts or PARTS if not _run(PARTS[name], root, quick=quick)]
    if failed:
        _say(f"\nFailed: {', '.join(failed)}")
    return 1 if failed else 0


def _checkout() -> Path:
    """The checkout that this code is of, else the one we stand in."""
    for folder in (Path(__file__).resolve().parent.parent, Path.cwd()):
        if (folder / "bench" / PARTS["reader"].script).is_file():
            return folder
    raise SettingsError(
        "The benchmarks are not here: they belong to a checkout of the project and are not installed with it",
        action="Clone the repository and run 'make bench' in it.",
    )


def _head(*, quick: bool) -> str:
    cores = len(os.sched_getaffinity(0))
    busy = os.getloadavg()[0]
    machine = f"{_processor()}, {cores} cores, load {busy:.1f} at the start"
    lines = [f"wardstream {software_version()}, Python {platform.python_version()}, {machine}"]
    if busy > cores / 2:
        lines.append(
            "The machine is busy: times are too long; ratios are of runs that take turns, so they hold."
        )
    if quick:
        lines.append("Quick: few rounds. Leave --quick out for figures to keep.")
    return "\n".join(lines)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown CPU"
    )


def _run(part: Part, root: Path, *, quick: bool) -> bool:
    _say(f"\n== {part.title}")
    if part.needs and not (root / part.needs).exists():
        _say(f"left out: there is no {part.needs}")
        return True
    started = time.perf_counter()
    command = [sys.executable, str(root / "bench" / part.script), *(part.quick if quick else ())]
    paths = [str(root)]
    if part.native and (root / COMPILED / ".built").is_file():
        paths.append(str(root / COMPILED))
    failed = 0
    for path in paths:
        environment = {**os.environ, "PYTHONPATH": path}
        failed += subprocess.run(command, cwd=root, env=environment, check=False).returncode != 0  # noqa: S603 - our own scripts
    _say(f"({time.perf_counter() - started:.0f} s)")
    return not failed


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
