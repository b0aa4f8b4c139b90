"""A torch model behind the same windows and decoding as the runtime, so that dev figures mean what they say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.records import Label, Span
from models.artifact import Input
from models.corpora.document import Document
from models.decoding import Decoder
from models.scoring import relevant
from models.tags import TAGS
from models.windows import Window, cut, merge
from models.words import Pieced, split_words

#: Windows a forward pass; sorted by length, so little is padding.
ROWS = 16


class TorchReader:
    """Reads documents with a model in training.

    Args:
        pieced: its tokenizer.
        made_from: its input.
    """

    def __init__(self, pieced: Pieced, made_from: Input) -> None:
        self._pieced, self._input = pieced, made_from
        self._decoder = Decoder(TAGS)

    def read(self, model: Any, documents: Sequence[Document]) -> list[list[Span]]:
        """Spans with raw scores; labels that a document's annotators did not look for are left out."""
        words = [split_words(doc.text) for doc in documents]
        pieces = self._pieced.many([doc.text for doc in documents], words)
        windows = [cut(found, self._input.frame) for found in pieces]
        scores = iter(self._score(model, [window for note in windows for window in note]))
        answers = []
        for doc, split, note in zip(documents, words, windows, strict=True):
            table = merge(note, [next(scores) for _ in note], len(TAGS))
            spans = [
                Span(int(split.starts[f.begin]), int(split.ends[f.end - 1]), Label(f.label), f.score)
                for f in self._decoder.decode(table)
            ]
            answers.append(relevant(spans, doc.annotated))
        return answers

    def _score(self, model: Any, windows: list[Window]) -> list[NDArray[np.float32]]:
        order = sorted(range(len(windows)), key=lambda at: len(windows[at].ids))
        out: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * len(windows)
        for at in range(0, len(order), ROWS):
            some = order[at : at + ROWS]
            for place, logits in zip(some, self._forward(model, [windows[i] for i in some]), strict=True):
                out[place] = logits
        return out

    def _forward(self, model: Any, windows: Sequence[Window]) -> Iterator[NDArray[np.float32]]:
        device = next(model.parameters()).device
        longest = max(len(window.ids) for window in windows)
        ids = np.full((len(windows), longest), self._input.pad, np.int64)
        mask = np.zeros_like(ids)
        for row, window in enumerate(windows):
            ids[row, : len(window.ids)] = window.ids
            mask[row, : len(window.ids)] = 1
        with torch.no_grad():
            tensors = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
            logits = model(**{name: value.to(device) for name, value in tensors.items()}).logits
        rows = logits.float().cpu().numpy()
        for row, window in enumerate(windows):
            yield rows[row][window.first]
