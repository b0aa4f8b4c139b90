"""Annotated texts as other tools and people leave them: encodings, shapes and names that a site brings along."""

import codecs
import json

import pytest

from engine.errors import SettingsError
from models.corpora.reading import read_corpora

TEXT = "Has chest pain.\nOn aspirin."
ANN = "T1\tProblem 4 14\tchest pain\nT2\tDrug 19 26\taspirin\n"
BOTH = [("chest pain", "PROBLEM"), ("aspirin", "MEDICATION")]
PAIN = [("chest pain", "PROBLEM")]
SPAN = {"start": 4, "end": 14, "label": "problem"}


def entities(path, labels=""):
    """Words and label of everything annotated."""
    return [
        (doc.text[gold.start : gold.end], gold.label.value)
        for doc in read_corpora([path], labels).documents
        for gold in doc.gold
    ]


@pytest.mark.parametrize(
    ("text", "annotations", "ending"),
    [
        (TEXT.encode(), ANN.encode(), ""),
        (TEXT.encode(), ANN.encode(), "upper"),
        (codecs.BOM_UTF8 + TEXT.encode(), codecs.BOM_UTF8 + ANN.encode(), ""),
        (TEXT.encode("utf-16"), ANN.encode("utf-16"), ""),
        (TEXT.replace("\n", "\r\n").encode(), ANN.replace("\n", "\r\n").encode(), ""),
        (TEXT.replace("\n", "\r\n").encode(), ANN.replace("19 26", "20 27").encode(), ""),
        (
            TEXT.encode(),
            b"R1\tof Arg1:T1 Arg2:T2\nA1\tNegated T1\n" + ANN.encode() + b"E1\tProblem:T1\n\n\n",
            "",
        ),
    ],
    ids=["plain", "upper-case", "bom", "utf-16", "crlf-not-counted", "crlf-counted", "relations"],
)
def test_brat_files_of_any_make(tmp_path, text, annotations, ending):
    """Offsets point at the words that were annotated, whoever wrote the files, in folders of any depth."""
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    (folder / ("1.TXT" if ending else "1.txt")).write_bytes(text)
    (folder / ("1.ANN" if ending else "1.ann")).write_bytes(annotations)
    (tmp_path / "annotation.conf").write_text("[entities]\nProblem\nDrug\n[relations]\n")
    assert entities(tmp_path) == BOTH


def test_a_text_in_windows_1252_is_read_as_such_and_told(tmp_path):
    """Curly quotes of a word processor must cost no folder; offsets count its characters."""
    (tmp_path / "1.txt").write_bytes("Patient’s naïve: chest pain.".encode("cp1252"))
    (tmp_path / "1.ann").write_text("T1\tProblem 17 27\tchest pain\n")
    assert entities(tmp_path) == PAIN
    (told,) = read_corpora([tmp_path]).guesses
    assert "1.txt is not UTF-8 (byte 7)" in told


def test_bytes_of_no_character_set_are_refused(tmp_path):
    """0x81 is a character neither in UTF-8 nor in Windows-1252."""
    (tmp_path / "1.tsv").write_bytes(b"fever\tB-Disease\nna\x81ve\tO\n")
    with pytest.raises(SettingsError, match="not UTF-8"):
        read_corpora([tmp_path])


def test_a_span_in_pieces_is_one_from_its_first_to_its_last(tmp_path):
    """Discontinuous spans become whole ones; of two that overlap then the longer stays."""
    (tmp_path / "1.txt").write_text("Pain in left and right knee.")
    (tmp_path / "1.ann").write_text(
        "T1\tProblem 0 12;23 27\tPain in left knee\nT2\tProblem 0 7;17 27\tPain in right knee\n"
    )
    assert entities(tmp_path) == [("Pain in left and right knee", "PROBLEM")]


@pytest.mark.parametrize(
    "content",
    [
        "Has\tO\nchest\tB-problem\npain\tI-problem\n\n\n\n",
        "Has O\nchest B-problem\npain I-problem\n",
        "Has\tVB\tO\nchest\tNN\tB-problem\npain\tNN\tI-problem\n",
        "-DOCSTART- -X- -X- O\n\nHas VB B-VP O\nchest NN B-NP B-problem\npain NN I-NP I-problem\n",
        "Has\tO\r\nchest\tI-problem\r\npain\tI-problem\r\n",
        "Has\tO\nchest\tB-problem\npain\tE-problem\n",
        "Has\tO\nchest\tB-problem\npain\tL-problem\n",
        "Has\tO\nchest\tproblem\npain\tproblem\n",
        "O\tHas\nB-problem\tchest\nI-problem\tpain\n",
        "token\ttag\nHas\tO\nchest\tB-problem\npain\tI-problem\n",
        "sentence\tnumber\ttoken\ttag\n1\t1\tHas\tO\n1\t2\tchest\tB-problem\n1\t3\tpain\tI-problem\n",
        "note-1.txt\t0\t3\tHas\tO\nnote-1.txt\t4\t9\tchest\tB-problem\nnote-1.txt\t10\t14\tpain\tI-problem\n",
    ],
    ids=[
        "iob2",
        "blanks",
        "pos",
        "conll2003",
        "iob1",
        "bioes",
        "bilou",
        "io",
        "tag-first",
        "header",
        "ids",
        "document-column",
    ],
)
def test_token_files_of_any_layout(tmp_path, content):
    """Which column is which, and the scheme of the tags, are told from what they hold."""
    (tmp_path / "x.conll").write_bytes(content.encode())
    assert entities(tmp_path) == PAIN


def test_single_tokens_of_bmewo_are_entities_of_their_own(tmp_path):
    """W is what others write S or U."""
    (tmp_path / "x.tsv").write_text("fever\tW-problem\ncough\tW-problem\nand\tO\n")
    assert entities(tmp_path) == [("fever", "PROBLEM"), ("cough", "PROBLEM")]


def test_tags_without_a_name_are_named_by_the_caller(tmp_path):
    """B, I and O alone, as corpora of one type have them: left out and told, or mapped."""
    (tmp_path / "x.tsv").write_text("Has\tO\nchest\tB\npain\tI\nfever\tB\n")
    assert read_corpora([tmp_path]).unknown == {"ENTITY"}
    assert entities(tmp_path, "ENTITY=PROBLEM") == [*PAIN, ("fever", "PROBLEM")]


@pytest.mark.parametrize(
    "row",
    [
        {"text": TEXT, "entities": [SPAN]},
        {"content": TEXT, "entities": [{"start": 4, "end": 14, "entity_group": "problem"}]},
        {"id": 1, "data": TEXT, "label": [[4, 14, "problem"]]},
        {"text": TEXT, "tokens": [{"text": "Has", "start": 0}], "spans": [{**SPAN, "token_start": 1}]},
        {"note_id": "a", "note": TEXT, "annotations": [{"begin": 4, "end": 14, "type": "problem"}]},
        {"text": TEXT, "entities": [{"from": 4, "to": 14, "label": "problem"}]},
        {"text": TEXT, "entities": [{"offset": 4, "length": 10, "category": "problem"}]},
        {"text": TEXT, "label": [{"start": 4, "end": 14, "text": "chest pain", "labels": ["problem"]}]},
        [TEXT, {"entities": [[4, 14, "problem"]]}],
        {
            "id": "a",
            "tokens": ["Has", "chest", "pain", "."],
            "ner_tags": ["O", "B-problem", "I-problem", "O"],
        },
        {"words": ["chest", "pain", "is"], "labels": ["B-problem", "L-problem", "O"]},
        {"tokens": ["chest", "pain", "is"], "tags": ["problem", "problem", "O"]},
        {
            "id": 1,
            "data": {"text": TEXT},
            "annotations": [
                {"was_cancelled": True, "result": []},
                {"result": [{"value": {"start": 4, "end": 14, "labels": ["problem"]}}, {"type": "choices"}]},
            ],
        },
    ],
    ids=[
        "plain",
        "content",
        "doccano",
        "prodigy",
        "note",
        "from",
        "offset",
        "ls-min",
        "spacy",
        "tokens",
        "words",
        "io",
        "label-studio",
    ],
)
@pytest.mark.parametrize("shape", ["lines", "crlf", "list"])
def test_json_of_common_tools(tmp_path, row, shape):
    """One a line, or all in one list, whatever the file is called."""
    content = (
        json.dumps([row]) if shape == "list" else json.dumps(row) + ("\r\n\r\n" if shape == "crlf" else "\n")
    )
    (tmp_path / "x.jsonl").write_bytes(content.encode())
    assert entities(tmp_path) == PAIN


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"tokens": ["chest", "pain"], "ner_tags": [1, 2]}, "numbers"),
        ({"tokens": ["chest", "pain"], "ner_tags": ["O"]}, "as many tags"),
        ({"text": TEXT, "entities": [{"start": 4, "end": 14}]}, "without start, end and label"),
        ({"text": TEXT, "entities": "chest pain"}, "no list"),
    ],
)
def test_json_that_can_not_be_read_is_told_in_words(tmp_path, row, says):
    """The line and what is wrong with it."""
    (tmp_path / "x.jsonl").write_text(json.dumps(row))
    with pytest.raises(SettingsError, match=says) as told:
        read_corpora([tmp_path])
    assert (told.value.message[:6], told.value.location) == ("Line 1", "x.jsonl")


def test_offsets_outside_of_a_text_cost_that_entity_alone(tmp_path):
    """As in brat and PubTator: told, and the rest is read."""
    (tmp_path / "x.jsonl").write_text(json.dumps({"text": TEXT, "entities": [SPAN, {**SPAN, "end": 99}]}))
    assert entities(tmp_path) == PAIN
    assert read_corpora([tmp_path]).faults == ("x.jsonl line 1: offsets outside of its text",)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Chemical", "MEDICATION"),
        ("Diseases", "PROBLEM"),
        ("Sign_symptom", "PROBLEM"),
        ("SignSymptoms", "PROBLEM"),
        ("DRUG_BRANDNAME", "MEDICATION"),
        ("T103", "MEDICATION"),
        ("T109,T121", "MEDICATION"),
        ("Multi-tissue_structure", "ANATOMY"),
        ("Strength", "DOSAGE"),
        ("Lab_value", "TEST_VALUE"),
        ("treatments", None),
        ("T058", None),
    ],
)
def test_names_of_well_known_corpora_are_known(tmp_path, name, label):
    """In any case, plural, or with several types at once; what has no label of ours is left out and not called unknown."""
    (tmp_path / "x.jsonl").write_text(json.dumps({"text": TEXT, "entities": [{**SPAN, "label": name}]}))
    assert entities(tmp_path) == ([("chest pain", label)] if label else [])
    assert not read_corpora([tmp_path]).unknown
