"""Character sets: table 0211, trail bytes that look like delimiters, and declarations that lie."""

from __future__ import annotations

import pytest

from engine.errors import CharsetError
from engine.hl7v2 import er7
from engine.hl7v2.charset import decode


def build(charset: str, name: str) -> str:
    return f"MSH|^~\\&|A|B|C|D|20260101||ADT^A01|1|P|2.5|||||SGP|{charset}\rPID|1||9||{name}^X\r"


@pytest.mark.parametrize(
    ("declared", "codec", "name"),
    [
        ("ASCII", "ascii", "Tan"),
        ("8859/1", "iso8859-1", "Müller"),
        ("8859/2", "iso8859-2", "Łódź"),
        ("8859/5", "iso8859-5", "Иванов"),
        ("8859/7", "iso8859-7", "Σωκράτης"),
        ("8859/9", "iso8859-9", "İşık"),
        ("8859/15", "iso8859-15", "Œuvre€"),
        ("UNICODE", "utf-8", "陈小明"),
        ("UNICODE UTF-8", "utf-8", "வேலு"),
        ("UTF-8", "utf-8", "陈"),
        ("GB 18030-2000", "gb18030", "陈小明"),
        ("BIG-5", "big5", "許功蓋"),
        ("KS X 1001", "euc_kr", "김철수"),
        ("SHIFT-JIS", "cp932", "表示ソ"),
        ("WINDOWS-1252", "cp1252", "O’Brien–Tan"),
        ("~ISO IR87", "iso2022_jp_ext", "山田"),
        ("ISO IR14~ISO IR87", "iso2022_jp_ext", "山田"),
        ("ISO-8859-1", "iso8859-1", "é"),
    ],
)
def test_declared_sets_decode_and_encode_back(declared, codec, name):
    """Every set of table 0211 gives the name that was sent, and the same bytes again."""
    payload = build(declared, name).encode(codec)
    decoded = decode(payload)
    assert er7.parse(decoded).get("PID-5.1") == name
    assert decoded.encode() == payload
    assert decoded.issues == ()


@pytest.mark.parametrize(
    ("charset", "codec", "name"), [("BIG-5", "big5", "許功蓋"), ("GB 18030-2000", "gb18030", "乗丄")]
)
def test_trail_bytes_that_are_delimiters_do_not_split(charset, codec, name):
    """In Big5 and GB 18030 the second byte of a character may be a backslash, a bar or a caret."""
    encoded = name.encode(codec)
    assert set(encoded) & set(b"\\|^~&"), "the name must hold the trap"
    m = er7.read(build(charset, name).encode(codec))
    assert m.get("PID-5.1") == name
    assert m.get("PID-5.2") == "X"


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("bom", [True, False])
def test_wide_sets_are_known_by_mark_or_shape(codec, bom):
    """UTF-16 and UTF-32 are recognised with and without a byte order mark, whatever MSH-18 says."""
    payload = ("\ufeff" if bom else "").encode(codec) + build("UNICODE UTF-16", "陈").encode(codec)
    decoded = decode(payload)
    assert er7.parse(decoded).get("PID-5.1") == "陈"
    assert decoded.encode() == payload


def test_utf8_mark_is_taken_off():
    """A byte order mark in front of MSH is no character of the message."""
    decoded = decode(b"\xef\xbb\xbf" + build("", "é").encode())
    assert decoded.text.startswith("MSH")


def test_undeclared_valid_utf8_is_utf8():
    """Most senders that declare nothing send UTF-8, and its bytes prove it."""
    assert er7.read(build("", "陈").encode()).get("PID-5.1") == "陈"


def test_undeclared_other_bytes_are_refused_with_the_place():
    """Without declaration, proof or fallback there is no right answer, so there is none at all."""
    with pytest.raises(CharsetError) as caught:
        decode(build("", "Müller").encode("latin-1"))
    assert caught.value.location == "PID[1]-5"
    assert "fallback_charset" in caught.value.action


def test_fallback_of_the_feed_is_used_and_reported():
    """A site that knows its sender can say so once."""
    decoded = decode(build("", "Müller").encode("latin-1"), fallback="8859/1")
    assert "Müller" in decoded.text
    assert [i.code for i in decoded.issues] == ["charset-fallback"]


@pytest.mark.parametrize("declared", ["8859/1", "ASCII", "8859/15"])
def test_utf8_under_a_false_declaration_is_repaired_and_reported(declared):
    """Declared Latin-1, bytes UTF-8: never mojibake in silence."""
    decoded = decode(build(declared, "陈é").encode())
    assert "陈é" in decoded.text
    assert [i.code for i in decoded.issues] == ["charset-repaired"]
    assert declared in decoded.issues[0].message


def test_policy_refuse_repairs_nothing():
    """A feed may prefer a refusal to a repair."""
    with pytest.raises(CharsetError) as caught:
        decode(build("8859/1", "陈").encode(), policy="refuse")
    assert "8859/1" in caught.value.message


def test_latin1_with_windows_quotes_is_read_as_windows_1252():
    """0x80-0x9F are control characters in 8859/1 and quotation marks where the text came from."""
    decoded = decode(build("8859/1", "O’Brien").encode("cp1252"))
    assert "O’Brien" in decoded.text
    assert decoded.issues[0].code == "charset-repaired"
    assert decoded.issues[0].location == "PID[1]-5"


def test_wrong_bytes_for_utf8_are_refused_and_never_replaced():
    """No replacement character ever stands for a byte that was lost."""
    with pytest.raises(CharsetError) as caught:
        decode(build("UNICODE UTF-8", "é").encode("latin-1"))
    assert caught.value.location == "PID[1]-5"


def test_wrong_bytes_for_utf8_use_the_fallback_when_there_is_one():
    """Repair may use what the feed's profile states, and says that it did."""
    decoded = decode(build("UNICODE UTF-8", "é").encode("latin-1"), fallback="8859/1")
    assert "é" in decoded.text
    assert decoded.issues[0].code == "charset-repaired"


def test_declared_utf16_over_single_bytes_is_repaired():
    """A header that says 16 bits over bytes of 8 is a lie that the bytes themselves disprove."""
    decoded = decode(build("UNICODE UTF-16", "é").encode())
    assert "é" in decoded.text
    assert decoded.issues[0].code == "charset-repaired"


def test_unknown_declaration_counts_as_none_and_is_reported():
    """A name that table 0211 lacks must not stop a message whose bytes are clear."""
    decoded = decode(build("KLINGON", "é").encode())
    assert [i.code for i in decoded.issues] == ["charset-unknown"]


def test_cns_11643_is_refused_by_name():
    """A set without a codec is refused clearly instead of guessed."""
    with pytest.raises(CharsetError, match="CNS 11643"):
        decode(build("CNS 11643-1992", "x").encode())


def test_declaration_outside_of_the_message_counts_when_msh18_is_empty():
    """An HTTP header or a file's setting names the set when the message does not."""
    assert "é" in decode(build("", "é").encode("latin-1"), declared="8859/1").text


KOREAN = "김철수".encode("iso2022_kr").removeprefix(b"\x1b$)C")


@pytest.mark.parametrize(
    ("declared", "announced"),
    [
        ("KS X 1001", b""),
        ("ASCII~KS X 1001", b"\x1b$)C"),
        ("ISO-2022-KR", b"\x1b$)C"),
        ("ASCII", b"\x1b$)C"),
        ("", b"\x1b$)C"),
    ],
)
def test_seven_bit_shifts_are_followed_where_the_set_is_named(declared, announced):
    """ISO-2022-KR names its set once and shifts by SO and SI: the bytes between are no ASCII, whatever they look like."""
    assert KOREAN.startswith(b"\x0e")
    assert KOREAN.endswith(b"\x0f")
    payload = (
        build(declared, "@@").encode().replace(b"@@", announced + KOREAN + b"^Lee")
        + b"NTE|1||"
        + KOREAN
        + b"\r"
    )
    message = er7.read(payload)
    assert (message.get("PID-5.1"), message.get("PID-5.2"), message.get("NTE-3")) == (
        "김철수",
        "Lee",
        "김철수",
    )


def test_shifts_to_a_set_that_nothing_names_are_refused():
    """They would be read as letters that nobody wrote."""
    payload = build("ASCII", "@@").encode().replace(b"@@", KOREAN)
    with pytest.raises(CharsetError) as caught:
        decode(payload)
    assert "0E" in str(caught.value)
    assert "MSH-18" in caught.value.action


def test_a_stray_shift_is_a_control_character():
    """One SO in a text of a single-byte set turns no letters into others."""
    message = er7.read(build("8859/1", "M\u00fcl\x0eler").encode("latin-1"))
    assert message.get("PID-5.1") == "M\u00fcl\x0eler"


@pytest.mark.parametrize("name", [b"\x1b(I6@6E\x1b(B", b"\x1b)I\x0e6@6E\x0f", b"\x1b)I\xb6\xc0\xb6\xc5"])
def test_katakana_of_one_byte_comes_in_any_half(name):
    """JIS X 0201 (ISO IR 13) in the left half, shifted to, or in the right half."""
    payload = build("ASCII~ISO IR14", "@@").encode().replace(b"@@", name)
    assert er7.read(payload).get("PID-5.1") == "\uff76\uff80\uff76\uff85"
