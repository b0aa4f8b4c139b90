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


# Authored for this test, after the word list was written: [Malay], the rest English or shorthand.
MALAY = [
    "C/o [sakit dada] since 2pm, ECG done.",
    "Pt [tak boleh tidur] x 3/7, no chest pain.",
    "65M, [demam] 2 days, given PCM 1 g.",
    "Says [pening] on standing, BP lying 132/80.",
    "Family: [makcik sesak nafas] at night, orthopnoea.",
    "[Kaki bengkak] for 1/52, pedal oedema up to shin.",
    "Triage: [cirit-birit] 5x today, no blood.",
    "Came with daughter, [batuk berdarah] this morning, CXR ordered.",
    "[Tidak muntah], tolerating fluids.",
    "Abdomen soft. [Perut sakit sikit] after food only.",
    "Known DM, [kencing kerap] at night, HbA1c 9.1%.",
    "O/E alert, [tekak sakit], tonsils enlarged.",
    "Allergies: [tiada alahan]. Wt 64 kg.",
    "Nurse: [sudah makan ubat] at 0800, no nausea.",
    "Fell at home, [sakit pinggang] radiating to left leg.",
    "Denies SOB, [dada rasa ketat] on exertion.",
    "POD1, [luka masih sakit], dressing dry and intact.",
    "[Belum berak] since Monday, lactulose 15 ml BD.",
    "Complains [gatal satu badan] after amoxicillin.",
    "Husband reports [pengsan] for 2 min, no seizure.",
    "[Kebas tangan kanan] since last night, CT brain urgent.",
    "Plan: review tomorrow. [Boleh balik] if afebrile.",
    "G2P1 28/40, [loya dan muntah], ketones 2+.",
    pytest.param(
        "Wound clean. [Jangan kena air] for 2 days.",
        marks=pytest.mark.xfail(strict=True, reason="one function word and no telling one could be a name"),
    ),
]
ENGLISH = [
    "Dr Dan Tan and Dr Ada Luka reviewed at 10am.",
    "Lives near Kaki Bukit, works at Makan Place in Dua Sentosa.",
    "Mdm Siti binte Demam seen; son Batuk at bedside.",
    "BP 120/80 on air, K 3.4, PO intake fair, NAK.",
    "Ate nasi lemak and had kopi, GI upset since.",
    "In situ carcinoma, en bloc resection, ex vivo perfusion.",
    "Pt on a ketogenic diet, no pun intended, likes pau.",
    "Kata is his sport; he fell during kata practice.",
    "Dx: dengue. Rx: ORS. TCU 1/52. KIV admit.",
    "ADA guidelines; MANA score 3; TAK arteritis excluded.",
    "Takayasu (TAK) arteritis with renal artery stenosis.",
    "Nak and Phang families, consanguinity denied.",
    "Was bitten by a mak snake, per the caller.",
    "Bila Khan, 34F, G1P0, came for booking.",
    "PUN INI LAB: NA 138, K 4.0, CL 101.",
    "Hari Raya visit, then fever for two days.",
    "Raj s/o Ubat, allergic to penicillin (rash).",
    "Travelled to Lama, then Apa and Sana; no malaria prophylaxis.",
    "Malang and Batu are on the itinerary; yellow fever n/a.",
    "PESAKIT LUAR CLINIC: FOLLOW UP BOOKED.",
]


@pytest.mark.parametrize("marked", MALAY)
def test_a_few_words_of_malay_are_noticed(marked):
    """Ward notes hold fragments, not sentences: each is flagged, at its place, and nothing far from it."""
    before, _, rest = marked.partition("[")
    fragment, _, after = rest.partition("]")
    spans = foreign_text(before + fragment + after)
    assert {span.language for span in spans} == {"ms"}
    start, end = len(before), len(before + fragment)
    assert all(start <= span.start and span.end <= end for span in spans)


@pytest.mark.parametrize("text", ENGLISH)
def test_names_and_shorthand_are_not_taken_for_malay(text):
    """Malay words are also names, places, dishes and abbreviations, which a note writes with a capital."""
    assert foreign_text(text) == ()
