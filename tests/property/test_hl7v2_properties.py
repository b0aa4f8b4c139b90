"""What holds for any HL7 v2 message, and for any bytes at all."""

from __future__ import annotations

import string

from hypothesis import assume, example, given
from hypothesis import strategies as st

from engine.errors import ReadError
from engine.hl7v2 import er7
from engine.hl7v2.ack import read_header
from engine.hl7v2.batch import split, split_stream
from engine.hl7v2.conformance import check
from engine.hl7v2.delimiters import Delimiters
from engine.hl7v2.escapes import escape_text, strange_escapes, unescape
from engine.hl7v2.structure import group_segments
from engine.hl7v2.tree import Leaf

PUNCTUATION = [c for c in string.punctuation if c not in "\"'"]
CHARSETS = [("8859/1", "iso8859-1", "éüÑß"), ("UNICODE UTF-8", "utf-8", "陈வé🙂"), ("BIG-5", "big5", "許功蓋"),
            ("GB 18030-2000", "gb18030", "乗丄陈"), ("KS X 1001", "euc_kr", "김철수"), ("SHIFT-JIS", "cp932", "表示ソ"),
            ("8859/5", "iso8859-5", "Иванов"), ("", "utf-8", "é陈"), ("UNICODE UTF-16", "utf-16-le", "陈é")]  # fmt: skip

delimiters = st.permutations(PUNCTUATION).map(lambda p: Delimiters(p[0], p[1], p[2], p[3], p[4], ""))


def texts(letters: str):
    """Values a sender may send: any printable character of the set, delimiters and line breaks too."""
    return st.text(
        alphabet=string.ascii_letters + string.digits + string.punctuation + " " + letters, max_size=12
    )


def trees(letters: str):
    """Fields as nested lists: repetitions of components of subcomponents."""
    component = st.lists(texts(letters), min_size=1, max_size=3)
    repetition = st.lists(component, min_size=1, max_size=3)
    field = st.lists(repetition, min_size=1, max_size=3)
    return st.lists(st.lists(field, min_size=1, max_size=4), max_size=4)


def written(d: Delimiters, charset: str, segments: list) -> str:
    """ER7 text of the fields."""
    header = ["A", "B", "C", "D", "20260101", "", "ADT", "1", "P", "2.5", "", "", "", "", "", charset]
    lines = [d.field.join(("MSH", d.encoding_characters, *(escape_text(text, d) for text in header)))]
    for fields in segments:
        raw = [
            d.repetition.join(
                d.component.join(
                    d.subcomponent.join(escape_text(t, d) for t in component) for component in repetition
                )
                for repetition in field
            )
            for field in fields
        ]
        lines.append(d.field.join(("ZZZ", *raw)))
    return "\r".join(lines)


def plain(node: object) -> object:
    """The leaves of a node without the brackets that one part alone does not need."""
    if isinstance(node, Leaf):
        return node.text
    parts = [plain(part) for part in node]
    return parts[0] if len(parts) == 1 else parts


def wanted(node: object) -> object:
    if isinstance(node, str):
        return node
    parts = [wanted(part) for part in node]
    return parts[0] if len(parts) == 1 else parts


@given(data=st.data(), d=delimiters, charset=st.sampled_from(CHARSETS))
def test_what_was_written_is_read(data, d, charset):
    """Any tree, any delimiters, any character set: reading gives back every value in its place."""
    declared, codec, letters = charset
    segments = data.draw(trees(letters))
    assume(not any(x in letters for x in d[:5]))
    message = er7.read(written(d, declared, segments).encode(codec))
    assert message.delimiters[:5] == d[:5]
    for segment, fields in zip(message.segments[1:], segments, strict=True):
        for number, field in enumerate(fields, 1):
            if segment.fields[number]:
                assert [plain(n) for n in segment.repetitions(number)] == [wanted(r) for r in field]


@given(data=st.data(), d=delimiters)
def test_a_message_that_is_written_again_reads_the_same(data, d):
    """read(write(read(x))) = read(x), whatever the delimiters."""
    message = er7.parse(written(d, "", data.draw(trees("é"))))
    again = er7.parse(er7.write(message))
    assert list(map(_shown, again.located_leaves())) == list(map(_shown, message.located_leaves()))


@given(data=st.data(), d=delimiters)
def test_both_ways_to_walk_a_message_agree(data, d):
    """values() of a large message and the navigable tree tell the same."""
    message = er7.parse(written(d, "", data.draw(trees("é"))))
    tree = [leaf.text for _, leaf in message.located_leaves()]
    assert [value[4] for _, value in message.values()] == tree
    for segment, (number, r, c, u, text) in message.values():
        assert segment.text(number, c, u, r) == text


switching = st.lists(
    st.sampled_from(
        [
            "\x1b",
            "\x1b$B",
            "\x1b(B",
            "\\C2842\\",
            "\\M2442\\",
            "\\X1B\\",
            "\\E\\",
            "\\F\\",
            "\\",
            ";3ED",
            "x",
            "&",
            "^",
            "~",
            "|",
            "$B",
        ]
    ),
    max_size=9,
).map("".join)


@given(switching)
def test_switches_and_escape_characters_read_the_same_when_written_again(raw):
    """ESC as a character, as hexadecimal and as a switch of the character set, in any company."""
    message = er7.parse(f"MSH|^~\\&|A|B|||2026||ADT^A01|1|P|2.5\rZZZ|{raw}|\r")
    again = er7.parse(er7.write(message))
    assert list(map(_shown, again.located_leaves())) == list(map(_shown, message.located_leaves()))


def _shown(pair):
    return pair[0], pair[1].text


def read_or_none(content: bytes):
    """The message, or None when the reader refused it in its own words."""
    try:
        return er7.read(content, fallback="8859/1")
    except ReadError:
        return None


@given(st.binary(max_size=400))
@example(b"MSH|^~\\&|\xff")
@example(b"\xff\xfeM\x00S\x00H\x00|\x00")
@example(b"MSH|^~\\&|||||||||||||||||~ISO IR87\r\x1b$B")
def test_any_bytes_give_a_message_or_our_error(content):
    """Any exception but ours is a bug; and a message that was read can be walked, grouped and checked."""
    message = read_or_none(content)
    if message is None:
        return
    list(message.located_leaves())
    list(message.values())
    assert len(group_segments(message).placed) == len(message.segments)
    check(message)
    read_header(content)


@given(st.binary(max_size=200).map(lambda b: b"MSH|^~\\&|A|B|||2026||ORU^R01|1|P|2.5.1\r" + b))
def test_any_bytes_behind_a_header_give_a_message_or_our_error(content):
    """The same where the header is good and the rest is not."""
    message = read_or_none(content)
    if message is None:
        return
    assert len(group_segments(message).placed) == len(message.segments)


@given(st.text(max_size=40), delimiters)
def test_escaping_round_trips(text, d):
    """Every text can be sent and comes back; nothing that we escape looks strange to us."""
    assume("\x00" not in text)
    raw = escape_text(text, d)
    assert unescape(raw, d) == text
    assert strange_escapes(raw, d) == []


pieces = st.lists(
    st.sampled_from(
        [
            b"MSH|^~\\&|A|1\r",
            b"PID|1||2\r",
            b"\n",
            b"BHS|^~\\&\r",
            b"BTS|2\r",
            b"FHS|^~\\&\n",
            b"FTS|1\r\n",
            b"\x0b",
            b"\x1c\r",
            b"junk\r",
            b"   ",
            b"MSHX|",
            b"MSH",
        ]
    ),
    max_size=12,
)


@given(pieces, st.data())
def test_splitting_does_not_depend_on_the_portions(parts, data):
    """A file read in any portions gives the same messages and findings."""
    content = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=5)))
    portions = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    whole = [(p.payload, p.issues) for p in split(content)]
    assert [(p.payload, p.issues) for p in split_stream(portions)] == whole


@given(pieces)
def test_every_message_start_is_a_message(parts):
    """No message of a file is lost, whatever stands around it."""
    content = b"".join(parts)
    lines = content.replace(b"\x0b", b"\r").replace(b"\x1c", b"\r").replace(b"\n", b"\r").split(b"\r")
    starts = sum(1 for line in lines if line.lstrip(b" \t").startswith(b"MSH|"))
    assert sum(1 for p in split(content) if p.payload.startswith(b"MSH|")) == starts
