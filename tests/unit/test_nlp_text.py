"""How notes are cut: words, sentences, sections."""

import pytest

from engine.nlp.phrases import PhraseTable, folded, tokens_of
from engine.nlp.sections import HEADINGS, find_sections, section_at
from engine.nlp.sentences import sentences_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Haemorrhages", "hemorrhage"),
        ("anaemia", "Anemia"),
        ("oedema", "edema"),
        ("diarrhoea", "diarrhea"),
        ("tumours", "tumor"),
        ("Crohn's disease", "crohn disease"),
        ("beta-blockers", "beta blocker"),
        ("biopsies", "biopsy"),
        ("Guillain-Barré syndrome", "guillain barre syndrome"),
        ("5 µg", "5 ug"),
    ],
)
def test_spellings_of_one_term_meet(one, other):
    """British and American, singular and plural, accented or not: tables need one entry."""
    assert folded(one) == folded(other)


@pytest.mark.parametrize(("one", "other"), [("mass", "mas"), ("pus", "pu"), ("diagnosis", "diagnosi")])
def test_folding_leaves_words_that_are_no_plurals(one, other):
    """A word that merely ends in s keeps it."""
    assert folded(one) != other


def test_tokens_index_the_original_text():
    """Offsets are in code points of the note as it is, whatever script surrounds a word."""
    text = "患者有DM，Lefèvre’s café\r\nBP"
    tokens = tokens_of(text)
    found = [text[s:e] for s, e in zip(tokens.starts, tokens.ends, strict=True)]
    assert {"DM", "Lefèvre’s", "café", "BP"} <= set(found)


def test_the_longest_phrase_wins_and_word_borders_hold():
    """ "heart failure" is found whole, and "failures" of another word is not."""
    table = PhraseTable([("heart", 1), ("heart failure", 2), ("art", 3)])
    text = "Heart failure, heart-\nfailure, cart"
    assert [match.value for match in table.find(tokens_of(text))] == [2, 2]


def test_a_phrase_does_not_reach_over_a_blank_line_or_a_table_column():
    """Words of two columns or paragraphs are no phrase."""
    table = PhraseTable([("chest pain", 1)])
    assert not list(table.find(tokens_of("chest\n\npain")))
    assert not list(table.find(tokens_of("chest        pain")))


def test_an_exact_phrase_is_matched_as_written_only():
    """ "PE" is an embolism, "pe" is not."""
    table = PhraseTable([("=PE", 1)])
    assert [match.first for match in table.find(tokens_of("pe PE Pe"))] == [1]


def test_a_phrase_without_a_word_is_refused():
    """A slip in a list is found when it is loaded, not by silence."""
    with pytest.raises(ValueError, match="without a word"):
        PhraseTable([("  ", 1)])


SENTENCES = [
    ("No fever. Has cough.", ["No fever.", "Has cough."]),
    ("Seen by Dr. Tan today.", ["Seen by Dr. Tan today."]),
    ("Given 1.5 g. Well.", ["Given 1.5 g.", "Well."]),
    ("E. coli UTI. Well", ["E. coli UTI.", "Well"]),
    ("hepatitis B. Denies fever", ["hepatitis B.", "Denies fever"]),
    ("Imp: ? PE. PE? Well.", ["Imp: ? PE.", "PE?", "Well."]),
    ("1. CT brain\n2. aspirin", ["1. CT brain", "2. aspirin"]),
    ("no fever\ncough", ["no fever", "cough"]),
    ("no fever,\ncough", ["no fever,\ncough"]),
    ("denies fever or\r\nchest pain", ["denies fever or\r\nchest pain"]),
    (
        "The patient has been well since the last visit and has no\nfever or cough.",
        ["The patient has been well since the last visit and has no\nfever or cough."],
    ),
    ("发烧。有 cough", ["发烧。", "有 cough"]),
    ("", []),
    (" \r\n ", []),
]


@pytest.mark.parametrize(("text", "expected"), SENTENCES, ids=[repr(row[0])[:40] for row in SENTENCES])
def test_statements_end_where_a_reader_ends_them(text, expected):
    """Prose, shorthand, lists and wrapped lines are cut where their statements end."""
    assert [text[start:end] for start, end in sentences_of(text)] == expected


def names(text):
    return [section.name for section in find_sections(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("History of Present Illness:\nfever", ["history-of-present-illness"]),
        ("PAST MEDICAL HISTORY\nDM", ["past-medical-history"]),
        ("PMHx: DM. DHx: aspirin", ["past-medical-history", "medications"]),
        ("58M, PMHx: DM", ["past-medical-history"]),
        ("PMHx DM, HTN\nO/E alert", ["past-medical-history", "examination"]),
        ("# Family History\nDM", ["family-history"]),
        ("Medications on Discharge:\naspirin", ["discharge-medications"]),
        (
            "Ix: Hb 10\nRx: aspirin\nImp: UTI\nDx: UTI",
            ["investigations", "medications", "assessment", "diagnosis"],
        ),
        ("**Assessment & Plan:** well", ["assessment-plan"]),
        ("1. Plan:\nCT", ["plan"]),
        ("Plan:\r\nCT\r\nSocial Hx:\r\nnil", ["plan", "social-history"]),
        ("Condition on discharge:\nwell", [""]),
        ("T: 37", []),
        ("The plan is to go home", []),
        ("a patient with pe", []),
    ],
)
def test_headings_are_recognised(text, expected):
    """Discharge letters, clerking sheets and ward shorthand name their parts; prose does not."""
    assert names(text) == expected


def test_every_heading_of_the_table_is_found():
    """Whatever the table lists is recognised on a line of its own with a colon."""
    missed = [
        heading
        for section, headings in HEADINGS.items()
        for heading in headings
        if names(f"{heading.title()}:\ntext") != [section]
    ]
    assert missed == []


def test_an_inline_history_ends_with_its_line():
    """ "FHx: mother DM" says nothing of the line below it."""
    text = "FHx: mother DM\nC/o chest pain"
    sections = find_sections(text)
    assert section_at(sections, text.index("DM")) == "family-history"
    assert section_at(sections, text.index("chest")) == ""


def test_an_unknown_heading_ends_the_section_before_it():
    """What follows a heading that is not known is not taken for family history."""
    text = "Family History:\nDM\nState of the weather:\nasthma"
    assert section_at(find_sections(text), text.index("asthma")) == ""


@pytest.mark.parametrize("filler", [" ", "a:", "A ", "\n", "Ab  ", "- ", ". "])
def test_hostile_text_is_cut_in_linear_time(filler):
    """200,000 characters of anything take a moment; the test's time-out stands for never."""
    text = filler * (200_000 // len(filler))
    find_sections(text)
    sentences_of(text)
    tokens_of(text)
