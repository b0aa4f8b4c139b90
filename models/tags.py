"""BIO tags over the labels: the alphabet a model answers in, and which tag may follow which.

A tag's number is its place in ``labels.json`` of an artifact. Schemes other than BIO (BILOU, IO) are folded into
BIO when a model is exported, so that the runtime knows one scheme alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from engine.records import Label

OUTSIDE = "O"


def bio_tags(labels: Iterable[Label]) -> tuple[str, ...]:
    """``O``, then ``B-`` and ``I-`` of each label, in the labels' order."""
    return (OUTSIDE, *(f"{mark}-{label.value}" for label in labels for mark in "BI"))


#: The tags of a model of our own.
TAGS = bio_tags(Label)


def split_tag(tag: str) -> tuple[str, str]:
    """``("B", "PROBLEM")`` of ``B-PROBLEM``; ``("O", "")`` of ``O``. A tag without a mark counts as ``I``."""
    if tag == OUTSIDE:
        return OUTSIDE, ""
    mark, dash, name = tag.partition("-")
    return (mark, name) if dash and len(mark) == 1 else ("I", tag)


def may_follow(before: str, after: str) -> bool:
    """Whether ``after`` may come right behind ``before``: an ``I-X`` needs a ``B-X`` or ``I-X`` before it."""
    mark, name = split_tag(after)
    return mark != "I" or split_tag(before)[1] == name


def transitions(tags: Sequence[str]) -> NDArray[np.float32]:
    """``[before, after]``: 0 where allowed, minus infinity where not."""
    table = np.zeros((len(tags), len(tags)), np.float32)
    for (row, before), (column, after) in product(enumerate(tags), enumerate(tags)):
        if not may_follow(before, after):
            table[row, column] = -np.inf
    return table


def beginnings(tags: Sequence[str]) -> NDArray[np.float32]:
    """For each tag: 0 where a text may begin with it, minus infinity where not."""
    return np.array([-np.inf if split_tag(tag)[0] == "I" else 0.0 for tag in tags], np.float32)
