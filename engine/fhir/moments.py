"""Comparing FHIR dates and times of unlike precision (FHIRPath §6.2, FHIR R4 §2.24.0.1)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

_FORM = re.compile(
    r"(?P<date>\d{4}(?:-\d{2}(?:-\d{2})?)?)"
    r"(?:T(?P<clock>\d{2}:\d{2}):(?P<second>\d{2})(?:\.(?P<fraction>\d+))?(?P<offset>Z|[+-]\d{2}:\d{2}))?"
)


def is_after(first: Any, second: Any) -> bool:
    """Whether ``first`` is certainly later than ``second``.

    Values that can't be read, and those equal as far as both are precise, are not later: 2024-05 is not
    after 2024-05-17.
    """
    one, two = _read(first), _read(second)
    if one is None or two is None:
        return False
    if one[1] and two[1]:
        return one[1] > two[1]
    shared = min(len(one[0]), len(two[0]))
    return one[0][:shared] > two[0][:shared]


def _read(value: Any) -> tuple[str, tuple[datetime, str] | None] | None:
    """The date as written, and the moment in UTC with its fraction when there is a time of day."""
    found = _FORM.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    if not found["clock"]:
        return found["date"], None
    offset = "+00:00" if found["offset"] == "Z" else found["offset"]
    try:
        minute = datetime.fromisoformat(f"{found['date']}T{found['clock']}{offset}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return found["date"], (minute + timedelta(seconds=int(found["second"])), found["fraction"] or "")
