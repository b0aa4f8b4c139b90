"""The baseline on this project's own notes: it must stay as good as it is."""

import json
from collections import Counter
from pathlib import Path

import pytest

from engine.nlp.reading import read_spans
from engine.records import Label, Note
from models.baseline import RuleExtractor

FOLDER = Path(__file__).resolve().parents[2] / "fixtures" / "notes"
CLAIMS = {Label.PROBLEM, Label.MEDICATION, Label.TEST, Label.PROCEDURE}
CODE_SWITCHED = {"mandarin-mixed.txt", "malay-mixed.txt", "tamil-mixed.txt"}


def text_of(name):
    return (FOLDER / name).read_bytes().decode("utf-8")


def expectations():
    lines = (FOLDER / "expected.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["note"]: row["entities"] for row in map(json.loads, lines)}


EXPECTED = expectations()


def compared(names):
    """(hits, found, wanted, assertions right, assertions compared) over some notes."""
    extractor = RuleExtractor()
    counts = Counter()
    for name in names:
        text = text_of(name)
        mine = {(e.start, e.end, e.label): e for e in read_spans(Note("n", text), extractor.spans(text))}
        wanted = {(e["start"], e["end"], Label(e["label"])): e for e in EXPECTED[name]}
        shared = mine.keys() & wanted.keys()
        counts["hits"] += len(shared)
        counts["found"] += len(mine)
        counts["wanted"] += len(wanted)
        claims = [key for key in shared if key[2] in CLAIMS]
        counts["claims"] += len(claims)
        counts["right"] += sum(mine[key].assertion.value == wanted[key]["assertion"] for key in claims)
    return counts


def test_every_note_has_expectations_and_a_line_in_the_readme():
    """A fixture nobody compares with is no fixture."""
    notes = {path.name for path in FOLDER.glob("*.txt")}
    assert notes == set(EXPECTED)
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [name for name in notes if f"`{name}`" not in readme] == []


def test_expectations_quote_their_notes():
    """Offsets are right: the words stand where the file says."""
    wrong = [
        (name, entity["text"])
        for name, entities in EXPECTED.items()
        for entity in entities
        if text_of(name)[entity["start"] : entity["end"]] != entity["text"]
    ]
    assert wrong == []


def test_the_baseline_keeps_its_recall_and_precision():
    """Strict match over all labels; a list or rule that breaks others shows here."""
    counts = compared(EXPECTED)
    assert counts["hits"] / counts["found"] >= 0.95
    assert counts["hits"] / counts["wanted"] >= 0.95


def test_assertions_are_right_on_whole_notes():
    """Negated, historical, family and the rest, with sections and neighbours around them."""
    counts = compared(EXPECTED)
    assert counts["claims"] > 200
    assert counts["right"] / counts["claims"] >= 0.96


@pytest.mark.parametrize("name", sorted(CODE_SWITCHED))
def test_code_switched_notes_are_read(name):
    """English findings between Mandarin, Malay and Tamil are found like any other."""
    counts = compared([name])
    assert counts["hits"] / counts["wanted"] >= 0.9
