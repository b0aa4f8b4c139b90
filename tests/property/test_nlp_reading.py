"""Whatever the text: offsets hold, nothing crashes, and what leaves is valid FHIR."""

import string
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.fhir.validate import validate_bundle
from engine.fhir.writer import dumps
from engine.nlp.codec import note_from_json, note_to_json
from engine.nlp.dosing import dosage_of
from engine.nlp.quantities import parse_value
from engine.nlp.reading import read_note
from engine.nlp.sections import find_sections
from engine.nlp.sentences import sentences_of
from engine.nlp.terminology import TableTerminology
from engine.nlp.to_fhir import annotate
from engine.records import Label, ModelInfo, Note, Span
from models.baseline import RuleExtractor

EXTRACTOR = RuleExtractor()
TERMS = TableTerminology()
WORDS = st.sampled_from(
    (
        "no", "nil", "denies", "fever", "chest", "pain", "?PE", "DM,", "HTN;", "BP", "120/80", "Hb", "10.2", "g/dL", "(L)", "aspirin", "100", "mg", "OM", "PRN", "IV", "ceftriaxone", "1g", "q12h",
        "FHx:", "mother", "PMHx:", "Allergies:", "penicillin", "rash", "Plan:", "KIV", "CT", "brain", "MRI", "s/p", "CABG", "was", "ruled", "out", "but", "has", "->", "8.9", "raised", "CRP",
        "史", "胸痛", "வலி", "sakit", "demam", "dan", ".", ",", ":", "(", ")", "-", "+", "?", "/", "5/7", "<0.01", "37.8", "T", "K", "µmol/L",
        "\r\n", "\n", "\u2009", "\x00",
    )
)  # fmt: skip
SHORTHAND = st.lists(WORDS, max_size=40).map(" ".join)
TEXT = st.one_of(SHORTHAND, st.text(max_size=300), st.text(string.printable, max_size=300))


def is_sorted_within(spans, text):
    starts = [span.start for span in spans]
    return starts == sorted(starts) and all(0 <= span.start < span.end <= len(text) for span in spans)


@given(TEXT)
def test_spans_keep_the_extractors_contract(text):
    """Sorted, inside of the text, none over another, and the same each time."""
    spans = EXTRACTOR.spans(text)
    assert is_sorted_within(spans, text)
    assert all(one.end <= other.start for one, other in pairwise(spans))
    assert spans == EXTRACTOR.spans(text)


@given(TEXT)
def test_cuts_cover_the_text_once(text):
    """Sentences and sections are in order, do not overlap, and lose nothing but blanks."""
    sentences = sentences_of(text)
    assert all(a < b for a, b in sentences)
    assert all(one[1] <= other[0] for one, other in pairwise(sentences))
    between = "".join(
        text[a:b]
        for a, b in zip([0, *(e for _, e in sentences)], [*(s for s, _ in sentences), len(text)], strict=True)
    )
    assert not between.strip()
    sections = find_sections(text)
    assert all(s.start <= s.body <= s.end <= len(text) for s in sections)
    assert all(one.end <= other.start for one, other in pairwise(sections))


def spans_in(text):
    """Any spans an extractor might give for a text: they may even overlap."""
    offsets = st.tuples(st.integers(0, len(text)), st.integers(0, len(text))).filter(lambda p: p[0] < p[1])
    span = st.builds(
        lambda p, label, score: Span(p[0], p[1], label, score),
        offsets,
        st.sampled_from(Label),
        st.floats(0, 1),
    )
    return st.lists(span, max_size=8, unique_by=lambda s: (s.start, s.end, s.label)) if text else st.just([])


@settings(deadline=None)
@given(st.data())
def test_any_reading_gives_a_valid_bundle_and_the_same_bytes(data):
    """A model's spans are not the rules' spans: whatever they are, no invalid resource leaves."""
    text = data.draw(TEXT)
    spans = data.draw(st.one_of(st.just(EXTRACTOR.spans(text)), spans_in(text)))
    note = Note(
        "3f8e0b0e-6d5c-5a55-9d53-0f6b7a5f2c11", text, document="DocumentReference/d", patient="Patient/p"
    )
    bundles = [
        annotate(
            read_note(note, spans),
            ModelInfo("m", "1", "rules"),
            TERMS,
            base="urn:wardstream:",
            min_score=0.5,
            recorded="2026-03-04T05:06:07Z",
        )
        for _ in range(2)
    ]
    assert dumps(bundles[0].bundle) == dumps(bundles[1].bundle)
    assert not {"mended", "invalid"} & bundles[0].withheld.keys()
    if bundles[0].bundle is not None:
        assert validate_bundle(bundles[0].bundle, closed=False) == []


@given(TEXT)
def test_values_and_dosages_never_fail(text):
    """Any words may stand where a value is expected."""
    parse_value(text)
    assert "text" in dosage_of(text)


@given(st.text(max_size=100), st.text(max_size=20))
def test_notes_survive_their_topic(text, kind):
    """Any text a message can hold comes back the same."""
    note = Note("n", text, kind=kind)
    assert note_from_json(note_to_json(note)) == note
