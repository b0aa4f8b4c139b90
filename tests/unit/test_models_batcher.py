"""The batcher: what fits, what waits, who is told no, and that one bad window takes no other along."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.errors import ExtractorError, OverloadedError
from models.batcher import Batcher, Limits

POISON = 666


class Model:
    """Answers each piece with its own id, so that an answer shows whose it is."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def __call__(self, rows: Sequence[NDArray[np.int32]]) -> NDArray[np.float32]:
        self.batches.append([len(row) for row in rows])
        if any(POISON in row for row in rows):
            raise ExtractorError("The model failed", action="Look.")
        out = np.full((len(rows), max(len(row) for row in rows), 1), -1, np.float32)
        for at, row in enumerate(rows):
            out[at, : len(row), 0] = row
        return out


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def row(length: int, value: int = 1) -> NDArray[np.int32]:
    return np.full(length, value, np.int32)


def made(model: Model, threads: ThreadPoolExecutor, **limits: float) -> Batcher:
    chosen = {"batch_pieces": 100, "batch_wait": 0.01, "queue_pieces": 10_000, **limits}
    return Batcher(
        model, threads, Limits(int(chosen["batch_pieces"]), chosen["batch_wait"], int(chosen["queue_pieces"]))
    )


async def test_callers_share_batches_and_each_gets_its_own(model: Model, threads: ThreadPoolExecutor) -> None:
    """Ten callers at one time: fewer runs than callers, and nobody gets another's scores."""
    batcher = made(model, threads)
    answers = await asyncio.gather(*(batcher.submit([row(5, n), row(7, n)]) for n in range(10)))
    for number, (short, long) in enumerate(answers):
        assert short[:, 0].tolist() == [number] * 5
        assert long[:, 0].tolist() == [number] * 7
    assert len(model.batches) < 10


async def test_no_batch_is_over_its_padded_pieces(model: Model, threads: ThreadPoolExecutor) -> None:
    """Padding counts: rows times the longest stays within the budget, and lengths are sorted to keep it small."""
    lengths = [3, 90, 5, 40, 4, 60, 8, 50, 6, 30]
    batcher = made(model, threads)
    await batcher.submit([row(length) for length in lengths])
    assert all(len(batch) * max(batch) <= 100 for batch in model.batches)
    assert sorted(length for batch in model.batches for length in batch) == sorted(lengths)
    assert batcher.served.padded / batcher.served.pieces < 1.3


async def test_a_row_longer_than_the_budget_runs_alone(model: Model, threads: ThreadPoolExecutor) -> None:
    """The budget is for company; a long window is still read."""
    (scores,) = await made(model, threads).submit([row(300)])
    assert len(scores) == 300


async def test_a_full_batch_does_not_wait(model: Model, threads: ThreadPoolExecutor) -> None:
    """The wait is for company only: what is full goes at once."""
    batcher = made(model, threads, batch_wait=30.0)
    async with asyncio.timeout(25):
        await asyncio.gather(batcher.submit([row(60)]), batcher.submit([row(60)]))


async def test_overload_is_said_at_once_and_harms_nobody(model: Model, threads: ThreadPoolExecutor) -> None:
    """Who does not fit is told so, retryably; who was there first is served."""
    batcher = made(model, threads, queue_pieces=100, batch_wait=0.2, batch_pieces=1000)
    first = asyncio.create_task(batcher.submit([row(80, 4)]))
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError) as told:
        await batcher.submit([row(30)])
    assert told.value.retryable
    assert (await first)[0][0, 0] == 4
    assert batcher.served.overloads == 1


async def test_one_note_larger_than_the_queue_is_read_when_it_is_empty(
    model: Model, threads: ThreadPoolExecutor
) -> None:
    """Otherwise a very long note could never be read, however often it is tried."""
    (scores,) = await made(model, threads, queue_pieces=50).submit([row(80)])
    assert len(scores) == 80


async def test_a_poisoned_window_fails_alone(model: Model, threads: ThreadPoolExecutor) -> None:
    """Its batch is run again one by one: the others are answered."""
    batcher = made(model, threads)
    answers = await asyncio.gather(
        batcher.submit([row(5, 1)]), batcher.submit([row(5, POISON)]), batcher.submit([row(5, 3)]),
        return_exceptions=True,
    )  # fmt: skip
    assert isinstance(answers[1], ExtractorError)
    assert [answers[0][0][0, 0], answers[2][0][0, 0]] == [1, 3]


async def test_a_window_that_trips_over_a_fault_of_ours_fails_alone(threads: ThreadPoolExecutor) -> None:
    """Whatever is raised, memory that is short or a bug: who stood in the same batch is answered."""

    def run(rows: Sequence[NDArray[np.int32]]) -> NDArray[np.float32]:
        if any(POISON in row for row in rows):
            raise MemoryError
        return np.zeros((len(rows), max(map(len, rows)), 1), np.float32)

    batcher = Batcher(run, threads, Limits(100, 0.01, 1000))
    bad, good = await asyncio.gather(
        batcher.submit([row(5, POISON)]), batcher.submit([row(5)]), return_exceptions=True
    )
    assert isinstance(bad, MemoryError)
    assert len(good[0]) == 5


async def test_scores_that_are_no_numbers_fail_their_own_window(threads: ThreadPoolExecutor) -> None:
    """float16 may overflow on one text; the next one in the batch is fine."""

    def run(rows: Sequence[NDArray[np.int32]]) -> NDArray[np.float32]:
        out = np.zeros((len(rows), max(map(len, rows)), 1), np.float32)
        out[[POISON in row for row in rows]] = np.nan
        return out

    batcher = Batcher(run, threads, Limits(100, 0.01, 1000))
    bad, good = await asyncio.gather(
        batcher.submit([row(5, POISON)]), batcher.submit([row(5)]), return_exceptions=True
    )
    assert isinstance(bad, ExtractorError)
    assert np.isfinite(good[0]).all()


async def test_a_bug_in_the_model_reaches_the_callers(threads: ThreadPoolExecutor) -> None:
    """Nobody waits for ever because of a fault nobody thought of."""

    def run(rows: Sequence[NDArray[np.int32]]) -> NDArray[np.float32]:
        raise KeyError("a fault")

    async with asyncio.timeout(25):
        with pytest.raises(KeyError):
            await Batcher(run, threads, Limits(100, 0.01, 1000)).submit([row(5)])


async def test_a_caller_that_gives_up_costs_the_model_nothing(
    model: Model, threads: ThreadPoolExecutor
) -> None:
    """After a time-out its windows are left out, and the queue is empty again."""
    batcher = made(model, threads, batch_wait=0.2, batch_pieces=1000)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await batcher.submit([row(80)])
    await batcher.submit([row(5)])
    assert model.batches == [[5]]


def test_it_works_in_one_event_loop_after_another(model: Model, threads: ThreadPoolExecutor) -> None:
    """A command may call asyncio.run for each file."""
    batcher = made(model, threads)
    for number in (1, 2):
        assert asyncio.run(batcher.submit([row(3, number)]))[0][0, 0] == number


async def test_rows_that_must_run_alone_do(model: Model, threads: ThreadPoolExecutor) -> None:
    """Dynamic int8: a batch of one each, and nobody waits for company."""
    batcher = Batcher(model, threads, Limits(1000, 30.0, 1000, rows=1))
    async with asyncio.timeout(25):
        await batcher.submit([row(5), row(6)])
    assert model.batches == [[5], [6]]


async def test_a_short_note_does_not_wait_for_the_end_of_a_long_one(
    model: Model, threads: ThreadPoolExecutor
) -> None:
    """It comes while a long one is read: its windows take every second turn from then on."""
    batcher = Batcher(model, threads, Limits(1000, 0.01, 100_000, rows=1))
    long = asyncio.create_task(batcher.submit([row(9)] * 300))
    await asyncio.sleep(0)
    come = len(model.batches)
    await batcher.submit([row(5), row(5)])
    assert not long.done()
    order = [length for (length,) in model.batches]
    assert [at for at, length in enumerate(order) if length == 5][-1] <= come + 4
    assert len(await long) == 300


async def test_short_notes_do_not_starve_a_long_one(model: Model, threads: ThreadPoolExecutor) -> None:
    """However many come, every second turn is the long one's, and the short ones are read in the order they came."""
    batcher = Batcher(model, threads, Limits(1000, 0.01, 100_000, rows=1))
    many = [asyncio.create_task(batcher.submit([row(n)])) for n in range(1, 101)]
    long = asyncio.create_task(batcher.submit([row(200)] * 20))
    await asyncio.gather(long, *many)
    order = [length for (length,) in model.batches]
    assert max(at for at, length in enumerate(order) if length == 200) <= 40
    assert [length for length in order if length != 200] == list(range(1, 101))


async def test_as_many_run_at_one_time_as_may() -> None:
    """Two cores, two windows: the second does not wait for the first."""
    together = threading.Barrier(2, timeout=20)

    def run(rows: Sequence[NDArray[np.int32]]) -> NDArray[np.float32]:
        together.wait()
        return np.zeros((len(rows), max(map(len, rows)), 1), np.float32)

    with ThreadPoolExecutor(2) as pool:
        batcher = Batcher(run, pool, Limits(1000, 0.01, 1000, rows=1, parallel=2))
        assert len(await batcher.submit([row(5)] * 4)) == 4
