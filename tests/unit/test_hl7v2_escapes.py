r"""Escape sequences of HL7 v2.5.1 §2.7, one row each."""

from __future__ import annotations

import pytest

from engine.hl7v2 import er7
from engine.hl7v2.delimiters import Delimiters
from engine.hl7v2.escapes import escape_text, strange_escapes, unescape

D = Delimiters()


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (r"a\F\b", "a|b"),
        (r"a\S\b", "a^b"),
        (r"a\T\b", "a&b"),
        (r"a\R\b", "a~b"),
        (r"a\E\b", "a\\b"),
        (r"\E\E\E\E\E\\", "\\E\\E\\\\"),
        (r"\X41\\X0D0A\x", "A\r\nx"),
        (r"\XE4BDA0\!", "你!"),
        (r"\XE9\t", "ét"),
        (r"one\.br\two", "one\ntwo"),
        (r"one\.sp\two", "one\ntwo"),
        (r"one\.sp3\two", "one\n\n\ntwo"),
        (r"one\.sp+2\two", "one\n\ntwo"),
        (r"a\.sk4\b", "a    b"),
        (r"\.ce\Title\.br\x", "\nTitle\nx"),
        (r"\.in+5\indented\.ti-3\less", "indentedless"),
        (r"\.fi\\.nf\plain", "plain"),
        (r"a\.in\b\.ti\c", "abc"),
        (r"a\.sk\b", "a b"),
        (r"\H\bold\N\ thin", "bold thin"),
        (r"Mr \M2442\;3ED\C2842\!", "Mr 山田!"),
        ("\\M2442\\M\\F\\\\C2842\\", "梨"),
        ("\\E\\C2842\\E\\", "\\C2842\\"),
        (r"\C2842\x", "x"),
    ],
)
def test_sequences_decode(raw, text):
    """Each sequence the standard defines becomes the text it stands for."""
    assert unescape(raw, D) == text


@pytest.mark.parametrize(
    ("raw", "kinds"),
    [
        ("C:\\temp", ["lone"]),
        ("half \\F", ["lone"]),
        (r"\Zlocal\x", ["local"]),
        (r"\C2D41\x", ["charset"]),
        (r"\M262141\x", ["charset"]),
        (r"\C28\x", ["charset"]),
        (r"\XZZ\x", ["lone", "lone"]),
        (r"\X4\x", ["lone", "lone"]),
        (r"\Q\x", ["lone", "lone"]),
        (r"\.xx\ ", ["lone", "lone"]),
        ("plain", []),
        (r"fine\F\ ", []),
    ],
)
def test_what_is_no_sequence_stays_as_text_and_is_named(raw, kinds):
    """A backslash that escapes nothing is part of the text; nothing of the text is lost."""
    assert unescape(raw, D) == raw or kinds == []
    assert strange_escapes(raw, D) == kinds


def test_a_path_next_to_a_real_escape_keeps_both():
    r"""``C:\x`` before ``\T\``: the lone backslash must not swallow the sequence."""
    assert unescape(r"C:\x \T\ y", D) == "C:\\x & y"


def test_without_an_escape_character_nothing_is_decoded():
    """A sender that declares no escape character means backslashes as they are."""
    assert unescape(r"\F\x", Delimiters(escape="")) == r"\F\x"


def test_escaping_round_trips_every_delimiter_and_line_break():
    """What we write, we read."""
    text = "a|b^c~d\\e&f\rg\nh"
    assert unescape(escape_text(text, D), D) == text


def test_an_escape_character_of_iso_2022_in_a_value_is_text():
    """ESC kept as text, beside a written escape: writing and reading again must not make a switch of it."""
    kept = "\x1b$B;3\\C2842\\|"
    assert unescape(escape_text(kept, D), D) == kept


def test_hexadecimal_bytes_of_another_set_are_kept_and_reported():
    r"""``\X8E52\`` is a character in Shift-JIS and two that nobody wrote in Latin-1: it stays as it came."""
    m = er7.parse("MSH|^~\\&|A|B|C|D|2026||ADT^A01|1|P|2.5\rNTE|1||\\X8E52\\ and \\XE9\\\r")
    assert m.get("NTE-3") == "\\X8E52\\ and é"
    assert [(i.code, i.location) for i in er7.escape_issues(m)] == [("escape-unknown", "NTE[1]-3")]
