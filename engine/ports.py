"""What the engine asks of the world. Each docstring is the contract its implementations must keep."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

from engine.records import ModelInfo, Note, Publication, Record, Span


class Clock(Protocol):
    """The time of day. ``now`` is aware and in UTC; tests set it by hand."""

    def now(self) -> datetime: ...


class Publisher(Protocol):
    """Writes records to topics.

    ``publish`` returns only after the log has confirmed the record on all in-sync replicas. Records
    given in one call are sent in order, and records with one key keep their order across calls that do
    not overlap. It raises :class:`engine.errors.PublishError` when no confirmation came within the
    configured time: the record may or may not have been written, so the caller must not acknowledge
    what it stands for. :class:`engine.errors.TooLargeToPublishError` says that no retry will help.
    """

    async def publish(self, publications: Sequence[Publication]) -> None: ...


@runtime_checkable
class EntityExtractor(Protocol):
    """Reads notes.

    ``extract`` returns, for each note and in the order given, its spans sorted by start. Offsets index
    ``note.text`` in Unicode code points. Spans of one label never overlap. It raises
    :class:`engine.errors.OverloadedError` when its queue is full and
    :class:`engine.errors.ExtractorError` when a note could not be read. It never drops a note, and one
    bad note never takes others along: call it with one note to get one note's error. ``info`` read right
    before a call names the model that answers it. ``languages`` are the BCP 47 primary tags of what it reads.
    """

    @property
    def info(self) -> ModelInfo: ...

    @property
    def languages(self) -> frozenset[str]: ...

    async def extract(self, notes: Sequence[Note]) -> list[list[Span]]: ...


class Stage(Protocol):
    """One step between topics: what an agent runs for each record.

    ``handle`` turns one record into the publications that must be confirmed before the record may be
    acknowledged; order matters and is kept. It raises only :class:`engine.errors.WardstreamError`; the
    caller turns that (and any bug) into a dead letter. It keeps no state that a restart may not lose,
    except counters that ``tick`` flushes.

    ``tick`` is called about once a second, and once more before the stage stops; what it returns is
    published like any other output, with no record behind it.
    """

    @property
    def name(self) -> str: ...

    @property
    def topic(self) -> str: ...

    async def handle(self, record: Record) -> Sequence[Publication]: ...

    def tick(self, now: datetime) -> Sequence[Publication]: ...
