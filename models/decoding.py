"""Scores of tags to entities: the best path that breaks no rule of BIO, and how sure the model is of each entity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.tags import beginnings, split_tag, transitions

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Found:
    """Words ``begin`` to ``end`` (exclusive) carry ``label``; ``score`` is its least sure word's probability."""

    begin: int
    end: int
    label: str
    score: float


class Decoder:
    """Reads entities from scores.

    Args:
        tags: names of the tags, in the order of the scores' columns; BIO.
        ruled: False for models whose ``I`` may begin an entity (IO, IOB1): each word's best tag is taken.
    """

    def __init__(self, tags: Sequence[str], *, ruled: bool = True) -> None:
        self._between = transitions(tags)
        self._allowed = np.isfinite(self._between)
        self._begin = beginnings(tags)
        self._ruled = ruled
        split = [split_tag(tag) for tag in tags]
        self._mark = [mark for mark, _ in split]
        self._name = [name for _, name in split]

    def decode(self, logits: Floats) -> list[Found]:
        """Entities of one text from ``[words, tags]`` logits, sorted by begin."""
        if not len(logits):
            return []
        log_p = log_softmax(logits)
        path = self.path(log_p)
        return self._entities(path, np.exp(log_p[np.arange(len(path)), path]))

    def path(self, log_p: Floats) -> NDArray[np.intp]:
        """The most probable tags that break no rule."""
        greedy = log_p.argmax(axis=1)
        # A greedy path that breaks no rule is the best there is.
        return greedy if not self._ruled or self._legal(greedy) else self._viterbi(log_p)

    def _legal(self, path: NDArray[np.intp]) -> bool:
        return bool(np.isfinite(self._begin[path[0]]) and self._allowed[path[:-1], path[1:]].all())

    def _viterbi(self, log_p: Floats) -> NDArray[np.intp]:
        count, width = log_p.shape
        came_from = np.zeros((count, width), np.intp)
        best = self._begin + log_p[0]
        columns = np.arange(width)
        for at in range(1, count):
            ways = best[:, None] + self._between
            came_from[at] = ways.argmax(axis=0)
            best = ways[came_from[at], columns] + log_p[at]
        path = np.empty(count, np.intp)
        path[-1] = best.argmax()
        for at in range(count - 1, 0, -1):
            path[at - 1] = came_from[at, path[at]]
        return path

    def _entities(self, path: NDArray[np.intp], sure: Floats) -> list[Found]:
        found: list[Found] = []
        inside = np.flatnonzero(np.array([mark != "O" for mark in self._mark])[path])
        for at in inside:
            tag = path[at]
            if (
                self._mark[tag] == "I"
                and found
                and found[-1].end == at
                and found[-1].label == self._name[tag]
            ):
                last = found.pop()
                found.append(Found(last.begin, int(at) + 1, last.label, min(last.score, float(sure[at]))))
            else:
                found.append(Found(int(at), int(at) + 1, self._name[tag], float(sure[at])))
        return found


def log_softmax(logits: Floats) -> Floats:
    """Along the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    out: Floats = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return out
