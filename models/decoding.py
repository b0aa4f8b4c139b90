"""Scores of tags to entities: the best path that breaks no rule of BIO, and how sure the model is of each entity.

Only an ``I-X`` asks something of its neighbour (a ``B-X`` or ``I-X`` before it), and only near the edges of entities is
there any doubt. So a text is cut where the best path surely has no ``I``; between two cuts the best tag of each word
is the best path if it breaks no rule, and the few stretches where it does are searched together (Viterbi), one pass over
their words for all of them. That gives the path a search over the whole text would, at a small part of its cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.tags import beginnings, split_tag, transitions

Floats = NDArray[np.float32]
Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Found:
    """Words ``begin`` to ``end`` (exclusive) carry ``label``; ``score`` is its least sure word's probability."""

    begin: int
    end: int
    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Entities:
    """Entities of several texts, as columns, in the order of the texts and of their begin.

    Attributes:
        text: index of the text.
        begin, end: its words, counted within the text; ``end`` is exclusive.
        label: index into :attr:`Decoder.labels`.
        score: the probability of the least sure word.
    """

    text: Places
    begin: Places
    end: Places
    label: Places
    score: Floats


class Decoder:
    """Reads entities from scores.

    Args:
        tags: names of the tags, in the order of the scores' columns; BIO.
        ruled: False for models whose ``I`` may begin an entity (IO, IOB1): each word's best tag is taken.

    Attributes:
        labels: names of the labels, as entities index them.
    """

    def __init__(self, tags: Sequence[str], *, ruled: bool = True) -> None:
        # In double precision: sums over many words then tell paths apart that differ in the last digit of one word.
        self._between = transitions(tags).astype(np.float64)
        self._begin = beginnings(tags).astype(np.float64)
        self._ruled = ruled
        split = [split_tag(tag) for tag in tags]
        self.labels = tuple(dict.fromkeys(name for mark, name in split if mark != "O"))
        self._label = np.array([self.labels.index(name) if mark != "O" else -1 for mark, name in split])
        self._is_inner = np.array([mark == "I" for mark, _ in split])
        inner = [at for at, (mark, name) in enumerate(split) if mark == "I" and f"B-{name}" in tags]
        self._inner = np.array(inner, np.intp)
        self._outer = np.flatnonzero(~self._is_inner)
        self._first = np.array([list(tags).index(f"B-{split[at][1]}") for at in inner], np.intp)

    def decode(self, logits: Floats) -> list[Found]:
        """Entities of one text from ``[words, tags]`` logits, sorted by begin."""
        found = self.decode_many([logits])
        columns = (found.begin.tolist(), found.end.tolist(), found.label.tolist(), found.score.tolist())
        return [
            Found(begin, end, self.labels[label], score)
            for begin, end, label, score in zip(*columns, strict=True)
        ]

    def decode_many(self, tables: Sequence[Floats]) -> Entities:
        """Entities of several texts, each given as ``[words, tags]`` logits."""
        counts = np.array([len(table) for table in tables], np.intp)
        starts = np.cumsum(counts) - counts
        if not counts.sum():
            none = np.zeros(0, np.intp)
            return Entities(none, none, none, none, np.zeros(0, np.float32))
        log_p = log_softmax(np.concatenate([table for table in tables if len(table)]))
        opens = np.zeros(len(log_p), np.bool_)
        opens[starts[counts > 0]] = True
        path = self.path(log_p, opens)
        sure = np.exp(log_p[np.arange(len(path)), path])
        return self._entities(path, sure, opens, starts)

    def path(self, log_p: Floats, opens: NDArray[np.bool_]) -> Places:
        """The most probable tags that break no rule; ``opens`` says of each word whether a text begins with it."""
        path: Places = log_p.argmax(axis=1)
        if not self._ruled:
            return path
        label, inner = self._label[path], self._is_inner[path]
        broken = inner.copy()
        broken[1:] &= opens[1:] | (label[1:] != label[:-1])
        if broken.any():
            self._mend(path, log_p, opens, np.flatnonzero(broken))
        return path

    def _mend(self, path: Places, log_p: Floats, opens: NDArray[np.bool_], broken: Places) -> None:
        """Searches the stretches that hold a broken rule, in place."""
        cuts = np.flatnonzero(opens | self._surely_outer(log_p, opens))
        ends = np.append(cuts[1:], len(path))
        doubtful = np.unique(np.searchsorted(cuts, broken, side="right") - 1)
        lengths = ends[doubtful] - cuts[doubtful]
        order = np.argsort(lengths, kind="stable")
        self._search(path, log_p, cuts[doubtful][order], lengths[order])

    def _surely_outer(self, log_p: Floats, opens: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Where the best path has no ``I``: words at which its share is so small that it can't pay.

        An ``I-X`` can always be exchanged for the word's best tag that is no ``I``, if an ``I-X`` right behind it becomes
        a ``B-X``. That gains ``loss`` here and costs at most ``price`` there.
        """
        inner = log_p[:, self._inner]
        loss = log_p[:, self._outer].max(axis=1, keepdims=True) - inner
        price = np.zeros_like(loss)
        np.maximum(inner[1:] - log_p[1:, self._first], 0, out=price[:-1])
        price[:-1][opens[1:]] = 0
        sure: NDArray[np.bool_] = (loss > price).all(axis=1)
        return sure

    def _search(self, path: Places, log_p: Floats, begins: Places, lengths: Places) -> None:
        """Viterbi over stretches of a text, shortest first; none begins with an ``I``."""
        going = np.searchsorted(
            lengths, np.arange(lengths[-1]), side="right"
        )  # rows behind it are longer than that
        best = self._begin + log_p[begins]
        came_from: list[Places] = []
        for at, row in enumerate(going[1:].tolist(), start=1):
            ways = best[row:, :, None] + self._between
            came_from.append(ways.argmax(axis=1))
            best[row:] = ways.max(axis=1) + log_p[begins[row:] + at]
        tag: Places = best.argmax(axis=1)
        for at, row in reversed(list(enumerate(going.tolist()))):
            path[begins[row:] + at] = tag[row:]
            if at:
                tag[row:] = came_from[at - 1][np.arange(len(tag) - row), tag[row:]]

    def _entities(self, path: Places, sure: Floats, opens: NDArray[np.bool_], starts: Places) -> Entities:
        label = self._label[path]
        inside = np.flatnonzero(label >= 0)
        if not len(inside):
            return Entities(inside, inside, inside, inside, np.zeros(0, np.float32))
        goes_on = np.zeros(len(path), np.bool_)
        goes_on[1:] = self._is_inner[path[1:]] & (label[1:] == label[:-1]) & ~opens[1:]
        heads = np.flatnonzero(~goes_on[inside])
        begin, score = inside[heads], np.minimum.reduceat(sure[inside], heads)
        end = inside[np.append(heads[1:], len(inside)) - 1] + 1
        text = np.searchsorted(starts, begin, side="right") - 1
        return Entities(text, begin - starts[text], end - starts[text], label[begin], score)


def log_softmax(logits: Floats) -> Floats:
    """Along the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    out: Floats = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return out
