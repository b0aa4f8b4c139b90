"""Runs a note reader over annotated documents and measures it: the ground of ``evaluate``, ``train`` and the bench."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from engine.ports import EntityExtractor
from engine.records import Note, Span
from models.corpora.document import Document
from models.scoring import relevant

#: Documents handed over together: several batches' worth, so that sorting by length can save padding.
TOGETHER = 64
#: Measuring latency ends here, however few documents were read: they may be very long.
ALONE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader answered.

    Attributes:
        answers: spans of each document, labels its annotators did not look for left out.
        seconds: of the whole run.
        latencies: seconds of single documents read alone, of the first few.
    """

    answers: tuple[tuple[Span, ...], ...]
    seconds: float
    latencies: tuple[float, ...]


async def read_documents(
    extractor: EntityExtractor, documents: Sequence[Document], *, alone: int = 0
) -> Reading:
    """Reads all documents, and the first ``alone`` ones again one by one for their latency.

    Raises:
        ExtractorError: a document could not be read.
    """
    notes = [Note(note_id=doc.document_id, text=doc.text) for doc in documents]
    started = time.perf_counter()
    answers: list[list[Span]] = []
    for at in range(0, len(notes), TOGETHER):
        answers += await extractor.extract(notes[at : at + TOGETHER])
    seconds = time.perf_counter() - started
    latencies: list[float] = []
    for note in notes[:alone]:
        begun = time.perf_counter()
        await extractor.extract([note])
        latencies.append(time.perf_counter() - begun)
        if sum(latencies) > ALONE_SECONDS:
            break
    kept = tuple(tuple(relevant(spans, doc.annotated)) for doc, spans in zip(documents, answers, strict=True))
    return Reading(kept, seconds, tuple(latencies))


def correctness(
    documents: Sequence[Document], answers: Sequence[Sequence[Span]]
) -> tuple[list[Span], list[bool]]:
    """The spans found of labels that the annotators looked for, and whether each is strictly right."""
    spans: list[Span] = []
    right: list[bool] = []
    for doc, found in zip(documents, answers, strict=True):
        gold = {(item.start, item.end, item.label) for item in doc.gold}
        told = [span for span in found if span.label in doc.annotated]
        spans += told
        right += [(span.start, span.end, span.label) in gold for span in told]
    return spans, right
