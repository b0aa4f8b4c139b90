"""ISO 2022 as HL7 uses it: a default set, and escape sequences to the others that MSH-18 names (HL7 v2.5.1 §2.15.9.18).

Two kinds of switches come: of the left half (ESC ( or ESC $) to a Japanese set, whose characters are 7-bit bytes; and
of the right half (ESC - or ESC $ )) to a part of 8859, to KS X 1001 or GB 2312. A switch holds until the next one or the
end of the segment, which resets to the default. Python's ``iso2022_jp_ext`` knows JIS X 0208 (ISO IR87), 0212 (IR159)
and 0201 (IR14) beside ASCII, but resets at LF alone.
"""

from __future__ import annotations

import re
from itertools import groupby

CODEC = "iso2022_jp_ext"
_TO_JAPANESE = re.compile(rb"\x1b(?:\$[@B]|\$\(D|\([IJ])")
_LINE = re.compile(rb"[^\r\n]+|[\r\n]+")
_RUN = re.compile(
    rb"(\x1b(?:\$[@B]|\$\(D|\([BIJ]|[-.][A-Z_a-z]|\$\)[AC]))?(.[^\x1b]*|(?=\x1b)|\Z)", re.DOTALL
)
_RIGHT_HALVES = {
    **{b"\x1b-%c" % final: f"iso8859-{part}" for part, final in enumerate(b"ABCDLGFHM", 1)},
    b"\x1b-b": "iso8859-15",
    b"\x1b-T": "tis-620",
    b"\x1b$)C": "euc_kr",
    b"\x1b$)A": "gb18030",
}
"""Switches of the right half, and the codec in which those bytes are then read (ISO's register of sets)."""
_SHIFT_OUT = b"\x0e"
"""In 7 bits, from here on bytes stand for those of the right half: not followed."""
RIGHT_HALVES = frozenset(_RIGHT_HALVES.values())


def switches(payload: bytes) -> bool:
    """Whether bytes, 7 or 8 bits each, hold switches to a Japanese set."""
    return b"\x1b" in payload and _TO_JAPANESE.search(payload) is not None


def says_what_holds(payload: bytes, codec: str) -> bool:
    """Whether all switches that are known name ASCII or the set that the bytes are in anyway, in 8 bits."""
    if _SHIFT_OUT in payload:
        return False
    found = {sequence for sequence, _ in _RUN.findall(payload) if sequence}
    return bool(found) and all(s == b"\x1b(B" or _RIGHT_HALVES.get(s) == codec for s in found)


def decode_beside(payload: bytes, default: str) -> str:
    """Bytes in ``default`` with switches to other sets. Unknown switches stay. Raises UnicodeDecodeError."""
    if b"\x1b" not in payload:
        return payload.decode(default)
    return "".join(
        _decoded_line(line, default) if b"\x1b" in line else line.decode(default)
        for line in _LINE.findall(payload)
    )


def _decoded_line(line: bytes, default: str) -> str:
    out: list[str] = []
    left, right = b"", default
    for sequence, content in _RUN.findall(line):
        if sequence in _RIGHT_HALVES:
            right = _RIGHT_HALVES[sequence]
        elif sequence:
            left = b"" if sequence == b"\x1b(B" else sequence
        out.append((left + content).decode(CODEC) if left else content.decode(right))
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
