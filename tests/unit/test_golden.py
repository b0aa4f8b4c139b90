"""What comes out for each fixture is what somebody has read and agreed to."""

import runpy
from pathlib import Path

import pytest

from adapters.composition import make_pipeline
from engine.settings import Settings

TOOL = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "write_golden.py"))


@pytest.fixture(scope="module")
def pipeline():
    return make_pipeline(Settings())


@pytest.mark.parametrize("fixture", TOOL["fixtures"](), ids=lambda path: path.name)
def test_a_fixture_gives_what_its_golden_file_holds(fixture, pipeline):
    """Every resource, issue and unmapped place, byte for byte; the differing lines are shown."""
    file = TOOL["golden_file"](fixture)
    assert file.is_file(), "run: python tools/write_golden.py"
    found = TOOL["golden"](fixture, pipeline).decode().splitlines()
    agreed = file.read_text(encoding="utf-8").splitlines()
    gone = [line for line in agreed if line not in found]
    new = [line for line in found if line not in agreed]
    assert (gone, new) == ([], []), "read the difference; if it is meant, run: python tools/write_golden.py"
    assert found == agreed, "the order differs; if it is meant, run: python tools/write_golden.py"


def test_no_golden_file_is_left_behind():
    """A fixture that is gone takes its golden file along."""
    wanted = {TOOL["golden_file"](fixture) for fixture in TOOL["fixtures"]()}
    assert set(TOOL["GOLDEN"].rglob("*.ndjson")) == wanted
