"""Coverage-guided fuzzing with atheris: ``python tests/fuzz/run.py reader --seconds 600``; ``all`` is one after another.

Begins with the seeds beside this file and the fixtures. What it learns stays in ``--corpus``, so that a later run
goes on from there; an input that breaks a target is written there too, and the exit status is then not 0.
Put such an input into ``tests/fuzz/corpus`` under a name that says what it shows: pytest runs every seed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import atheris

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FIXTURES = {"reader": "hl7v2", "framing": "hl7v2", "fhir": "fhir", "pipeline": "hl7v2"}
MAX_LENGTH = 1024
"""Long enough for every rule; longer inputs only slow the search."""


def seeds(target: str) -> list[Path]:
    """Folders a target's search begins with. The pipeline's seeds are the reader's."""
    own = HERE / "corpus" / ("reader" if target == "pipeline" else target)
    return [own, ROOT / "fixtures" / FIXTURES[target]]


def main() -> None:
    """Fuzz one target, or all. With one it never returns: libFuzzer ends the process."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("target", choices=["all", *sorted(FIXTURES)])
    parser.add_argument("--seconds", type=int, default=10, help="for each target")
    parser.add_argument("--seed", type=int, default=0, help="of the search; 0 takes another one each time")
    parser.add_argument("--corpus", type=Path, default=ROOT / ".cache" / "fuzz")
    asked = parser.parse_args()
    if asked.target == "all":
        sys.exit(max(_apart(target, asked) for target in FIXTURES))
    fuzz(asked.target, asked.seconds, asked.corpus, asked.seed)


def _apart(target: str, asked: argparse.Namespace) -> int:
    """One target in a process of its own; its words are shown if it found something, else how much it tried."""
    choices = {"--seconds": asked.seconds, "--corpus": asked.corpus, "--seed": asked.seed}
    command = [
        sys.executable,
        __file__,
        target,
        *(str(word) for choice in choices.items() for word in choice),
    ]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    lines = done.stderr.splitlines()
    tried = [line for line in lines if line.startswith("Done ")]
    print(f"{target}: {tried[0] if tried and not done.returncode else 'FOUND SOMETHING'}", flush=True)
    if done.returncode:
        print("\n".join(lines[-40:]))
    return 1 if done.returncode else 0


def fuzz(target: str, seconds: int, corpus: Path, seed: int) -> None:
    work = corpus / target
    work.mkdir(parents=True, exist_ok=True)
    with atheris.instrument_imports(include=["engine", "adapters"]):
        from fuzz_targets import TARGETS
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={MAX_LENGTH}",
        f"-seed={seed}",
        "-timeout=20",
        "-rss_limit_mb=2048",
        "-print_final_stats=1",
        f"-artifact_prefix={corpus}/{target}-",
        f"-dict={HERE / ('fhir' if target == 'fhir' else 'hl7')}.dict",
    ]
    atheris.Setup([sys.argv[0], *options, str(work), *map(str, seeds(target))], TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
