r"""The few fields that matching an acknowledgement to its message needs, read from the raw bytes.

This is no reader of HL7: :mod:`engine.hl7v2.er7` is. It takes the field separator from the MSH itself and
compares bytes, so it works in any character set that keeps ASCII, and in UTF-16 by leaving out the zeros.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from engine.hl7v2.ack import read_header

_BOM = re.compile(rb"^(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)?[\r\n\t ]*")
_BATCH_HEADERS = re.compile(rb"^(?:[FB]HS[^\r\n]*[\r\n]+)+")
_LINE_END = re.compile(rb"[\r\n]+")
_MAX_HEADER = 8192
"""Bytes of a message looked at for its MSH, which has a few hundred."""

ACCEPTED = frozenset({"AA", "CA"})
"""MSA-1 of a message that is safe, in original and in enhanced mode (table 0008)."""


@dataclass(frozen=True, slots=True)
class Ack:
    """An acknowledgement (HL7 v2.5.1 §2.15.8).

    Attributes:
        code: MSA-1: AA, AE, AR or CA, CE, CR; "" when the message asked for none (MSH-15 NE).
        control_id: MSA-2: MSH-10 of the message it answers.
        text: MSA-3, else ERR-8, which took its place in v2.7. May hold patient data, coming from elsewhere: do
            not log it.
        raw: the whole acknowledgement, without framing.
    """

    code: str
    control_id: str
    text: str = ""
    raw: bytes = b""

    @property
    def accepted(self) -> bool:
        return self.code in ACCEPTED


@dataclass(frozen=True, slots=True)
class Sent:
    """What we must know of a message that we send.

    Attributes:
        control_id: MSH-10, blanks around it removed; b"" if there is none or no MSH.
        expects_ack: False if MSH-15 says NE and MSH-16 asks for nothing either (HL7 v2.5.1 §2.9.2).
        errors_only: MSH-15 and MSH-16 ask for answers to errors alone: silence is success.
    """

    control_id: bytes
    expects_ack: bool
    errors_only: bool = False


def read_sent(payload: bytes) -> Sent:
    """The fields of the MSH; of a batch, those of its first message, whose answer also comes first."""
    text = _BATCH_HEADERS.sub(b"", _narrow(payload[:_MAX_HEADER]))
    msh = _read_msh(text)
    odd = any(b"\x1b" in field or not field.isascii() for field in msh)
    if odd and (header := read_header(text)) is not None:
        # A byte of a character may look like a separator; the reader knows by its set.
        msh = [field.encode("latin-1", "replace") for field in header.segment.fields]
    accept, application = _field(msh, 15), _field(msh, 16)
    asked = {accept, application}
    silent = accept == b"NE" and application in {b"", b"NE"}
    # An empty MSH-15 beside a rule in MSH-16 is answered always.
    return Sent(_field(msh, 10), not silent, bool(accept) and asked <= {b"", b"NE", b"ER"} and b"ER" in asked)


def read_ack(payload: bytes) -> Ack | None:
    """The acknowledgement that a frame holds; None when it holds anything else."""
    text = _narrow(payload)
    msh = _read_msh(text)
    if not msh:
        return None
    lines = [line.split(msh[1]) for line in _LINE_END.split(text)]
    msa = next((line for line in lines if line[0] == b"MSA" and len(line) > 1), None)
    if msa is None:
        return None
    code, control_id, words = (_field(msa, n).decode("latin-1") for n in (1, 2, 3))
    errors = (_field(line, 8).decode("latin-1") for line in lines if line[0] == b"ERR")
    return Ack(code, control_id, words or next(errors, ""), payload)


def _read_msh(text: bytes) -> list[bytes]:
    """The MSH that ``text`` begins with, MSH-n at index n; [] when there is none."""
    line = _LINE_END.split(text, maxsplit=1)[0]
    if not line.startswith(b"MSH") or len(line) < 5:
        return []
    separator = line[3:4]
    return [b"MSH", separator, *line.split(separator)[1:]]


def _narrow(payload: bytes) -> bytes:
    wide = b"\0" in payload[:8]
    return _BOM.sub(b"", payload).replace(b"\0", b"") if wide else _BOM.sub(b"", payload)


def _field(fields: list[bytes], index: int) -> bytes:
    return fields[index].strip() if index < len(fields) else b""
