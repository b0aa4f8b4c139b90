"""How well the rule baseline reads the development corpora, and how fast.

    .venv/bin/python bench/eval_baseline.py [--corpora ../shared/corpora/ner] [--rules] [--errors LABEL]

Prints strict precision, recall and F1 (same start, end and label), micro and per label, on BC5CDR devel,
NCBI-disease devel and MACCROBAT dev. Labels that a corpus does not annotate are left out of its score.
``--rules`` adds the precision of each kind of rule, which is what its score states; ``--errors LABEL`` lists the
commonest misses and false finds of a label. Ends with the speed on fixtures/notes.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from engine.fhir.writer import dumps
from engine.nlp.reading import read_note
from engine.nlp.terminology import TableTerminology
from engine.nlp.to_fhir import annotate
from engine.records import Label, Note
from models.baseline import RuleExtractor
from models.lexicon.words import Found

HERE = Path(__file__).resolve().parent.parent
BRAT = {
    "Sign_symptom": Label.PROBLEM,
    "Disease_disorder": Label.PROBLEM,
    "Medication": Label.MEDICATION,
    "Dosage": Label.DOSAGE,
    "Administration": Label.DOSAGE,
    "Frequency": Label.DOSAGE,
    "Diagnostic_procedure": Label.TEST,
    "Lab_value": Label.TEST_VALUE,
    "Therapeutic_procedure": Label.PROCEDURE,
    "Biological_structure": Label.ANATOMY,
}
IOB = {"Chemical": Label.MEDICATION, "Disease": Label.PROBLEM}
CORPORA = {
    "bc5cdr devel": ("bc5cdr/devel.tsv", {Label.MEDICATION, Label.PROBLEM}),
    "ncbi-disease devel": ("ncbi-disease/devel.tsv", {Label.PROBLEM}),
    "maccrobat dev": ("maccrobat2020/dev", set(Label)),
}
REPEATS = 5
Spans = set[tuple[int, int, Label]]


def read_iob(path: Path) -> Iterator[tuple[str, Spans]]:
    """One text a sentence: its tokens with a space between."""
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        text, gold = "", []
        for line in block.splitlines():
            token, _, tag = line.partition("\t")
            if not tag:
                continue
            start = len(text) + bool(text)
            text = f"{text} {token}" if text else token
            if tag.startswith("B-"):
                gold.append([start, len(text), IOB[tag[2:]]])
            elif tag.startswith("I-") and gold:
                gold[-1][1] = len(text)
        if text:
            yield text, {(s, e, label) for s, e, label in gold}


def read_brat(folder: Path) -> Iterator[tuple[str, Spans]]:
    for path in sorted(folder.glob("*.txt")):
        gold: Spans = set()
        for line in path.with_suffix(".ann").read_text(encoding="utf-8").splitlines():
            if line.startswith("T"):
                kind, *offsets = line.split("\t")[1].replace(";", " ").split()
                if kind in BRAT:
                    gold.add((int(offsets[0]), int(offsets[-1]), BRAT[kind]))
        yield path.read_text(encoding="utf-8"), gold


def prf(hits: int, found: int, gold: int) -> str:
    precision = hits / found if found else 0.0
    recall = hits / gold if gold else 0.0
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    return f"{precision:6.3f} {recall:6.3f} {f1:6.3f}  ({hits} of {gold}, {found} found)"


class Tally:
    """Counts of one corpus."""

    def __init__(self) -> None:
        self.hits: Counter[str] = Counter()
        self.found: Counter[str] = Counter()
        self.gold: Counter[str] = Counter()
        self.rules: dict[str, tuple[int, int]] = {}
        self.missed: Counter[str] = Counter()
        self.false: Counter[str] = Counter()

    def add(
        self, text: str, gold: Spans, answer: list[Found], labels: set[Label], watched: Label | None
    ) -> None:
        mine = {(f.start, f.end, f.label): f.rule for f in answer if f.label in labels}
        wanted = {span for span in gold if span[2] in labels}
        for span, rule in mine.items():
            hit = span in wanted
            self.found[span[2]] += 1
            self.hits[span[2]] += hit
            right, total = self.rules.get(f"{span[2]:10} by {rule}", (0, 0))
            self.rules[f"{span[2]:10} by {rule}"] = (right + hit, total + 1)
        self.gold.update(span[2] for span in wanted)
        self.missed.update(text[s:e].lower() for s, e, label in wanted - mine.keys() if label is watched)
        self.false.update(text[s:e].lower() for s, e, label in mine.keys() - wanted if label is watched)

    def show(self, name: str, *, rules: bool, errors: bool) -> None:
        print(f"{name:18} {'micro':10} {prf(self.hits.total(), self.found.total(), self.gold.total())}")
        for label in Label:
            if self.gold[label]:
                print(f"{'':18} {label:10} {prf(self.hits[label], self.found[label], self.gold[label])}")
        for rule, (right, total) in sorted(self.rules.items()) if rules else ():
            print(f"{'':18} {rule:26} precision {right / total:.3f} of {total}")
        if errors:
            print("   missed:", self.missed.most_common(60))
            print("   false: ", self.false.most_common(60))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpora", type=Path, default=HERE.parent / "shared" / "corpora" / "ner")
    parser.add_argument("--rules", action="store_true")
    parser.add_argument("--errors", type=Label)
    args = parser.parse_args()
    if not args.corpora.is_dir():
        raise SystemExit(f"{args.corpora} is not there: name the folder with --corpora")
    extractor = RuleExtractor()
    print(f"{extractor.info.model_id} {extractor.info.version}\n{'':29}     P      R     F1")
    for name, (where, labels) in CORPORA.items():
        path = args.corpora / where
        texts = list(read_iob(path) if path.suffix == ".tsv" else read_brat(path))
        started = time.perf_counter()
        answers = [extractor.findings(text) for text, _ in texts]
        seconds = time.perf_counter() - started
        tally = Tally()
        for (text, gold), answer in zip(texts, answers, strict=True):
            tally.add(text, gold, answer, labels, args.errors)
        tally.show(name, rules=args.rules, errors=args.errors is not None)
        size = sum(len(text) for text, _ in texts)
        print(
            f"{'':18} {len(texts) / seconds:.0f} texts/s, {size / seconds / 1000:.0f} kchar/s on one core\n"
        )
    speed(extractor)


def speed(extractor: RuleExtractor) -> None:
    """Notes a second on this project's own ward notes: spans alone, and all the way to bytes of a Bundle."""
    notes = [
        Note(f"n{at}", path.read_bytes().decode("utf-8"), document="DocumentReference/d")
        for at, path in enumerate(sorted((HERE / "fixtures" / "notes").glob("*.txt")))
    ]
    terms = TableTerminology()

    def whole(note: Note) -> None:
        reading = read_note(note, extractor.spans(note.text))
        made = annotate(
            reading, extractor.info, terms, base="urn:x:", min_score=0.5, recorded="2026-01-01T00:00:00Z"
        )
        dumps(made.bundle)

    mean = sum(len(note.text) for note in notes) / len(notes)
    for what, work in (("spans", lambda note: extractor.spans(note.text)), ("spans, reading, Bundle", whole)):
        rates = []
        for _ in range(REPEATS):
            started = time.perf_counter()
            for note in notes:
                work(note)
            rates.append(len(notes) / (time.perf_counter() - started))
        print(
            f"{what:24}{max(rates):6.0f} notes/s on one core, {mean:.0f} characters a note (best of {REPEATS})"
        )


if __name__ == "__main__":
    main()
