"""Every seed of the fuzzing corpus, and every finding that was put there, holds what the targets promise."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz_targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
SEEDS = sorted(p for p in CORPUS.rglob("*") if p.is_file() and not p.name.startswith("."))


@pytest.mark.parametrize("seed", SEEDS, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_seeds_hold_the_promises(seed):
    """A finding stays fixed: its input is run by every test run, without atheris."""
    targets = ("reader", "pipeline") if seed.parent.name == "reader" else (seed.parent.name,)
    for target in targets:
        TARGETS[target](seed.read_bytes())
