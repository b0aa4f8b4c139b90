"""The order of things in one partition: many records under way, output in order, nothing acknowledged early.

Pure: no Kafka and no event loop, so that its promises can be tested one by one. The steps of a record:

1. ``admit``: it enters at the tail. Offsets must follow each other without a hole.
2. ``finish``: its handler is done; what must be published for it is known. Any order.
3. ``take``: it and the finished records before it are handed out to be published, from the head on.
4. ``confirm``: what was handed out is on the log. Only now the head moves, and ``committable`` with it.

So at any moment all records below ``committable`` are confirmed, and a restart from there repeats but never skips.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from adapters.kafka.errors import LogGapError

Output = TypeVar("Output")


@dataclass(slots=True)
class _Entry(Generic[Output]):
    offset: int
    size: int
    output: Output | None = None
    finished: bool = False


class Window(Generic[Output]):
    """Records of one partition between read and confirmed, in offset order.

    Attributes:
        next_offset: offset of the record that must be admitted next.
        committable: offset to commit: all records below it are confirmed. None before the first confirmation.
    """

    def __init__(self, next_offset: int, *, max_records: int, max_bytes: int) -> None:
        self.next_offset = next_offset
        self.committable: int | None = None
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._entries: deque[_Entry[Output]] = deque()
        self._bytes = 0
        self._taken = 0

    def __len__(self) -> int:
        return len(self._entries)

    def has_room(self, size: int) -> bool:
        """Whether a record of ``size`` bytes may be admitted now. One of any size may, if it is alone."""
        if not self._entries:
            return True
        return len(self._entries) < self._max_records and self._bytes + size <= self._max_bytes

    def admit(self, offset: int, size: int) -> bool:
        """Take in a record; False if it was taken in before.

        Raises:
            LogGapError: records before it never came.
        """
        if offset < self.next_offset:
            return False
        if offset > self.next_offset:
            raise LogGapError(
                f"{offset - self.next_offset} record(s) are missing before offset {offset}: "
                f"{self.next_offset} was to come next",
                action="They were deleted from the log before they were read (retention, or the embedded broker's "
                "5 MiB). Replay them from their source; to go on without them, reset the consumer group's offset.",
            )
        self._entries.append(_Entry(offset, size))
        self._bytes += size
        self.next_offset = offset + 1
        return True

    def finish(self, offset: int, output: Output) -> None:
        """Note what is to be published for a record."""
        entry = self._entries[offset - self._entries[0].offset]
        assert entry.offset == offset, "offsets of a window follow each other"
        assert not entry.finished, "a record finishes once"
        entry.output, entry.finished = output, True

    def take(self) -> list[tuple[int, Output]]:
        """Finished records from the head on, as (offset, output), up to the first unfinished one.

        Nothing is handed out while something is: output is published in one row.
        """
        if self._taken:
            return []
        run: list[tuple[int, Output]] = []
        for entry in self._entries:
            if not entry.finished:
                break
            run.append((entry.offset, entry.output))  # type: ignore[arg-type]  # finished entries have their output
        self._taken = len(run)
        return run

    def confirm(self, count: int) -> None:
        """Say that the first ``count`` of the records handed out are on the log."""
        assert 0 < count <= self._taken, "only what was handed out can be confirmed"
        for _ in range(count):
            entry = self._entries.popleft()
            self._bytes -= entry.size
            self.committable = entry.offset + 1
        self._taken -= count
