"""Every choice of a training run in one frozen record, so that an artifact can say how it was made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from engine.errors import SettingsError

_SHARE, _WEIGHT = (0.0, 1.0), (0.0, 1000.0)
#: Least and most of each choice.
_BOUNDS: dict[str, tuple[float, float]] = {
    "epochs": (1, 10_000), "patience": (1, 10_000), "batch_pieces": (16, 10**6), "window_pieces": (16, 10_000),
    "learning_rate": _SHARE, "head_rate": _SHARE, "layer_decay": _SHARE, "warmup": _SHARE, "weight_decay": _SHARE,
    "dropout": (0.0, 0.9), "frozen_layers": (0, 1000), "unfreeze_every": (0, 10_000), "outside_weight": _WEIGHT,
    "word_noise": _SHARE, "abbreviation_swaps": _SHARE, "synonym_swaps": _SHARE, "adversary": _WEIGHT,
    "consistency": _WEIGHT, "average_from": _SHARE, "average_decay": _SHARE, "seed": (0, 2**31),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is trained and how. The defaults made the model that ships (docs/models.md tells what each gave).

    Attributes:
        epochs: passes over the training texts, at most.
        patience: epochs without a better dev F1 before training stops.
        batch_pieces: padded pieces in a step.
        window_pieces: longest window. Each epoch cuts the texts anew, into windows of a half to all of it.
        learning_rate: peak of the topmost layer.
        head_rate: peak of the tag layer, which starts from nothing.
        layer_decay: each layer below learns at this share of the one above.
        warmup: share of the steps until the peak; linear to zero after it.
        weight_decay: of all but biases and layer norms.
        dropout: of hidden states and attention.
        frozen_layers: how many layers, from below, start frozen; the word embeddings go with the lowest.
        unfreeze_every: epochs after which one more frozen layer is freed; 0 keeps them frozen.
        outside_weight: weight of the loss on words outside of entities; 1 weighs all alike.
        word_noise: share of the words whose pieces become unknown, so that context must tell.
        abbreviation_swaps: share of known abbreviations and long forms that are exchanged.
        synonym_swaps: share of entities exchanged for another of the same label from the training texts.
        adversary: size of the step against the word embeddings (FGM, Miyato et al. 2017); 0 turns it off.
        consistency: weight of the difference between two readings with different dropout (R-Drop, Wu et al. 2021); each
            step reads twice then, and takes twice as long. 0 turns it off.
        average_from: share of the run after which the weights' moving average is what is judged; 1 turns it off.
        average_decay: of that average, a step, at most: it forgets faster while it is young, or it would never leave the
            weights it began with in a run of few steps.
        seed: of everything random.
    """

    epochs: int = 8
    patience: int = 3
    batch_pieces: int = 1024
    window_pieces: int = 192
    learning_rate: float = 3e-4
    head_rate: float = 1e-3
    layer_decay: float = 0.9
    warmup: float = 0.1
    weight_decay: float = 0.01
    dropout: float = 0.1
    frozen_layers: int = 0
    unfreeze_every: int = 1
    outside_weight: float = 1.0
    word_noise: float = 0.02
    abbreviation_swaps: float = 0.1
    synonym_swaps: float = 0.1
    adversary: float = 0.0
    consistency: float = 0.0
    average_from: float = 0.4
    average_decay: float = 0.995
    seed: int = 20

    @classmethod
    def with_choices(cls, choices: Sequence[str]) -> Recipe:
        """The defaults with ``name=value`` on top.

        Raises:
            SettingsError: no such choice, or no such number.
        """
        kinds = {each.name: type(getattr(cls(), each.name)) for each in fields(cls)}
        chosen: dict[str, Any] = {}
        for choice in choices:
            name, _, value = choice.partition("=")
            try:
                chosen[name] = kinds[name](value)
            except (KeyError, ValueError):
                raise SettingsError(
                    f"{choice!r} is no choice of the recipe",
                    location="--set",
                    action=f"Write name=number; names are {', '.join(kinds)}.",
                ) from None
        recipe = cls(**chosen)
        for name, (least, most) in _BOUNDS.items():
            # Not a number is no number between two others.
            if not least <= getattr(recipe, name) <= most:
                raise SettingsError(
                    f"{name}={getattr(recipe, name)} is out of range",
                    location="--set",
                    action=f"Choose from {least:g} to {most:g}.",
                )
        return recipe

    def as_json(self) -> dict[str, Any]:
        return asdict(self)
