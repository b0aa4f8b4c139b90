"""The learning curves of a run as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path


def draw(history: Sequence[Mapping[str, float]], target: Path) -> None:
    """Loss and dev F1 by epoch, as PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in history]
    left.plot(epochs, [row["loss"] for row in history], marker="o", color="#c4541a")
    left.set(title="training loss", xlabel="epoch")
    kinds = [key for key in history[0] if key not in {"epoch", "loss"}]
    for name in kinds if len(kinds) > 2 else ["f1"]:  # the mean of one kind is that kind
        right.plot(epochs, [row[name] for row in history], marker="o", label=name)
    right.set(title="dev, strict F1", xlabel="epoch", ylim=(0, 1.03))
    right.legend()
    figure.savefig(target, dpi=110, metadata={"Software": None})
