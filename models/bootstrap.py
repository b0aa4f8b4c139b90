"""How sure a figure is: percentile intervals by drawing documents again (Efron 1979)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.scoring import Counts

DRAWS = 1000
SEED = 7


def f1_interval(documents: Sequence[Counts]) -> tuple[float, float]:
    """The middle 95 % of micro F1 when documents are drawn with replacement; (0, 0) for none."""
    if not documents:
        return 0.0, 0.0
    table = np.array([[c.hits.total(), c.found.total(), c.gold.total()] for c in documents], np.float64)
    chance = np.random.default_rng(SEED)
    # Draw by draw: a thousand draws of many thousand documents at one time would take gigabytes.
    draws = (table[chance.integers(0, len(table), len(table))].sum(axis=0) for _ in range(DRAWS))
    hits, found, gold = np.array(list(draws)).T
    f1 = 2 * hits / np.maximum(found + gold, 1.0)
    low, high = np.percentile(f1, [2.5, 97.5])
    return float(low), float(high)
