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
from models.registry import POINTER


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
    pointer = store / f"{POINTER}.new"
    kept = {
        "artifact": name,
        "id": artifact.model_id,
        "version": artifact.version,
        "evaluation": _short(report),
    }
    pointer.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    pointer.replace(store / POINTER)
    return store / name


def _short(report: Mapping[str, Any]) -> dict[str, Any]:
    baseline = report.get("baseline") or {"strict": {"micro": {"f1": None}}}
    return {
        "documents": report["documents"],
        "strict_f1": report["strict"]["micro"]["f1"],
        "baseline_f1": baseline["strict"]["micro"]["f1"],
        "ece": report["ece"],
    }
