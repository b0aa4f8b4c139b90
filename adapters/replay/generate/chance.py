"""Seeded choices that fall the same on every platform and Python version.

``random.Random.random`` is the one method whose sequence Python promises to keep for a seed ("Notes on
Reproducibility" in the random module's documentation); ``choice``, ``randrange`` and ``shuffle`` are not
promised. So all choices here are made from it, with plain IEEE arithmetic.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Chance:
    """Choices from one seed. Texts are taken as seeds so that -1 and 1 differ and names can be part of one."""

    __slots__ = ("_next",)

    def __init__(self, seed: str) -> None:
        self._next = random.Random(seed).random  # noqa: S311 - reproducible on purpose; guards no secret

    def happens(self, probability: float) -> bool:
        """True with the given probability. Uses up one number whatever the probability is."""
        return self._next() < probability

    def below(self, bound: int) -> int:
        """An integer from 0 to ``bound`` - 1."""
        return int(self._next() * bound)

    def between(self, low: int, high: int) -> int:
        """An integer from ``low`` to ``high``, both included."""
        return low + int(self._next() * (high - low + 1))

    def one(self, items: Sequence[T]) -> T:
        return items[int(self._next() * len(items))]

    def some(self, items: Sequence[T], count: int) -> list[T]:
        """``count`` different items, or all of them if there are fewer, in a random order."""
        rest = list(items)
        return [rest.pop(self.below(len(rest))) for _ in range(min(count, len(rest)))]

    def bell(self) -> float:
        """About normally distributed, mean 0, standard deviation 1, never beyond 3.5: four uniform numbers."""
        return (self._next() + self._next() + self._next() + self._next() - 2.0) * 1.7320508
