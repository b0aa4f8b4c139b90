"""The note reader beside transformers' pipeline("ner"): same weights, notes, threads and run.

    python bench/bench_ner.py [--artifact models/artifacts/default] [--notes FILE.csv|FOLDER] [--threads 2] [--rounds 3] [--count N]

The pipeline gets the weights of the artifact, taken out of its ONNX file (``bench/yardstick.py``); that needs torch,
transformers and onnx (the ``train`` extra). Without them the note reader alone is measured.

Speed: all take turns, ``--rounds`` times, so that a busy machine slows each alike; medians. The pipeline reads in its own
way: one window after another, 256 pieces long, 64 of them shared with the next (its ``stride``).

Agreement: strict F1 of one's entities against the other's. Two that answer differently may differ in what they compute
with (int8), in how words become entities (the pipeline takes each word's best tag, we the best path without a broken
rule) and in where windows are cut. Each cause is shown apart from the others.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from engine.records import Label, Note
from engine.settings import Nlp
from models.decoding import Decoder
from models.ner import OnnxExtractor

HERE = Path(__file__).resolve().parent.parent
STRIDE = 64
Entities = list[set[tuple[int, int, str]]]


def read_notes(path: Path) -> list[str]:
    if path.is_dir():
        return [file.read_text(encoding="utf-8") for file in sorted(path.rglob("*.txt"))]
    with path.open(encoding="utf-8", newline="") as file:
        return [row["note"] for row in csv.DictReader(file)]


def one_window(notes: list[str]) -> list[str]:
    """Stretches that surely fit in one window: 254 pieces, and a word is 1.4 pieces on average."""
    return [piece for note in notes for piece in re.findall(r".{1,400}(?:\s|$)", note, re.DOTALL)]


def make_reader(folder: Path, threads: int) -> Callable[[list[str], int], Entities]:
    """transformers' pipeline; its second argument is the stride."""
    import torch
    from transformers import pipeline
    from yardstick import tokenizer_of, torch_model

    torch.set_num_threads(threads)
    model, tokenizer = torch_model(folder), tokenizer_of(folder, 256)
    device = 0 if torch.cuda.is_available() else -1
    reader = pipeline("ner", model=model, tokenizer=tokenizer, aggregation_strategy="first", device=device)

    def read(notes: list[str], stride: int) -> Entities:
        return [
            {(e["start"], e["end"], e["entity_group"]) for e in found}
            for found in reader(notes, stride=stride)
        ]

    return read


def with_extractor(extractor: OnnxExtractor, notes: list[str]) -> Entities:
    answers = asyncio.run(
        extractor.extract([Note(note_id=str(at), text=text) for at, text in enumerate(notes)])
    )
    return [{(s.start, s.end, Label(s.label).value) for s in spans} for spans in answers]


def word_by_word(extractor: OnnxExtractor) -> OnnxExtractor:
    """Each word's best tag, as the pipeline has it, instead of the best path."""
    model = extractor._model  # noqa: SLF001 - to take one cause of difference out
    model._decoder = Decoder(model._outputs.tags, ruled=False)  # noqa: SLF001
    return extractor


def agreement(one: Entities, other: Entities) -> float:
    same = sum(len(a & b) for a, b in zip(one, other, strict=True))
    return 2 * same / max(1, sum(map(len, one)) + sum(map(len, other)))


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock and of the CPU, all threads together."""
    clock, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - cpu


def speeds(readers: dict[str, Callable[[], object]], notes: list[str], rounds: int) -> None:
    """Each reader's notes a second and how it stands to the first."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in readers}
    for _ in range(rounds):
        for name, work in readers.items():
            times[name].append(timed(work))
    base: tuple[float, float] | None = None
    for name, runs in times.items():
        clock, cpu = (statistics.median(each) for each in zip(*runs, strict=True))
        base = base or (clock, cpu)
        ratio = f"{base[0] / clock:8.2f} x   {base[1] / cpu:8.2f} x" if len(times) > 1 else ""
        print(f"{name:46}{len(notes) / clock:8.2f} notes/s{ratio}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--artifact", type=Path, default=HERE / "models" / "artifacts" / "default")
    parser.add_argument(
        "--notes", type=Path, default=HERE.parent / "shared" / "corpora" / "ner" / "aci-bench" / "valid.csv"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=0, help="read the first so many notes only; 0 reads all")
    args = parser.parse_args()
    notes = read_notes(args.notes if args.notes.exists() else HERE / "fixtures" / "notes")[
        : args.count or None
    ]
    limits = Nlp(threads=args.threads, timeout=600, queue_pieces=10_000_000)
    shipped = OnnxExtractor(args.artifact, limits)
    print(
        f"{len(notes)} notes, {sum(map(len, notes))} characters, {args.threads} threads, {args.rounds} rounds"
    )
    name = f"shipped, {shipped.info.provider}"
    missing = [each for each in ("torch", "transformers", "onnx") if find_spec(each) is None]
    if missing:
        print(f"transformers' pipeline is left out: {', '.join(missing)} missing (pip install '.[train]')")
        speeds({name: lambda: with_extractor(shipped, notes)}, notes, args.rounds)
        return
    with tempfile.TemporaryDirectory() as scratch:
        compare(args, shipped, name, notes, limits, Path(scratch) / "float32")


def compare(
    args: Any, shipped: OnnxExtractor, name: str, notes: list[str], limits: Nlp, scratch: Path
) -> None:
    from yardstick import check, float_artifact

    check(args.artifact, float_artifact(args.artifact, scratch))
    full, plain = OnnxExtractor(scratch, limits), word_by_word(OnnxExtractor(scratch, limits))
    pipeline = make_reader(args.artifact, args.threads)
    print(f"\n{'':46}{'':16}{'by the clock':>10}{'CPU time':>13}")
    speeds(
        {
            "pipeline, float32": lambda: pipeline(notes, STRIDE),
            name: lambda: with_extractor(shipped, notes),
            "the same weights in float32, onnxruntime": lambda: with_extractor(full, notes),
        },
        notes,
        args.rounds,
    )
    short = one_window(notes)
    theirs, ours = pipeline(notes, STRIDE), with_extractor(full, notes)
    shown = [
        ("shipped configuration and pipeline, all causes together", with_extractor(shipped, notes), theirs),
        (
            "same decoding, precision and windows (texts of one window)",
            with_extractor(plain, short),
            pipeline(short, STRIDE),
        ),
        ("only precision differs: shipped and float32", with_extractor(shipped, notes), ours),
        ("only decoding differs: best path and word by word", ours, with_extractor(plain, notes)),
        ("only windows differ: float32, word by word, and pipeline", with_extractor(plain, notes), theirs),
        ("the pipeline and itself, stride 64 and 32", theirs, pipeline(notes, 32)),
    ]
    print(
        f"\nagreement of entities, strict F1{'':30}{sum(map(len, theirs))} entities in the pipeline's answer"
    )
    for what, one, other in shown:
        print(f"  {what:62}{agreement(one, other):8.4f}")


if __name__ == "__main__":
    main()
