"""Corpora of every format come out as texts with code point offsets, and broken ones say where they are broken."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from engine.errors import SettingsError
from engine.records import Label
from models.corpora.augment import Augmenter
from models.corpora.document import Document, Gold
from models.corpora.names import parse_labels
from models.corpora.reading import read_corpora
from models.corpora.splits import folds, split


def entities(doc: Document) -> list[tuple[str, str]]:
    return [(doc.text[g.start : g.end], g.label.value) for g in doc.gold]


def test_brat_offsets_count_carriage_returns_and_accents(tmp_path: Path) -> None:
    """A file with CRLF is read byte for byte: brat's offsets count both characters."""
    (tmp_path / "a.txt").write_bytes("Café.\r\nFever, on aspirin.\r\n".encode())
    (tmp_path / "a.ann").write_text("T1\tSign_symptom 7 12\tFever\nT2\tMedication 17 24\taspirin\nE1\tX:T1\n")
    (doc,) = read_corpora([tmp_path]).documents
    assert entities(doc) == [("Fever", "PROBLEM"), ("aspirin", "MEDICATION")]
    assert doc.annotated == {Label.PROBLEM, Label.MEDICATION}


def test_brat_spans_in_pieces_become_one_and_the_longer_of_two_wins(tmp_path: Path) -> None:
    """The runtime knows whole spans that do not overlap, so that is what is learned and scored."""
    (tmp_path / "a.txt").write_text("left and right leg pain")
    (tmp_path / "a.ann").write_text(
        "T1\tSign_symptom 0 4;15 23\tleft leg pain\nT2\tSign_symptom 19 23\tpain\n"
    )
    (doc,) = read_corpora([tmp_path]).documents
    assert entities(doc) == [("left and right leg pain", "PROBLEM")]


def test_unknown_names_are_reported_and_can_be_mapped(tmp_path: Path) -> None:
    """Nothing is left out in silence, and --labels brings it in."""
    (tmp_path / "a.txt").write_text("some gadget")
    (tmp_path / "a.ann").write_text("T1\tGadget 5 11\tgadget\n")
    assert read_corpora([tmp_path]).unknown == {"Gadget"}
    mapped = read_corpora([tmp_path], "Gadget=PROCEDURE")
    assert not mapped.unknown
    assert entities(mapped.documents[0]) == [("gadget", "PROCEDURE")]


def test_tokens_become_running_text(tmp_path: Path) -> None:
    """Punctuation takes the spaces a writer would give it, and offsets follow."""
    (tmp_path / "a.tsv").write_text(
        "Beta\tB-Chemical\n-\tI-Chemical\nblockers\tI-Chemical\n(\tO\n0\tO\n.\tO\n5\tO\nmg\tO\n)\tO\nhelp\tO\n.\tO\n\nFever\tB-Disease\n.\tO\n"
    )
    (doc,) = read_corpora([tmp_path / "a.tsv"]).documents
    assert doc.text == "Beta-blockers (0.5 mg) help.\nFever."
    assert entities(doc) == [("Beta-blockers", "MEDICATION"), ("Fever", "PROBLEM")]


def test_bilou_and_neighbouring_entities(tmp_path: Path) -> None:
    """U and L end an entity: what follows is another one."""
    (tmp_path / "a.conll").write_text("a x U-Drug\nb x U-Drug\nc x B-Drug\nd x L-Drug\ne x O\n")
    (doc,) = read_corpora([tmp_path]).documents
    assert [text for text, _ in entities(doc)] == ["a", "b", "c d"]


def test_a_token_file_without_documents_is_read_in_blocks(tmp_path: Path) -> None:
    """Sentences keep company, but such a file can't be split by document."""
    (tmp_path / "a.tsv").write_text("\n\n".join(f"word{n}\tB-Disease\n.\tO" for n in range(25)) + "\n")
    documents = read_corpora([tmp_path]).documents
    assert [doc.text.count("word") for doc in documents] == [10, 10, 5]
    with pytest.raises(SettingsError, match="can't be told"):
        split(documents, 1)


def test_document_and_patient_marks_of_token_files(tmp_path: Path) -> None:
    """-DOCSTART- begins a document and '# patient' says whose it is."""
    (tmp_path / "a.iob").write_text(
        "-DOCSTART- O\n# patient = 7\n\nfever\tB-Disease\n\n\n-DOCSTART- O\n# patient = 8\n\ncough\tB-Disease\n"
    )
    documents = read_corpora([tmp_path]).documents
    assert [(doc.text, doc.group) for doc in documents] == [("fever", "patient:7"), ("cough", "patient:8")]


def row(**more: object) -> str:
    return json.dumps(
        {"id": "n1", "text": "fever", "entities": [{"start": 0, "end": 5, "label": "PROBLEM"}], **more}
    )


def test_jsonl_says_what_was_looked_for_and_gives_strata(tmp_path: Path) -> None:
    """meta.labels wins over what happens to occur; other meta are strata."""
    meta = {"patient": "p1", "labels": ["problem", "Dosage"], "sex": "F"}
    (tmp_path / "a.jsonl").write_text(row(meta=meta) + "\n")
    (doc,) = read_corpora([tmp_path]).documents
    assert doc.annotated == {Label.PROBLEM, Label.DOSAGE}
    assert (doc.group, doc.meta) == ("patient:p1", {"sex": "F"})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", "{\n"),
        ("a.jsonl", '{"id": "x"}\n'),
        ("a.jsonl", '{"id": "x", "text": "ab", "entities": [{"start": 0, "end": 3, "label": "PROBLEM"}]}\n'),
        ("a.jsonl", '{"id": "x", "text": "ab", "entities": [{"start": 0}]}\n'),
        ("a.tsv", "fever\tB-Disease\n" * 60 + "fever\n"),
    ],
)
def test_a_broken_line_is_named_without_its_text(tmp_path: Path, name: str, content: str) -> None:
    """The error gives file and line, and none of the note's words."""
    (tmp_path / name).write_text(content)
    with pytest.raises(SettingsError) as told:
        read_corpora([tmp_path])
    assert "Line" in told.value.message
    assert told.value.location == name
    assert "fever" not in str(told.value)


def test_offsets_outside_of_a_brat_text_are_refused(tmp_path: Path) -> None:
    """Usually a text whose line ends were converted after it was annotated."""
    (tmp_path / "a.txt").write_text("fever")
    (tmp_path / "a.ann").write_text("T1\tDisease 3 9\tfever\n")
    with pytest.raises(SettingsError, match="outside"):
        read_corpora([tmp_path])


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    """A wrong path must not look like a perfect score of nothing."""
    with pytest.raises(SettingsError, match="no annotated text"):
        read_corpora([tmp_path])


def test_a_mapping_to_no_label_of_ours_is_refused() -> None:
    """The error lists the labels there are."""
    with pytest.raises(SettingsError, match="mapping"):
        parse_labels("Chemical=DRUG")
    assert parse_labels("Chemical=medication, Gene=") == {"chemical": Label.MEDICATION, "gene": None}


def documents(count: int, patients: int) -> list[Document]:
    some = frozenset({Label.PROBLEM})
    return [
        Document(f"d{n}", "fever", (Gold(0, 5, Label.PROBLEM),), some, f"patient:{n % patients}")
        for n in range(count)
    ]


def test_a_patient_is_never_on_both_sides() -> None:
    """80/10/10 by patient, the same for the same seed, and every text is somewhere."""
    docs = documents(200, 40)
    parts = split(docs, 3)
    groups = [{doc.group for doc in part} for part in (parts.train, parts.dev, parts.test)]
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert not groups[1] & groups[2]
    assert [len(group) for group in groups] == [32, 4, 4]
    assert len(parts.train) + len(parts.dev) + len(parts.test) == 200
    assert split(docs, 3) == parts
    assert split(docs, 4) != parts


def test_each_patient_is_tested_in_one_fold() -> None:
    """k-fold: test parts are disjoint and cover all; dev is never the tested fold."""
    tested = []
    for parts in folds(documents(60, 20), 5, 1):
        own = {doc.group for doc in parts.test}
        assert not own & {doc.group for doc in (*parts.train, *parts.dev)}
        tested += own
    assert sorted(tested) == sorted({doc.group for doc in documents(60, 20)})


def test_patients_known_for_some_texts_only_are_refused() -> None:
    """Half a knowledge of who is who is no split by patient."""
    docs = [*documents(10, 10), Document("x", "fever", (), frozenset({Label.PROBLEM}), "x")]
    with pytest.raises(SettingsError, match="some do not"):
        split(docs, 1)


def test_augmented_texts_keep_their_entities_in_place() -> None:
    """Whatever is exchanged, each offset still marks an entity of its label, and the rest of the text stays."""
    text = "Known hypertension, takes aspirin; denies fever."
    gold = (Gold(6, 18, Label.PROBLEM), Gold(26, 33, Label.MEDICATION), Gold(42, 47, Label.PROBLEM))
    doc = Document("d", text, gold, frozenset({Label.PROBLEM, Label.MEDICATION}))
    changed = Augmenter([doc], synonyms=1.0, abbreviations=1.0)(doc, random.Random(1))
    assert changed.text != text
    assert changed.text[changed.gold[0].start : changed.gold[0].end] == "HTN"
    assert [g.label for g in changed.gold] == [g.label for g in gold]
    for item in changed.gold:
        assert changed.text[item.start : item.end] in {"HTN", "hypertension", "aspirin", "fever"}
    assert changed.text.startswith("Known HTN, takes ")


@pytest.mark.corpora
def test_the_development_corpora_are_read_whole(corpora: Path) -> None:
    """Every file of the shared corpora is recognised, no label is unknown, and every offset marks text."""
    for where in ("bc5cdr", "ncbi-disease", "maccrobat2020"):
        corpus = read_corpora([corpora / "ner" / where])
        assert not corpus.unknown
        for doc in corpus.documents:
            assert all(doc.text[g.start : g.end].strip() for g in doc.gold)
