"""Where the tables do not do what HL7's official v2-to-FHIR maps say, and why: read from differences.csv.

Two kinds of difference have their reason beside them: a row of ours that does something else says so in its
note ("differs: ..."), and a row of theirs that we have not stands in differences.csv.
"""

from __future__ import annotations

import csv
from importlib import resources
from typing import NamedTuple


class Difference(NamedTuple):
    """One official row, or several, that no rule does.

    Attributes:
        map: the official map, ``PID[Patient]``.
        source: segment fields or components, or the segment itself for a constant; ``*`` for all of the map.
        element: first element of the official target; ``extension`` for any extension, ``*`` for all.
        reason: why not, and where the value goes instead.
    """

    map: str
    source: str
    element: str
    reason: str


def differences() -> list[Difference]:
    """All lines of the file, in its order."""
    text = resources.files("engine.mapping").joinpath("differences.csv").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [Difference(*cells) for cells in list(csv.reader(lines))[1:]]
