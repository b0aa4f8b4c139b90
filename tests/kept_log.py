"""Stands for Kafka in tests of HTTP routes."""

from datetime import UTC, datetime

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


class KeptLog:
    """Keeps what is published, or fails as told; its clock stands still at :data:`NOW`."""

    def __init__(self, error=None):
        self.kept, self.error = [], error

    async def publish(self, publications):
        if self.error:
            raise self.error
        self.kept += publications

    def now(self):
        return NOW
