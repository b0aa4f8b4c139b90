"""Judges a note reader on annotated documents: the report behind ``wardstream models evaluate``. Needs no torch.

Labels a document's annotators did not look for are left out of its score. Figures are shares (0..1) unless their name
says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.ports import EntityExtractor
from engine.records import Label, Span
from engine.settings import Nlp
from models import gate
from models.bootstrap import f1_interval
from models.calibration import expected_error, reliability
from models.corpora.document import Document
from models.judging import correctness, read_documents
from models.scoring import Counts, partial_counts, strict_counts

#: Document attributes that scores are split by, where the data gives them.
STRATA = ("note_type", "specialty", "author_role", "language", "age_band", "sex", "ethnicity")
#: Documents read one by one for the latency figures.
ALONE = 30


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The report, and the answers it was made from (for the page of errors)."""

    report: dict[str, Any]
    answers: tuple[tuple[Span, ...], ...]


async def evaluate(
    extractor: EntityExtractor,
    documents: Sequence[Document],
    settings: Nlp,
    *,
    baseline: EntityExtractor | None = None,
) -> Evaluation:
    """Reads the documents with both readers and compares.

    Args:
        extractor: the reader that is judged.
        documents: annotated texts.
        settings: limits of the gate.
        baseline: the reader to beat; None leaves it out, and the gate then refuses.

    Raises:
        ExtractorError: a document could not be read.
    """
    reading = await read_documents(extractor, documents, alone=min(ALONE, len(documents)))
    report = {
        "model": _named(extractor),
        "documents": len(documents),
        "entities": sum(len(doc.gold) for doc in documents),
        "labels": sorted(label.value for label in _annotated(documents)),
        **_scores(documents, reading.answers),
        **_confidence(documents, reading.answers),
        "strata": _strata(documents, reading.answers),
        "notes_per_second": len(documents) / reading.seconds,
        "characters_per_second": sum(len(doc.text) for doc in documents) / reading.seconds,
        "latency_ms": _latency(reading.latencies),
        "baseline": await _baseline(baseline, documents),
    }
    report["gate"] = gate.judge(report, settings).as_json()
    return Evaluation(report, reading.answers)


async def _baseline(
    extractor: EntityExtractor | None, documents: Sequence[Document]
) -> dict[str, Any] | None:
    if extractor is None:
        return None
    reading = await read_documents(extractor, documents)
    return {
        "model": _named(extractor),
        **_scores(documents, reading.answers),
        "notes_per_second": len(documents) / reading.seconds,
    }


def _named(extractor: EntityExtractor) -> dict[str, str]:
    info = extractor.info
    return {"id": info.model_id, "version": info.version, "provider": info.provider}


def _annotated(documents: Sequence[Document]) -> frozenset[Label]:
    return frozenset(label for doc in documents for label in doc.annotated)


def _scores(documents: Sequence[Document], answers: Sequence[Sequence[Span]]) -> dict[str, Any]:
    strict = [strict_counts(doc.gold, spans) for doc, spans in zip(documents, answers, strict=True)]
    partial = [partial_counts(doc.gold, spans) for doc, spans in zip(documents, answers, strict=True)]
    return {"strict": _summary(strict), "partial": _summary(partial)}


def _summary(documents: Sequence[Counts]) -> dict[str, Any]:
    total = Counts()
    for counts in documents:
        total.add(counts)
    low, high = f1_interval(documents)
    return {"micro": {**total.micro(), "f1_low": low, "f1_high": high}, "per_label": total.per_label()}


def _confidence(documents: Sequence[Document], answers: Sequence[Sequence[Span]]) -> dict[str, Any]:
    spans, right = correctness(documents, answers)
    scores = [span.score for span in spans]
    return {"ece": expected_error(scores, right), "reliability": reliability(scores, right)}


def _strata(documents: Sequence[Document], answers: Sequence[Sequence[Span]]) -> dict[str, dict[str, Any]]:
    """Strict F1 with its interval for each value of each attribute that any document has."""
    counted = [(doc, strict_counts(doc.gold, spans)) for doc, spans in zip(documents, answers, strict=True)]
    out: dict[str, dict[str, Any]] = {}
    for name in STRATA:
        values = sorted({doc.meta[name] for doc, _ in counted if doc.meta.get(name)})
        for value in values:
            some = [counts for doc, counts in counted if doc.meta.get(name) == value]
            summary = _summary(some)["micro"]
            out.setdefault(name, {})[value] = {"documents": len(some), **summary}
    return out


def _latency(seconds: Sequence[float]) -> dict[str, float]:
    if not seconds:
        return {}
    p50, p99 = np.percentile(seconds, [50, 99])
    return {"p50": 1000 * float(p50), "p99": 1000 * float(p99)}
