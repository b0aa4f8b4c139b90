"""Text in a language that the reader does not read."""

import pytest

from engine.nlp.language import foreign_text, language_issues
from engine.records import Note

ROWS = [
    ("Patient has fever", []),
    ("患者主诉胸痛两天, denies fever", ["zh"]),
    ("நெஞ்சு வலி, SOB", ["ta"]),
    ("Patient kata dia sakit kepala sejak tiga hari, ada demam dan batuk.", ["ms"]),
    ("カルテ記載 fever", ["ja"]),
    ("두통 headache", ["ko"]),
    ("Dr Dan saw Mana at the Apa clinic", []),
    ("fever 发烧 and cough 咳嗽", ["zh", "zh"]),
]


@pytest.mark.parametrize(("text", "expected"), ROWS, ids=[row[0][:25] for row in ROWS])
def test_foreign_text_is_noticed(text, expected):
    """Mandarin, Tamil and Malay in an English note are seen; English words are not taken for Malay."""
    assert [span.language for span in foreign_text(text)] == expected


def test_foreign_text_says_where_it_stands():
    """Offsets let a person find what was not read."""
    text = "C/o 胸痛 两天, fever"
    (span,) = foreign_text(text)
    assert text[span.start : span.end] == "胸痛 两天"


def test_a_language_that_is_read_is_not_foreign():
    """A multilingual model is not warned about."""
    assert foreign_text("患者 fever", frozenset({"en", "zh"})) == ()


def test_the_issue_names_no_text():
    """Issues go to logs: they tell language, size and place alone."""
    note = Note("n", "患者王小明 has fever", element="DocumentReference.content[0].attachment")
    read = frozenset({"en"})
    (issue,) = language_issues(note, foreign_text(note.text, read), read)
    assert issue.code == "language-not-read"
    assert issue.location == note.element
    assert "王" not in issue.message + issue.action


def test_a_note_declared_foreign_is_flagged():
    """A German note has no telling script; its source says so."""
    note = Note("n", "Patient hat Fieber", language="de-DE")
    (issue,) = language_issues(note, (), frozenset({"en"}))
    assert "declared" in issue.message
