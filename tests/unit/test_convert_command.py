"""``wardstream convert``: the lines that others read, in the form that docs and acceptance rely on."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.replay.command import convert_command
from adapters.replay.sources import Format

ADT = (
    b"MSH|^~\\&|ADT1|KGH|EHR|KGH|20260105080000+0800||ADT^A01^ADT_A01|%d|P|2.5.1\r"
    b'EVN|A01|20260105080000+0800\rPID|1||S%d^^^KGH^MR||TAN^MEI||19700101|F|||||||""\rPV1|1|I|W1^1^2^KGH\r'
)
LOCATION = re.compile(r"[A-Z][A-Z0-9]{2}\[[1-9]\d*\](-[1-9]\d*(\[[1-9]\d*\])?(\.[1-9]\d*(\.[1-9]\d*)?)?)?")
CALL = [sys.executable, "-c", "from adapters.cli import main; main()", "convert"]


def convert(tmp_path, *paths, wanted=Format.AUTO):
    """Exit status and lines."""
    out = tmp_path / "converted.out"
    status = convert_command([Path(p) for p in paths], wanted, str(out), ner=False)
    return status, [json.loads(line) for line in out.read_bytes().splitlines()]


def test_a_line_has_the_promised_keys_and_no_others(tmp_path):
    """Whoever reads the lines by name finds these, of these kinds, whatever became of the message."""
    (tmp_path / "a.hl7").write_bytes(ADT % (1, 1))
    (tmp_path / "b.hl7").write_bytes(b"no HL7")
    status, lines = convert(tmp_path, tmp_path / "a.hl7", tmp_path / "b.hl7")
    assert status == 0
    assert [line["outcome"] for line in lines] == ["accepted", "rejected"]
    for line in lines:
        assert list(line) == ["source", "outcome", "bundle", "issues", "unmapped", "cleared", "coverage"]
        assert list(line["source"]) == ["path", "index", "message_type", "control_id", "charset"]
        assert all(
            list(issue) == ["severity", "code", "location", "message", "action"] for issue in line["issues"]
        )
        assert all(list(row) == ["location", "reason"] for row in line["unmapped"])
    accepted, rejected = lines
    assert accepted["bundle"]["resourceType"] == "Bundle"
    assert accepted["source"]["message_type"] == "ADT^A01^ADT_A01"
    assert accepted["cleared"] == ["PID[1]-15"]
    assert rejected["bundle"] is None
    assert rejected["issues"][-1]["severity"] == "error"
    assert rejected["issues"][-1]["action"]


def test_locations_are_written_as_promised(tmp_path, root):
    """SEG[n]-f[r].c.s in every line that the project's own HL7 fixtures give."""
    status, lines = convert(tmp_path, root / "fixtures" / "hl7v2")
    assert status == 0
    told = [
        row["location"] for line in lines for row in (*line["unmapped"], *line["issues"]) if row["location"]
    ]
    told += [location for line in lines for location in line["cleared"]]
    odd = {location for location in told if not LOCATION.fullmatch(location)}
    assert len(told) > 500
    assert not odd


def test_each_file_counts_its_messages_from_zero(tmp_path):
    """Also when two files given have one name, and when a broken file stands between."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.hl7").write_bytes(ADT % (1, 1) + ADT % (2, 2))
    _, lines = convert(tmp_path, tmp_path / "a" / "x.hl7", tmp_path / "b" / "x.hl7", tmp_path / "a")
    assert [(line["source"]["path"], line["source"]["index"]) for line in lines] == [
        ("x.hl7", 0),
        ("x.hl7", 1),
    ] * 3


def test_a_file_that_can_not_be_read_has_a_line(tmp_path):
    """A dangling link, an empty file, raw bytes, a name that is no text: each is told, none ends the run."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.hl7").symlink_to("nowhere")
    (folder / "b.hl7").write_bytes(b"")
    (folder / "c.bin").write_bytes(bytes(range(256)) * 16)
    (folder / "d\udce9.hl7").write_bytes(ADT % (1, 1))
    status, lines = convert(tmp_path, folder)
    assert status == 0
    assert [line["outcome"] for line in lines] == ["rejected"] * 3 + ["accepted"]
    assert [line["source"]["path"] for line in lines] == ["a.hl7", "b.hl7", "c.bin", r"d\xe9.hl7"]


def test_a_segment_of_20_mb_is_converted(tmp_path):
    """A scanned document in an OBX is no reason to lose the message."""
    large = ADT % (1, 1) + b"OBX|1|ED|PDF^Scan||^AP^^Base64^" + b"QUJD" * 5_000_000 + b"||||||F\r"
    (tmp_path / "large.hl7").write_bytes(large)
    status, (line,) = convert(tmp_path, tmp_path / "large.hl7")
    assert status == 0
    assert line["outcome"] == "accepted"


def test_a_message_over_the_limit_says_how_to_raise_it(tmp_path, monkeypatch):
    """Refused with its size and the setting to change; the next one is read."""
    monkeypatch.setenv("WARDSTREAM_READ__MAX_MESSAGE_BYTES", "5000")
    (tmp_path / "a.hl7").write_bytes(ADT % (1, 1) + b"NTE|1||" + b"x" * 3_000_000 + b"\r" + ADT % (2, 2))
    _, (first, second) = convert(tmp_path, tmp_path / "a.hl7")
    assert (first["outcome"], second["outcome"]) == ("rejected", "accepted")
    assert first["source"]["control_id"] == "1"
    assert "WARDSTREAM_READ__MAX_MESSAGE_BYTES" in first["issues"][-1]["action"]


def test_writing_into_the_folder_that_is_read_ends(tmp_path):
    """The file being written is not read; a file from the call before is replaced, not converted again."""
    (tmp_path / "a.hl7").write_bytes(ADT % (1, 1))
    for _ in range(2):
        _, lines = convert(tmp_path, tmp_path)
        assert [line["source"]["path"] for line in lines] == ["a.hl7"]


def test_lines_come_while_the_input_is_still_coming():
    """From a pipe that stays open the first outcome is there before the last message is: memory does not grow with the input."""
    with subprocess.Popen(
        [*CALL, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        # A message is known to be whole when the next begins, and to end no batch when that one is whole.
        process.stdin.write(ADT % (1, 1) + ADT % (2, 2) + ADT % (3, 3))
        process.stdin.flush()
        first = json.loads(process.stdout.readline())
        assert (first["source"]["path"], first["source"]["control_id"]) == ("-", "1")
        rest, told = process.communicate(ADT % (4, 4), timeout=60)
    assert [json.loads(line)["source"]["index"] for line in io.BytesIO(rest)] == [1, 2, 3]
    assert process.returncode == 0
    assert b"4 messages: 4 accepted, 0 rejected" in told


def test_a_reader_that_goes_away_ends_it_quietly(tmp_path):
    """``wardstream convert folder | head -1``: it ends without a word, and not as if all had been converted."""
    (tmp_path / "a.hl7").write_bytes(b"".join(ADT % (n, n) for n in range(20)))
    with subprocess.Popen([*CALL, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(60) == 1


@pytest.mark.parametrize(("wanted", "outcome"), [(Format.FHIR, "rejected"), (Format.HL7V2, "accepted")])
def test_the_format_can_be_said(tmp_path, wanted, outcome):
    """--from wins over what the file looks like."""
    (tmp_path / "a.txt").write_bytes(ADT % (1, 1))
    _, (line,) = convert(tmp_path, tmp_path / "a.txt", wanted=wanted)
    assert line["outcome"] == outcome
