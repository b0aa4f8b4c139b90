"""ER7 text to a tree: what is kept, what is refused, and how it says so."""

from __future__ import annotations

import pytest

from engine.errors import NotHl7Error, TooLargeError
from engine.hl7v2 import er7
from engine.hl7v2.tree import NULL, valued

MSH = "MSH|^~\\&|LAB|KGH|EMR|KGH|20260101120000||ORU^R01^ORU_R01|C1|P|2.5.1"


def message(*segments: str, end: str = "\r"):
    return er7.parse(end.join((MSH, *segments)) + end)


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n", "\n\r\n"])
def test_every_line_end_seen_in_files_ends_a_segment(end):
    """CR is the standard, LF and CRLF are what editors and transfers make of it."""
    assert [s.id for s in message("PID|1", "PV1|1", end=end).segments] == ["MSH", "PID", "PV1"]


def test_parts_are_found_by_location():
    """Field, repetition, component and subcomponent each come out where HL7 numbers them."""
    m = message("PID|1||A^^^H&1.2.3&ISO^MR~B^^^S||Tan^Ah&Kow")
    assert m.get("PID-3.1") == "A"
    assert m.get("PID[1]-3[1].4.2") == "1.2.3"
    assert m.get("PID-3[2].4") == "S"
    assert m.get("PID-5.2.2") == "Kow"
    assert m.get("PID-99") == ""


def test_msh_fields_are_numbered_with_the_separator_as_field_one():
    """MSH-1 is the separator itself, so that MSH-9 is the message type."""
    m = message()
    assert (m.get("MSH-1"), m.get("MSH-2"), m.get("MSH-9.2"), m.control_id) == ("|", "^~\\&", "R01", "C1")


def test_leaves_are_listed_with_the_locations_that_reports_use():
    """Locations leave out parts from the right only when the whole is meant."""
    m = message("PID|1||A~B|x^y&z||s")
    found = [location for location, _ in m.segments[1].located_leaves()]
    assert found == [
        "PID[1]-1", "PID[1]-3[1]", "PID[1]-3[2]", "PID[1]-4[1].1", "PID[1]-4[1].2.1", "PID[1]-4[1].2.2", "PID[1]-6",
    ]  # fmt: skip


def test_occurrences_count_each_segment_id():
    """The third OBX of a message is OBX[3] wherever it stands."""
    m = message("OBX|1", "NTE|1", "OBX|2", "OBX|3")
    assert [(s.id, s.occurrence) for s in m.segments[1:]] == [("OBX", 1), ("NTE", 1), ("OBX", 2), ("OBX", 3)]


def test_explicit_null_is_not_a_value_and_not_absent():
    """Two quotation marks say "delete"; an empty field says nothing."""
    m = message('PID|1||X||""||')
    assert m.get("PID-5") == NULL
    assert not valued(m.segments[1].repetitions(5)[0])
    assert m.segments[1].repetitions(6) == ()


def test_a_blank_behind_the_encoding_characters_is_none_of_them():
    """Padded fields in MSH are seen; the message is clear."""
    m = er7.parse("MSH|^~\\& |A|B|C|D|2026||ADT^A01|1|P|2.5\rPID|1||9^^^E&X\r")
    assert m.get("PID-3.4.2") == "X"


def test_delimiters_are_the_messages_own():
    """Any characters may delimit, and escapes name them."""
    text = "MSH$%*!@$A$B$C$D$20260101$$ADT%A01$1$P$2.3\rPID$1$$7%%%H@O$$Lim!F!Co%!S!\r"
    m = er7.parse(text)
    assert m.get("PID-3.4.2") == "O"
    assert m.get("PID-5.1") == "Lim$Co"
    assert m.get("PID-5.2") == "%"


@pytest.mark.parametrize(("header", "place"), [("MSH¦^~\\&¦A", "MSH[1]-1"), ("MSH|^é~\\&|A", "MSH[1]-2")])
def test_delimiters_beyond_ascii_are_refused(header, place):
    """In a set of several bytes a character they would be other delimiters to whoever answers by the bytes alone."""
    with pytest.raises(NotHl7Error, match="not ASCII") as caught:
        er7.parse(f"{header}\rPID|1\r")
    assert caught.value.location == place


def test_truncation_character_is_understood():
    r"""``^~\&#`` names a fifth character since v2.7; older parsers refuse it."""
    m = er7.parse("MSH|^~\\&#|A|B|C|D|2026||ADT^A01|1|P|2.7\rPID|1||\\P\\1\r")
    assert m.delimiters.truncation == "#"
    assert m.get("PID-3") == "#1"


def test_lost_backslash_leaves_ampersand_its_meaning():
    """``^~&`` is a header that lost its escape character on the way; subcomponents still split, and it is told."""
    m = er7.parse("MSH|^~&|A|B|C|D|2026||ADT^A01|1|P|2.3\rPID|1||7^^^H&O\r")
    assert m.get("PID-3.4.2") == "O"
    assert [i.code for i in m.issues] == ["delimiters-missing"]


def test_line_break_inside_a_value_is_kept_and_reported():
    """A sender that writes raw line breaks into text loses no line of it."""
    m = message("OBX|1|TX|A||first line", "second line", "third | line", "NTE|1")
    assert m.get("OBX-5") == "first line\nsecond line\nthird "
    assert [(i.code, i.location) for i in m.issues] == [("raw-line-break", "OBX[1]")]
    assert "3 to 4" in m.issues[0].message
    assert m.segments[2].id == "NTE"


def test_segment_ids_in_small_letters_are_read_and_reported():
    """A sender's habit must not turn a segment into a line of the one before it."""
    m = message("pid|1||7", "Obx|1")
    assert [s.id for s in m.segments[1:]] == ["PID", "OBX"]
    assert [(i.code, i.location) for i in m.issues] == [
        ("segment-case", "PID[1]"),
        ("segment-case", "OBX[1]"),
    ]


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("", ""),
        ("\r\n  \r", ""),
        ("PID|1||2\r", ""),
        ("MSH", "MSH[1]-2"),
        ("MSH|", "MSH[1]-2"),
        ("MSHA^~\\&|", "MSH[1]-1"),
        ("MSH|ABCD|x", "MSH[1]-2"),
        ("MSH||x", "MSH[1]-2"),
        ("MSH|^~\\&#!|x", "MSH[1]-2"),
    ],
)
def test_what_is_no_hl7_is_refused_with_a_place_and_an_action(text, location):
    """An integration engineer can act on the refusal without seeing the code."""
    with pytest.raises(NotHl7Error) as caught:
        er7.parse(text)
    assert caught.value.location == location
    assert len(caught.value.action) > 20


def test_too_many_segments_are_refused():
    """A named limit stands between a broken sender and the memory."""
    with pytest.raises(TooLargeError):
        er7.parse(MSH + "\r" + "OBX|1\r" * 20, max_segments=10)


def test_writing_gives_the_text_again():
    """What was read can be written: delimiters inside values come out escaped."""
    text = MSH + "\rPID|1||A^^^H&1~B||O\\T\\Neil^\\F\\x\r"
    assert er7.write(er7.parse(text)) == text


def test_escapes_that_stay_are_told_once_a_kind_and_field():
    """What was not understood is named with its place; a text full of it gives one line, not hundreds."""
    m = message("OBX|1|FT|A||\\rtf1 \\ansi~\\Zx\\|", "OBX|2|FT|A||C:\\temp", "NTE|1||a\\F\\b")
    found = {(i.code, i.location): i.message for i in er7.escape_issues(m)}
    assert set(found) == {("escape-unknown", "OBX[1]-5"), ("escape-local", "OBX[1]-5")}
    assert "1 more" in found["escape-unknown", "OBX[1]-5"]
    assert er7.escape_issues(message("PID|1")) == []


def test_a_wrongly_named_segment_never_moves_into_the_one_before():
    """Its values would become fields of the patient; they stay apart, under the name as it came."""
    m = message("PID|1||7||Tan^Ah", "OBXX|1|NM|A||5|||||F", "OB|2|NM|A||6", "PV1|1")
    assert [s.id for s in m.segments[1:]] == ["PID", "OBXX", "OB", "PV1"]
    assert m.get("PID-6") == ""
    assert [(i.code, i.location) for i in m.issues] == [
        ("segment-name", "OBXX[1]"),
        ("segment-name", "OB[1]"),
    ]


@pytest.mark.parametrize("line", ["OBX |1|NM|A||5", " \tOBX|1|NM|A||5", "obx|1|NM|A||5"])
def test_a_name_with_blanks_is_the_name(line):
    """What is clear to a reader is read."""
    assert message("PID|1", line).get("OBX-5") == "5"


@pytest.mark.parametrize("stray", ["-----", "# next message", "<end/>", "EOF."])
def test_a_line_behind_a_whole_segment_changes_no_field_of_it(stray):
    """A ruler between messages must not make the status of a result ``F`` and a ruler."""
    m = message("OBX|1|ST|A||5||||||F", stray)
    assert m.get("OBX-11") == "F"
    assert [(i.code, i.location) for i in m.issues] == [("stray-line", "TEXT[1]")]
    assert [leaf.text for _, leaf in m.segments[-1].located_leaves()] == [stray]


def test_words_alone_on_a_line_of_a_text_are_text():
    """Three letters, or capitals and a bar, within a note are no segments."""
    m = message("OBX|1|TX|A||first", "yes", "NIL", "BP|120", "end||||||F")
    assert m.get("OBX-5") == "first\nyes\nNIL\nBP"
    assert [s.id for s in m.segments[1:]] == ["OBX"]


@pytest.mark.parametrize("end", ["\\r", "\\n", "\\r\\n", "<CR>", "&#13;", "\x85", "\u2028", "\x1e", ""])
def test_line_ends_that_were_written_out_or_dropped_are_told(end):
    """One line that holds all segments is no message with a long header: the reason names what parts them."""
    with pytest.raises(NotHl7Error) as caught:
        er7.parse(end.join((MSH, "PID|1||7|", "PV1|1|I")))
    assert "parted by" in caught.value.message


@pytest.mark.parametrize("around", ["\0", "\x1a", "\x02", "\ufeff", "\r\n \t"])
def test_what_fills_a_buffer_is_no_part_of_the_message(around):
    """NULs, the DOS end-of-file mark and the marks of older protocols stand around messages and say nothing."""
    m = er7.parse(f"{around}{MSH}\rPID|1||7\r{around}")
    assert m.get("PID-3") == "7"
    assert m.issues == []


def test_control_characters_in_values_are_told():
    """FHIR can't hold them: that they are left out is said, escaped or not."""
    m = message("OBX|1|ST|A||a\0b", "OBX|2|ST|A||a\\X07\\b", "OBX|3|ST|B\x1bC||a\tb")
    assert [(i.code, i.location) for i in er7.control_issues(m)] == [
        ("control-character", "OBX[1]-5"),
        ("control-character", "OBX[3]-3"),
    ]
    assert er7.control_issues(message("OBX|1|ST|A||a\\X0D\\b\\X41\\")) == []


@pytest.mark.parametrize("line", ["2026-01-02 03:04:05 received", "(2 rows affected)", "%%EOF of export"])
def test_a_line_behind_a_patient_changes_no_name(line):
    """A log line between messages, or what a database client writes behind them, is no part of a family name."""
    m = message("PID|1||778||Tan", line, "PV1|1|I")
    assert m.get("PID-5") == "Tan"
    assert [(i.code, i.location) for i in m.issues] == [("stray-line", "TEXT[1]")]


def test_an_address_with_a_raw_line_break_stays_one():
    """The rest of an address has the marks of its parts."""
    m = message("PID|1||778||Tan^A||19700101|M|||12 Sample Road", "Singapore^^SG", "PV1|1|I")
    assert m.get("PID-11.1") == "12 Sample Road\nSingapore"
    assert m.get("PID-11.3") == "SG"


@pytest.mark.parametrize("joint", ["", "\r", "\r \x0c", "x "])
def test_two_messages_in_one_are_never_one_patient(joint):
    """The carriage return between two messages was lost on the way: two patients must not become one."""
    first = "MSH|^~\\&|A|B|||2026||ADT^A01|1|P|2.5\rPID|1||1||Tan"
    with pytest.raises(NotHl7Error) as caught:
        er7.parse(first + joint + first)
    assert "carriage return" in caught.value.action


def test_add_goes_on_with_the_last_field_of_the_segment_before_it():
    """A sender with a limit of length cuts a segment anywhere; read, it is whole, and the next field is the next."""
    m = message(
        "OBX|1|TX|A^B||The first part, ",
        "ADD|the second",
        "ADD| and the last.|unit^x",
        "ADD|y|||||F",
        "NTE|1",
    )
    assert m.get("OBX-5") == "The first part, the second and the last."
    assert (m.get("OBX-6.2"), m.get("OBX-11")) == ("xy", "F")
    assert [s.id for s in m.segments] == ["MSH", "OBX", "NTE"]
    assert m.issues == []


def test_add_and_raw_line_breaks_in_one_text():
    """Both may come, and no line of the text is lost."""
    m = message("OBX|1|TX|A||one", "two", "ADD| three", "four", "NTE|1")
    assert m.get("OBX-5") == "one\ntwo three\nfour"
    assert [i.code for i in m.issues] == ["raw-line-break"]


def test_parts_of_a_message_that_was_cut_in_several_are_told():
    """Each part is read by itself, which is less than the sender means: somebody must know."""
    first = message("OBX|1|TX|A||begun", "ADD|", "DSC|P1|F")
    assert [(i.code, i.location) for i in first.issues] == [("message-part", "DSC[1]-1")]
    assert first.get("OBX-5") == "begun"
    second = er7.parse(f"{MSH}||P1\rADD| and ended||||||F\rNTE|1\r")
    assert [(i.code, i.location) for i in second.issues] == [("message-part", "MSH[1]-14")]
    assert [s.id for s in second.segments] == ["MSH", "ADD", "NTE"]
    assert [i.code for i in message("OBX|1", "DSC|").issues] == []


def test_a_message_of_ten_thousand_add_segments_is_no_feat():
    """What is joined is joined once: the cost is in line with the size."""
    m = message("OBX|1|TX|A||x", *["ADD|" + "y" * 100] * 50_000)
    assert len(m.get("OBX-5")) == 5_000_001
