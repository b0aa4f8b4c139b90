"""Acknowledgements: what the listener answers (HL7 v2.5.1 §2.9, §2.13.1, §2.15.5, §2.15.8).

Original mode answers AA, AE or AR in MSA-1. Enhanced mode (MSH-15 or MSH-16 valued) parts the accept
acknowledgement (CA, CE, CR; MSH-15 says when it is wanted) from the application acknowledgement (AA, AE, AR;
MSH-16). Both mean the same here: that the message is safe in the log, or not. A message gets one answer: the accept
acknowledgement where MSH-15 wants one; where it doesn't and MSH-16 does, the other, for such a sender ("ER" and "AL"
is common) waits for it. A feed that takes two gets the application acknowledgement behind it as a message of its own.
"""

from __future__ import annotations

import dataclasses
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from engine.errors import CharsetError, NotHl7Error
from engine.hl7v2.charset import decode
from engine.hl7v2.charset_names import declared_names
from engine.hl7v2.charset_shape import byte_order_mark, wide_without_mark
from engine.hl7v2.decoded import Decoded
from engine.hl7v2.delimiters import Delimiters
from engine.hl7v2.er7 import read_delimiters
from engine.hl7v2.escapes import escape_text
from engine.hl7v2.lines import FILLING
from engine.hl7v2.tree import Segment

_ENHANCED = {"AA": "CA", "AE": "CE", "AR": "CR"}
_WANTED = {"AL": ("AA", "AE", "AR"), "ER": ("AE", "AR"), "SU": ("AA",), "NE": ()}
"""Table 0155: after which results an acknowledgement is wanted."""

_ERROR_0357 = {
    "ok": ("0", "Message accepted"),
    "structure": ("100", "Segment sequence error"),
    "type": ("102", "Data type error"),
    "internal": ("207", "Application internal error"),
}
_LINE_END = re.compile("[\r\n]")
_MAX_TEXT = 240
"""ERR-8 and MSA-3 are short texts."""


@dataclass(frozen=True, slots=True)
class Header:
    """What an acknowledgement needs of the message's MSH.

    Attributes:
        delimiters: of MSH-1 and MSH-2.
        segment: the MSH. Bytes stand for characters (Latin-1), so that what is echoed goes back as it came,
            unless the message is in UTF-16 or UTF-32. Its fields are those of the decoded text.
        charset: the first name in MSH-18, "" if absent.
        codec: what ``segment`` was decoded with.
        mark: the byte order mark in front of the message.
    """

    delimiters: Delimiters
    segment: Segment
    charset: str
    codec: str = "latin-1"
    mark: bytes = b""

    @property
    def control_id(self) -> str:
        return self.segment.text(10)

    def answer(self, code: str) -> str | None:
        """MSA-1 that tells the sender ``code`` (AA, AE, AR) in the mode it asked for; None if it wants no answer."""
        accept, application = (self.segment.text(n).strip().upper() for n in (15, 16))
        if not accept and not application:
            return code
        if accept and code in _WANTED.get(accept, _WANTED["AL"]):
            return _ENHANCED[code]
        if application and code in _WANTED.get(application, _WANTED["AL"]):
            return code
        # Enhanced mode that leaves MSH-15 empty does not say that it wants no answer.
        return None if accept else _ENHANCED[code]

    def answers(self, code: str, *, both: bool) -> tuple[str, ...]:
        """As :meth:`answer`; with ``both``, where an accept acknowledgement is the answer, also the application
        acknowledgement that MSH-16 asks for (HL7 v2.5.1 §2.9.3).
        """
        first = self.answer(code)
        if first is None:
            return ()
        application = self.segment.text(16).strip().upper()
        more = (
            both and first != code and application != "" and code in _WANTED.get(application, _WANTED["AL"])
        )
        return (first, code) if more else (first,)


def read_header(payload: bytes) -> Header | None:
    """The MSH of a message as far as its bytes allow; None when there is none to answer to."""
    mark, codec = byte_order_mark(payload)
    if not mark or codec == "utf-8":
        codec = wide_without_mark(payload) or "latin-1"
    wide = codec != "latin-1"
    text = payload[len(mark) :].decode(codec, "replace").lstrip(FILLING)
    line = _LINE_END.split(text, maxsplit=1)[0]
    decoded = None if wide or (line.isascii() and "\x1b" not in line) else _decoded(line)
    if decoded is not None:
        line = decoded.text
    line = line[:3].upper() + line[3:]
    try:
        delimiters = read_delimiters(line)
    except NotHl7Error:
        return None
    segment = Segment(line, delimiters)
    if decoded is not None:
        with suppress(UnicodeEncodeError):
            segment.fields = [_as_bytes(field, decoded) for field in segment.fields]
    names = [segment.text(18)] if wide else declared_names(payload)
    return Header(delimiters, segment, names[0] if names else "", codec, mark if wide else b"")


def _decoded(line: str) -> Decoded | None:
    """A header as text: only there a separator is told from the byte of a character. None where it can't be decoded."""
    try:
        return decode(line.encode("latin-1"), fallback="8859/1")
    except CharsetError:
        return None


def _as_bytes(field: str, decoded: Decoded) -> str:
    """A field as it came, a byte a character."""
    return field if field.isascii() else dataclasses.replace(decoded, text=field).encode().decode("latin-1")


def acknowledge(
    header: Header | None,
    code: str,
    *,
    control_id: str,
    at: datetime,
    text: str = "",
    location: str = "",
    kind: str = "ok",
    msa1: str = "",
) -> bytes | None:
    """One ACK message, in the delimiters, version and order of the sender; None when none is wanted.

    Args:
        header: of the message answered; None when it could not be read: a plain v2.5.1 ACK is made.
        code: AA, AE or AR; translated to CA, CE, CR in enhanced mode.
        control_id: our own MSH-10, unique.
        at: our time, aware.
        text: reason, free of patient data.
        location: ``SEG[n]-f`` of the fault.
        kind: key of the table 0357 codes: ok, structure, type or internal.
        msa1: MSA-1 as it is to stand; "" for what the header asks for.
    """
    if header is None:
        header = Header(Delimiters(), Segment("MSH|^~\\&|||||||ACK|||2.5.1", Delimiters()), "")
    answer = msa1 or header.answer(code)
    if answer is None:
        return None
    d, msh = header.delimiters, header.segment
    raw = [*msh.fields, *[""] * 20]
    version = _version(msh.text(12))
    fields = [
        "MSH",
        d.encoding_characters,
        raw[5],
        raw[6],
        raw[3],
        raw[4],
        at.strftime("%Y%m%d%H%M%S%z"),
        "",
        _message_type(d, version, msh.text(9, 2)),
        escape_text(control_id, d),
        raw[11] or "P",
        raw[12] or "2.5.1",
    ]
    if header.charset:
        fields += ["", "", "", "", "", raw[18]]
    words = _plain(text, d)
    # MSH-10 goes back as it stands, whatever is in it: that is what the sender compares with.
    acknowledgement = ["MSA", answer, raw[10], "" if version >= (2, 7) else words]
    if code != "AA" and (2, 2) <= version < (2, 5):
        acknowledgement += ["", "", _coded(d.component, kind)]
    lines = [d.field.join(fields), d.field.join(acknowledgement).rstrip(d.field)]
    if code != "AA":
        lines.append(_error_segment(d, version, words, location, kind))
    return header.mark + "".join(f"{line}\r" for line in lines).encode(header.codec, "replace")


def _version(text: str) -> tuple[int, ...]:
    """MSH-12 as numbers, so that they can be compared; what is no version counts as 2.5.1."""
    text = text.strip()
    return tuple(map(int, text.split("."))) if re.fullmatch(r"2(\.\d{1,2}){1,2}", text) else (2, 5, 1)


def _message_type(d: Delimiters, version: tuple[int, ...], trigger: str) -> str:
    """MSH-9 of an ACK: the trigger event since v2.2, the structure since v2.3.1."""
    if not trigger or version < (2, 2):
        return "ACK"
    return d.component.join(["ACK", trigger] if version < (2, 3, 1) else ["ACK", trigger, "ACK"])


def _plain(text: str, d: Delimiters) -> str:
    """Our words, short, and safe also where the sender has no escape character."""
    text = text[:_MAX_TEXT]
    if d.escape:
        return escape_text(text, d)
    return "".join(" " if c in f"{d.field}{d.component}{d.repetition}{d.subcomponent}" else c for c in text)


def _coded(separator: str, kind: str) -> str:
    number, title = _ERROR_0357[kind]
    return separator.join([number, title, "HL70357"]) if separator else number


def _error_segment(d: Delimiters, version: tuple[int, ...], words: str, location: str, kind: str) -> str:
    """ERR: location in ERR-2 and code in ERR-3 since v2.5, all in ERR-1 before (HL7 v2.5.1 §2.15.5)."""
    segment_id, sequence, field = _split_location(location)
    if version < (2, 5):
        # The error code got subcomponents in v2.3.
        code = _coded(d.subcomponent if version >= (2, 3) else "", kind)
        return d.field.join(["ERR", d.component.join([segment_id, sequence, field, code])])
    place = d.component.join([segment_id, sequence, field]).strip(d.component)
    return d.field.join(["ERR", "", place, _coded(d.component, kind), "E", "", "", "", words])


def _split_location(location: str) -> tuple[str, str, str]:
    head, _, rest = location.partition("-")
    segment_id, _, occurrence = head.partition("[")
    field = "".join(c for c in rest.split(".")[0].split("[")[0] if c.isdigit())
    return segment_id, occurrence.rstrip("]"), field
