"""Acknowledgements: in the sender's own delimiters, version and mode."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from adapters.mllp.peek import read_sent
from engine.hl7v2 import er7
from engine.hl7v2.ack import acknowledge, read_header

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def ack(payload: str, code: str = "AA", **more):
    answer = acknowledge(read_header(payload.encode("latin-1")), code, control_id="W1", at=AT, **more)
    return None if answer is None else er7.parse(answer.decode("latin-1"))


ADT = "MSH|^~\\&|EMR|KGH|WS|SITE|2026||ADT^A01^ADT_A01|C\\T\\7|T|2.4\rPID|1\r"


def test_ack_goes_back_to_the_sender_and_echoes_its_control_id():
    """Application and facility change places; MSA-2 is MSH-10 of the message, escapes and all."""
    a = ack(ADT)
    assert [a.get(f"MSH-{n}") for n in (3, 4, 5, 6)] == ["WS", "SITE", "EMR", "KGH"]
    assert (a.get("MSA-1"), a.get("MSA-2"), a.get("MSH-10")) == ("AA", "C&7", "W1")
    assert a.first("MSA").fields[2] == "C\\T\\7"
    assert (a.get("MSH-9.1"), a.get("MSH-9.2"), a.get("MSH-11"), a.get("MSH-12")) == (
        "ACK",
        "A01",
        "T",
        "2.4",
    )


def test_ack_uses_the_senders_delimiters():
    """A sender with its own delimiters reads its own delimiters."""
    a = ack("MSH$%*!@$EMR$KGH$WS$SITE$2026$$ADT%A01$7$P$2.5\r")
    assert a.delimiters.field == "$"
    assert a.get("MSA-2") == "7"


def test_error_names_the_place_in_err_of_the_senders_version():
    """ERR-2 and ERR-3 since v2.5, ERR-1 before."""
    new = ack(ADT.replace("|2.4", "|2.5.1"), "AE", text="no", location="PID[1]-5", kind="type")
    assert (new.get("ERR-2.1"), new.get("ERR-2.2"), new.get("ERR-2.3")) == ("PID", "1", "5")
    assert (new.get("ERR-3.1"), new.get("ERR-4")) == ("102", "E")
    old = ack(ADT, "AE", text="no", location="PID[1]-5", kind="type")
    assert (old.get("ERR-1.1"), old.get("ERR-1.4.1")) == ("PID", "102")


@pytest.mark.parametrize(("code", "answer"), [("AA", "CA"), ("AE", "CE"), ("AR", "CR")])
def test_enhanced_mode_gets_accept_acknowledgements(code, answer):
    """MSH-15 asks for commit acknowledgements: they say that the message is safe, no more."""
    assert ack(ADT.rstrip("\r").split("\r")[0] + "|||AL|NE\r", code).get("MSA-1") == answer


@pytest.mark.parametrize(
    ("rule", "code", "wanted"),
    [
        ("NE", "AA", False),
        ("NE", "AE", False),
        ("ER", "AA", False),
        ("ER", "AE", True),
        ("SU", "AA", True),
        ("SU", "AR", False),
    ],
)
def test_msh15_says_when_an_answer_is_wanted(rule, code, wanted):
    """Table 0155: never, on error, on success, always."""
    assert (ack(ADT.split("\r", maxsplit=1)[0] + f"|||{rule}\r", code) is not None) is wanted


def test_what_has_no_header_gets_a_plain_reject():
    """Even garbage gets an answer that an HL7 system can read."""
    assert read_header(b"garbage") is None
    answer = acknowledge(None, "AR", control_id="W1", at=AT, text="no MSH")
    parsed = er7.parse(answer.decode())
    assert parsed.get("MSA-1") == "AR"
    assert parsed.get("MSA-3") == "no MSH"


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_wide_sender_is_answered_in_its_own_characters(codec, mark):
    """A sender of UTF-16 reads UTF-16, and finds its control id as it sent it."""
    message = mark + "MSH|^~\\&|病房|KGH|WS|SITE|2026||ADT^A01|編1|P|2.5\rPID|1\r"
    answer = acknowledge(read_header(message.encode(codec)), "AA", control_id="W1", at=AT).decode(codec)
    assert answer.startswith(mark + "MSH|")
    a = er7.parse(answer.lstrip(mark))
    assert (a.get("MSH-5"), a.get("MSA-2")) == ("病房", "編1")


def test_bytes_of_any_character_set_are_echoed_as_they_came():
    """The edge need not know Big5 to echo a control id."""
    message = "MSH|^~\\&|EMR|KGH|||2026||ADT^A01|編1|P|2.5".encode("big5")
    assert "編1".encode("big5") in acknowledge(read_header(message), "AA", control_id="W1", at=AT)


# The last byte of each name is "|" in its set; in ISO 2022 too.
TRAPS = {
    "SHIFT-JIS": ("cp932", "ポ"),
    "BIG-5": ("big5", "吜"),
    "GB 18030-2000": ("gb18030", "亅"),
    "ASCII~ISO IR87": ("iso2022_jp_ext", "万"),
}


@pytest.mark.parametrize("charset", TRAPS)
def test_a_name_whose_bytes_look_like_separators_shifts_no_field_of_the_header(charset):
    """A hospital's name in MSH-4 must not make MSA-2 another field: the sender would wait for ever."""
    codec, name = TRAPS[charset]
    assert b"|" in name.encode(codec)
    text = f"MSH|^~\\&|EMR|{name}|WS|SITE|2026||ADT^A01^ADT_A01|C7|P|2.5.1||||||{charset}\rPID|1||7\r"
    payload = text.encode(codec)
    assert er7.read(payload).get("MSH-4") == name
    answer = acknowledge(read_header(payload), "AA", control_id="W1", at=AT)
    read = er7.read(answer)
    assert [read.get(f"MSH-{n}") for n in (3, 4, 5, 6)] == ["WS", "SITE", "EMR", name]
    assert (read.get("MSA-2"), read.get("MSH-18")) == ("C7", charset.split("~")[0])
    assert read_sent(payload).control_id == b"C7"


@pytest.mark.parametrize("number", ["A\\T\\1", "1^2&3~4", "12 34", "#7"])
def test_msa2_is_msh10_to_the_letter(number):
    """Senders compare the text, so that not even a delimiter that should have been escaped may get lost."""
    answer = acknowledge(
        read_header(f"MSH|^~\\&|A|B|||2026||ADT^A01|{number}|P|2.5.1\r".encode()),
        "AA",
        control_id="W1",
        at=AT,
    )
    assert b"\rMSA|AA|" + number.encode() + b"\r" in answer


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("2.1", ["MSH-9=ACK", "MSA|AE|7|no", "ERR|PID^1^5^102"]),
        ("2.2", ["MSH-9=ACK^A01", "MSA|AE|7|no|||102^Data type error^HL70357", "ERR|PID^1^5^102"]),
        (
            "2.3",
            [
                "MSH-9=ACK^A01",
                "MSA|AE|7|no|||102^Data type error^HL70357",
                "ERR|PID^1^5^102&Data type error&HL70357",
            ],
        ),
        (
            "2.4",
            [
                "MSH-9=ACK^A01^ACK",
                "MSA|AE|7|no|||102^Data type error^HL70357",
                "ERR|PID^1^5^102&Data type error&HL70357",
            ],
        ),
        (
            "2.5",
            ["MSH-9=ACK^A01^ACK", "MSA|AE|7|no", "ERR||PID^1^5|102^Data type error^HL70357|E||||no"],
        ),
        ("2.8.2", ["MSH-9=ACK^A01^ACK", "MSA|AE|7", "ERR||PID^1^5|102^Data type error^HL70357|E||||no"]),
        ("2.10", ["MSH-9=ACK^A01^ACK", "MSA|AE|7", "ERR||PID^1^5|102^Data type error^HL70357|E||||no"]),
    ],
)
def test_an_old_sender_gets_an_old_acknowledgement(version, expected):
    """MSA-6 and ERR-1 before v2.5, no MSA-3 since v2.7: a strict parser of the version takes the answer."""
    header = read_header(f"MSH|^~\\&|A|B|||2026||ADT^A01|7|P|{version}\r".encode())
    answer = acknowledge(
        header, "AE", control_id="W1", at=AT, text="no", location="PID[1]-5", kind="type"
    ).decode()
    msh, msa, err, _ = answer.split("\r")
    assert [f"MSH-9={msh.split('|')[8]}", msa, err] == expected
    assert msh.split("|")[11] == version


def test_words_are_safe_where_the_sender_has_no_escape_character():
    """A bar in our reason must not make a new field in an answer that can't escape it."""
    a = ack("MSH|^|A|B|||2026||ADT^A01|7|P|2.3\r", "AR", text="begin with MSH|^~")
    assert a.get("MSA-3") == "begin with MSH  ~"
    assert len(a.first("MSA").fields) == 7


_ANSWERS = {
    # MSH-15, MSH-16: the answers to what is safe, not safe, and never will be; - is none
    ("", ""): "AA AE AR",
    ("", "AL"): "AA AE AR",
    ("", "NE"): "CA CE CR",
    ("", "ER"): "CA AE AR",
    ("", "SU"): "AA CE CR",
    ("AL", ""): "CA CE CR",
    ("AL", "AL"): "CA CE CR",
    ("AL", "NE"): "CA CE CR",
    ("NE", ""): "- - -",
    ("NE", "NE"): "- - -",
    ("NE", "AL"): "AA AE AR",
    ("NE", "ER"): "- AE AR",
    ("NE", "SU"): "AA - -",
    ("ER", ""): "- CE CR",
    ("ER", "NE"): "- CE CR",
    ("ER", "AL"): "AA CE CR",
    ("ER", "ER"): "- CE CR",
    ("ER", "SU"): "AA CE CR",
    ("SU", ""): "CA - -",
    ("SU", "AL"): "CA AE AR",
    ("SU", "ER"): "CA AE AR",
    ("SU", "SU"): "CA - -",
}


@pytest.mark.parametrize(("asked", "answers"), _ANSWERS.items())
def test_every_pair_of_conditions_gets_the_answer_that_it_waits_for(asked, answers):
    """Vaccination registries send ER and AL and wait for AA: to answer success with silence would stop the feed."""
    header = read_header(f"MSH|^~\\&|A|B|||2026||VXU^V04|7|P|2.5.1|||{asked[0]}|{asked[1]}\r".encode())
    assert " ".join(header.answer(code) or "-" for code in ("AA", "AE", "AR")) == answers
