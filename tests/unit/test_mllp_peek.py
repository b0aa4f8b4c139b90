"""The fields by which an acknowledgement finds its message."""

import pytest

from adapters.mllp.peek import Ack, Sent, read_ack, read_sent

MSH = "MSH|^~\\&|LAB|SGH|WS|SGH|20260102||ORU^R01|{}|P|2.5.1"


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_control_id_in_any_encoding(codec):
    """MSH-10 is found whatever the character set and byte order mark."""
    assert read_sent(f"{MSH.format('A-17')}\rPID|1\r".encode(codec)).control_id == b"A-17"


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_control_id_with_any_line_end(end):
    """MSH-10 as the last field is found without the line end behind it."""
    assert read_sent(f"MSH|^~\\&||||||||7{end}PID|1".encode()).control_id == b"7"


def test_field_separator_comes_from_the_message():
    """MSH-1 says what separates fields; it need not be a bar."""
    assert read_sent(MSH.format("B9").replace("|", "#").encode()).control_id == b"B9"


def test_batch_goes_by_its_first_message():
    """A batch is answered message by message, so the answer to its first message answers the frame."""
    batch = f"FHS|^~\\&|A\rBHS|^~\\&|A\r{MSH.format('M1')}\rPID|1\r{MSH.format('M2')}\rBTS|2\rFTS|1\r"
    assert read_sent(batch.encode()).control_id == b"M1"


@pytest.mark.parametrize("payload", [b"", b"PID|1", b"MSH", b"MSH|", b"MSH|^~\\&|A", b"\0\0\0", b"\x80MSH"])
def test_message_without_control_id(payload):
    """What has no MSH-10 has no control id; that is no error here."""
    assert read_sent(payload) == Sent(b"", expects_ack=True)


@pytest.mark.parametrize(
    ("accept", "application", "expected"),
    [
        ("", "", True),
        ("AL", "NE", True),
        ("NE", "", False),
        ("NE", "NE", False),
        ("NE", "AL", True),
        ("ER", "", True),
    ],
)
def test_whether_an_answer_will_come(accept, application, expected):
    """Only a message that asks for no acknowledgement of either kind is sent without waiting."""
    payload = f"{MSH.format(1)}|||{accept}|{application}\r".encode()
    assert read_sent(payload).expects_ack is expected


@pytest.mark.parametrize(
    ("accept", "application", "expected"),
    [
        ("ER", "", True),
        ("ER", "NE", True),
        ("NE", "ER", True),
        ("ER", "AL", False),
        ("ER", "SU", False),
        ("SU", "NE", False),
        ("", "ER", False),
        ("", "", False),
    ],
)
def test_whether_silence_is_success(accept, application, expected):
    """Where errors alone are answered, waiting for more would fail every message that went well."""
    payload = f"{MSH.format(1)}|||{accept}|{application}\r".encode()
    assert read_sent(payload).errors_only is expected


@pytest.mark.parametrize("code", ["AA", "AE", "AR", "CA", "CE", "CR"])
def test_acknowledgement_of_both_modes(code):
    """Original and enhanced acknowledgements are read alike; only AA and CA mean that the message is safe."""
    raw = f"{MSH.format(2)}\rSFT|x\rMSA|{code}|A-17|because\rERR|1\r".encode()
    ack = read_ack(raw)
    assert ack == Ack(code, "A-17", "because", raw)
    assert ack.accepted is (code in {"AA", "CA"})


@pytest.mark.parametrize("payload", [b"", b"MSA|AA|1\r", MSH.encode(), MSH.encode() + b"\rMSAX|AA|1\r"])
def test_what_is_no_acknowledgement(payload):
    """A frame without MSH and MSA acknowledges nothing."""
    assert read_ack(payload) is None


def test_short_acknowledgement():
    """An MSA that lacks fields is still an answer, to a message without control id."""
    assert read_ack(MSH.encode() + b"\rMSA|AR") == Ack("AR", "", "", MSH.encode() + b"\rMSA|AR")
