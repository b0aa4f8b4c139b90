"""Strict and partial precision, recall and F1 of entities.

Strict: same start, same end, same label. Partial: same label and overlapping, each entity matched at most once
(MUC-5's partial match with full credit; Chinchor and Sundheim 1993). Labels a document's annotators did not look for
are left out of its score.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from engine.records import Label, Span
from models.corpora.document import Document, Gold


@dataclass(slots=True)
class Counts:
    """Hits, entities found and entities annotated, by label."""

    hits: Counter[Label] = field(default_factory=Counter)
    found: Counter[Label] = field(default_factory=Counter)
    gold: Counter[Label] = field(default_factory=Counter)

    def add(self, other: Counts) -> None:
        self.hits.update(other.hits)
        self.found.update(other.found)
        self.gold.update(other.gold)

    def micro(self) -> dict[str, float]:
        return prf(self.hits.total(), self.found.total(), self.gold.total())

    def per_label(self) -> dict[str, dict[str, float]]:
        """Of every label that was annotated or found."""
        return {
            label.value: prf(self.hits[label], self.found[label], self.gold[label])
            for label in Label
            if self.gold[label] or self.found[label]
        }

    @property
    def f1(self) -> float:
        return self.micro()["f1"]


def prf(hits: int, found: int, gold: int) -> dict[str, float]:
    """Precision, recall and F1; 0 where nothing was found or annotated. ``support`` is how many were annotated."""
    precision = hits / found if found else 0.0
    recall = hits / gold if gold else 0.0
    both = found + gold
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * hits / both if both else 0.0,
        "support": gold,
    }


def relevant(spans: Iterable[Span], annotated: frozenset[Label]) -> list[Span]:
    """The spans whose label the annotators looked for."""
    return [span for span in spans if span.label in annotated]


def strict_counts(gold: Iterable[Gold], spans: Sequence[Span]) -> Counts:
    """One document's counts; ``spans`` are relevant ones."""
    wanted = {(item.start, item.end, item.label) for item in gold}
    given = {(span.start, span.end, span.label) for span in spans}
    return Counts(
        Counter(label for _, _, label in wanted & given),
        Counter(label for _, _, label in given),
        Counter(label for _, _, label in wanted),
    )


def partial_counts(gold: Sequence[Gold], spans: Sequence[Span]) -> Counts:
    """One document's counts. Pairs are made from left to right, which is the most there can be for intervals."""
    hits: Counter[Label] = Counter()
    for label in Label:
        wanted = sorted((g.start, g.end) for g in gold if g.label is label)
        given = sorted({(s.start, s.end) for s in spans if s.label is label})
        hits[label] = _pairs(wanted, given)
    return Counts(
        +hits,
        Counter(label for _, _, label in {(s.start, s.end, s.label) for s in spans}),
        Counter(item.label for item in gold),
    )


def _pairs(left: list[tuple[int, int]], right: list[tuple[int, int]]) -> int:
    a = b = pairs = 0
    while a < len(left) and b < len(right):
        if left[a][1] <= right[b][0]:
            a += 1
        elif right[b][1] <= left[a][0]:
            b += 1
        else:
            pairs, a, b = pairs + 1, a + 1, b + 1
    return pairs


def count_documents(documents: Sequence[Document], answers: Sequence[Sequence[Span]]) -> Counts:
    """Strict counts over all documents."""
    total = Counts()
    for doc, spans in zip(documents, answers, strict=True):
        total.add(strict_counts(doc.gold, relevant(spans, doc.annotated)))
    return total
