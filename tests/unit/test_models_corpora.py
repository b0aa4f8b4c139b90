"""Corpora of every format come out as texts with code point offsets, and broken ones say where they are broken."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest

from engine.errors import SettingsError
from engine.records import Label
from models.corpora.augment import Augmenter
from models.corpora.document import Document, Gold
from models.corpora.names import label_map, normal, parse_labels
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
        ("a.jsonl", '{"id": "x", "text": "ab", "entities": [{"start": 0}]}\n'),
        ("a.tsv", "fever\tB-Disease\n" * 60 + "fever\n"),
    ],
)
def test_a_broken_line_is_named_without_its_text(tmp_path: Path, name: str, content: str) -> None:
    """The error gives file and line, and none of the note's words."""
    (tmp_path / name).write_text(content)
    with pytest.raises(SettingsError) as told:
        read_corpora([tmp_path / name])
    assert "Line" in told.value.message
    assert told.value.location == name
    assert "fever" not in str(told.value)


def test_what_can_not_be_read_of_a_brat_file_is_left_out_and_told(tmp_path: Path) -> None:
    """One bad line of one file must not cost the other documents; it is named, without the note's words."""
    (tmp_path / "a.txt").write_text("fever and cough")
    (tmp_path / "a.ann").write_text(
        "T1\tDisease 3 99\tfever\nT2 Disease\nT3\tDisease 0 5\tfever\n\n#1\tAnnotatorNotes T3\tx\n*\tEquiv T1 T3\n"
    )
    (tmp_path / "b.ann").write_text("T1\tDisease 0 5\tfever\n")
    corpus = read_corpora([tmp_path])
    assert [entities(doc) for doc in corpus.documents] == [[("fever", "PROBLEM")]]
    assert len(corpus.faults) == 3
    assert "fever" not in "".join(corpus.faults)


@pytest.mark.parametrize("before", ["", "\ufeff"], ids=["plain", "mark"])
@pytest.mark.parametrize("counted", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("written", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_line_ends_converted_after_annotation_move_no_entity(
    tmp_path: Path, before: str, counted: str, written: str
) -> None:
    """Git and editors turn LF into CRLF and add marks; the annotation's own words tell how it was counted."""
    words = f"On\nadmission\nfever,{chr(10)}on aspirin."
    text = words.replace("\n", counted)
    if counted == "\r\n" and written == "\n":
        return  # a text whose carriage returns were removed can't be told from a shorter one
    start, drug = text.index("fever"), text.index("aspirin")
    (tmp_path / "a.txt").write_bytes((before + words.replace("\n", written)).encode())
    (tmp_path / "a.ann").write_text(
        f"T1\tDisease {start} {start + 5}\tfever\nT2\tDrug {drug} {drug + 7}\taspirin\n"
    )
    (doc,) = read_corpora([tmp_path]).documents
    assert entities(doc) == [("fever", "PROBLEM"), ("aspirin", "MEDICATION")]


def test_a_folder_for_each_document_is_one_corpus(tmp_path: Path) -> None:
    """What a document happens not to mention was looked for all the same; a corpus beside it looked for something else."""
    for at, (name, words) in enumerate([("Disease", "fever"), ("Drug", "aspirin"), ("Disease", "cough")]):
        folder = tmp_path / "ours" / str(at)
        folder.mkdir(parents=True)
        (folder / "a.txt").write_text(words)
        (folder / "a.ann").write_text(f"T1\t{name} 0 {len(words)}\t{words}\n")
    for at in range(6):
        folder = tmp_path / "theirs"
        folder.mkdir(exist_ok=True)
        (folder / f"{at}.txt").write_text("biopsy")
        (folder / f"{at}.ann").write_text("T1\tProcedure 0 6\tbiopsy\n" if at else "")
    documents = read_corpora([tmp_path / "ours"]).documents
    assert {doc.annotated for doc in documents} == {frozenset({Label.PROBLEM, Label.MEDICATION})}
    both = {doc.document_id: doc.annotated for doc in read_corpora([tmp_path]).documents}
    assert both["theirs/0"] == {Label.PROCEDURE}


TOKENS = [("Beta", "B"), ("blockers", "I"), ("help", "O"), (".", "O"), ("Fever", "B"), (".", "O")]


def token_file(row: str, *, header: str = "", end: str = "\n") -> bytes:
    rows = [
        row.format(n=n, word=word, tag=tag if tag == "O" else f"{tag}-Disease")
        for n, (word, tag) in enumerate(TOKENS)
    ]
    return end.join([*([header] if header else []), *rows[:4], "", *rows[4:], ""]).encode()


@pytest.mark.parametrize(
    "content",
    [
        token_file("{word}\t{tag}"),
        token_file("{word} {tag}"),
        token_file("{word}   {tag} "),
        token_file("{tag}\t{word}"),
        token_file("{n}\t{word}\tNN\t{tag}"),
        token_file("{word} NN B-NP {tag}"),
        token_file("{word}\t{tag}\tdoc7"),
        token_file("{word}\t{tag}", header="token\tlabel"),
        token_file("{word}\t{tag}", end="\r\n"),
        b"\xef\xbb\xbf" + token_file("{word}\t{tag}"),
        token_file("{word}\t{tag}").decode().encode("utf-16"),
        token_file("{word}\t{tag}").replace(b"B-", b"B_").replace(b"I-", b"I_"),
        b"-DOCSTART- -X- -X- O\n\n" + token_file("{word} NN B-NP {tag}"),
    ],
    ids=["tab", "space", "spaces", "tag-first", "numbered", "conll2003", "id-last", "header", "crlf", "mark", "utf-16",
         "underscore", "docstart"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["a.tsv", "a.txt", "test.bio", "devel"])
def test_token_files_of_any_lay_out(tmp_path: Path, content: bytes, name: str) -> None:
    """Which column is which is told by what they hold, whatever the file is called."""
    (tmp_path / name).write_bytes(content)
    documents = read_corpora([tmp_path]).documents
    assert [pair for doc in documents for pair in entities(doc)] == [
        ("Beta blockers", "PROBLEM"),
        ("Fever", "PROBLEM"),
    ]
    assert "".join(doc.text for doc in documents).replace("\n", " ") == "Beta blockers help. Fever."


def test_labels_without_marks(tmp_path: Path) -> None:
    """IO: what stands together is one entity."""
    (tmp_path / "a.tsv").write_text("chest\tDisease\npain\tDisease\nand\tO\naspirin\tChemical\n")
    (doc,) = read_corpora([tmp_path]).documents
    assert entities(doc) == [("chest pain", "PROBLEM"), ("aspirin", "MEDICATION")]


def test_bioes_and_an_entity_that_begins_with_i(tmp_path: Path) -> None:
    """Single ones end where they are; IOB1 begins entities with I."""
    (tmp_path / "a.tsv").write_text("a\tS-Drug\nb\tS-Drug\nc\tB-Drug\nd\tE-Drug\ne\tI-Disease\nf\tO\n")
    (doc,) = read_corpora([tmp_path]).documents
    assert [text for text, _ in entities(doc)] == ["a", "b", "c d", "e"]


def test_words_that_are_hashes_and_empty_words(tmp_path: Path) -> None:
    """``#`` is a word where a tag stands beside it; a line that has lost its word is passed over."""
    (tmp_path / "a.tsv").write_text("#\tO\n2\tO\n\tO\nfever\tB-Disease\n")
    (doc,) = read_corpora([tmp_path]).documents
    assert doc.text == "# 2 fever"


def test_a_huge_token_file_without_any_blank_line_is_read_in_seconds(tmp_path: Path) -> None:
    """Its time grows with its size and not with the square."""
    (tmp_path / "a.tsv").write_text("fever\tB-Disease\nand\tO\n" * 60_000)
    started = time.perf_counter()
    (doc,) = read_corpora([tmp_path]).documents
    assert len(doc.gold) == 60_000
    assert time.perf_counter() - started < 20


def test_pubtator(tmp_path: Path) -> None:
    """Title and abstract are one text; relations are no entities."""
    (tmp_path / "CDR.PubTator.txt").write_text(
        "1|t|Fever after aspirin.\n1|a|No rash.\n1\t0\t5\tFever\tDisease\tD0\n1\t12\t19\taspirin\tChemical\tD1\n"
        "1\t24\t28\trash\tDisease\tD2\n1\tCID\tD1\tD0\n\n2|t|Nothing.\n2|a|\n"
    )
    one, two = read_corpora([tmp_path]).documents
    assert entities(one) == [("Fever", "PROBLEM"), ("aspirin", "MEDICATION"), ("rash", "PROBLEM")]
    assert (two.text, two.gold, two.annotated) == ("Nothing.\n", (), one.annotated)


@pytest.mark.parametrize(
    "line",
    [
        {"text": "on aspirin", "label": [[3, 10, "Drug"]]},
        {"text": "on aspirin", "entities": [[3, 10, "Drug"]]},
        {"text": "on aspirin", "spans": [{"start": 3, "end": 10, "label": "Drug"}]},
        {"text": "on aspirin", "entities": [{"start_offset": 3, "end_offset": 10, "label": "Drug"}]},
        {"text": "on aspirin", "entities": [{"start": "3", "end": 10, "type": "Drug"}]},
    ],
)
@pytest.mark.parametrize("whole", [False, True], ids=["lines", "list"])
def test_json_of_common_tools(tmp_path: Path, line: dict[str, object], whole: bool) -> None:
    """doccano's, spaCy's and the like."""
    (tmp_path / ("a.json" if whole else "a.jsonl")).write_text(json.dumps([line] if whole else line))
    (doc,) = read_corpora([tmp_path]).documents
    assert entities(doc) == [("aspirin", "MEDICATION")]


def test_flags_with_verdicts_are_training_data(tmp_path: Path) -> None:
    """What a person called wrong is no entity; what was right, missed or corrected is one."""
    spans = [(0, 5, "right"), (6, 11, "wrong"), (12, 16, "missed"), (17, 23, "changed")]
    found = [{"start": a, "end": b, "label": "PROBLEM", "verdict": verdict} for a, b, verdict in spans]
    meta = {"patient": "p1", "labels": ["PROBLEM"]}
    (tmp_path / "flags.jsonl").write_text(
        json.dumps({"id": "f1", "text": "fever aches rash nausea", "entities": found, "meta": meta})
    )
    (doc,) = read_corpora([tmp_path]).documents
    assert [text for text, _ in entities(doc)] == ["fever", "rash", "nausea"]
    assert doc.group == "patient:p1"
    (tmp_path / "flags.jsonl").write_text(
        json.dumps(
            {"text": "fever", "entities": [{"start": 0, "end": 5, "label": "PROBLEM", "verdict": "maybe"}]}
        )
    )
    with pytest.raises(SettingsError, match="verdict"):
        read_corpora([tmp_path])


def test_other_files_of_a_folder_are_left_alone(tmp_path: Path) -> None:
    """Licences, pictures, tables of metadata and texts nobody annotated are no corpus, and no error."""
    (tmp_path / "a.jsonl").write_text(
        json.dumps({"id": "x", "text": "fever", "entities": [[0, 5, "PROBLEM"]]})
    )
    (tmp_path / "LICENSE").write_text("You may copy\nthis.\n")
    (tmp_path / "README.txt").write_text("O is outside\nB is begin\n")
    (tmp_path / "x.png").write_bytes(bytes(range(256)) * 9)
    (tmp_path / "meta.json").write_text('{"licence": "CC BY 4.0"}')
    (tmp_path / "empty.tsv").write_text("\n\n")
    assert [doc.document_id for doc in read_corpora([tmp_path]).documents] == ["x"]


KNOWN_NAMES = [
    ("problem", "PROBLEM"), ("test", "TEST"), ("treatment", None), ("Drug", "MEDICATION"), ("Strength", "DOSAGE"),
    ("Dosage", "DOSAGE"), ("Frequency", "DOSAGE"), ("ADE", "PROBLEM"), ("Reason", "PROBLEM"), ("Duration", None),
    ("Chemical", "MEDICATION"), ("Disease", "PROBLEM"), ("DiseaseClass", "PROBLEM"), ("SpecificDisease", "PROBLEM"),
    ("CompositeMention", "PROBLEM"), ("Modifier", "PROBLEM"), ("Sign_symptom", "PROBLEM"), ("SignSymptom", "PROBLEM"),
    ("Lab_value", "TEST_VALUE"), ("Diagnostic_procedure", "TEST"), ("Therapeutic_procedure", "PROCEDURE"),
    ("Biological_structure", "ANATOMY"), ("ADR", "PROBLEM"), ("Disease_Disorder", "PROBLEM"), ("T047", "PROBLEM"),
    ("T121", "MEDICATION"), ("TEST-VALUE", "TEST_VALUE"), ("Test Value", "TEST_VALUE"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "label"), KNOWN_NAMES, ids=[row[0] for row in KNOWN_NAMES])
def test_names_of_well_known_corpora(name: str, label: str | None) -> None:
    """Known without --labels; None is known to have no label here."""
    assert label_map("")[normal(name)] == label


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
