"""Does the GPU work here, is it right, and is it fast? One script to run on a machine with an NVIDIA GPU.

    python bench/gpu_check.py [--artifact models/artifacts/default] [--notes 200]

1. Whether CUDA can be used, and if not, why. 2. Every span of fp16 on CUDA against int8 on the CPU, as strict F1 of
one against the other. 3. Notes and pieces a second on each, and the share of the time that the model computes. Exits 1
when CUDA can't be used, 2 when agreement is under 0.97.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from pathlib import Path

from engine.records import Note
from engine.settings import Nlp
from models.ner import OnnxExtractor
from models.session import why_no_cuda

HERE = Path(__file__).resolve().parent.parent
PARTS = (
    "Patient has a history of type 2 diabetes mellitus and hypertension.",
    "Started on amlodipine 5 mg once daily and metformin 500 mg BD.",
    "Chest X-ray showed left lower lobe consolidation.",
    "Haemoglobin 9.8 g/dL, creatinine 143 umol/L, troponin I 0.04 ug/L.",
    "Underwent percutaneous coronary intervention to the left anterior descending artery.",
    "Denies fever, cough or shortness of breath.",
)


def make_notes(count: int) -> list[Note]:
    chance = random.Random(5)
    return [
        Note(note_id=str(at), text="\n".join(chance.choices(PARTS, k=chance.randint(2, 60))))
        for at in range(count)
    ]


def measure(name: str, extractor: OnnxExtractor, notes: list[Note]) -> list[set[tuple[int, int, str]]]:
    asyncio.run(extractor.extract(notes[:8]))
    served = extractor.served
    busy, pieces = served.seconds, served.pieces
    started = time.perf_counter()
    answers = asyncio.run(extractor.extract(notes))
    seconds = time.perf_counter() - started
    print(
        f"{name:6}{extractor.info.provider:24}{len(notes) / seconds:10.1f} notes/s"
        f"{(served.pieces - pieces) / seconds:12.0f} pieces/s   model computes {(served.seconds - busy) / seconds:.0%} of the time"
    )
    return [{(s.start, s.end, s.label.value) for s in spans} for spans in answers]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--artifact", type=Path, default=HERE / "models" / "artifacts" / "default")
    parser.add_argument("--notes", type=int, default=200)
    args = parser.parse_args()
    trouble = why_no_cuda()
    if trouble:
        print(f"CUDA can't be used: {trouble}")
        return 1
    notes = make_notes(args.notes)
    large = {"timeout": 600.0, "queue_pieces": 10_000_000}
    cuda = measure("fp16", OnnxExtractor(args.artifact, Nlp(device="cuda", **large)), notes)
    cpu = measure("int8", OnnxExtractor(args.artifact, Nlp(device="cpu", **large)), notes)
    same = sum(len(a & b) for a, b in zip(cuda, cpu, strict=True))
    f1 = 2 * same / max(1, sum(map(len, cuda)) + sum(map(len, cpu)))
    print(f"agreement of the two: F1 {f1:.4f}")
    return 0 if f1 >= 0.97 else 2


if __name__ == "__main__":
    sys.exit(main())
