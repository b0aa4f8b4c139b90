"""Shared fixtures. The whole suite runs in a zone that is not UTC, so that a forgotten zone shows."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

os.environ["TZ"] = "America/St_Johns"
time.tzset()

ROOT = Path(__file__).resolve().parent.parent
CORPORA = ROOT.parent / "shared" / "corpora"


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The development corpora beside the repository; tests that need them skip where they are absent."""
    if not CORPORA.is_dir():
        pytest.skip(f"the development corpora are not at {CORPORA}")
    return CORPORA
