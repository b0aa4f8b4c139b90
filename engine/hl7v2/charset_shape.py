"""What the first bytes tell of a payload, whatever MSH-18 says: a byte order mark, or characters of 16 or 32 bits."""

from __future__ import annotations

import codecs

BYTE_ORDER_MARKS = (
    # UTF-32 first: its little-endian mark begins with UTF-16's.
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_BOM_STARTS = frozenset(mark[:1] for mark, _ in BYTE_ORDER_MARKS)
_WIDE = tuple(
    (letters.encode(codec), codec)
    for codec in ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
    for letters in ("MS", "FH", "BH")
)
"""How a header begins in 16 or 32 bits. UTF-32 first: two of its letters are four of UTF-16's."""


def byte_order_mark(payload: bytes) -> tuple[bytes, str]:
    """(mark, codec) at the beginning of a payload, else (b"", "")."""
    if payload[:1] in _BOM_STARTS:
        for mark, codec in BYTE_ORDER_MARKS:
            if payload.startswith(mark):
                return mark, codec
    return b"", ""


def wide_without_mark(payload: bytes) -> str | None:
    """UTF-16 or UTF-32 by the zero bytes around the first three letters."""
    head = payload[:8]
    if 0 not in head:
        return None
    return next((codec for start, codec in _WIDE if head.startswith(start)), None)
