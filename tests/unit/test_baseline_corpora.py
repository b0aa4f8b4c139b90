"""The baseline on the development corpora: its floor, and that whole notes give valid FHIR."""

import csv
import sys
from pathlib import Path

import pytest

from engine.fhir.validate import validate_bundle
from engine.nlp.reading import read_note
from engine.nlp.terminology import TableTerminology
from engine.nlp.to_fhir import annotate
from engine.records import Note
from models.baseline import RuleExtractor

CORPORA = Path(__file__).resolve().parents[3] / "shared" / "corpora" / "ner"
pytestmark = [
    pytest.mark.corpora,
    pytest.mark.skipif(not CORPORA.is_dir(), reason=f"the development corpora are not at {CORPORA}"),
]


def maccrobat():
    return [
        path.read_text(encoding="utf-8") for path in sorted((CORPORA / "maccrobat2020" / "dev").glob("*.txt"))
    ]


def visit_notes():
    csv.field_size_limit(sys.maxsize)
    with (CORPORA / "aci-bench" / "valid.csv").open(encoding="utf-8", newline="") as file:
        return [row["note"] for row in csv.DictReader(file)]


@pytest.mark.parametrize("texts", [maccrobat, visit_notes], ids=lambda texts: texts.__name__)
def test_whole_documents_give_valid_bundles(texts):
    """Real prose of many kinds: nothing crashes, nothing invalid leaves, and something is found."""
    extractor, terms = RuleExtractor(), TableTerminology()
    for text in texts():
        reading = read_note(Note("n", text, document="DocumentReference/d"), extractor.spans(text))
        found = annotate(
            reading,
            extractor.info,
            terms,
            base="urn:wardstream:",
            min_score=0.5,
            recorded="2026-03-04T05:06:07Z",
        )
        assert found.bundle is not None
        assert validate_bundle(found.bundle, closed=False) == []
        assert not {"mended", "invalid"} & found.withheld.keys()
