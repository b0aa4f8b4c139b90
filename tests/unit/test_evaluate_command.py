"""``wardstream models evaluate`` as others call it: the shape of its JSON, and folders of any kind."""

import json
import math

import pytest
from typer.testing import CliRunner

from adapters.cli import app, main


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def brat(folder, name, text, *spans):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.txt").write_text(text, encoding="utf-8", newline="")
    lines = []
    for number, (label, words) in enumerate(spans, 1):
        start = text.index(words)
        lines.append(f"T{number}\t{label} {start} {start + len(words)}\t{words}\n")
    (folder / f"{name}.ann").write_text("".join(lines), encoding="utf-8")


def evaluate(*arguments, code=0):
    result = CliRunner().invoke(app, ["models", "evaluate", "rules", "--baseline", "rules", *arguments])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def data(tmp_path):
    brat(
        tmp_path / "d" / "a",
        "1",
        "He has asthma.\r\nOn aspirin.",
        ("Sign_symptom", "asthma"),
        ("Medication", "aspirin"),
    )
    brat(tmp_path / "d" / "b", "2", "No entities at all here.")
    (tmp_path / "d" / "x.tsv").write_text("Fever\tB-Disease\nand\tO\ncough\tB-Gadget\n\n")
    (tmp_path / "d" / "LICENSE").write_text("Anybody may read this.")
    return tmp_path / "d"


def test_the_json_has_what_others_rely_on(data):
    """Standard output is that object and nothing else; every figure is a number."""
    report = json.loads(evaluate("--data", str(data), "--json").stdout)
    for part in ("strict", "partial"):
        micro = report[part]["micro"]
        assert {"precision", "recall", "f1"} <= micro.keys()
        assert all(math.isfinite(value) for value in micro.values())
        assert {"precision", "recall", "f1"} <= report[part]["per_label"]["PROBLEM"].keys()
    assert report["documents"] == 3
    assert report["notes_per_second"] > 0
    assert 0 <= report["ece"] <= 1
    assert "baseline" in report
    assert report["unknown_labels"] == ["Gadget"]


def test_labels_that_were_not_annotated_are_left_out(data):
    """The token file knows diseases alone: a medicine found there would be no error."""
    (data / "x.tsv").write_text("Fever\tB-Disease\nafter\tO\naspirin\tO\n\n")
    report = json.loads(evaluate("--data", str(data / "x.tsv"), "--json").stdout)
    assert report["labels"] == ["PROBLEM"]
    assert report["strict"]["micro"]["f1"] == 1.0


def test_a_name_can_be_mapped(data):
    """--labels brings an unknown name in."""
    report = json.loads(evaluate("--data", str(data), "--json", "--labels", "Gadget=PROBLEM").stdout)
    assert report["unknown_labels"] == []


def test_texts_without_any_entity_are_judged(tmp_path):
    """Nothing annotated and nothing to score: zeros, not a division by nothing."""
    brat(tmp_path / "none", "1", "He has asthma.")
    result = evaluate("--data", str(tmp_path / "none"), "--json")
    report = json.loads(result.stdout)
    assert "no text has an annotation of a known label" in result.stderr
    assert report["strict"]["micro"]["f1"] == 0.0
    assert report["documents"] == 1


def test_a_folder_without_annotations_is_a_wrong_call(tmp_path, monkeypatch, capsys):
    """Exit status 2 and what to give instead."""
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr(
        "sys.argv", ["wardstream", "models", "evaluate", "rules", "--data", str(tmp_path / "empty")]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "no annotated text" in capsys.readouterr().err


def test_several_folders_are_one_report(data, tmp_path):
    """Documents of one name in two folders are told apart."""
    brat(tmp_path / "e", "1", "She has fever.", ("Disease", "fever"))
    report = json.loads(evaluate("--data", str(data), "--data", str(tmp_path / "e"), "--json").stdout)
    assert report["documents"] == 4


def test_the_page_of_errors_quotes_what_is_wrong_and_escapes_it(tmp_path):
    """A note can't put markup into the page."""
    brat(tmp_path / "h", "1", "<script>alert(1)</script> has wibble.", ("Disease", "wibble"))
    evaluate("--data", str(tmp_path / "h"), "--html", "errors.html")
    page = (tmp_path / "errors.html").read_text()
    assert "wibble" in page
    assert "<script>alert" not in page
