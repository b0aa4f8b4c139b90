"""ISO 2022 with Japanese sets, as HL7 uses it: a default set, and escape sequences to others (HL7 v2.5.1 §2.15.9.18).

Python's ``iso2022_jp_ext`` knows JIS X 0208 (ISO IR87), 0212 (IR159) and 0201 (IR14) beside ASCII. Where MSH-18's first
repetition is another set, such as 8859/1~ISO IR87, what stands outside of the escape sequences is in that one.
"""

from __future__ import annotations

import re
from itertools import groupby

CODEC = "iso2022_jp_ext"
_SWITCHED = re.compile(rb"\x1b(?:\$[@B]|\$\(D|\([IJ])[^\r\n]*?(?:\x1b\(B|(?=[\r\n]|\Z))")
"""From a switch to a Japanese set until the one back to ASCII, or the end of the segment, which resets to the default."""


def switches(text: str) -> bool:
    """Whether a text, decoded as something else, holds the switches of ISO 2022 to a Japanese set."""
    return "\x1b" in text and _SWITCHED.search(text.encode("ascii", "replace")) is not None


def decode_beside(payload: bytes, default: str) -> str:
    """Bytes in ``default`` with switches to Japanese sets. Raises UnicodeDecodeError."""
    out: list[str] = []
    position = 0
    for match in _SWITCHED.finditer(payload):
        out.append(payload[position : match.start()].decode(default))
        out.append(match[0].decode(CODEC))
        position = match.end()
    out.append(payload[position:].decode(default))
    return "".join(out)


def encode_beside(text: str, default: str) -> bytes:
    """The bytes again: what ``default`` lacks is switched to. Raises UnicodeEncodeError."""
    known: dict[str, bool] = {}

    def in_default(character: str) -> bool:
        if character not in known:
            known[character] = _encodes(character, default)
        return known[character]

    return b"".join(
        "".join(run).encode(default if plain else CODEC) for plain, run in groupby(text, key=in_default)
    )


def _encodes(character: str, codec: str) -> bool:
    try:
        character.encode(codec)
    except UnicodeEncodeError:
        return False
    return True
