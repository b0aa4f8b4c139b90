"""Bytes to text: FHIR JSON is UTF-8, and other Unicode encodings arrive all the same (FHIR R4 §3.1.0.1.11, RFC 8259 §8.1).

Order of trust: a byte order mark, the shape of UTF-16 and UTF-32 (RFC 4627 §3), UTF-8 if the bytes are
valid UTF-8, the declaration of the transport. What fits none of these is refused: a guess would garble names.
"""

from __future__ import annotations

import codecs

from engine.errors import CharsetError
from engine.records import Issue, Severity

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Byte order marks. UTF-32 before UTF-16: its little-endian mark begins with the other's."""

_SHAPES: dict[tuple[int, ...], str] = {
    (0, 0, 0, 1): "utf-32-be",
    (1, 0, 0, 0): "utf-32-le",
    (0, 1, 0, 1): "utf-16-be",
    (1, 0, 1, 0): "utf-16-le",
}
"""Zero bytes among the first four: JSON begins with two ASCII characters, but for a text of one."""

_IANA = {"ascii": "us-ascii", "cp1252": "windows-1252", "cp932": "windows-31j"}


def decode(payload: bytes, declared: str | None = None) -> tuple[str, str, list[Issue]]:
    """Decode a payload.

    Args:
        payload: as received.
        declared: character set named outside, such as in Content-Type.

    Returns:
        The text without its byte order mark, the IANA name of the character set, and what to know of it.

    Raises:
        CharsetError: the bytes fit neither Unicode nor the declaration.
    """
    encoding, mark = _by_mark_or_shape(payload)
    if encoding:
        text = _strict(payload[mark:], encoding)
        return text, encoding.removesuffix("-le").removesuffix("-be"), _against(declared, encoding)
    try:
        return payload.decode("utf-8"), "utf-8", _against(declared, "utf-8", plain=payload.isascii())
    except UnicodeDecodeError as fault:
        if not declared or _codec(declared) in {None, "utf-8"}:
            raise CharsetError(
                f"The bytes are no UTF-8 from byte {fault.start} on",
                action="Send UTF-8, or name the character set in Content-Type.",
            ) from None
    name = _codec(declared)
    assert name is not None
    text = _strict(payload, name)
    issue = Issue(
        Severity.WARNING,
        "charset-not-utf-8",
        "",
        "FHIR JSON came in another character set than UTF-8, as it was declared",
        "Send UTF-8.",
    )
    return text, _IANA.get(name, name.replace("iso8859-", "iso-8859-")), [issue]


def _by_mark_or_shape(payload: bytes) -> tuple[str, int]:
    for mark, encoding in MARKS:
        if payload.startswith(mark):
            return encoding, len(mark)
    shape = tuple(1 if byte else 0 for byte in payload[:4])
    return _SHAPES.get(shape, ""), 0


def _strict(payload: bytes, encoding: str) -> str:
    try:
        return payload.decode(encoding)
    except UnicodeDecodeError as fault:
        raise CharsetError(
            f"The bytes are no {encoding} from byte {fault.start} on",
            action="Send the bytes as the byte order mark or Content-Type says; UTF-8 is best.",
        ) from None


def _codec(declared: str) -> str | None:
    """Python's name of a declared character set; None when there is none for text."""
    try:
        found = codecs.lookup(declared.strip().strip("\"'"))
    except (LookupError, ValueError):
        return None
    return found.name if _is_text(found.name) else None


def _is_text(name: str) -> bool:
    try:
        return "{".encode(name).decode(name) == "{"
    except (LookupError, ValueError):
        return False


def _against(declared: str | None, used: str, *, plain: bool = False) -> list[Issue]:
    """A declaration that the bytes contradict. ASCII bytes contradict nothing."""
    if not declared or plain:
        return []
    name = _codec(declared)
    if name is not None and (used.startswith(name) or name.startswith(used)):
        return []
    message = (
        "The declared character set is unknown"
        if name is None
        else "The declared character set is not what the bytes prove"
    )
    return [
        Issue(
            Severity.WARNING,
            "charset-repaired",
            "",
            f"{message}; they were read as {used}",
            "Correct the declaration.",
        )
    ]
