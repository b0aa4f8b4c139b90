"""Annotated corpora in the layouts they are handed out in: read rightly, or what was left out is told with its place."""

import gzip
import json

import pytest

from engine.errors import SettingsError
from engine.records import Label
from models.corpora.reading import read_corpora

TEXT = "Has chest pain.\nOn aspirin.\n"
PAIN = [("chest pain", "PROBLEM")]


def entities(path):
    return [
        (doc.text[gold.start : gold.end], gold.label.value)
        for doc in read_corpora([path]).documents
        for gold in doc.gold
    ]


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def test_documents_of_conll_have_no_name_and_are_documents_each(tmp_path):
    """``-DOCSTART- -X- -X- O`` names none: taken for one document, all of them would stand on one side of a split."""
    doc = "-DOCSTART- -X- -X- O\n\nchest NN B-NP B-problem\npain NN I-NP I-problem\n\n"
    put(tmp_path / "a.conll", doc * 3)
    documents = read_corpora([tmp_path]).documents
    assert len({each.group for each in documents}) == 3
    assert entities(tmp_path) == PAIN * 3


def test_a_table_with_tabs_and_a_header(tmp_path):
    """The number of a note in the first column is no word."""
    put(tmp_path / "a.tsv", "note_id\ttoken\tlabel\nn1\tHas\tO\nn1\tfever\tB-problem\nn2\tNo\tO\n")
    assert entities(tmp_path) == [("fever", "PROBLEM")]
    assert [doc.text for doc in read_corpora([tmp_path]).documents] == ["Has fever", "No"]


def test_texts_and_annotations_in_folders_of_their_own(tmp_path):
    """CADEC's layout."""
    put(tmp_path / "text" / "DRUG.1.txt", TEXT)
    put(tmp_path / "original" / "DRUG.1.ann", "T1\tADR 4 14\tchest pain\n#1\tAnnotatorNotes T1\tx\n")
    assert entities(tmp_path) == PAIN
    put(tmp_path / "meddra" / "DRUG.1.ann", "TT1\t10008479 4 14\tchest pain\n")
    with pytest.raises(SettingsError, match=r"meddra/DRUG\.1\.ann and original/DRUG\.1\.ann"):
        read_corpora([tmp_path])


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("note.pipe.txt", "note.txt||Disease_Disorder||C0008031||4||14"),
        ("note.pipe", "note.txt|4-9,10-14|C0008031|no|null|patient|null|no|false|unmarked"),
    ],
)
def test_share(tmp_path, name, line):
    """ShARe/CLEF 2013, and 2014 on; a broken line is told and costs no other."""
    put(tmp_path / "corpus" / "note.txt", TEXT)
    put(tmp_path / "gold" / name, f"{line}\nnonsense\nnote.txt||Disease_Disorder||C1||4||140\n")
    assert entities(tmp_path) == PAIN
    assert read_corpora([tmp_path]).faults == (
        f"{name} line 2: no annotation",
        f"{name} line 3: offsets outside of its text",
    )


@pytest.mark.parametrize("first", [0, 1])
def test_xml_of_i2b2(tmp_path, first):
    """Its tools counted from 0 or from 1; a tag whose words stand elsewhere is left out."""
    put(
        tmp_path / "1.xml",
        f"""<?xml version="1.0" encoding="UTF-8" ?>
<Notes><TEXT><![CDATA[
{TEXT}]]></TEXT><TAGS>
<EVENT id="E1" start="{5 + first}" end="{15 + first}" text="chest pain" type="PROBLEM" />
<EVENT id="E2" start="{20 + first}" end="{27 + first}" text="warfarin" type="PROBLEM" />
<TIMEX3 id="T1" start="x" end="2" text="Has" type="DATE" />
</TAGS></Notes>""",
    )
    assert entities(tmp_path) == PAIN
    assert [fault.partition(":")[0] for fault in read_corpora([tmp_path]).faults] == [
        "1.xml EVENT E2",
        "1.xml TIMEX3 T1",
    ]
    put(tmp_path / "1.xml", "<Notes><TEXT>a & b</TEXT></Notes>")
    with pytest.raises(SettingsError, match="line 1"):
        read_corpora([tmp_path])


def test_big_bio(tmp_path):
    """Lists of texts and of offsets, in passages like BioC's."""
    row = {
        "document_id": "7",
        "passages": [
            {"type": "title", "text": ["Has chest pain."], "offsets": [[0, 15]]},
            {"type": "abstract", "text": ["On aspirin."], "offsets": [[16, 27]]},
        ],
        "entities": [
            {"type": "problem", "text": ["chest", "pain"], "offsets": [[4, 9], [10, 14]]},
            {"type": "Drug", "text": ["aspirin"], "offsets": [[19, 26]]},
        ],
    }
    put(tmp_path / "a.jsonl", json.dumps(row))
    assert entities(tmp_path) == [*PAIN, ("aspirin", "MEDICATION")]
    assert read_corpora([tmp_path]).documents[0].text == TEXT.rstrip()


@pytest.mark.parametrize("name", ["1.ann", "a.PubTator"])
def test_offsets_that_hold_other_words_are_told_and_left_out(tmp_path, name):
    """Offsets of another version of the text would make entities of any words."""
    if name == "1.ann":
        put(tmp_path / "1.txt", TEXT)
        put(
            tmp_path / name,
            "T1\tproblem 4 14\tChest\npain\nT1\tproblem 4 14\tchest pain\nT2\tDrug 18 25\taspirin\n",
        )
    else:
        put(
            tmp_path / name,
            "7|t|Has chest pain.\n7|a|On aspirin.\n"
            "7\t4\t14\tchest pain\tDisease\n7\t18\t25\taspirin\tChemical\n",
        )
    corpus = read_corpora([tmp_path])
    assert entities(tmp_path) == PAIN
    assert any("other words stand at its place" in fault for fault in corpus.faults)


def test_texts_nobody_annotated_are_told(tmp_path):
    """One without its annotations would be missing in silence."""
    put(tmp_path / "1.txt", TEXT)
    put(tmp_path / "1.ann", "T1\tproblem 4 14\tchest pain\n")
    put(tmp_path / "2.txt", TEXT)
    assert read_corpora([tmp_path]).faults == ("1 .txt file(s) without annotations",)


def test_compressed_files_are_told(tmp_path):
    row = '{"id": "1", "text": "chest pain", "entities": [{"start": 0, "end": 10, "label": "problem"}]}\n'
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(row.encode()))
    with pytest.raises(SettingsError, match=r"b\.jsonl\.gz is compressed"):
        read_corpora([tmp_path])
    with pytest.raises(SettingsError, match="is compressed"):
        read_corpora([tmp_path / "b.jsonl.gz"])
    put(tmp_path / "a.jsonl", row)
    assert read_corpora([tmp_path]).faults == ("b.jsonl.gz is compressed: unpack it",)


def test_files_of_one_document_each_were_annotated_alike(tmp_path):
    """Else a finding in a text that has none of that kind would count as neither right nor wrong."""
    for at, label in enumerate(("Disease", "Chemical")):
        put(tmp_path / f"{at}.PubTator", f"{at}|t|Fever\n{at}\t0\t5\tFever\t{label}\n")
    put(tmp_path / "2.jsonl", '{"id": "2", "text": "Fever", "entities": [], "meta": {"labels": ["Disease"]}}')
    looked_for = {doc.document_id: doc.annotated for doc in read_corpora([tmp_path]).documents}
    both = frozenset((Label.PROBLEM, Label.MEDICATION))
    assert looked_for == {"0": both, "1": both, "2": frozenset((Label.PROBLEM,))}
