"""Convert everything there is to convert, and hold it against the panel of judges.

    python tests/judges/judging.py [PATH...]

Without paths: all fixtures, generated messages of every kind, full ones of every structure, mutated fixtures, and the
development corpora where they are. Exit status 1 when a judge found something that ``exceptions.json`` does not explain.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CORPORA = ROOT.parent / "shared" / "corpora" / "hl7"
sys.path.insert(0, str(HERE.parent))

from full_messages import TYPES, Full  # noqa: E402 - the path above comes first
from mutations import mutants  # noqa: E402

from adapters.replay.generate import KINDS, generate  # noqa: E402

GENERATED = 80
"""Messages of each kind of the generator."""
MUTATED = 300
"""Fixtures with a few values made bad."""
_MIN_NODE = 20


class NoJudgesError(Exception):
    """The judges can't be installed or run here; the message says why."""


def install() -> str:
    """Install the judges' packages where package.json has changed; returns the path of node.

    Raises:
        NoJudgesError: no node of version 20, no npm, or the registry can't be reached.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise NoJudgesError("node and npm are not both installed")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.lstrip("v").split(".")[0]) < _MIN_NODE:
        raise NoJudgesError(f"node is {version.strip()}; {_MIN_NODE} or newer is needed")
    wanted, stamp = (HERE / "package.json").read_text(), HERE / "node_modules" / ".installed.json"
    if not stamp.exists() or stamp.read_text() != wanted:
        # No lock file: it would hold download addresses. package.json names exact versions.
        options = ["--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"]
        done = subprocess.run(
            [npm, "install", *options], cwd=HERE, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise NoJudgesError(f"npm install failed: {(done.stderr or done.stdout).strip()[-300:]}")
        stamp.write_text(wanted)
    return node


def judge(paths: list[Path]) -> subprocess.CompletedProcess[str]:
    """Convert the files and folders and judge the output, both at once: the judges' text, and 0, 1 or 2.

    Raises:
        NoJudgesError: see :func:`install`.
    """
    node = install()
    with tempfile.TemporaryFile("w+b") as noise:
        converting = subprocess.Popen(
            [sys.executable, "-c", "from adapters.cli import main; main()", "convert", *map(str, paths)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=noise,
        )
        judging = subprocess.run(
            [node, HERE / "judge.mjs", "-"],
            stdin=converting.stdout,
            capture_output=True,
            text=True,
            check=False,
        )
        assert converting.stdout is not None
        converting.stdout.close()
        if converting.wait():
            noise.seek(0)
            return subprocess.CompletedProcess([], 2, "", noise.read().decode())
    return subprocess.CompletedProcess([], judging.returncode, judging.stdout, judging.stderr)


def write_generated(folder: Path) -> None:
    """Generated messages of every kind, full ones of every structure, mutated fixtures, a file each; the same every time."""
    for kind in KINDS:
        for index, message in enumerate(generate([kind], GENERATED, seed=4, shift_at=GENERATED // 2)):
            (folder / f"generated-{kind}-{index:03}").write_bytes(message)
    for structure in TYPES:
        (folder / f"full-{structure}").write_bytes(Full(random.Random(structure)).message(structure))
    for index, message in enumerate(mutants(ROOT / "fixtures", MUTATED, seed=4)):
        (folder / f"mutated-{index:03}").write_bytes(message)


def main(paths: list[Path]) -> int:
    """Judge what is asked for, or everything; prints what was found."""
    with tempfile.TemporaryDirectory() as scratch:
        if not paths:
            write_generated(Path(scratch))
            paths = [ROOT / "fixtures" / "hl7v2", ROOT / "fixtures" / "fhir", Path(scratch)]
            paths += [CORPORA] if CORPORA.is_dir() else []
        try:
            done = judge(paths)
        except NoJudgesError as error:
            print(f"The judges can't be heard: {error}", file=sys.stderr)
            return 2
    print(done.stdout, end="")
    print(done.stderr, end="", file=sys.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main([Path(argument) for argument in sys.argv[1:]]))
