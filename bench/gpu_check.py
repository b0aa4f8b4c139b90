"""Does the GPU work here, is it right, and is it fast? One script to run on a machine with an NVIDIA GPU.

    PYTHONPATH=. python bench/gpu_check.py [--model FOLDER] [--artifact models/artifacts/default] [--notes 400]

``FOLDER`` is the transformers model the artifact was exported from; without it nothing is compared with transformers.

1. Whether CUDA can be used, and if not, why.
2. Each reader's notes and pieces a second, and the share of the time that the GPU computes: how long our model's runs took
   (copies included), and what the driver says of the GPU (its utilisation, sampled, where nvidia-ml-py is installed).
3. fp16 on CUDA against int8 on the CPU, and against transformers' pipeline("ner") in fp32 and fp16 on the same GPU, at the
   batch size that suits it best: the ratio of speeds and the strict F1 of one's entities against the other's, over all
   notes and over those of one window, where both saw the same text at one time.

Exits 1 when CUDA can't be used, 2 when fp16 and int8 agree to less than 0.97, 3 when the fp16 pipeline is not 5 times as slow.

Needed here: numpy, tokenizers, onnxruntime-gpu and pydantic (with pydantic-core, annotated-types, typing-extensions and
typing-inspection), which ``models.ner`` imports; for ``--model`` torch with CUDA and transformers. Nothing else of the project.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

with contextlib.suppress(ImportError):
    # Before onnxruntime: it brings the CUDA libraries that onnxruntime then finds.
    import torch

from engine.records import Note
from engine.settings import Nlp
from models.ner import OnnxExtractor
from models.session import why_no_cuda

HERE = Path(__file__).resolve().parent.parent
#: Notes handed over by one caller; as many callers at a time as there are notes for.
CALLER = 16
ROUNDS = 3
BATCHES = (16, 64, 256)
#: Characters that surely fit in one window of 256 pieces.
ONE_WINDOW = 500
PARTS = (
    "Patient has a history of type 2 diabetes mellitus and hypertension.",
    "Started on amlodipine 5 mg once daily and metformin 500 mg BD.",
    "Chest X-ray showed left lower lobe consolidation.",
    "Haemoglobin 9.8 g/dL, creatinine 143 umol/L, troponin I 0.04 ug/L.",
    "Underwent percutaneous coronary intervention to the left anterior descending artery.",
    "Denies fever, cough or shortness of breath.",
    "Warfarin was held in view of the upper gastrointestinal bleed and restarted at 3 mg ON.",
    "CT brain: no intracranial haemorrhage; old lacunar infarct in the right basal ganglia.",
)
Entities = list[set[tuple[int, int, str]]]


def make_notes(count: int) -> list[str]:
    chance = random.Random(5)
    return ["\n".join(chance.choices(PARTS, k=chance.randint(2, 60))) for _ in range(count)]


class Busy:
    """Mean utilisation of the GPU while it is watched, as its driver tells; None where nvidia-ml-py is missing."""

    def __init__(self) -> None:
        self._samples: list[int] = []
        try:
            import pynvml

            pynvml.nvmlInit()
            handle = pynvml.nvmlDeviceGetHandleByIndex(0)
            self._ask: Callable[[], int] | None = lambda: pynvml.nvmlDeviceGetUtilizationRates(handle).gpu
        except Exception as error:  # noqa: BLE001 - a figure more or less; the check goes on
            print(f"the driver's utilisation can't be read ({error})")
            self._ask = None

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        self._samples, stop = [], threading.Event()

        def sample(ask: Callable[[], int]) -> None:
            while not stop.wait(0.02):
                self._samples.append(ask())

        thread = threading.Thread(target=sample, args=(self._ask,)) if self._ask else None
        if thread:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            if thread:
                thread.join()

    def __str__(self) -> str:
        return f"{statistics.fmean(self._samples):.0f} %" if self._samples else "-"


def row(name: str, notes: int, seconds: float, pieces: str, model: str, gpu: object) -> None:
    print(f"{name:44}{notes / seconds:10.1f}{pieces:>12}{model:>16}{gpu!s:>12}", flush=True)


def with_extractor(
    name: str, extractor: OnnxExtractor, texts: list[str], busy: Busy
) -> tuple[float, Entities]:
    """Median seconds and the entities, many callers at a time, as in production."""
    notes = [Note(note_id=str(at), text=text) for at, text in enumerate(texts)]

    async def read() -> Entities:
        parts = await asyncio.gather(
            *(extractor.extract(notes[at : at + CALLER]) for at in range(0, len(notes), CALLER))
        )
        return [{(s.start, s.end, s.label.value) for s in spans} for part in parts for spans in part]

    on_gpu = extractor.info.provider == "CUDAExecutionProvider"
    rounds = ROUNDS if on_gpu else 1
    answer = asyncio.run(read()) if on_gpu else []
    before, pieces = extractor.served.seconds, extractor.served.pieces
    times = []
    with busy.watch():
        for _ in range(rounds):
            started = time.perf_counter()
            answer = asyncio.run(read())
            times.append(time.perf_counter() - started)
    total = sum(times)
    row(
        f"{name}, {extractor.info.provider}",
        len(texts),
        statistics.median(times),
        f"{(extractor.served.pieces - pieces) / total:.0f}",
        f"{(extractor.served.seconds - before) / total:.0%}",
        busy if on_gpu else "-",
    )
    return statistics.median(times), answer


def with_pipeline(folder: Path, texts: list[str], busy: Busy, *, half: bool) -> tuple[float, Entities]:
    """The same of transformers' pipeline, at its best batch size; texts sorted by length, which saves it padding."""
    from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

    tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=256)
    model: Any = AutoModelForTokenClassification.from_pretrained(folder)
    model = model.half() if half else model.float()
    reader = pipeline(
        "ner", model=model, tokenizer=tokenizer, aggregation_strategy="first", stride=64, device=0
    )
    order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
    by_length = [texts[at] for at in order]

    def read(batch: int) -> Any:
        return reader(by_length, batch_size=batch)

    read(BATCHES[0])
    tried = {batch: timed(lambda batch=batch: read(batch))[0] for batch in BATCHES}
    best = min(tried, key=lambda batch: tried[batch])
    with busy.watch():
        runs = [timed(lambda: read(best)) for _ in range(ROUNDS)]
    seconds = statistics.median(run[0] for run in runs)
    row(
        f"pipeline, {'fp16' if half else 'fp32'} on CUDA, batches of {best}",
        len(texts),
        seconds,
        "",
        "",
        busy,
    )
    answer: Entities = [set() for _ in texts]
    for at, found in zip(order, runs[-1][1], strict=True):
        answer[at] = {(e["start"], e["end"], e["entity_group"]) for e in found}
    return seconds, answer


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    answer = work()
    return time.perf_counter() - started, answer


def agreement(one: Entities, other: Entities) -> float:
    same = sum(len(a & b) for a, b in zip(one, other, strict=True))
    return 2 * same / max(1, sum(map(len, one)) + sum(map(len, other)))


def tell(name: str, texts: list[str], one: Entities, other: Entities) -> float:
    short = [at for at, text in enumerate(texts) if len(text) <= ONE_WINDOW]
    whole = agreement(one, other)
    alike = agreement([one[at] for at in short], [other[at] for at in short])
    print(f"agreement of {name}: F1 {whole:.4f}; over the {len(short)} notes of one window {alike:.4f}")
    return whole


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path)
    parser.add_argument("--artifact", type=Path, default=HERE / "models" / "artifacts" / "default")
    parser.add_argument("--notes", type=int, default=400)
    args = parser.parse_args()
    trouble = why_no_cuda()
    if trouble:
        print(f"CUDA can't be used: {trouble}")
        return 1
    if "torch" in globals() and torch.cuda.is_available():
        print(f"{torch.cuda.get_device_name(0)}, CUDA {torch.version.cuda}")
    texts, busy = make_notes(args.notes), Busy()
    print(f"{len(texts)} notes, {sum(map(len, texts))} characters")
    print(f"{'':44}{'notes/s':>10}{'pieces/s':>12}{'model computes':>16}{'GPU busy':>12}")
    large = {"timeout": 600.0, "queue_pieces": 10_000_000}
    cuda = OnnxExtractor(args.artifact, Nlp(device="cuda", **large))
    fast, ours = with_extractor("fp16", cuda, texts, busy)
    status, told = 0, []
    if args.model:
        for half in (False, True):
            seconds, theirs = with_pipeline(args.model, texts, busy, half=half)
            told.append((f"ours and the {'fp16' if half else 'fp32'} pipeline", theirs))
            print(f"{'':8}ours is {seconds / fast:.1f} times as fast (mark: 5)")
            status = 3 if half and seconds / fast < 5 else status
    _, int8 = with_extractor("int8", OnnxExtractor(args.artifact, Nlp(device="cpu", **large)), texts, busy)
    for name, theirs in told:
        tell(name, texts, ours, theirs)
    return 2 if tell("fp16 on CUDA and int8 on the CPU", texts, ours, int8) < 0.97 else status


if __name__ == "__main__":
    sys.exit(main())
