"""The package compiled to native code (``make compiled``) does what the Python sources do, message by message.

What is compared is everything that a message becomes: Bundle, issues, unmapped places, key, answer. Among the messages
are 1,500 with bad values in them: native code checks types where Python would go on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

LIMIT_S = 240


@pytest.fixture(scope="module")
def compiled(root: Path) -> Path:
    folder = root / "build" / "compiled"
    if not (folder / ".built").is_file():
        if os.environ.get("WARDSTREAM_REQUIRE_COMPILED") == "1":
            pytest.fail("the compiled package is demanded, and build/compiled is not there: make compiled")
        pytest.skip("build/compiled is not there: 'make test-compiled' makes it and runs this")
    return folder


def digests(root: Path, path: str) -> dict[str, Any]:
    script = root / "tests" / "compiled" / "digests.py"
    run = subprocess.run(
        [sys.executable, str(script)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "1"},  # sets are written in one order
        stdout=subprocess.PIPE,
        timeout=LIMIT_S,
        check=True,
    )
    found: dict[str, Any] = json.loads(run.stdout)
    return found


@pytest.mark.timeout(2 * LIMIT_S)
def test_native_code_makes_of_every_message_what_python_makes(root: Path, compiled: Path) -> None:
    native, python = digests(root, str(compiled)), digests(root, "")
    assert native["native"]
    assert not python["native"]
    assert len(python["outcomes"]) > 1_900
    differing = [name for name, made in python["outcomes"].items() if native["outcomes"][name] != made]
    assert differing == []
