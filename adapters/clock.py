"""The wall clock; see :class:`engine.ports.Clock`."""

from __future__ import annotations

from datetime import UTC, datetime


class WallClock:
    """The time of day of this machine, in UTC."""

    def now(self) -> datetime:
        return datetime.now(UTC)
