"""CSV tokens, i2b2 concepts and BioC: read to the same texts and entities as other formats, or refused with the place."""

import json

import pytest

from engine.errors import SettingsError
from models.corpora.reading import read_corpora


def found(corpus):
    return [
        (doc.text, [(doc.text[g.start : g.end], g.label.value) for g in doc.gold]) for doc in corpus.documents
    ]


@pytest.mark.parametrize(
    "content",
    [
        'token,label\nNo,O\nchest,B-Disease\npain,I-Disease\n",",O\non,O\naspirin,B-Chemical\n',
        'Sentence #,Word,POS,Tag\nSentence: 1,No,D,O\n,chest,N,B-Disease\n,pain,N,I-Disease\n,",",P,O\n,on,P,O\n,aspirin,N,B-Chemical\n',
        "doc_id;token;ner_tags\r\n7;No;O\r\n7;chest;B-Disease\r\n7;pain;I-Disease\r\n7;,;O\r\n7;on;O\r\n7;aspirin;B-Chemical\r\n",
    ],
)
def test_csv_of_tokens(tmp_path, content):
    """The header says which column is which; a comma that is a token is quoted."""
    (tmp_path / "x.csv").write_bytes(content.encode())
    entities = [("chest pain", "PROBLEM"), ("aspirin", "MEDICATION")]
    assert found(read_corpora([tmp_path])) == [("No chest pain, on aspirin", entities)]


def test_csv_sentences_documents_and_patients(tmp_path):
    """Documents end where their column changes, sentences are lines, and patients keep documents together."""
    rows = [
        "patient,document,sentence,token,label",
        "p1,a,1,Fever,B-Disease",
        "p1,a,2,Cough,B-Disease",
        "p2,b,1,Rash,B-Disease",
    ]
    (tmp_path / "x.csv").write_text("\n".join(rows))
    documents = read_corpora([tmp_path]).documents
    assert [(doc.text, doc.group) for doc in documents] == [
        ("Fever\nCough", "patient:p1"),
        ("Rash", "patient:p2"),
    ]
    assert documents[0].document_id != documents[1].document_id


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("token,label\nfever,B-Disease\ncough\n", "3"),
        ("token,label\nfever,B-Disease\ncough,perhaps\n", "3"),
        ('token,label\n"fever,O\n', "2"),
    ],
)
def test_a_broken_csv_is_told_by_its_line(tmp_path, content, line):
    """The text itself is not repeated."""
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(SettingsError) as told:
        read_corpora([tmp_path / "x.csv"])
    assert f"Line {line} " in told.value.message
    assert "cough" not in told.value.message


I2B2 = "Admission note\nNo chest  pain , on aspirin .\nCT brain was normal ."
CONCEPTS = 'c="chest pain" 2:1 2:2||t="problem"\nc="ct brain" 3:0 3:1||t="test"\nc="aspirin" 2:5 2:5||t="treatment"\n'


@pytest.mark.parametrize("folders", [("", ""), ("txt/", "concept/")])
def test_i2b2_pairs(tmp_path, folders):
    """Beside each other or in folders of their own; a treatment may be a medicine or an operation and is left out unless it is named."""
    for folder in folders:
        (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / folders[0] / "n1.txt").write_text(I2B2)
    (tmp_path / folders[1] / "n1.con").write_text(CONCEPTS)
    entities = [("chest  pain", "PROBLEM"), ("CT brain", "TEST")]
    assert found(read_corpora([tmp_path])) == [(I2B2, entities)]
    named = found(read_corpora([tmp_path], "treatment=MEDICATION"))
    assert ("aspirin", "MEDICATION") in named[0][1]


def test_i2b2_places_that_hold_other_words_are_told(tmp_path):
    """A shifted file must not train or judge anything; its other concepts are kept."""
    (tmp_path / "n1.txt").write_text(I2B2)
    wrong = (
        'c="fever" 2:1 2:2||t="problem"\nc="x" 9:0 9:0||t="problem"\nc="x" 0:0 0:0||t="problem"\nrubbish\n'
    )
    (tmp_path / "n1.con").write_text(CONCEPTS + wrong)
    corpus = read_corpora([tmp_path])
    assert len(corpus.documents[0].gold) == 2
    assert [fault.split(":")[0] for fault in corpus.faults] == [f"n1.con line {n}" for n in (4, 5, 6, 7)]


PASSAGES = [
    {"offset": 0, "text": "Fever and métformin", "annotations": [
        {"infons": {"type": "Disease"}, "text": "Fever", "locations": [{"offset": 0, "length": 5}]},
        {"infons": {"type": "Chemical"}, "text": "métformin", "locations": [{"offset": 10, "length": 9}]}]},
    {"offset": 21, "sentences": [{"offset": 21, "text": "No rash.", "annotations": [
        {"infons": {"type": "Disease"}, "text": "rash", "locations": [{"offset": 24, "length": 4}]}]}]},
]  # fmt: skip
ENTITIES = [("Fever", "PROBLEM"), ("métformin", "MEDICATION"), ("rash", "PROBLEM")]
XML = """<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE collection SYSTEM "BioC.dtd">
<collection><source>x</source><document><id>7</id>
<passage><infon key="type">title</infon><offset>0</offset><text>Fever and métformin</text>
<annotation id="1"><infon key="type">Disease</infon><location offset="0" length="5"/><text>Fever</text></annotation>
<annotation id="2"><infon key="type">Chemical</infon><location offset="10" length="9"/><text>métformin</text></annotation></passage>
<passage><offset>21</offset><sentence><offset>21</offset><text>No rash.</text>
<annotation id="3"><infon key="type">Disease</infon><location offset="24" length="4"/><text>rash</text></annotation></sentence></passage>
</document></collection>"""


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.json", json.dumps({"documents": [{"id": "7", "passages": PASSAGES}]})),
        ("x.json", json.dumps({"id": "7", "passages": PASSAGES}, indent=1)),
        ("x.jsonl", json.dumps({"id": "7", "passages": PASSAGES}) + "\n"),
        ("x.xml", XML),
    ],
)
def test_bioc(tmp_path, name, content):
    """JSON and XML, whole collections and one document a line; passages stand at their offsets."""
    (tmp_path / name).write_text(content, encoding="utf-8")
    corpus = read_corpora([tmp_path])
    assert found(corpus) == [("Fever and métformin\n No rash.", ENTITIES)]
    assert corpus.documents[0].group == "7"
    assert corpus.faults == ()


def test_bioc_annotations_that_do_not_fit_are_left_out_and_told(tmp_path):
    """Wrong words, wrong offsets, no type: each costs itself alone."""
    bad = [
        {"infons": {"type": "Disease"}, "text": "cough", "locations": [{"offset": 0, "length": 5}]},
        {"infons": {"type": "Disease"}, "locations": [{"offset": 90, "length": 5}]},
        {"infons": {}, "locations": [{"offset": 0, "length": 5}]},
    ]
    passage = {**PASSAGES[0], "annotations": [*PASSAGES[0]["annotations"], *bad]}
    (tmp_path / "x.json").write_text(json.dumps({"documents": [{"id": "7", "passages": [passage]}]}))
    corpus = read_corpora([tmp_path])
    assert found(corpus)[0][1] == ENTITIES[:2]
    assert len(corpus.faults) == 3


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.xml", "<collection><document></collection>"),
        ("x.json", json.dumps({"documents": [{"id": "7", "passages": [{"offset": "a", "text": "x"}]}]})),
        (
            "x.json",
            json.dumps(
                {
                    "documents": [
                        {"id": "7", "passages": [{"offset": 5, "text": "abc"}, {"offset": 2, "text": "x"}]}
                    ]
                }
            ),
        ),
    ],
)
def test_broken_bioc_is_refused(tmp_path, name, content):
    """With the name of the file and what to do."""
    (tmp_path / name).write_text(content)
    with pytest.raises(SettingsError) as told:
        read_corpora([tmp_path / name])
    assert told.value.location == name
