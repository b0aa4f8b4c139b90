"""The promotion gate: what a model must show before a site puts it to work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.settings import Nlp


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a model may be promoted, and every reason why not."""

    reasons: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.reasons

    def as_json(self) -> dict[str, Any]:
        return {"passed": self.passed, "reasons": list(self.reasons)}


def judge(report: Mapping[str, Any], settings: Nlp) -> Verdict:
    """Looks at an evaluation's report.

    Refused are: no baseline beside it, less than ``nlp.gate_points`` F1 points above it, and any stratum of at least
    ``nlp.gate_stratum_entities`` entities more than ``nlp.gate_stratum_points`` below the whole.
    """
    reasons = []
    whole = 100 * report["strict"]["micro"]["f1"]
    baseline = report.get("baseline")
    if not baseline:
        reasons.append("no baseline was read beside it")
    else:
        ahead = whole - 100 * baseline["strict"]["micro"]["f1"]
        if ahead < settings.gate_points:
            reasons.append(
                f"strict F1 is {ahead:.1f} points above the baseline; nlp.gate_points asks for {settings.gate_points:g}"
            )
    for name, values in report.get("strata", {}).items():
        for value, row in values.items():
            below = whole - 100 * row["f1"]
            if row["support"] >= settings.gate_stratum_entities and below > settings.gate_stratum_points:
                reasons.append(
                    f"{name}={value} is {below:.1f} points below the whole; nlp.gate_stratum_points allows "
                    f"{settings.gate_stratum_points:g}"
                )
    return Verdict(tuple(reasons))
