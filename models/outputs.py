"""What a model's outputs mean, and how they become tags of ours.

A model made elsewhere has its own label names and scheme. ``labels.json`` says for each output which of our tags it
counts towards; outputs of one tag are summed in probability. BILOU folds into BIO (``U`` begins, ``L`` continues); IO
and IOB1 stay without a rule on what may follow what, since there an ``I`` may begin an entity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import SettingsError
from engine.records import Label
from models.tags import OUTSIDE, TAGS, split_tag

_FOLDED = {"B": "B", "U": "B", "S": "B", "I": "I", "L": "I", "E": "I", "M": "I"}


class Scheme(StrEnum):
    """How a model marks where entities begin."""

    BIO = "BIO"
    BILOU = "BILOU"
    IOB1 = "IOB1"
    IO = "IO"


@dataclass(frozen=True, slots=True)
class Outputs:
    """Meaning of a model's outputs.

    Attributes:
        names: the model's own names, in the order of its columns.
        tags: our tags, in the order of the folded columns.
        target: for each output, the index of its tag.
        scheme: how the model marks beginnings.
    """

    names: tuple[str, ...]
    tags: tuple[str, ...]
    target: tuple[int, ...]
    scheme: Scheme

    @property
    def labels(self) -> frozenset[Label]:
        """The labels it can give at all."""
        reached = {self.tags[index] for index in self.target}
        return frozenset(Label(split_tag(tag)[1]) for tag in reached if tag != OUTSIDE)

    @property
    def ruled(self) -> bool:
        """Whether an ``I`` needs a beginning before it."""
        return self.scheme in {Scheme.BIO, Scheme.BILOU}

    def fold(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """``[..., outputs]`` to ``[..., tags]``; a tag no output counts towards is impossible."""
        if self.target == tuple(range(len(self.tags))):
            return logits
        top = logits.max(axis=-1, keepdims=True)
        share = np.exp(logits - top)
        folded = np.zeros((*logits.shape[:-1], len(self.tags)), np.float32)
        for column, index in enumerate(self.target):
            folded[..., index] += share[..., column]
        out: NDArray[np.float32] = np.log(np.maximum(folded, 1e-30)) + top
        return out

    def as_json(self) -> dict[str, Any]:
        return {
            "scheme": self.scheme.value,
            "tags": list(self.tags),
            "outputs": [
                {"name": name, "tag": self.tags[index]}
                for name, index in zip(self.names, self.target, strict=True)
            ],
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Outputs:
        """Raises SettingsError when the record has another shape."""
        try:
            tags = tuple(kept["tags"])
            target = tuple(tags.index(output["tag"]) for output in kept["outputs"])
            return cls(tuple(o["name"] for o in kept["outputs"]), tags, target, Scheme(kept["scheme"]))
        except (KeyError, TypeError, ValueError):
            raise SettingsError(
                "labels.json of the model artifact can't be read",
                location="nlp.extractor",
                action="Make the artifact again with 'wardstream models export'.",
            ) from None


def own_outputs() -> Outputs:
    """Of a model trained here."""
    return Outputs(TAGS, TAGS, tuple(range(len(TAGS))), Scheme.BIO)


def outputs_of(
    names: Sequence[str], labels: Mapping[str, Label | None], scheme: Scheme | None = None
) -> Outputs:
    """Of a model made elsewhere.

    Args:
        names: its output names, such as ``B-Chemical``, by column.
        labels: its label names (as :func:`models.corpora.names.normal` spells them) to ours.
        scheme: told from the marks when not given. IOB1 has BIO's marks, so it must be given.

    Raises:
        SettingsError: no output maps to a label of ours.
    """
    from models.corpora.names import normal

    found = scheme or _scheme_of(names)
    target = []
    for name in names:
        mark, label_name = split_tag(name)
        label = labels.get(normal(label_name))
        tag = f"{_FOLDED.get(mark, 'I')}-{label.value}" if label is not None and mark != OUTSIDE else OUTSIDE
        target.append(TAGS.index(tag))
    if not any(target):
        raise SettingsError(
            f"None of the model's labels ({', '.join(sorted(names)[:20])}) is known",
            location="--labels",
            action=f"Map them: --labels NAME=LABEL,...; labels are {', '.join(Label)}.",
        )
    return Outputs(tuple(names), TAGS, tuple(target), found)


def _scheme_of(names: Sequence[str]) -> Scheme:
    marks = {split_tag(name)[0] for name in names} - {OUTSIDE}
    if marks & {"L", "U", "E", "S"}:
        return Scheme.BILOU
    return Scheme.BIO if "B" in marks else Scheme.IO
