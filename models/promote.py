"""Puts a judged model to work: copies it into the site's models folder and points ``default`` at it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.errors import GateRefusedError, SettingsError
from engine.settings import Nlp
from models import gate
from models.artifact import Artifact
from models.registry import POINTER, promoted_in

#: Promotions that can be taken back, one after another.
STEPS_BACK = 10


def promote(artifact: Artifact, store: Path, report: Mapping[str, Any], settings: Nlp) -> Path:
    """Copies the artifact and moves the pointer; workers take it up when they start or are told to swap.

    Args:
        artifact: the model.
        store: the site's models folder (``nlp.models``); made if absent.
        report: what ``evaluate`` said of this very version.
        settings: limits of the gate.

    Raises:
        SettingsError: the report is of another version.
        GateRefusedError: it is not good enough.
    """
    judged = report["model"]
    if (judged["id"], judged["version"]) != (artifact.model_id, artifact.version):
        raise SettingsError(
            f"The evaluation is of {judged['id']} {judged['version']}, the artifact is {artifact.version}",
            location="ARTIFACT",
            action="Evaluate this very artifact.",
        )
    verdict = gate.judge(report, settings)
    if not verdict.passed:
        raise GateRefusedError(
            f"The gate refuses {artifact.model_id} {artifact.version}: {'; '.join(verdict.reasons)}",
            location="ARTIFACT",
            action="Train on more data of the weak kind, or change the gate's settings on purpose.",
        )
    name = f"{artifact.model_id}-{artifact.version}"
    store.mkdir(parents=True, exist_ok=True)
    if not (store / name).exists():
        unfinished = store / f".{name}.copying"
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(artifact.folder, unfinished)
        Artifact(unfinished)
        unfinished.rename(store / name)
    before = _pointer(store)
    if before and before.get("artifact") == name:
        before = before.get("before")
    _point(store, {
        "artifact": name,
        "id": artifact.model_id,
        "version": artifact.version,
        "evaluation": _short(report),
        "before": _shortened(before),
    })  # fmt: skip
    return store / name


def rollback(store: Path) -> Path | None:
    """Takes the last promotion back; returns the folder that is the default again, None for the model that ships.

    Raises:
        SettingsError: nothing was promoted, or the artifact from before is not there any more.
    """
    now = _pointer(store)
    if now is None:
        raise SettingsError(
            f"Nothing is promoted in {store}",
            location="--store",
            action="The model that ships is the default.",
        )
    before = now.get("before")
    if not before:
        (store / POINTER).unlink()
        return None
    folder = store / str(before["artifact"])
    Artifact(folder)
    _point(store, before)
    return folder


def _pointer(store: Path) -> dict[str, Any] | None:
    if promoted_in(store) is None:
        return None
    return dict(json.loads((store / POINTER).read_text(encoding="utf-8")))


def _point(store: Path, kept: Mapping[str, Any]) -> None:
    new = store / f"{POINTER}.new"
    new.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    new.replace(store / POINTER)


def _shortened(before: dict[str, Any] | None, steps: int = STEPS_BACK) -> dict[str, Any] | None:
    if not before or not steps:
        return None
    return {**before, "before": _shortened(before.get("before"), steps - 1)}


def _short(report: Mapping[str, Any]) -> dict[str, Any]:
    baseline = report.get("baseline") or {"strict": {"micro": {"f1": None}}}
    return {
        "documents": report["documents"],
        "strict_f1": report["strict"]["micro"]["f1"],
        "baseline_f1": baseline["strict"]["micro"]["f1"],
        "ece": report["ece"],
    }
