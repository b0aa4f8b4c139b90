"""``wardstream bench``: what it runs, and what it says where it can't."""

from __future__ import annotations

import dataclasses

import pytest

from adapters import benching
from adapters.benching import PARTS, Part, bench_command
from engine.errors import SettingsError


def test_every_part_is_a_script_of_the_checkout(root):
    """A part whose script was renamed would only be missed by whoever runs the benchmarks next."""
    for part in PARTS.values():
        assert "def main(" in (root / "bench" / part.script).read_text(encoding="utf-8")


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with one script, which prints its arguments, or fails when told to."""
    scripts = tmp_path / "bench"
    scripts.mkdir()
    text = "import sys; print('measured', sys.argv[1:]); sys.exit('fail' in sys.argv)\n"
    (scripts / "bench_reader.py").write_text(text, encoding="utf-8")
    monkeypatch.setattr(benching, "__file__", str(tmp_path / "adapters" / "benching.py"))
    monkeypatch.setattr(benching, "PARTS", {"reader": Part("Reading", "bench_reader.py", ("--few",))})
    return tmp_path


def test_parts_run_in_processes_of_their_own_under_one_head(checkout, capfd):
    """The head names the machine, so that figures can be compared; quick passes the few rounds on."""
    assert bench_command([], quick=True) == 0
    out = capfd.readouterr().out
    assert out.startswith("wardstream ")
    assert "cores" in out
    assert "measured ['--few']" in out
    bench_command(["reader"], quick=False)
    assert "measured []" in capfd.readouterr().out


def test_a_part_that_fails_is_named_and_fails_the_call(checkout, monkeypatch, capfd):
    """A measurement that broke must not look like one that was made."""
    broken = dataclasses.replace(benching.PARTS["reader"], quick=("fail",))
    monkeypatch.setitem(benching.PARTS, "reader", broken)
    assert bench_command([], quick=True) == 1
    assert "Failed: reader" in capfd.readouterr().out


def test_a_part_that_lacks_what_it_needs_is_left_out_aloud(checkout, monkeypatch, capfd):
    """Without a shipped model there is nothing to measure, and it says so."""
    monkeypatch.setitem(benching.PARTS, "reader", Part("Notes", "bench_reader.py", needs="models/none"))
    assert bench_command([], quick=False) == 0
    assert "left out: there is no models/none" in capfd.readouterr().out


def test_outside_of_a_checkout_it_says_where_benchmarks_are(tmp_path, monkeypatch):
    """The scripts are not installed with the package."""
    monkeypatch.setattr(benching, "__file__", str(tmp_path / "site" / "adapters" / "benching.py"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError) as caught:
        bench_command([], quick=True)
    assert "Clone the repository" in caught.value.action


def test_a_part_that_does_not_exist_is_told_with_those_that_do():
    with pytest.raises(SettingsError) as caught:
        bench_command(["disk"], quick=True)
    assert "reader" in caught.value.action
