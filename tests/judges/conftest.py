"""The panel of judges for tests: installed where it can be, and loudly missed where not."""

import os

import pytest
from judging import NoJudgesError, install

REQUIRED = os.environ.get("WARDSTREAM_REQUIRE_JUDGES") == "1"
NO_JUDGES = "the FHIR judges can't be heard"


@pytest.fixture(scope="session")
def panel():
    """Path of node; the judges' packages are installed."""
    try:
        return install()
    except NoJudgesError as error:
        if REQUIRED:
            pytest.fail(f"WARDSTREAM_REQUIRE_JUDGES=1, but {NO_JUDGES}: {error}")
        pytest.skip(f"{NO_JUDGES}: {error}")


def pytest_terminal_summary(terminalreporter):
    """Say loudly what was not proven."""
    skipped = [r for r in terminalreporter.stats.get("skipped", []) if NO_JUDGES in str(r.longrepr)]
    if skipped:
        terminalreporter.section("NOT HELD AGAINST INDEPENDENT FHIR VALIDATORS", sep="!", red=True, bold=True)
        terminalreporter.line(f"{skipped[0].longrepr[2]}. Install Node.js 20 and npm.")
