"""The note reader beside transformers' pipeline("ner"): same weights, notes, threads and run.

    python bench/bench_ner.py [--model FOLDER] [--artifact models/artifacts/default] [--notes FILE.csv|FOLDER] [--threads 2]

``FOLDER`` is the transformers model the artifact was exported from (``<out>.work/model`` of ``wardstream models
train``). Needs the train extra. The two take turns, ``--rounds`` times, so that a busy machine slows both; the medians
are compared. Agreement is strict F1 of one's entities against the other's.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import statistics
import time
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
    args = parser.parse_args()
    notes = read_notes(args.notes if args.notes.exists() else HERE / "fixtures" / "notes")
    pipeline = make_pipeline(args.model, args.threads) if args.model else None
    extractor = OnnxExtractor(args.artifact, Nlp(threads=args.threads, timeout=600, queue_pieces=10_000_000))
    if pipeline is not None:
        with_pipeline(pipeline, notes[:2])
    theirs: list[float] = []
    ours: list[float] = []
    for _ in range(args.rounds):
        started = time.perf_counter()
        wanted = with_pipeline(pipeline, notes) if pipeline is not None else []
        between = time.perf_counter()
        given = with_extractor(extractor, notes)
        theirs.append(between - started)
        ours.append(time.perf_counter() - between)
    slow, fast = statistics.median(theirs), statistics.median(ours)
    print(
        f"{len(notes)} notes, {sum(map(len, notes))} characters, {args.threads} threads, {args.rounds} rounds"
    )
    print(f"{extractor.info.provider:24}{len(notes) / fast:8.2f} notes/s")
    if pipeline is None:
        return
    print(f"transformers pipeline   {len(notes) / slow:8.2f} notes/s")
    print(f"ratio                   {slow / fast:8.2f}")
    print(f"entity agreement F1     {agreement(wanted, given):8.4f}")


if __name__ == "__main__":
    main()
