"""The code-switched notes: English with Mandarin, Malay and Tamil, judged apart, and none of it skipped in silence."""

import asyncio
import json
from pathlib import Path

import pytest

from engine.nlp.readers import Readers
from engine.records import Note
from engine.settings import Nlp
from models.baseline import RuleExtractor
from models.corpora.reading import read_corpora
from models.evaluate import evaluate

FILE = Path(__file__).resolve().parents[2] / "fixtures" / "notes" / "code-switched.jsonl"
ROWS = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]

# "அப்பா also has cough": the one word of Tamil says whose cough it is.
UNDERSTOOD = {"code-switched-30": {"ta"}}


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
def test_each_language_of_a_note_is_told(row):
    """Those in it and no other: by findings that name their language, and where something is left, by a stretch and a warning."""
    reading = asyncio.run(Readers(RuleExtractor()).read(Note("n", row["text"])))
    others = {*row["meta"]["language"].split("+")} - {"en"}
    unread = {stretch.language for stretch in reading.foreign}
    told = unread | {entity.language for entity in reading.entities} - {""}
    assert told | UNDERSTOOD.get(row["id"], set()) == others
    assert len(reading.issues) == len(unread)
    assert {issue.code for issue in reading.issues} <= {"language-not-read"}
    assert all(row["text"][s.start : s.end].strip() for s in reading.foreign)


def test_the_set_is_judged_by_language():
    """One stratum a mix; the rules, which know such notes, must not get worse at them."""
    documents = read_corpora([FILE]).documents
    report = asyncio.run(evaluate(RuleExtractor(), documents, Nlp())).report
    assert {"en+zh", "en+ms", "en+ta"} <= report["strata"]["language"].keys()
    assert report["strict"]["micro"]["f1"] > 0.85
