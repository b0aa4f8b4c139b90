"""One record through its stage: tries, pauses, time limit, and the dead letter when all of that failed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from adapters.kafka.caller import Caller
from adapters.kafka.errors import HandlerStuckError, HandlerTimeoutError
from engine.errors import OverloadedError, WardstreamError, place_in_code
from engine.ports import Stage
from engine.records import Publication, Record
from engine.settings import Kafka
from engine.stages import dead

log = logging.getLogger(__name__)


@runtime_checkable
class TellsFailure(Protocol):
    """A stage that has something to publish beside the dead letter when a record is given up.

    Such as the outcome "rejected", so that every message in has its outcome out.
    """

    def failed(self, record: Record, error: BaseException) -> Sequence[Publication]: ...


@dataclass(frozen=True, slots=True)
class Handled:
    """What became of a record.

    Attributes:
        record: the record.
        publications: what must be confirmed before the record may be acknowledged.
        dead: whether that is a dead letter made by us, not the stage's output.
        stuck: whether the stage's code could not be ended: nothing more can be handled in this process.
    """

    record: Record
    publications: Sequence[Publication]
    dead: bool = False
    stuck: bool = False


class Handling:
    """Runs a stage's ``handle`` as often as it may."""

    def __init__(self, stage: Stage, caller: Caller, kafka: Kafka) -> None:
        self._stage = stage
        self._caller = caller
        self._kafka = kafka

    async def run(self, record: Record) -> Handled:
        """Handle a record. Never raises, but for being cancelled."""
        attempts = 0
        started = time.monotonic()
        while True:
            attempts += 1
            try:
                return Handled(record, await self._caller.handle(record))
            except HandlerTimeoutError as error:
                return self.give_up(record, error, attempts)
            except WardstreamError as error:
                if not self._may_try_again(error, attempts, started):
                    return self.give_up(record, error, attempts)
            except Exception as error:  # noqa: BLE001 - whatever a bug raises, the record must have an outcome
                return self.give_up(record, error, attempts)
            await asyncio.sleep(backoff(self._kafka, attempts))

    def give_up(self, record: Record, error: BaseException, attempts: int) -> Handled:
        """The record as a dead letter."""
        code = error.code if isinstance(error, WardstreamError) else "internal"
        log.error(
            "dead letter: stage=%s place=%s code=%s attempts=%d at=%s",
            self._stage.name,
            place_of(record),
            code,
            attempts,
            place_in_code(error),
        )
        letter = dead.of_record(record, error, stage=self._stage.name, attempts=attempts)
        stuck = isinstance(error, HandlerStuckError)
        return Handled(record, [letter, *self._further(record, error)], dead=True, stuck=stuck)

    def _may_try_again(self, error: WardstreamError, attempts: int, started: float) -> bool:
        if isinstance(error, OverloadedError):
            # A full queue says nothing about the record: wait for room as long as one try may take.
            return time.monotonic() - started < self._kafka.handler_timeout
        return error.retryable and attempts < self._kafka.handler_attempts

    def _further(self, record: Record, error: BaseException) -> Sequence[Publication]:
        if not isinstance(self._stage, TellsFailure):
            return ()
        try:
            return self._stage.failed(record, error)
        except Exception as fault:  # noqa: BLE001 - the dead letter matters more than this
            told = self._stage.name, type(fault).__name__, place_in_code(fault)
            log.error("stage %s could not tell its failure: %s at %s", *told)  # noqa: TRY400 - no traceback: it may quote
            return ()


def backoff(kafka: Kafka, attempts: int) -> float:
    """Seconds to wait after so many tries: doubling, and never over ten seconds."""
    return float(min(kafka.retry_backoff * 2 ** (attempts - 1), max(10.0, kafka.retry_backoff)))


def place_of(record: Record) -> str:
    return f"{record.topic}/{record.partition}/{record.offset}"
