"""Files as a source of messages: what is found, in which order, and what happens with what can't be read."""

import gzip
import os
import sys
from pathlib import Path

import pytest

from adapters.replay.sources import CHUNK_BYTES, Format, messages
from engine.errors import ReadError, SettingsError
from engine.fhir.reader import read_documents
from engine.records import Kind
from engine.settings import Read

ADT = b"MSH|^~\\&|A|B|C|D|20260105080000+0800||ADT^A01|%d|P|2.5.1\rPID|1||X\r"
LIMIT = 1_000_000


def read(*paths, wanted=Format.AUTO, limit=LIMIT, besides=None):
    return list(messages([Path(p) for p in paths], wanted, limit=limit, besides=besides))


def names(*paths, **options):
    return [message.path for message in read(*paths, **options)]


def test_a_folder_is_walked_in_order_of_name(tmp_path):
    """The order is the same on every file system; paths are relative to what was given."""
    for name in ("b.hl7", "a/z.hl7", "a b/y y.hl7", "c.hl7"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(ADT % 1)
    assert names(tmp_path) == ["a/z.hl7", "a b/y y.hl7", "b.hl7", "c.hl7"]
    assert names(tmp_path / "a b" / "y y.hl7") == ["y y.hl7"]


def test_an_empty_folder_holds_no_message(tmp_path):
    """That is no error: nothing was left out."""
    assert read(tmp_path) == []


def test_hidden_files_and_those_beside_messages_are_left_out_of_folders_only(tmp_path):
    """A README in a folder of messages is none; one that is named was meant."""
    for name in (".hidden.hl7", "README.md", ".git/x.hl7", "a.hl7"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(ADT % 1)
    assert names(tmp_path) == ["a.hl7"]
    assert names(tmp_path / "README.md", tmp_path / ".hidden.hl7") == ["README.md", ".hidden.hl7"]


def test_links_are_read_and_loops_are_not_walked(tmp_path):
    """A link to a file is a file; a folder that links to its parent doesn't keep the walk going for ever."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "a.hl7").write_bytes(ADT % 1)
    (folder / "link.hl7").symlink_to(tmp_path / "a.hl7")
    (folder / "loop").symlink_to(folder)
    assert names(folder) == ["link.hl7"]


def test_a_link_to_nothing_has_an_outcome(tmp_path):
    """What a folder lists and can't be read is told, not passed over."""
    (tmp_path / "gone.hl7").symlink_to("nowhere")
    (message,) = read(tmp_path)
    assert "No such file" in message.failure.message
    with pytest.raises(SettingsError):
        read(tmp_path / "gone.hl7")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_has_an_outcome(tmp_path):
    """No permission for a file or a folder in the middle: told in its place, and the rest is read."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "hidden.hl7").write_bytes(ADT % 1)
    (tmp_path / "a.hl7").write_bytes(ADT % 1)
    (tmp_path / "c.hl7").write_bytes(ADT % 1)
    (tmp_path / "a.hl7").chmod(0)
    (tmp_path / "b").chmod(0)
    try:
        found = read(tmp_path)
    finally:
        (tmp_path / "b").chmod(0o700)
    assert [(m.path, m.failure is None) for m in found] == [("a.hl7", False), ("b", False), ("c.hl7", True)]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_name_that_is_no_text_gets_escapes(tmp_path):
    """File names are bytes. What is shown must be text that JSON and Kafka headers can hold."""
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.hl7")).write_bytes(ADT % 1)
    (name,) = names(tmp_path)
    assert name == r"caf\xe9.hl7"
    name.encode("utf-8")


def test_a_pipe_is_read_like_a_file(tmp_path):
    """``convert /dev/stdin`` and a shell's ``<(...)``: named on the command line they are read, plain or packed."""
    for content in (ADT % 1, gzip.compress(ADT % 1)):
        reader, writer = os.pipe()
        os.write(writer, content)
        os.close(writer)
        try:
            (message,) = read(f"/dev/fd/{reader}")
        finally:
            os.close(reader)
        assert message.payload.startswith(b"MSH")


def test_a_pipe_in_a_folder_is_not_waited_for(tmp_path):
    """Nobody may ever write to it."""
    os.mkfifo(tmp_path / "a.hl7")
    assert read(tmp_path) == []


def test_the_file_that_is_being_written_is_no_source(tmp_path):
    """Else its own lines would be read as they are written, for ever."""
    (tmp_path / "a.hl7").write_bytes(ADT % 1)
    (tmp_path / "out.ndjson").write_bytes(b"{}\n")
    assert names(tmp_path, besides=tmp_path / "out.ndjson") == ["a.hl7"]


@pytest.mark.parametrize("cut", [1, 5, 20, -5])
def test_a_gzip_that_is_cut_off_says_so_behind_what_could_be_read(tmp_path, cut):
    """The whole messages before the cut have their outcomes, and the loss has one."""
    whole = b"".join(ADT % n for n in range(3))
    (tmp_path / "a.hl7.gz").write_bytes(gzip.compress(whole)[:cut])
    *_, last = read(tmp_path)
    assert last.failure is not None or cut == 1  # one byte is no gzip, and no HL7 either
    assert names(tmp_path) == ["a.hl7.gz"] * len(read(tmp_path))


def test_bytes_of_no_format_are_one_message_that_will_be_refused(tmp_path):
    """Binary, empty, or a lone JSON brace: each file gives one message, so that each has an outcome."""
    for name, content in {"a.bin": bytes(range(256)), "b.hl7": b"", "c.json": b"", "d": b"{"}.items():
        (tmp_path / name).write_bytes(content)
    assert names(tmp_path) == ["a.bin", "b.hl7", "c.json", "d"]


def test_lines_are_messages_of_their_own(tmp_path):
    """One bad line of NDJSON does not take its neighbours with it, wherever it stands."""
    lines = [b'{"resourceType":"Patient","id":"%d"}' % n for n in range(3)]
    for number, bad in enumerate((b"no json", b'{"resourceType":', b"[")):
        for place in range(1, 4):
            mixed = [*lines[:place], bad, *lines[place:]]
            path = tmp_path / f"{number}-{place}.ndjson"
            path.write_bytes(b"\r\n".join(mixed))
            assert [m.payload for m in read(path)] == mixed


@pytest.mark.parametrize("bad", [b"no json", b'{"resourceType":'])
def test_a_first_line_that_is_bad_does_not_make_one_message_of_all(tmp_path, bad):
    """The name says NDJSON, so that lines are lines whatever the first one holds."""
    good = b'{"resourceType":"Patient"}'
    (tmp_path / "a.ndjson").write_bytes(bad + b"\n" + good + b"\n" + good)
    assert [m.payload for m in read(tmp_path)] == [bad, good, good]


@pytest.mark.parametrize("name", ["a.json", "a.ndjson"])
def test_a_json_file_over_many_lines_is_one_message(tmp_path, name):
    """Laid out for people: its lines are no messages."""
    (tmp_path / name).write_bytes(b'{\n "resourceType": "Patient",\n "name": [{}]\n}\n')
    assert len(read(tmp_path)) == 1


@pytest.mark.parametrize("name", ["a.hl7", "a.json", "a.ndjson"])
def test_a_huge_message_is_kept_up_to_the_limit(tmp_path, name):
    """Its rest is counted, not held: memory is bounded, and the next message is read."""
    if name == "a.hl7":
        body = [ADT % 1 + b"NTE|1||" + b"x" * (3 * LIMIT) + b"\r", ADT % 2]
    else:
        body = [b'{"a": "' + b"x" * (3 * LIMIT) + b'"}']
        body += [b"\n{}"] if name == "a.ndjson" else []
    (tmp_path / name).write_bytes(b"".join(body))
    first, *rest = read(tmp_path)
    kept = len(first.payload)
    assert LIMIT <= kept <= LIMIT + CHUNK_BYTES
    assert first.left_out + kept == len(body[0].rstrip(b"\r"))
    assert [message.left_out for message in rest] == [0] * (len(body) - 1)


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_lines_of_wide_characters_are_not_cut_in_the_middle_of_one(tmp_path, codec):
    """In UTF-16 a line end is two bytes: split at one, every other line would be noise."""
    lines = [f'{{"resourceType":"Patient","id":"p{n}","name":[{{"family":"\u0a0a"}}]}}' for n in range(3)]
    (tmp_path / "a.ndjson").write_bytes("\n".join(lines).encode(codec))
    documents = [d for m in read(tmp_path / "a.ndjson") for d in read_documents(m.payload, Read())]
    assert [(d.resource.get("id"), d.error) for d in documents] == [("p0", None), ("p1", None), ("p2", None)]


def test_xml_is_given_to_the_reader_that_knows_what_it_is(tmp_path):
    """FHIR as XML is refused as such, and not as HL7 v2 without MSH."""
    (tmp_path / "a.xml").write_bytes(b'<Patient xmlns="http://hl7.org/fhir"/>')
    (message,) = read(tmp_path)
    with pytest.raises(ReadError, match="XML"):
        list(read_documents(message.payload, Read()))


def test_other_markup_is_no_fhir(tmp_path):
    """A gateway's error page in a feed's folder goes the way of the feed, and is refused there as no HL7 v2."""
    (tmp_path / "a.hl7").write_bytes(b"<!DOCTYPE html>\n<html><body>502 Bad Gateway</body></html>\n")
    (message,) = read(tmp_path)
    assert message.kind is Kind.HL7V2


def test_every_hl7v2_fixture_can_go_over_mllp(root):
    """The demo sends the whole folder over MLLP, what is broken too, and fails where one is never answered."""
    assert {message.kind for message in read(root / "fixtures" / "hl7v2")} == {Kind.HL7V2}
