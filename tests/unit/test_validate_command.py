"""``wardstream validate``: what it finds in files as they come, how it says so, and with what it ends."""

import json

import pytest

from adapters.validating import validate_command
from engine.errors import SettingsError

GOOD = (
    "MSH|^~\\&|EMR|KGH|||20260101120000||ADT^A01^ADT_A01|C1|P|2.5.1\r"
    "EVN|A01|20260101\rPID|1||7^^^H^MR||Tan^Ah||19800101|F\rPV1|1|I\r"
)
BAD = GOOD.replace("19800101", "yesterday").replace("|F\r", "|Q\r")


def validate(capsys, *paths, profile=None, feed=""):
    """Exit status, findings and the last line of standard error."""
    status = validate_command(list(paths), profile, feed, as_json=True)
    out, err = capsys.readouterr()
    return status, [json.loads(line) for line in out.splitlines()], err.splitlines()[-1]


def test_a_folder_is_checked_message_by_message(tmp_path, capsys):
    """Several messages in a file, several files: each finding names file, message and place; the rest is sound."""
    (tmp_path / "a.hl7").write_bytes((GOOD + BAD + GOOD).encode())
    (tmp_path / "b.hl7").write_bytes(GOOD.encode())
    (tmp_path / "c.hl7").write_bytes(b"no HL7 at all")
    status, found, summary = validate(capsys, tmp_path)
    assert status == 1
    places = [
        (f["source"]["path"], f["source"]["index"], f["location"], f["code"], f["severity"]) for f in found
    ]
    assert places == [
        ("a.hl7", 1, "PID[1]-7[1].1", "102", "E"),
        ("a.hl7", 1, "PID[1]-8", "103", "I"),
        ("c.hl7", 0, "", "207", "E"),
    ]
    assert summary == "5 messages: 2 errors, 0 warnings, 1 remarks"
    keys = ["source", "segment", "sequence", "field", "location", "code", "severity", "message"]
    assert all(list(f) == keys for f in found)
    assert (found[0]["segment"], found[0]["sequence"], found[0]["field"]) == ("PID", 1, 7)


def test_warnings_and_remarks_are_no_failure(tmp_path, capsys):
    """A build that checks its messages breaks on errors alone."""
    (tmp_path / "a.hl7").write_bytes(BAD.replace("yesterday", "19800101").encode())
    status, found, _ = validate(capsys, tmp_path)
    assert (status, [f["severity"] for f in found]) == (0, ["I"])


def test_a_batch_that_counts_wrong_and_a_cut_off_archive_are_told(tmp_path, capsys):
    """What is around the messages is checked too."""
    (tmp_path / "a.hl7").write_bytes(f"BHS|^~\\&|A\r{GOOD}BTS|2\r".encode())
    (tmp_path / "b.hl7.gz").write_bytes(b"\x1f\x8b\x08\x00cut")
    status, found, _ = validate(capsys, tmp_path)
    assert status == 1
    assert ("a.hl7", "199") in {(f["source"]["path"], f["code"]) for f in found}
    assert "cut off" in next(f["message"] for f in found if f["source"]["path"] == "b.hl7.gz")


def test_fhir_among_the_files_is_told_as_such(tmp_path, capsys):
    """Not as HL7 v2 without MSH."""
    (tmp_path / "a.json").write_text('{"resourceType": "Patient"}')
    _, found, _ = validate(capsys, tmp_path)
    assert "wardstream convert" in found[0]["message"]


def test_a_feeds_profile_says_how_its_files_are_read(tmp_path, capsys, monkeypatch):
    """Latin-1 that no MSH-18 declares is readable where the feed's profile says so."""
    (tmp_path / "feeds").mkdir()
    (tmp_path / "feeds" / "lab.yaml").write_text("fallback_charset: 8859/1\n")
    (tmp_path / "a.hl7").write_bytes(GOOD.replace("Tan", "Müller").encode("latin-1"))
    monkeypatch.setenv("WARDSTREAM_FEEDS", str(tmp_path / "feeds"))
    assert validate(capsys, tmp_path / "a.hl7")[0] == 1
    assert validate(capsys, tmp_path / "a.hl7", feed="lab")[0] == 0
    with pytest.raises(SettingsError, match="lab"):
        validate(capsys, tmp_path / "a.hl7", feed="labb")


@pytest.mark.parametrize("name", ["nope", "folder", "text"])
def test_a_profile_that_is_none_is_a_wrong_call(tmp_path, capsys, name):
    """Told before any message is read."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("hello")
    (tmp_path / "a.hl7").write_bytes(GOOD.encode())
    with pytest.raises(SettingsError, match="message profile"):
        validate(capsys, tmp_path / "a.hl7", profile=tmp_path / name)
