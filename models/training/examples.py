"""Documents to windows of pieces with, for each word, the tags that its annotators allow.

Partial labels: where a corpus does not annotate a label, a word outside of its entities may be that label or not. The
allowed set then holds ``O`` and all tags of the labels it does not annotate, and the loss asks only that the model's
probability lies in the set (marginal likelihood; Greenberg et al. 2018, "Marginal Likelihood Training of BiLSTM-CRF for
Biomedical Named Entity Recognition from Disjoint Label Sets").
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.records import Label
from models.corpora.document import Document
from models.tags import TAGS, split_tag
from models.words import Pieced, Pieces, Words, split_words


@dataclass(frozen=True, slots=True)
class Example:
    """A document ready to be cut.

    Attributes:
        pieces: its pieces; see :class:`models.words.Pieces`.
        tags: index into TAGS of each word's own tag.
        allowed: row of :func:`allowed_table` for its corpus, all words alike: which tags an ``O`` may be.
    """

    pieces: Pieces
    tags: NDArray[np.int64]
    allowed: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Window:
    """What the model sees at one time.

    Attributes:
        ids: pieces without special ones.
        first: index into ``ids`` of each word's first piece.
        allowed: ``[words, tags]``: the tags the annotators allow.
    """

    ids: NDArray[np.int32]
    first: NDArray[np.int32]
    allowed: NDArray[np.bool_]


def make_examples(documents: Iterable[Document], pieced: Pieced) -> list[Example]:
    """All documents with at least one word.

    A label that none of them was annotated for counts as absent everywhere: nothing would ever teach the model when
    to give it, and left free it would be given at random.
    """
    docs = list(documents)
    nowhere = frozenset(Label).difference(*(doc.annotated for doc in docs))
    words = [split_words(doc.text) for doc in docs]
    pieces = pieced.many([doc.text for doc in docs], words)
    return [
        Example(found, word_tags(doc, split), allowed_outside(doc.annotated | nowhere))
        for doc, split, found in zip(docs, words, pieces, strict=True)
        if len(split)
    ]


def word_tags(doc: Document, words: Words) -> NDArray[np.int64]:
    """Each word's tag. A word an entity only touches belongs to it: annotators cut words where we don't."""
    tags = np.zeros(len(words), np.int64)
    for gold in doc.gold:
        inside = np.flatnonzero((words.starts < gold.end) & (words.ends > gold.start))
        if len(inside):
            begin = TAGS.index(f"B-{gold.label.value}")
            tags[inside] = begin + 1
            tags[inside[0]] = begin
    return tags


def allowed_outside(annotated: frozenset[Label]) -> NDArray[np.bool_]:
    """Which tags a word outside of all entities may have: ``O``, and those of labels nobody looked for."""
    return np.array([tag == "O" or split_tag(tag)[1] not in annotated for tag in TAGS])


def cut(example: Example, longest: int, chance: random.Random) -> Iterator[Window]:
    """Windows that cover the document without overlap and cut no entity; their lengths vary between calls."""
    first = example.pieces.first
    begin, count = 0, len(example.tags)
    while begin < count:
        room = chance.randint(longest // 2, longest)
        end = int(np.searchsorted(first, first[begin] + room, side="right")) - 1
        end = min(max(end, begin + 1), count)
        while end < count and end > begin + 1 and TAGS[example.tags[end]][0] == "I":
            end -= 1
        yield _window(example, begin, end)
        begin = end


def _window(example: Example, begin: int, end: int) -> Window:
    first = example.pieces.first
    tags = example.tags[begin:end]
    allowed = np.zeros((len(tags), len(TAGS)), np.bool_)
    allowed[np.arange(len(tags)), tags] = True
    allowed[tags == 0] = example.allowed
    return Window(example.pieces.ids[first[begin] : first[end]], first[begin:end] - first[begin], allowed)


def batches(windows: Sequence[Window], budget: int, chance: random.Random) -> list[list[Window]]:
    """Windows of like length together, at most ``budget`` padded pieces each, in random order."""
    ordered = sorted(windows, key=lambda w: (len(w.ids), chance.random()))
    out: list[list[Window]] = []
    for window in ordered:
        if out and (len(out[-1]) + 1) * (len(window.ids) + 2) <= budget:
            out[-1].append(window)
        else:
            out.append([window])
    chance.shuffle(out)
    return out
