r"""Escape sequences (HL7 v2.5.1 §2.7), decoded to text and encoded back.

==============================  =================================================================
``\F\ \S\ \T\ \R\ \E\ \P\``     the delimiter (field, component, subcomponent, repetition, escape, truncation)
``\Xhh..\``                     bytes in hexadecimal, decoded as Latin-1 controls and ASCII, else as UTF-8
``\.br\ .sp n ce sk fi nf in ti``  formatting commands, turned into line breaks and blanks
``\H\ \N\``                     highlighting on and off: dropped, they carry no text
``\Cxxyy\ \Mxxyyzz\``           switches of the character set by ISO 2022: decoded, else kept as text
``\Z..\``                       local: kept as text
anything else                   no escape: kept as text
==============================  =================================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable

from engine.hl7v2.delimiters import Delimiters

_PIECES = 256
_C1 = re.compile("[\x80-\x9f]")
_MAX_SKIP = 200
"""Largest count taken from ``.sp`` or ``.sk``: a bigger one is no layout but a fault."""


def unescape(raw: str, delimiters: Delimiters) -> str:
    """Text of a raw value. Lone and unknown escapes stay as they are; see :func:`strange_escapes`."""
    escape = delimiters.escape
    if not escape or escape not in raw:
        return raw
    if (f"{escape}C" in raw or f"{escape}M" in raw) and (switched := _switched(raw, delimiters)) is not None:
        return switched
    return _unescaped(raw, delimiters, _decode)


def _unescaped(raw: str, delimiters: Delimiters, decode: Callable[[str, Delimiters], str | None]) -> str:
    escape = delimiters.escape
    done: list[str] = []
    out: list[str] = []
    position = 0
    while True:
        if len(out) > _PIECES:  # thousands of small strings would take several times the text's room
            done.append("".join(out))
            out.clear()
        start = raw.find(escape, position)
        if start < 0:
            out.append(raw[position:])
            break
        end = raw.find(escape, start + 1)
        if end < 0:
            out.append(raw[position:])
            break
        decoded = decode(raw[start + 1 : end], delimiters)
        if decoded is None:
            # No escape sequence: keep the character, and let the second one open the next.
            out.append(raw[position:end])
            position = end
            continue
        out.append(raw[position:start])
        out.append(decoded)
        position = end + 1
    return "".join((*done, *out))


def _switched(raw: str, delimiters: Delimiters) -> str | None:
    r"""A value that switches its character set (HL7 v2.5.1 §2.7.2); None when it does not, or not to what is known.

    ``\M2442\`` is ESC $ B of ISO 2022: what follows, up to ``\C2842\``, is JIS X 0208 in 7-bit bytes. Where an ESC
    itself is a part of the value, it was no switch, and none is taken for one.
    """
    if "\x1b" in raw:
        return None
    text = _unescaped(raw, delimiters, _decode_with_switches)
    if "\x1b" not in text:
        return None
    try:
        found = text.encode("ascii").decode("iso2022_jp_ext")
    except UnicodeError:
        return None
    return None if "\x1b" in found else found


def strange_escapes(raw: str, delimiters: Delimiters) -> list[str]:
    """Kinds of escapes in a raw value that could not be decoded: ``local``, ``charset``, ``lone``."""
    escape = delimiters.escape
    kinds: list[str] = []
    if escape and _switched(raw, delimiters) is not None:
        return kinds
    position = raw.find(escape) if escape else -1
    while position >= 0:
        end = raw.find(escape, position + 1)
        if end < 0:
            kinds.append("lone")
            break
        body = raw[position + 1 : end]
        if _decode(body, delimiters) is None:
            kinds.append({"Z": "local", "C": "charset", "M": "charset"}.get(body[:1], "lone"))
            if kinds[-1] == "lone":
                position = end
                continue
        position = raw.find(escape, end + 1)
    return kinds


def escape_text(text: str, delimiters: Delimiters) -> str:
    """The raw form of a text: delimiters and segment terminators escaped."""
    if not delimiters.escape:
        return text
    e = delimiters.escape
    table = {ord(e): f"{e}E{e}", ord(delimiters.field): f"{e}F{e}", 13: f"{e}X0D{e}", 10: f"{e}X0A{e}"}
    for character, letter in (
        (delimiters.component, "S"),
        (delimiters.repetition, "R"),
        (delimiters.subcomponent, "T"),
    ):
        if character:
            table[ord(character)] = f"{e}{letter}{e}"
    return text.translate(table)


def _decode(body: str, delimiters: Delimiters) -> str | None:  # noqa: C901 - one branch a kind of sequence
    if len(body) == 1:
        match body:
            case "F":
                return delimiters.field
            case "S":
                return delimiters.component
            case "T":
                return delimiters.subcomponent or "&"
            case "R":
                return delimiters.repetition
            case "E":
                return delimiters.escape
            case "P":
                return delimiters.truncation or "#"
            case "H" | "N":
                return ""
        return None
    kind = body[:1]
    if kind == "X":
        return _hexadecimal(body[1:])
    if kind == ".":
        return _formatting(body[1:])
    return None


def _decode_with_switches(body: str, delimiters: Delimiters) -> str | None:
    if len(body) in {5, 7} and body[0] in "CM":
        try:
            return "\x1b" + bytes.fromhex(body[1:]).decode("ascii")
        except ValueError:
            return None
    return _decode(body, delimiters)


def _hexadecimal(digits: str) -> str | None:
    try:
        data = bytes.fromhex(digits)
    except ValueError:
        return None
    if not data or len(digits) % 2:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    # Bytes of another set, such as 8E52 in Shift-JIS, show as C1 controls: no text is made of them.
    return None if _C1.search(text) else text


def _formatting(command: str) -> str | None:
    """FT formatting commands (HL7 v2.5.1 §2.7.6, table of §2.A.24)."""
    name, argument = command[:2].lower(), command[2:].strip().lstrip("+")
    count = min(int(argument), _MAX_SKIP) if argument.isascii() and argument.isdigit() else None
    match name:
        case "br" if not argument:
            return "\n"
        case "sp":
            if argument and count is None:
                return None
            return "\n" * (1 if count is None else max(count, 1))
        case "ce" if not argument:
            return "\n"
        case "sk" if count is not None or not argument:
            return " " * (1 if count is None else count)
        case "fi" | "nf" if not argument:
            return ""
        case "in" | "ti":
            return "" if not argument or argument.lstrip("-").isdigit() else None
    return None
