"""Raw scores to how often such an entity is right (Platt scaling, a pair of numbers a label).

The raw score of an entity is the probability of its least sure word. ``calibrated = sigmoid(slope * logit(raw) + bias)``
with slope and bias fitted on texts the model was not trained on. A label without its own pair uses the common one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.records import Label

#: Raw scores closer to 0 or 1 are clipped: float16 says 1.0 long before it is true.
EDGE = 1e-4
#: Fewer entities than this say too little of a label; it then uses the common pair.
ENOUGH = 60
#: Weight of the belief that slope is 1 and bias 0, in entities.
PRIOR = 5.0

Pair = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Slope and bias, common and by label. Without arguments it changes nothing."""

    common: Pair = (1.0, 0.0)
    by_label: Mapping[Label, Pair] = field(default_factory=dict)

    def score(self, label: Label, raw: float) -> float:
        """The calibrated score, 0..1."""
        return self.scores([label], [raw])[0]

    def scores(self, labels: Sequence[Label], raw: Sequence[float] | NDArray[np.float32]) -> list[float]:
        """:meth:`score` of many."""
        pairs = np.array([self.by_label.get(label, self.common) for label in labels]).reshape(-1, 2)
        out: list[float] = _sigmoid(pairs[:, 0] * _logit(np.asarray(raw, np.float64)) + pairs[:, 1]).tolist()
        return out

    def as_json(self) -> dict[str, Any]:
        return {
            "method": "platt",
            "common": list(self.common),
            "by_label": {label.value: list(pair) for label, pair in sorted(self.by_label.items())},
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Calibration:
        def pair(values: Sequence[float]) -> Pair:
            slope, bias = values
            return float(slope), float(bias)

        return cls(
            pair(kept["common"]), {Label(name): pair(values) for name, values in kept["by_label"].items()}
        )


def fit(labels: Sequence[Label], raw: Sequence[float], right: Sequence[bool]) -> Calibration:
    """The pairs under which the outcomes are most probable.

    Args:
        labels: of each entity found.
        raw: its uncalibrated score.
        right: whether it was strictly right.
    """
    x, y = _logit(np.array(raw, np.float64)), np.array(right, np.float64)
    if not len(x):
        return Calibration()
    names = np.array([label.value for label in labels])
    common = _platt(x, y)
    by_label = {
        label: _platt(x[names == label.value], y[names == label.value])
        for label in Label
        if (names == label.value).sum() >= ENOUGH
    }
    return Calibration(common, by_label)


def _platt(x: NDArray[np.float64], y: NDArray[np.float64]) -> Pair:
    """Newton's method on the logistic loss, drawn a little towards no change; a step that makes it worse is halved.

    Undamped, it runs away where raw scores crowd at one end, as an over-confident model's do.
    """
    columns = np.stack([x, np.ones_like(x)], axis=1)
    start = np.array([1.0, 0.0])

    def loss(weights: NDArray[np.float64]) -> float:
        z = columns @ weights
        return float(np.sum(np.logaddexp(0, z) - y * z) + PRIOR / 2 * np.sum((weights - start) ** 2))

    weights, now = start.copy(), loss(start)
    for _ in range(50):
        p = _sigmoid(columns @ weights)
        slope = columns.T @ (p - y) + PRIOR * (weights - start)
        bend = (columns * (p * (1 - p))[:, None]).T @ columns + PRIOR * np.eye(2)
        step = np.linalg.solve(bend, slope)
        while np.abs(step).max() > 1e-8 and loss(weights - step) > now:
            step /= 2
        if np.abs(step).max() <= 1e-8:
            break
        weights -= step
        now = loss(weights)
    return round(float(weights[0]), 6), round(float(weights[1]), 6)


def expected_error(scores: Sequence[float], right: Sequence[bool], bins: int = 10) -> float:
    """Expected calibration error over equally wide bins (Naeini et al. 2015); 0 for no entities."""
    return sum(
        abs(row["score"] - row["right"]) * row["count"] for row in reliability(scores, right, bins)
    ) / max(1, len(scores))


def reliability(scores: Sequence[float], right: Sequence[bool], bins: int = 10) -> list[dict[str, float]]:
    """Mean score and share of right ones in each bin that holds any."""
    values, truth = np.array(scores, np.float64), np.array(right, np.float64)
    place = np.minimum((values * bins).astype(int), bins - 1)
    return [
        {
            "low": at / bins,
            "high": (at + 1) / bins,
            "count": int((place == at).sum()),
            "score": float(values[place == at].mean()),
            "right": float(truth[place == at].mean()),
        }
        for at in range(bins)
        if (place == at).any()
    ]


def _logit(p: Any) -> Any:
    clipped = np.clip(p, EDGE, 1 - EDGE)
    return np.log(clipped) - np.log1p(-clipped)


def _sigmoid(x: Any) -> Any:
    return np.exp(-np.logaddexp(0, -x))
