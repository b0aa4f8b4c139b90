"""Every command called wrongly: plain words on standard error, exit status 2, never a traceback."""

import os
import shlex
import subprocess
import sys

import click
import pytest
from typer.main import get_command

from adapters import cli


def commands(command, path=()):
    """Every command there is, as the words that call it."""
    if not isinstance(command, click.Group) and not hasattr(command, "commands"):
        yield path
        return
    for name, each in command.commands.items():
        yield from commands(each, (*path, name))


EVERY = sorted(commands(get_command(cli.app)))
ADDRESS = "mllp://127.0.0.1:1"
WRONG = [
    (["convert", "nope"], "nope"),
    (["convert", "gone.hl7"], "its target is gone"),
    (["convert", "a.hl7", "nope"], "nope"),
    (["convert", "a.hl7", "--from", "pdf"], "pdf"),
    (["convert", "a.hl7", "--out", "nope/x"], "--out"),
    (["convert", "a.hl7", "--out", "."], "--out"),
    (["convert", "a.hl7", "--out", "a.hl7"], "--out"),
    (["validate", "nope"], "nope"),
    (["validate", "a.hl7", "--profile", "nope"], "profile"),
    (["validate", "a.hl7", "--profile", "a.hl7"], "neither XML nor"),
    (["annotate", "nope"], "nope"),
    (["annotate", "."], "directory"),
    (["annotate", "a.hl7", "--encoding", "klingon"], "klingon"),
    (["maps", "check", "--overlay", "nope"], "nope"),
    (["maps", "show", "?"], "PID-3.4"),
    (["models", "evaluate", "nope", "--data", "nope"], "--data"),
    (["models", "evaluate", "rules", "--data", ".", "--html", "nope/page.html"], "--html"),
    (["models", "evaluate", "rules", "--data", "a.hl7"], "no annotated text"),
    (["models", "list", "--store", "nope"], "--store"),
    (["models", "show", "nope"], "no model artifact"),
    (["models", "promote", "nope", "--data", "."], "--store"),
    (["models", "flags", "list"], "WARDSTREAM_KAFKA__BROKERS"),
    (["models", "flags", "export", "--out", "nope/x"], "--out"),
    (["flag", "1", "0", "5", "--verdict", "wrong", "--label", "problem", "--user", "x"], "NOTE-ID"),
    (["flag", "1", "0", "5", "--verdict", "changed", "--label", "problem", "--user", "x"], "--correct"),
    (["bench", "poetry"], "poetry"),
    (["dlq", "save", "a.hl7"], "a.hl7"),
    (["run"], "WARDSTREAM_KAFKA__BROKERS"),
    (["run", "--roles", "cook"], "cook"),
    (["run", "--roles", ""], "--roles"),
    (["console"], "WARDSTREAM_KAFKA__BROKERS"),
    (["demo", "--fixtures", "nope"], "fixtures"),
    (["trace", "X"], "outcomes.ndjson"),
    (["replay"], "replay PATH"),
    (["replay", "a.hl7"], "WARDSTREAM_KAFKA__BROKERS"),
    (["replay", "nope", "--to", ADDRESS], "nope"),
    (["replay", "a.hl7", "--generate", "adt"], "not both"),
    (["replay", "--generate", "poem", "--to", ADDRESS], "poem"),
    (["replay", "--generate", ",", "--to", ADDRESS], "kind"),
    (["replay", "--generate", "adt", "--to", "ftp://host"], "ftp://host"),
    (["replay", "--generate", "adt", "--to", "mllp://host"], "mllp://host"),
    (["replay", "--generate", "adt", "--to", "mllp://host:port"], "mllp://host:port"),
    (["replay", "--generate", "adt", "--rate", "-1", "--to", ADDRESS], "--rate"),
    (["replay", "--generate", "adt", "--loop", "-1", "--to", ADDRESS], "--loop"),
    (["replay", "--generate", "adt", "--count", "0", "--to", ADDRESS], "--count"),
    (["dlq", "list"], "WARDSTREAM_KAFKA__BROKERS"),
    (["dlq", "save", "folder"], "WARDSTREAM_KAFKA__BROKERS"),
    (["dlq", "replay"], "WARDSTREAM_KAFKA__BROKERS"),
    (["drift"], "WARDSTREAM_KAFKA__BROKERS"),
    (["drift", "--since", "-1"], "--since"),
]


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Call the command as a shell would, in a folder with one good file and one dangling link."""
    for name in [name for name in os.environ if name.startswith("WARDSTREAM_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.hl7").write_bytes(b"MSH|^~\\&|A|B|C|D|20260105080000+0800||ADT^A01|1|P|2.5.1\r")
    (tmp_path / "gone.hl7").symlink_to("nowhere")

    def call(*words):
        monkeypatch.setattr("sys.argv", ["wardstream", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, capsys.readouterr()

    return call


@pytest.mark.parametrize(("words", "says"), WRONG, ids=lambda value: " ".join(value) if value else "")
def test_a_wrong_call_is_told_in_plain_words(call, words, says):
    """What was wrong is named, and the status says that it was the call."""
    code, told = call(*words)
    assert code == 2
    assert says in told.err
    assert "Traceback" not in told.err
    assert told.out == ""


@pytest.mark.parametrize("command", EVERY, ids=" ".join)
def test_an_unknown_option_is_refused_by_every_command(call, command):
    """A typing error in an option must not be taken for something else."""
    code, told = call(*command, "--no-such-option")
    assert code == 2
    assert "--no-such-option" in told.err


@pytest.mark.parametrize("command", EVERY, ids=" ".join)
def test_every_command_explains_itself(call, command):
    """--help works without broker, settings or packages of the extras."""
    code, told = call(*command, "--help")
    assert code == 0
    assert "Usage: wardstream" in told.out


def test_a_wrong_call_writes_nothing(call, tmp_path):
    """The result of an earlier run survives a typing error in the next call."""
    (tmp_path / "out.ndjson").write_text("kept\n", encoding="utf-8")
    assert call("convert", "nope", "--out", "out.ndjson")[0] == 2
    assert (tmp_path / "out.ndjson").read_text(encoding="utf-8") == "kept\n"


def test_a_broken_setting_is_told_in_plain_words(call, monkeypatch):
    """A value that is no number names its variable."""
    monkeypatch.setenv("WARDSTREAM_MLLP__PORT", "many")
    code, told = call("run", "--embedded")
    assert code == 2
    assert "port" in told.err
    assert "Traceback" not in told.err


CALL = [sys.executable, "-c", "from adapters.cli import main; main()"]


def shell(tmp_path, line):
    """Run a line of shell in which ``w`` is the command; returns the exit status and standard error."""
    script = f'w() {{ {shlex.join(CALL)} "$@"; }}; {line}'
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )
    return done.returncode, done.stderr.decode()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.hl7").write_bytes(b"MSH|^~\\&|A|B|C|D|20260105080000+0800||ADT^A01|1|P|2.5.1\r")
    (tmp_path / "many").mkdir()
    for n in range(40):
        (tmp_path / "many" / f"{n}.hl7").write_bytes((tmp_path / "a.hl7").read_bytes())
    return tmp_path


@pytest.mark.parametrize(
    ("line", "status", "says"),
    [
        ("w convert - <&-", 2, "Standard input is closed"),
        ("w validate - <&-", 2, "Standard input is closed"),
        ("w annotate - <&-", 2, "Standard input is closed"),
        ("w convert a.hl7 >&-", 2, "Standard output is closed"),
        ("w validate a.hl7 >&-", 2, "Standard output is closed"),
        ("w convert a.hl7 >/dev/full", 1, "No space left"),
        ("w validate many >/dev/full", 1, "No space left"),
        ("echo He has asthma. | w annotate - >/dev/full", 1, "No space left"),
        ("w models list >/dev/full", 1, "No space left"),
        ("w convert a.hl7 --out /dev/full", 1, "No space left"),
        ("w convert a.hl7 --out out.json 2>&-; test -s out.json", 0, ""),
    ],
)
def test_closed_and_full_streams_are_told_in_plain_words(folder, line, status, says):
    """A script that calls it wrongly, and a disk that is full, are told apart, and neither is a traceback."""
    code, told = shell(folder, line)
    assert (code, "Traceback" in told, "Exception ignored" in told) == (status, False, False), told
    assert says in told


@pytest.mark.parametrize("command", ["convert", "validate"])
def test_a_reader_that_has_seen_enough_ends_the_command_quietly(folder, command):
    """As in ``wardstream convert folder | head -1``."""
    code, told = shell(folder, f"w {command} many many many | head -c 1 >/dev/null; exit ${{PIPESTATUS[0]}}")
    assert code in {0, 1}
    assert "Traceback" not in told
    assert "Exception ignored" not in told


@pytest.mark.parametrize("command", ["convert", "validate"])
def test_what_is_being_written_is_not_read_too(folder, command):
    """``wardstream convert . > out.ndjson`` would read its own lines for ever."""
    code, told = shell(folder, f"w {command} . > out.ndjson")
    assert code in {0, 1}
    assert "41 messages" in told
