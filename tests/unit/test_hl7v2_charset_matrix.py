"""The transcoding matrix: a file for each character set, through the whole engine to FHIR and back to its bytes.

The files are made here, so that what each holds is known for certain. Traps are every character of a set whose
second byte is a delimiter.
"""

from __future__ import annotations

import pytest

from adapters.composition import make_pipeline
from adapters.replay.convert import convert
from adapters.replay.sources import Format
from engine.errors import CharsetError
from engine.hl7v2 import er7
from engine.hl7v2.charset import decode
from engine.settings import Settings

MATRIX = [
    # MSH-18, Python's codec, family name, given name
    ("", "ascii", "Tan", "Ah Kow"),
    ("ASCII", "ascii", "Tan", "Ah Kow"),
    ("8859/1", "iso8859-1", "Müller-Nuñez", "Zoë"),
    ("8859/2", "iso8859-2", "Wałęsa", "Žofie"),
    ("8859/3", "iso8859-3", "Ġużè", "Ĉapelo"),
    ("8859/4", "iso8859-4", "Ķēniņš", "Ūla"),
    ("8859/5", "iso8859-5", "Иванов", "Пётр"),
    ("8859/6", "iso8859-6", "محمد", "علي"),
    ("8859/7", "iso8859-7", "Παπαδόπουλος", "Ελένη"),
    ("8859/8", "iso8859-8", "כהן", "דוד"),
    ("8859/9", "iso8859-9", "Yılmaz", "Şükrü"),
    ("8859/15", "iso8859-15", "Œuvrard", "Šime€"),
    ("UNICODE", "utf-8", "வேலு", "陈"),
    ("UNICODE UTF-8", "utf-8", "陳大文", "🙂é"),
    ("UTF-8", "utf-8", "김", "Нгуен"),
    ("UTF8", "utf-8", "陈", "ñ"),
    ("UNICODE UTF-16", "utf-16-le", "陳大文", "東丄"),
    ("UNICODE UTF-16", "utf-16-be", "陳大文", "東丄"),
    ("UNICODE UTF-32", "utf-32-le", "陳大文", "🙂"),
    ("UNICODE UTF-32", "utf-32-be", "陳大文", "🙂"),
    ("ASCII~ISO IR87", "iso2022_jp_ext", "山田", "太郎"),
    ("~ISO IR87", "iso2022_jp_ext", "山田", "太郎"),
    ("ISO IR87", "iso2022_jp_ext", "山田", "太郎"),
    ("ISO IR14~ISO IR87~ISO IR159", "iso2022_jp_ext", "山田丂", "ヤマダ"),
    ("ASCII~ISO IR159", "iso2022_jp_ext", "丂丅", "Taro"),
    ("SHIFT-JIS", "cp932", "表予ソ", "十ａ"),
    ("GB 18030-2000", "gb18030", "陈乗丄", "𠀀"),
    ("BIG-5", "big5", "許功蓋", "淚"),
    ("KS X 1001", "euc_kr", "김철수", "홍"),
    ("KS X 1001", "cp949", "똠방", "각하"),
    ("ISO_IR 192", "utf-8", "陈", "é"),
    ("WINDOWS-1252", "cp1252", "O’Brien", "“Zoë” €"),
    ("WINDOWS-1251", "cp1251", "Іванюк", "Ґалина"),
    ("TIS-620", "tis-620", "เทพ", "แสง"),
]
TRAPS = b"|^~\\&"


def message(charset: str, family: str, given: str) -> str:
    return (
        f"MSH|^~\\&|LAB|EAST|WARD|EAST|20260102030405||ADT^A01^ADT_A01|M1|P|2.5.1||||||{charset}\r"
        f"EVN|A01|20260102\rPID|1||778^^^EAST^MR||{family}^{given}||19700101|M\rPV1|1|I\r"
    )


@pytest.fixture(scope="module")
def pipeline():
    return make_pipeline(Settings())


def converted(path, pipeline):
    (line, _), *rest = convert([path], Format.AUTO, pipeline, Settings())
    assert rest == []
    return line


def name_of(line) -> dict:
    patients = [e["resource"] for e in line["bundle"]["entry"] if e["resource"]["resourceType"] == "Patient"]
    return patients[0]["name"][0]


@pytest.mark.parametrize(
    ("charset", "codec", "family", "given", "mark"),
    [(*row, mark) for row in MATRIX for mark in (False, True) if not mark or row[1].startswith("utf")],
)
def test_every_set_reaches_fhir_and_comes_back_as_its_bytes(
    tmp_path, charset, codec, family, given, mark, pipeline
):
    """The name in the Patient is the name that was sent, nothing is reported, and the bytes come back the same."""
    payload = ("\ufeff" if mark else "").encode(codec) + message(charset, family, given).encode(codec)
    path = tmp_path / "message.hl7"
    path.write_bytes(payload)
    line = converted(path, pipeline)
    assert line["outcome"] == "accepted", line["issues"]
    assert name_of(line)["family"] == family
    assert name_of(line)["given"] == [given]
    assert [i for i in line["issues"] if i["code"].startswith("charset")] == []
    assert decode(payload).encode() == payload


@pytest.mark.parametrize(
    ("charset", "codec"), [("BIG-5", "big5"), ("SHIFT-JIS", "cp932"), ("GB 18030-2000", "gb18030")]
)
def test_no_second_byte_is_a_delimiter(charset, codec):
    """Every character of the set whose second byte is ``|``, ``^``, ``~``, a backslash or ``&`` stays one character."""
    trapped = []
    for point in (*range(0x80, 0xD800), *range(0xE000, 0xFFFE)):
        try:
            data = chr(point).encode(codec)
        except UnicodeEncodeError:
            continue
        if len(data) == 2 and data[1] in TRAPS and data.decode(codec) == chr(point):
            trapped.append(chr(point))
    assert len(trapped) > 150, "the set has such characters"
    for begin in range(0, len(trapped), 50):
        name = "".join(trapped[begin : begin + 50])
        payload = message(charset, name, "X").encode(codec)
        decoded = decode(payload)
        read = er7.parse(decoded)
        assert (read.get("PID-5.1"), read.get("PID-5.2")) == (name, "X")
        assert decoded.encode() == payload


def test_switched_bytes_are_no_delimiters_either():
    """In ISO 2022 both bytes of a character are ASCII: all that hold a delimiter stay whole."""
    trapped = []
    for point in range(0x4E00, 0x9FA6):
        try:
            data = chr(point).encode("iso2022_jp_ext")
        except UnicodeEncodeError:
            continue
        if data.startswith(b"\x1b$B") and set(data[3:5]) & set(TRAPS):
            trapped.append(chr(point))
    assert len(trapped) > 200
    name = "".join(trapped)
    payload = message("ASCII~ISO IR87", name, "X").encode("iso2022_jp_ext")
    assert er7.read(payload).get("PID-5.1") == name
    assert decode(payload).encode() == payload


def test_a_default_set_beside_iso_2022():
    """MSH-18 8859/1~ISO IR87: what is not switched is Latin-1, what is switched is Japanese."""
    payload = (
        message("8859/1~ISO IR87", "Müller", "@@")
        .encode("latin-1")
        .replace(b"@@", "山田".encode("iso2022_jp_ext"))
    )
    decoded = decode(payload)
    read = er7.parse(decoded)
    assert (read.get("PID-5.1"), read.get("PID-5.2")) == ("Müller", "山田")
    assert decoded.issues == ()
    assert decoded.encode() == payload


def test_switches_that_nothing_declares_are_followed_and_reported_or_refused():
    """7-bit bytes with ESC pass for ASCII: without the check they would become mojibake in silence."""
    payload = message("", "山田", "x").encode("iso2022_jp_ext")
    decoded = decode(payload)
    assert er7.parse(decoded).get("PID-5.1") == "山田"
    assert [i.code for i in decoded.issues] == ["charset-repaired"]
    with pytest.raises(CharsetError):
        decode(payload, policy="refuse")


def test_an_escape_to_an_unknown_set_is_named():
    """ESC of a set that can't be followed stays in the text, and is told."""
    decoded = decode(message("", "\x1b-Fx", "y").encode())
    assert [i.code for i in decoded.issues] == ["charset-escape"]


@pytest.mark.parametrize(
    "charset", ["GB 18030-2000", "BIG-5", "SHIFT-JIS", "KS X 1001", "8859/1", "8859/5", "ASCII"]
)
@pytest.mark.parametrize("name", ["陈小明", "山田太郎", "김철수", "ひらがな"])
def test_utf8_under_any_other_name_is_found_out(charset, name):
    """Bytes that are UTF-8 by all signs are never read as what MSH-18 says wrongly; a feed may have them refused."""
    payload = message(charset, name, "Mei").encode()
    decoded = decode(payload)
    assert er7.parse(decoded).get("PID-5.1") == name
    assert [i.code for i in decoded.issues] == ["charset-repaired"]
    with pytest.raises(CharsetError) as caught:
        decode(payload, policy="refuse")
    assert charset in caught.value.message


@pytest.mark.parametrize("name", ["联通", "汉", "李", "王芳", "陈小明", "刘洋", "孙悦", "黄海"])
def test_short_chinese_names_are_not_taken_for_utf8(name):
    """Some names in GB 18030 are valid UTF-8 by chance: the declaration stands, because it gives a sensible text."""
    decoded = decode(message("GB 18030-2000", name, "X").encode("gb18030"))
    assert er7.parse(decoded).get("PID-5.1") == name
    assert decoded.issues == ()


@pytest.mark.parametrize(
    ("charset", "codec"), [("8859/1", "utf-16-le"), ("UTF-8", "utf-16-be"), ("ASCII", "utf-32-le")]
)
def test_a_width_that_msh18_denies_is_reported_or_refused(charset, codec):
    """Bytes of 16 bits under an 8-bit name are read as what they are, and the sender is told."""
    payload = message(charset, "陈", "X").encode(codec)
    decoded = decode(payload)
    assert er7.parse(decoded).get("PID-5.1") == "陈"
    assert [i.code for i in decoded.issues] == ["charset-repaired"]
    assert decoded.declared == charset
    with pytest.raises(CharsetError):
        decode(payload, policy="refuse")


def test_a_mark_that_msh18_denies_is_reported():
    """A UTF-8 mark over a message that declares Latin-1: the mark wins, the sender is told."""
    decoded = decode(b"\xef\xbb\xbf" + message("8859/1", "陈", "X").encode())
    assert [i.code for i in decoded.issues] == ["charset-repaired"]
    assert decode(b"\xef\xbb\xbf" + message("UNICODE UTF-8", "陈", "X").encode()).issues == ()


def test_a_text_that_can_be_written_in_two_ways_is_told():
    """NEC's second code of a sign has the text of the first: the bytes can't come back, and nobody is left to think so."""
    payload = message("SHIFT-JIS", "@@", "X").encode("cp932").replace(b"@@", b"\x87\x9a")
    decoded = decode(payload)
    assert [i.code for i in decoded.issues] == ["charset-not-reversible"]
    assert er7.parse(decoded).get("PID-5.1") == "∵"


def test_a_switch_that_nothing_is_said_in_is_told():
    """ESC $ B at the end leaves no trace in a text of ASCII letters: the bytes can't come back, and that is said."""
    payload = message("ISO IR87", "TAN", "X").encode("ascii").rstrip(b"\r") + b"\x1b$B"
    decoded = decode(payload)
    assert decoded.text.isascii()
    assert decoded.encode() != payload
    assert [i.code for i in decoded.issues] == ["charset-not-reversible"]


@pytest.mark.parametrize("charset", ["ISO IR87", "ASCII~ISO IR87", "8859/1~ISO IR87"])
@pytest.mark.parametrize("end", [b"\r", b"\r\n", b"\n"])
def test_a_segment_ends_every_switch(charset, end):
    """A sender that does not switch back before the end of a segment: the next one begins in the default set."""
    payload = message(charset, "X", "@@").encode().replace(b"@@", "山田".encode("iso2022_jp")[:-3])
    payload = payload.replace(b"||19700101|M", b"").replace(b"\r", end)
    read = er7.read(payload)
    assert (read.get("PID-5.2"), read.get("PV1-2")) == ("山田", "I")
    assert [i.code for i in read.issues] == ["charset-not-reversible"]


def test_switches_between_parts_of_8859():
    """MSH-18 8859/1~8859/5: ESC - L announces Cyrillic until the end of the segment (ISO 2022)."""
    payload = message("8859/1~8859/5", "Müller ", "@@").encode("latin-1")
    payload = payload.replace(b"@@", b"\x1b-L" + "Иван".encode("iso8859-5"))
    read = er7.read(payload)
    assert (read.get("PID-5.1"), read.get("PID-5.2")) == ("Müller ", "Иван")


@pytest.mark.parametrize(
    ("charset", "codec", "switch"), [("KS X 1001", "euc_kr", b"\x1b$)C"), ("8859/1", "latin-1", b"\x1b-A")]
)
def test_a_switch_to_the_set_that_holds_anyway_is_no_part_of_a_name(charset, codec, switch):
    """Systems that speak DICOM announce their set again in every value; that is no character."""
    name = {"euc_kr": "김", "latin-1": "Müller"}[codec]
    payload = (
        message(charset, "@@", "X").encode(codec).replace(b"@@", switch + name.encode(codec) + b"\x1b(B")
    )
    read = er7.read(payload)
    assert read.get("PID-5.1") == name
    assert [i.code for i in read.issues] == ["charset-not-reversible"]


@pytest.mark.parametrize(
    ("declared", "codec", "name"),
    [
        ("8859/2", "cp1250", "Śliwa"),
        ("8859/5", "cp1251", "Ґалина ‘Віка’"),
        ("8859/9", "cp1254", "“Şükrü”"),
        ("8859/15", "cp1252", "O’Brien"),
    ],
)
def test_the_windows_set_of_the_same_languages_is_taken(declared, codec, name):
    """Bytes that 8859 has for control characters are letters of the Windows set of those languages, not of Western Europe's."""
    payload = message(declared, name, "X").encode(codec)
    read = er7.read(payload)
    assert read.get("PID-5.1") == name
    assert [i.code for i in read.issues] == ["charset-repaired"]
    with pytest.raises(CharsetError):
        decode(payload, policy="refuse")


@pytest.mark.parametrize(
    ("charset", "payload_name", "code"),
    [
        ("UNICODE UTF-8", "M\ufffdller".encode(), "charset-replaced"),
        ("UNICODE UTF-8", "MÃ¼ller".encode(), "charset-twice"),
        ("UNICODE UTF-8", "Oâ€™Brien".encode(), "charset-twice"),
        ("SHIFT-JIS", b"\xf0\x40", "charset-private"),
        ("UNICODE UTF-16", "M\ufffdller", "charset-replaced"),
    ],
)
def test_a_text_that_was_spoilt_on_the_way_is_told_with_its_place(charset, payload_name, code):
    """Bytes in order, text that is not: a step before has decoded wrongly, and nobody else will ever say so."""
    if isinstance(payload_name, str):
        payload = message(charset, payload_name, "X").encode("utf-16-le")
    else:
        payload = message(charset, "@@", "X").encode().replace(b"@@", payload_name)
    decoded = decode(payload)
    assert [(i.code, i.location) for i in decoded.issues] == [(code, "PID[1]-5")]
    assert decoded.encode() == payload


@pytest.mark.parametrize("name", ["Müller", "Ñandú", "Ã", "“Â”", "façade £5", "陈é"])
def test_letters_in_order_are_not_taken_for_spoilt_ones(name):
    """Names in Latin letters, with whatever accents, raise no doubt."""
    assert decode(message("UNICODE UTF-8", name, "X").encode()).issues == ()
