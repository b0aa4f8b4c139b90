"""The CUDA path, where CUDA works. Skipped elsewhere, saying why; ``bench/gpu_check.py`` measures the same."""

from __future__ import annotations

import asyncio

import pytest

from engine.records import Note
from engine.settings import Nlp
from models.artifact import SHIPPED
from models.ner import OnnxExtractor
from models.session import why_no_cuda

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(bool(why_no_cuda()), reason=f"no CUDA: {why_no_cuda()}")]

NOTES = [
    Note(note_id=str(n), text="She has hypertension and takes amlodipine 5 mg once daily.\n" * n)
    for n in range(1, 40)
]


def test_cuda_reads_what_the_cpu_reads() -> None:
    """fp16 on the GPU and int8 on the CPU find the same entities but for a few."""
    both = []
    for device in ("cuda", "cpu"):
        extractor = OnnxExtractor(SHIPPED / "default", Nlp(device=device, timeout=600))
        answers = asyncio.run(extractor.extract(NOTES))
        both.append({(at, s.start, s.end, s.label) for at, spans in enumerate(answers) for s in spans})
    assert 2 * len(both[0] & both[1]) / (len(both[0]) + len(both[1])) > 0.97


def test_auto_takes_cuda_where_it_works() -> None:
    """And says so, for the log and the audit line."""
    assert OnnxExtractor(SHIPPED / "default", Nlp()).info.provider == "CUDAExecutionProvider"


def test_a_text_of_many_lengths_reads_the_same_alone_and_in_company() -> None:
    """Bound inputs are sized anew for each batch, and padding moves nothing."""
    extractor = OnnxExtractor(SHIPPED / "default", Nlp(device="cuda", timeout=600))
    together = asyncio.run(extractor.extract(NOTES))[:10]
    alone = [asyncio.run(extractor.extract([note]))[0] for note in NOTES[:10]]
    one, other = (
        {(at, s.start, s.end, s.label) for at, spans in enumerate(answers) for s in spans}
        for answers in (together, alone)
    )
    # Half precision may sum in another order for another shape: a span in a hundred may turn.
    assert 2 * len(one & other) / (len(one) + len(other)) > 0.99
