"""ISO 2022 as HL7 uses it: a default set, and escape sequences to the others that MSH-18 names (HL7 v2.5.1 §2.15.9.18).

Two kinds of switches come: of the left half (ESC ( or ESC $) to a Japanese set, whose characters are 7-bit bytes; and
of the right half (ESC - or ESC $ )) to a part of 8859, to KS X 1001, GB 2312 or katakana. A switch holds until the next
one or the end of the segment, which resets to the default. Where bytes have 7 bits, SO (0E) and SI (0F) shift to the
right half and back, as in ISO-2022-KR, which names its set once for the whole text. Python's ``iso2022_jp_ext`` knows JIS X 0208 (ISO IR87), 0212 (IR159)
and 0201 (IR14) beside ASCII, but resets at LF alone.
"""

from __future__ import annotations

import re
from itertools import groupby

CODEC = "iso2022_jp_ext"
_TO_JAPANESE = re.compile(rb"\x1b(?:\$[@B]|\$\(D|\([IJ])")
_LINE = re.compile(rb"[^\r\n]+|[\r\n]+")
_RUN = re.compile(
    rb"(\x1b(?:\$[@B]|\$\(D|\([BIJ]|[-.][A-Z_a-z]|\$\)[AC]|\)I))?(.[^\x1b]*|(?=\x1b)|\Z)", re.DOTALL
)
_RIGHT_HALVES = {
    **{b"\x1b-%c" % final: f"iso8859-{part}" for part, final in enumerate(b"ABCDLGFHM", 1)},
    b"\x1b-b": "iso8859-15",
    b"\x1b-T": "tis-620",
    b"\x1b$)C": "euc_kr",
    b"\x1b$)A": "gb18030",
    b"\x1b)I": "cp932",
}
"""Switches of the right half, and the codec in which those bytes are then read (ISO's register of sets)."""
_SHIFTED = re.compile(rb"(\x0e[^\x0e\x0f]*\x0f?)")
_SHIFTED_CHARACTERS = re.compile("\x0e[\x20-\x7e]+\x0f")
_TO_RIGHT_HALF = bytes(byte | 0x80 if 0x20 < byte < 0x7F else byte for byte in range(256))
_NAMED_BY_DECLARATION = frozenset({"euc_kr", "gb18030"})
"""Sets that are shifted to without a word; in others a lone SO is a stray control character."""
RIGHT_HALVES = frozenset(_RIGHT_HALVES.values())


def switches(payload: bytes) -> bool:
    """Whether bytes, 7 or 8 bits each, hold switches to a Japanese set, or shifts to a set that they name."""
    if b"\x1b" not in payload:
        return False
    shifts = b"\x0e" in payload and any(sequence in payload for sequence in _RIGHT_HALVES)
    return shifts or _TO_JAPANESE.search(payload) is not None


def shifts_to_nothing(text: str) -> bool:
    """Whether a text still holds characters between SO and SI: no set was named for them."""
    return "\x0e" in text and _SHIFTED_CHARACTERS.search(text) is not None


def says_what_holds(payload: bytes, codec: str) -> bool:
    """Whether all switches that are known name ASCII or the set that the bytes are in anyway, in 8 bits or 7."""
    found = {sequence for sequence, _ in _RUN.findall(payload) if sequence}
    shifts = b"\x0e" in payload and codec in _NAMED_BY_DECLARATION
    return (shifts or bool(found)) and all(s == b"\x1b(B" or _RIGHT_HALVES.get(s) == codec for s in found)


def decode_beside(payload: bytes, default: str) -> str:
    """Bytes in ``default`` with switches to other sets. Unknown switches stay. Raises UnicodeDecodeError."""
    if b"\x1b" not in payload and b"\x0e" not in payload:
        return payload.decode(default)
    out: list[str] = []
    shifted_to = default if default in _NAMED_BY_DECLARATION else ""
    for line in _LINE.findall(payload):
        if b"\x1b" in line or b"\x0e" in line:
            text, shifted_to = _decoded_line(line, default, shifted_to)
            out.append(text)
        else:
            out.append(line.decode(default))
    return "".join(out)


def _decoded_line(line: bytes, default: str, shifted_to: str) -> tuple[str, str]:
    """Text of a line, and what SO shifts to behind it; "" when nothing has been named."""
    out: list[str] = []
    left, right = b"", default
    for sequence, content in _RUN.findall(line):
        if sequence in _RIGHT_HALVES:
            right = shifted_to = _RIGHT_HALVES[sequence]
        elif sequence:
            left = b"" if sequence == b"\x1b(B" else sequence
        if left:
            out.append((left + content).decode(CODEC))
        elif shifted_to and b"\x0e" in content:
            out += [_unshifted(part, right, shifted_to) for part in _SHIFTED.split(content)]
        else:
            out.append(content.decode(right))
    return "".join(out), shifted_to


def _unshifted(part: bytes, right: str, shifted_to: str) -> str:
    if not part.startswith(b"\x0e"):
        return part.decode(right)
    return part[1:].removesuffix(b"\x0f").translate(_TO_RIGHT_HALF).decode(shifted_to)


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
