"""Shared fixtures. The whole suite runs in a zone that is not UTC, so that a forgotten zone shows."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("default", deadline=None)
settings.register_profile("long", max_examples=5_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

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
