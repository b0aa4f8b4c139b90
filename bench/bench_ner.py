"""The note reader beside transformers' pipeline("ner"): same weights, notes, threads and run.

    python bench/bench_ner.py [--model FOLDER] [--artifact models/artifacts/default] [--notes FILE.csv|FOLDER] [--threads 2]

``FOLDER`` is the transformers model the artifact was exported from (``<out>.work/model`` of ``wardstream models
train``). Needs the train extra. The two take turns, ``--rounds`` times, so that a busy machine slows both; the medians
are compared. Where other work shares the cores, CPU seconds tell more than the clock: both are printed. Agreement is
strict F1 of one's entities against the other's; ``--short`` reads notes of one window only, as both then see the same.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.records import Label, Note
from engine.settings import Nlp
from models.ner import OnnxExtractor

HERE = Path(__file__).resolve().parent.parent
Entities = list[set[tuple[int, int, str]]]


def read_notes(path: Path) -> list[str]:
    if path.is_dir():
        return [file.read_text(encoding="utf-8") for file in sorted(path.rglob("*.txt"))]
    with path.open(encoding="utf-8", newline="") as file:
        return [row["note"] for row in csv.DictReader(file)]


def make_pipeline(folder: Path, threads: int) -> Any:
    import torch
    from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

    torch.set_num_threads(threads)
    tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=256)
    model = AutoModelForTokenClassification.from_pretrained(folder)
    device = 0 if torch.cuda.is_available() else -1
    return pipeline(
        "ner", model=model, tokenizer=tokenizer, aggregation_strategy="first", stride=64, device=device
    )


def with_pipeline(reader: Any, notes: list[str]) -> Entities:
    return [{(e["start"], e["end"], e["entity_group"]) for e in found} for found in reader(notes)]


def with_extractor(extractor: OnnxExtractor, notes: list[str]) -> Entities:
    answers = asyncio.run(
        extractor.extract([Note(note_id=str(at), text=text) for at, text in enumerate(notes)])
    )
    return [{(s.start, s.end, Label(s.label).value) for s in spans} for spans in answers]


def agreement(one: Entities, other: Entities) -> float:
    same = sum(len(a & b) for a, b in zip(one, other, strict=True))
    return 2 * same / max(1, sum(map(len, one)) + sum(map(len, other)))


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock and of the CPU, all threads together."""
    clock, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="without it only the note reader is measured")
    parser.add_argument("--artifact", type=Path, default=HERE / "models" / "artifacts" / "default")
    parser.add_argument(
        "--notes", type=Path, default=HERE.parent / "shared" / "corpora" / "ner" / "aci-bench" / "valid.csv"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=0, help="read the first so many notes only; 0 reads all")
    parser.add_argument("--short", action="store_true", help="cut the notes to pieces of one window")
    args = parser.parse_args()
    notes = read_notes(args.notes if args.notes.exists() else HERE / "fixtures" / "notes")
    if args.short:
        # 230 pieces and the special ones fit in a window; a word is 1.4 pieces on average, so 400 characters do.
        notes = [piece for note in notes for piece in re.findall(r".{1,400}(?:\s|$)", note, re.DOTALL)]
    notes = notes[: args.count or None]
    extractor = OnnxExtractor(args.artifact, Nlp(threads=args.threads, timeout=600, queue_pieces=10_000_000))
    pipeline = make_pipeline(args.model, args.threads) if args.model else None
    given = with_extractor(extractor, notes)
    wanted = with_pipeline(pipeline, notes) if pipeline is not None else []
    theirs, ours = [], []
    for _ in range(args.rounds):
        if pipeline is not None:
            theirs.append(timed(lambda: with_pipeline(pipeline, notes)))
        ours.append(timed(lambda: with_extractor(extractor, notes)))
    fast, fast_cpu = (statistics.median(times) for times in zip(*ours, strict=True))
    print(
        f"{len(notes)} notes, {sum(map(len, notes))} characters, {args.threads} threads, {args.rounds} rounds"
    )
    print(f"{extractor.info.provider:24}{len(notes) / fast:8.2f} notes/s")
    if pipeline is None:
        return
    slow, slow_cpu = (statistics.median(times) for times in zip(*theirs, strict=True))
    print(f"transformers pipeline   {len(notes) / slow:8.2f} notes/s")
    print(f"ratio                   {slow / fast:8.2f}   of CPU seconds {slow_cpu / fast_cpu:.2f}")
    print(f"entity agreement F1     {agreement(wanted, given):8.4f}")


if __name__ == "__main__":
    main()
