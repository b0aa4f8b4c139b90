"""The training loop: partial-label loss, layer-wise rates, gradual unfreezing, averaging, early stop, resume.

A loop of our own and not transformers' Trainer: the loss needs a set of allowed tags for each word, the epoch cuts its
windows anew, the batch is a budget of pieces, and what is judged is a moving average (docs/decisions/0011).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.errors import SettingsError
from models.training.examples import Example, Window, batches, cut
from models.training.recipe import Recipe

CHECKPOINT = "checkpoint.pt"
Progress = Callable[[dict[str, Any]], None]
Judge = Callable[[nn.Module], dict[str, float]]


@dataclass(slots=True)
class State:
    """Where a run stands."""

    epoch: int = 0
    step: int = 0
    best: float = -1.0
    best_epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Frame:
    """Ids of the special pieces of the model's input."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    pad: int
    unknown: int


def pad(
    windows: Sequence[Window], frame: Frame, device: torch.device
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """``ids [B, L]``, ``mask [B, L]``, flat positions of all words' first pieces ``[W]``, ``allowed [W, tags]``."""
    longest = max(len(w.ids) for w in windows) + len(frame.before) + len(frame.after)
    ids = np.full((len(windows), longest), frame.pad, np.int64)
    mask = np.zeros_like(ids)
    at = []
    for row, window in enumerate(windows):
        line = [*frame.before, *window.ids, *frame.after]
        ids[row, : len(line)] = line
        mask[row, : len(line)] = 1
        at.append(window.first + (row * longest + len(frame.before)))
    allowed = np.concatenate([w.allowed for w in windows])
    arrays: tuple[NDArray[Any], ...] = (ids, mask, np.concatenate(at).astype(np.int64), allowed)
    ids_t, mask_t, at_t, allowed_t = (torch.from_numpy(array).to(device) for array in arrays)
    return ids_t, mask_t, at_t, allowed_t


def partial_loss(logits: Tensor, allowed: Tensor, outside_weight: float) -> Tensor:
    """Minus the log of the probability of the allowed tags, averaged over words; ``O`` is tag 0."""
    inside = logits.masked_fill(~allowed, -torch.inf).logsumexp(-1)
    loss = logits.logsumexp(-1) - inside
    weight = torch.where(allowed[:, 0], outside_weight, 1.0)
    return (loss * weight).sum() / weight.sum()


def difference(one: Tensor, other: Tensor) -> Tensor:
    """Mean over words of the two readings' Kullback-Leibler divergence, half of each direction."""
    log_p, log_q = one.log_softmax(-1), other.log_softmax(-1)
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(-1).mean() / 2


def rate_groups(model: Any, recipe: Recipe) -> list[dict[str, Any]]:
    """Parameters with their rates: the head's own, then each layer's share of the one above (ELECTRA's rule)."""
    layers = model.config.num_hidden_layers
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if name.startswith("classifier"):
            rate = recipe.head_rate
        else:
            rate = recipe.learning_rate * recipe.layer_decay ** (layers - 1 - _depth(name))
        decay = 0.0 if parameter.ndim == 1 else recipe.weight_decay
        groups.setdefault((rate, decay), []).append(parameter)
    return [{"params": found, "lr": rate, "weight_decay": decay} for (rate, decay), found in groups.items()]


def _depth(name: str) -> int:
    """Number of the layer a parameter belongs to; -1 for the embeddings."""
    parts = name.split(".")
    for before, part in pairwise(parts):
        if before in {"layer", "layers", "h"} and part.isdigit():
            return int(part)
    return -1


def freeze(model: nn.Module, lowest_free: int) -> None:
    """Freezes the layers below ``lowest_free``; the embeddings with any of them."""
    for name, parameter in model.named_parameters():
        head = name.startswith("classifier")
        parameter.requires_grad = head or _depth(name) >= lowest_free or lowest_free <= 0


def share_of_peak(step: int, steps: int, warmup: float) -> float:
    """Up in a straight line, then down to nothing."""
    rise = max(1, int(steps * warmup))
    return (step + 1) / rise if step < rise else max(0.0, (steps - step) / max(1, steps - rise))


class Loop:
    """One run.

    Args:
        model: a transformers model for token classification over :data:`models.tags.TAGS`.
        recipe: the choices.
        source: an epoch's examples; the same for the same epoch, and as many. One given twice weighs twice.
        frame: special pieces.
        judge: gives at least ``f1`` on the dev texts.
        folder: for the checkpoint and the best weights.
        progress: told of every step and epoch.
        data: a digest of what is trained on, from what; a checkpoint of something else is not gone on from.
    """

    def __init__(
        self,
        model: Any,
        recipe: Recipe,
        source: Callable[[int], Sequence[Example]],
        frame: Frame,
        judge: Judge,
        folder: Path,
        progress: Progress,
        data: str = "",
    ) -> None:
        self._model, self._recipe, self._source, self._data = model, recipe, source, data
        self._frame, self._judge, self._folder, self._progress = frame, judge, folder, progress
        self._device = next(model.parameters()).device
        self._optimizer = torch.optim.AdamW(
            rate_groups(model, recipe), betas=(0.9, 0.98), eps=1e-6, foreach=True
        )
        self._peaks = [group["lr"] for group in self._optimizer.param_groups]
        self._average: dict[str, Tensor] = {}
        self.state = State()
        self._steps = recipe.epochs * len(self._epoch_batches(0))

    def _epoch_batches(self, epoch: int) -> list[list[Window]]:
        # Seeded by the epoch, so that a resumed run sees what an unbroken one would.
        chance = random.Random(self._recipe.seed * 1000 + epoch)  # noqa: S311 - shuffling, not secrets
        windows = [
            w for example in self._source(epoch) for w in cut(example, self._recipe.window_pieces, chance)
        ]
        return batches(windows, self._recipe.batch_pieces, chance)

    def run(self) -> State:
        """Trains to the end or the early stop; leaves the best weights in the model."""
        recipe = self._recipe
        for epoch in range(self.state.epoch, recipe.epochs):
            torch.manual_seed(recipe.seed * 1000 + epoch)
            freed = epoch // recipe.unfreeze_every if recipe.unfreeze_every else 0
            freeze(self._model, recipe.frozen_layers - freed)
            loss = self._epoch(epoch)
            self._end_of_epoch(epoch, loss)
            if epoch + 1 - self.state.best_epoch >= recipe.patience:
                break
        self._model.load_state_dict(torch.load(self._folder / "best.pt", weights_only=True))
        return self.state

    def _epoch(self, epoch: int) -> float:
        self._model.train()
        todo = self._epoch_batches(epoch)
        total = 0.0
        for number, batch in enumerate(todo, 1):
            loss = self._step(batch)
            total += loss
            self._progress({"epoch": epoch, "batch": number, "batches": len(todo), "loss": loss})
        return total / len(todo)

    def _step(self, batch: list[Window]) -> float:
        recipe, state = self._recipe, self.state
        for group, peak in zip(self._optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * share_of_peak(state.step, self._steps, recipe.warmup)
        ids, mask, at, allowed = pad(batch, self._frame, self._device)
        noisy = self._noise(ids, mask)
        loss = self._loss(noisy, mask, at, allowed)
        if not torch.isfinite(loss):
            raise SettingsError(
                f"The loss is no number at step {state.step + 1}",
                location="--set",
                action="Lower learning_rate and head_rate, and name another --out.",
            )
        loss.backward()
        if recipe.adversary:
            self._against(noisy, mask, at, allowed)
        nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        state.step += 1
        self._follow()
        return float(loss.detach())

    def _loss(self, ids: Tensor, mask: Tensor, at: Tensor, allowed: Tensor) -> Tensor:
        recipe = self._recipe
        first = partial_loss(words := self._words(ids, mask, at), allowed, recipe.outside_weight)
        if not recipe.consistency:
            return first
        again = self._words(ids, mask, at)
        second = partial_loss(again, allowed, recipe.outside_weight)
        return (first + second) / 2 + recipe.consistency * difference(words, again)

    def _words(self, ids: Tensor, mask: Tensor, at: Tensor) -> Tensor:
        """``[W, tags]``: scores of each word's first piece."""
        logits: Tensor = self._model(input_ids=ids, attention_mask=mask).logits
        return logits.reshape(-1, logits.shape[-1])[at]

    def _noise(self, ids: Tensor, mask: Tensor) -> Tensor:
        if not self._recipe.word_noise:
            return ids
        special = (ids == self._frame.pad) | (mask == 0)
        for piece in (*self._frame.before, *self._frame.after):
            special |= ids == piece
        hidden = (torch.rand(ids.shape, device=ids.device) < self._recipe.word_noise) & ~special
        return ids.masked_fill(hidden, self._frame.unknown)

    def _against(self, ids: Tensor, mask: Tensor, at: Tensor, allowed: Tensor) -> None:
        """Adds the gradient at the worst nearby embeddings (fast gradient method)."""
        weight = self._model.get_input_embeddings().weight
        if weight.grad is None:
            return
        norm = weight.grad.norm()
        if not torch.isfinite(norm) or norm == 0:
            return
        shift = weight.grad * (self._recipe.adversary / norm)
        weight.data.add_(shift)
        self._loss(ids, mask, at, allowed).backward()
        weight.data.sub_(shift)

    def _follow(self) -> None:
        """Moves the average of the weights, once the run is far enough for it to be worth having."""
        recipe = self._recipe
        if recipe.average_from >= 1 or self.state.step < self._steps * recipe.average_from:
            return
        with torch.no_grad():
            now = self._model.state_dict()
            if not self._average:
                self._average = {name: value.detach().clone() for name, value in now.items()}
                return
            followed = self.state.step - self._steps * recipe.average_from
            decay = min(recipe.average_decay, (1 + followed) / (10 + followed))
            for name, value in now.items():
                if value.is_floating_point():
                    self._average[name].lerp_(value, 1 - decay)

    def _end_of_epoch(self, epoch: int, loss: float) -> None:
        own = {name: value.detach().clone() for name, value in self._model.state_dict().items()}
        judged = self._average or own
        self._model.load_state_dict(judged)
        self._model.eval()
        scores = self._judge(self._model)
        state = self.state
        state.epoch = epoch + 1
        state.history.append({"epoch": epoch + 1, "loss": loss, **scores})
        if scores["f1"] > state.best:
            state.best, state.best_epoch = scores["f1"], epoch + 1
            torch.save(judged, self._folder / "best.pt")
        self._model.load_state_dict(own)
        self.save()
        self._progress({"scores": state.history[-1]})

    def save(self) -> None:
        """Writes all that a resumed run needs; the old checkpoint stays until the new one is whole."""
        path = self._folder / CHECKPOINT
        torch.save(
            {
                "recipe": self._recipe.as_json(),
                "data": self._data,
                "model": self._model.state_dict(),
                "average": self._average,
                "optimizer": self._optimizer.state_dict(),
                "state": {name: getattr(self.state, name) for name in State.__slots__},
            },
            path.with_suffix(".new"),
        )
        path.with_suffix(".new").replace(path)

    def resume(self) -> bool:
        """Goes on from the folder's checkpoint, if there is one of the same recipe and data."""
        path = self._folder / CHECKPOINT
        if not path.is_file():
            return False
        kept = torch.load(path, weights_only=True)
        if kept["recipe"] != self._recipe.as_json() or kept.get("data") != self._data:
            return False
        self._model.load_state_dict(kept["model"])
        self._average = kept["average"]
        self._optimizer.load_state_dict(kept["optimizer"])
        self.state = State(**kept["state"])
        return True
