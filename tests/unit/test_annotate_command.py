"""``wardstream annotate``: what is printed, and that offsets index the file as it is."""

import errno
import io
import json
import sys

import pytest
from typer.testing import CliRunner

from adapters.cli import app
from engine.errors import ReadError, SettingsError, TooLargeError

TEXT = "PMHx: asthma\r\n\r\nDenies fever. \U0001f637 cafe\u0301 &amp; \\.br\\ on metformin 500 mg BD\r\n"


@pytest.fixture(autouse=True)
def by_rules(monkeypatch, tmp_path):
    monkeypatch.setenv("WARDSTREAM_NLP__EXTRACTOR", "rules")
    monkeypatch.chdir(tmp_path)


def run(*arguments, text=TEXT, code=0):
    with open("note.txt", "wb") as file:  # noqa: PTH123 - in the test's own folder
        file.write(text if isinstance(text, bytes) else text.encode())
    result = CliRunner().invoke(app, ["annotate", "note.txt", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def entities(*arguments, **choices):
    return [json.loads(line) for line in run(*arguments, **choices).stdout.splitlines()]


def test_an_entity_is_a_line_and_its_offsets_index_the_file():
    """CRLF, emoji, combining marks, HTML entities and HL7 escapes move an entity, and nothing else."""
    found = entities()
    assert [TEXT[e["start"] : e["end"]] for e in found] == [e["text"] for e in found]
    assert {(e["text"], e["label"], e["assertion"]) for e in found} >= {
        ("asthma", "PROBLEM", "historical"),
        ("fever", "PROBLEM", "negated"),
        ("metformin", "MEDICATION", "present"),
    }
    medicine = next(e for e in found if e["text"] == "metformin")
    assert [found[at]["label"] for at in medicine["related"]] == ["DOSAGE"]


def test_a_byte_order_mark_counts_as_the_character_it_is():
    """Whoever reads the file as UTF-8 finds the same words at the offsets."""
    text = "\ufeff" + TEXT
    assert all(text[e["start"] : e["end"]] == e["text"] for e in entities(text=text))


def test_standard_input(monkeypatch):
    """FILE - is standard input."""
    result = CliRunner().invoke(app, ["annotate", "-"], input=b"He has asthma and fever.")
    assert [json.loads(line)["text"] for line in result.stdout.splitlines()] == ["asthma", "fever"]


@pytest.mark.parametrize("text", ["", " ", "\r\n\r\n", "\x00", "\ufeff"])
def test_a_text_without_words_gives_no_lines(text):
    """And no error."""
    assert entities(text=text) == []


def test_the_whole_reading_as_one_object():
    """Who read it, in which language, and what was not read."""
    body = json.loads(
        run("--format", "json", text="患者主诉乡下拜神两天, has fever and cough since Monday").stdout
    )
    assert body["models"][0]["id"] == "wardstream-rules"
    assert body["languages_not_read"] == [{"start": 4, "end": 10, "language": "zh"}]
    assert body["issues"][0]["code"] == "language-not-read"


def test_text_that_nobody_reads_is_told_beside_the_lines():
    """Standard output stays a line an entity; the warning goes to standard error and quotes nothing."""
    result = run(text="患者主诉乡下拜神两天, has fever")
    assert [json.loads(line)["text"] for line in result.stdout.splitlines()] == ["fever"]
    assert "look like zh" in result.stderr
    assert "胸痛" not in result.stderr


def test_marked_text_without_colours():
    """Readable in a pipe."""
    out = run("--format", "text", text="Denies fever, on metformin.").stdout
    assert out == "Denies [PROBLEM negated: fever], on [MEDICATION: metformin].\n"


def test_marked_text_in_colours():
    """Asked for, it is coloured even into a file."""
    out = run("--format", "text", "--colour", text="Has asthma.").stdout
    assert "\x1b[31masthma\x1b[0m" in out


@pytest.mark.parametrize("colour", ["--colour", "--no-colour"])
def test_a_note_can_not_command_the_terminal(colour):
    """Escape sequences in a note are shown, not obeyed: neither outside of entities nor inside."""
    out = run("--format", "text", colour, text="\x1b]0;owned\x07 has \x9b2J asthma\x1b[2J fever\r").stdout
    assert "\x1b]" not in out
    assert "\x9b" not in out
    assert "\x1b[2J" not in out
    assert "asthma" in out


def test_another_encoding():
    """Named, it is used; offsets are characters all the same."""
    found = entities("--encoding", "cp1252", text="Café visit: has asthma".encode("cp1252"))
    assert [(e["start"], e["text"]) for e in found] == [(16, "asthma")]


def test_what_can_not_be_read_says_what_to_do():
    """A wrong encoding, an unknown one, no file."""
    with pytest.raises(ReadError, match="--encoding"):
        run(text=b"fever \xff")
    with pytest.raises(SettingsError, match="no encoding"):
        run("--encoding", "klingon")
    with pytest.raises(SettingsError, match="can't be read"):
        CliRunner().invoke(app, ["annotate", "nowhere.txt"], catch_exceptions=False)


def test_the_long_note_of_many_lines_is_read_to_its_end():
    """A hundred thousand characters."""
    text = "He has asthma. Denies fever.\n" * 3500
    found = entities(text=text)
    assert len(found) == 7000
    assert text[found[-1]["start"] : found[-1]["end"]] == "fever"


def test_convert_tells_a_note_that_could_not_be_read(monkeypatch):
    """Among its issues, and the other notes are read: one bad note costs no message its outcome."""
    from adapters.annotating import NoteReader
    from adapters.note_readers import make_readers
    from engine.records import Note
    from engine.settings import Nlp, Settings

    settings = Settings(nlp=Nlp(max_note_chars=100, extractor="rules"))
    notes = (Note("a", "fever " * 40, element="text"), Note("b", "He has asthma now."))
    first, second = NoteReader(settings, make_readers(settings)).read(notes)
    assert [issue["code"] for issue in first["issues"]] == ["too-large"]
    assert [entity["text"] for entity in second["entities"]] == ["asthma"]


def test_a_closed_pipe_ends_it_without_a_traceback(monkeypatch):
    """``wardstream annotate x | head``: the reader has gone, which needs no words."""

    class Closed(io.StringIO):
        def write(self, _text):
            raise BrokenPipeError(errno.EPIPE, "gone")

        def writelines(self, _lines):
            raise BrokenPipeError(errno.EPIPE, "gone")

    with open("note.txt", "w") as file:  # noqa: PTH123 - in the test's own folder
        file.write("He has asthma.")
    monkeypatch.setattr(sys, "stdout", Closed())
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(sys, "argv", ["wardstream", "annotate", "note.txt"])
    from adapters.cli import main

    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1


def test_a_file_that_is_no_note_is_not_read_to_its_end():
    """A pipe without an end or a backup by mistake: refused by its size before it fills the memory."""
    with pytest.raises(TooLargeError) as told:
        run(text=b"x" * 800_001)
    assert "nlp.max_note_chars" in told.value.action


@pytest.mark.parametrize("encoding", ["unicode_escape", "undefined"])
def test_text_that_no_output_could_hold_is_refused(encoding):
    """Half of a surrogate pair can't be printed; a codec that only raises is no encoding."""
    with pytest.raises(ReadError):
        run("--encoding", encoding, text=b"fever \\ud800")
