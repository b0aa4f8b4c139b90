"""Every command called wrongly: plain words on standard error, exit status 2, never a traceback."""

import os

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
