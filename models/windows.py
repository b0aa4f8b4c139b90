"""Long texts in windows, and their answers back to one table of scores over the whole text.

A window ends where a line or sentence does, if one does in its later half: then the next begins there, and no piece is
read twice. Else the two overlap, and a word's scores come from the window in which it stands farther from an edge.
Entities are read from the whole table afterwards: none is cut by an edge and none is found twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from models.words import Pieces


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of words given to the model at one time.

    Attributes:
        begin, end: its words.
        keep_begin, keep_end: the words whose scores are taken from it.
        ids: its pieces, special ones included.
        first: index into ``ids`` of the first piece of each word from ``keep_begin`` to ``keep_end``.
    """

    begin: int
    end: int
    keep_begin: int
    keep_end: int
    ids: NDArray[np.int32]
    first: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Frame:
    """The special pieces a model wants around its input, and how long that input may be.

    Attributes:
        before, after: ids of the special pieces.
        longest: pieces in a window, special ones included.
        overlap: pieces that neighbouring windows share.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    longest: int
    overlap: int

    def __post_init__(self) -> None:
        if self.room <= self.overlap:
            raise ValueError(
                f"an overlap of {self.overlap} leaves no room in windows of {self.longest} pieces"
            )

    @property
    def room(self) -> int:
        """Pieces of text in a window."""
        return self.longest - len(self.before) - len(self.after)


def cut(pieces: Pieces, frame: Frame) -> list[Window]:
    """Windows over all words, in order; none for a text without words."""
    stretches = _stretches(pieces, frame)
    borders = [0, *((a[1] + b[0] + 1) // 2 for a, b in pairwise(stretches))]
    borders.append(len(pieces.first) - 1)
    return [
        _window(pieces, frame, begin, end, borders[at], borders[at + 1])
        for at, (begin, end) in enumerate(stretches)
    ]


def _stretches(pieces: Pieces, frame: Frame) -> list[tuple[int, int]]:
    first, pauses = pieces.first, np.flatnonzero(pieces.pauses) + 1
    count = len(first) - 1
    out: list[tuple[int, int]] = []
    begin = 0
    while begin < count:
        end = _fits(first, begin, frame.room)
        if end == count:
            out.append((begin, end))
            break
        middle = _fits(first, begin, frame.room // 2)
        rest = pauses[np.searchsorted(pauses, middle) : np.searchsorted(pauses, end, side="right")]
        if len(rest):
            end = int(rest[-1])
            back = end
        else:
            back = int(np.searchsorted(first, first[end] - frame.overlap, side="left"))
        out.append((begin, end))
        begin = min(max(back, begin + 1), end)
    return out


def _fits(first: NDArray[np.int32], begin: int, room: int) -> int:
    """The end of the longest stretch of whole words from ``begin`` within ``room`` pieces; one word at least."""
    end = int(np.searchsorted(first, first[begin] + room, side="right")) - 1
    return min(max(end, begin + 1), len(first) - 1)


def _window(pieces: Pieces, frame: Frame, begin: int, end: int, keep_begin: int, keep_end: int) -> Window:
    low = pieces.first[begin]
    body = pieces.ids[low : pieces.first[end]][: frame.room]
    ids = np.concatenate([frame.before, body, frame.after]).astype(np.int32)
    first = pieces.first[keep_begin:keep_end] - low + len(frame.before)
    return Window(begin, end, keep_begin, keep_end, ids, first.astype(np.int32))


def merge(windows: Sequence[Window], scores: Sequence[NDArray[np.float32]], tags: int) -> NDArray[np.float32]:
    """``[words, tags]`` of the whole text from each window's ``[kept words, tags]``."""
    if not windows:
        return np.zeros((0, tags), np.float32)
    return np.concatenate(scores, axis=0)
