"""How a message or batch begins on the wire, in characters of one, two or four bytes, with or without byte order mark."""

from __future__ import annotations

from engine.hl7v2.charset_shape import BYTE_ORDER_MARKS

BOMS = tuple(mark for mark, _ in BYTE_ORDER_MARKS)
MAX_WIDTH = 4
"""Bytes of the widest character, in UTF-32."""
_WIDTHS = {"utf-8": 1, "utf-16-le": 2, "utf-16-be": 2, "utf-32-le": MAX_WIDTH, "utf-32-be": MAX_WIDTH}
_WIDTH_OF = {
    begin + name.encode(codec): _WIDTHS[codec]
    for name in ("MSH", "FHS", "BHS")
    for mark, codec in BYTE_ORDER_MARKS
    for begin in (b"", mark)
}
HEADERS = tuple(_WIDTH_OF)
LINE_ENDS = {
    width: frozenset(end.encode(codec) for codec, w in _WIDTHS.items() if w == width for end in "\r\n")
    for width in set(_WIDTHS.values())
}
"""Characters that end a segment, by their width in bytes."""
_BLANKS = b"\r\n\t "
_MAY_BEGIN = frozenset(_BLANKS + bytes(header[0] for header in HEADERS))
_MAX_LEAD = 4
"""Blanks and line ends that may stand between SB and the header."""
WINDOW = _MAX_LEAD + max(map(len, HEADERS))
"""Bytes that must be seen to know whether a header stands there."""


def header_follows(data: bytes | bytearray, at: int) -> bool | None:
    """Whether a message or batch header begins at ``at``; None when it may yet."""
    if at < len(data) and data[at] not in _MAY_BEGIN:
        return False
    raw = bytes(data[at : at + WINDOW])
    text = raw.lstrip(_BLANKS)
    if len(raw) - len(text) > _MAX_LEAD:
        return False
    if text.startswith(HEADERS):
        return True
    undecided = len(raw) < WINDOW and any(header.startswith(text) for header in HEADERS)
    return None if undecided else False


def width(opening: bytes | bytearray) -> tuple[int, int]:
    """Blanks before the header that a payload begins with, and the bytes of each of its characters; (0, 1) without one."""
    raw = bytes(opening[:WINDOW])
    if 0 not in raw:
        return 0, 1
    text = raw.lstrip(_BLANKS)
    return next(
        ((len(raw) - len(text), n) for begin, n in _WIDTH_OF.items() if text.startswith(begin)), (0, 1)
    )
