"""Training, dev and test parts that share no patient."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.errors import SettingsError
from models.corpora.document import Document

#: Shares of dev and of test; the rest is for training.
DEV, TEST = 0.1, 0.1


@dataclass(frozen=True, slots=True)
class Parts:
    """What is learned from, what decides when to stop, and what nothing was tuned on."""

    train: tuple[Document, ...]
    dev: tuple[Document, ...]
    test: tuple[Document, ...]


def split(documents: Sequence[Document], seed: int) -> Parts:
    """80/10/10 by patient, else by document; the same documents and seed give the same parts.

    Raises:
        SettingsError: a document says neither, or there are too few to split.
    """
    ordered = _ordered_groups(documents, seed)
    dev, test = (max(1, round(len(ordered) * share)) for share in (DEV, TEST))
    if len(ordered) < 3:
        raise SettingsError(
            f"{len(ordered)} patients or documents can't be split in three",
            location="--data",
            action="Bring more, or name the dev texts with --dev.",
        )
    place = {group: at for at, group in enumerate(ordered)}
    return Parts(
        train=tuple(doc for doc in documents if place[doc.group] >= dev + test),
        dev=tuple(doc for doc in documents if place[doc.group] < dev),
        test=tuple(doc for doc in documents if dev <= place[doc.group] < dev + test),
    )


def folds(documents: Sequence[Document], count: int, seed: int) -> Iterator[Parts]:
    """``count`` splits; each group is tested once, and the fold after the tested one decides when to stop.

    Raises:
        SettingsError: see :func:`split`; or there are fewer groups than folds.
    """
    ordered = _ordered_groups(documents, seed)
    if not 3 <= count <= len(ordered):
        raise SettingsError(
            f"{len(ordered)} patients or documents can't make {count} folds",
            location="--folds",
            action=f"Choose from 3 to {len(ordered)}.",
        )
    fold = {group: at % count for at, group in enumerate(ordered)}
    for tested in range(count):
        stops = (tested + 1) % count
        yield Parts(
            train=tuple(doc for doc in documents if fold[doc.group] not in {tested, stops}),
            dev=tuple(doc for doc in documents if fold[doc.group] == stops),
            test=tuple(doc for doc in documents if fold[doc.group] == tested),
        )


def apart(train: Sequence[Document], dev: Sequence[Document]) -> None:
    """Refuse dev texts of which a patient, or the very text, is trained on too. Raises SettingsError."""
    for what, of in (("patient", _patient), ("text", lambda doc: doc.text)):
        shared = ({of(doc) for doc in train} & {of(doc) for doc in dev}) - {""}
        if shared:
            one = next(doc for doc in dev if of(doc) in shared)
            raise SettingsError(
                f"{len(shared)} {what}(s) of the dev texts are trained on too",
                location=one.document_id,
                action="Take them out of --data or of --dev.",
            )


def _patient(doc: Document) -> str:
    return doc.group if doc.group.startswith("patient:") else ""


def _ordered_groups(documents: Sequence[Document], seed: int) -> list[str]:
    lost = next((doc.document_id for doc in documents if not doc.group), None)
    if lost is not None:
        raise SettingsError(
            "It can't be told whose this text is, so a patient might stand on both sides of a split",
            location=lost,
            action="Give JSONL an id and meta.patient, IOB a '# patient = X' line, or name the dev texts with --dev.",
        )
    told = {doc.group.startswith("patient:") for doc in documents}
    if len(told) > 1:
        raise SettingsError(
            "Some texts name their patient and some do not",
            location="--data",
            action="Give all of them meta.patient, or split them yourself and name the dev texts with --dev.",
        )
    groups = {doc.group for doc in documents}
    return sorted(groups, key=lambda group: hashlib.sha256(f"{seed} {group}".encode()).digest())
