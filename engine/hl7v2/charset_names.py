"""The names of character sets: HL7 table 0211, what the field writes instead, and what MSH-18 says (HL7 v2.5.1 §2.15.9.18)."""

from __future__ import annotations

import re

from engine.errors import CharsetError
from engine.hl7v2 import iso2022
from engine.hl7v2.delimiters import Delimiters
from engine.hl7v2.escapes import unescape

# Codes of table 0211, and the spellings seen instead, with all but letters and digits removed.
_TABLE_0211: dict[str, str] = {
    "ASCII": "ascii",
    "USASCII": "ascii",
    "ISO646": "ascii",
    **{f"88591{n}": f"iso8859-1{n}" for n in (0, 1, 3, 4, 5, 6)},
    **{f"8859{n}": f"iso8859-{n}" for n in range(1, 10)},
    "LATIN1": "iso8859-1",
    "LATIN9": "iso8859-15",
    "UNICODE": "utf-8",  # withdrawn in v2.6 for being unclear; in practice UTF-8 unless a BOM says more
    "UNICODEUTF8": "utf-8",
    "UTF8": "utf-8",
    "UTF8UNICODE": "utf-8",
    **{
        f"{name}UTF{n}{end}": f"utf-{n}"
        for name in ("UNICODE", "")
        for n in (16, 32)
        for end in ("", "LE", "BE")
    },
    "ISOIR6": "ascii",
    "ISOIR14": "iso2022_jp_ext",
    "ISOIR87": "iso2022_jp_ext",
    "ISOIR159": "iso2022_jp_ext",
    "ISO2022JP": "iso2022_jp_ext",
    "ISO2022KR": "euc_kr",
    "ISOIR13": "cp932",  # katakana in the right half of one byte each
    "SHIFTJIS": "cp932",
    **dict.fromkeys(("SJIS", "MS932", "CP932", "WINDOWS932", "WINDOWS31J"), "cp932"),
    "EUCJP": "euc_jp",
    "GB180302000": "gb18030",
    "GB18030": "gb18030",
    **dict.fromkeys(("GB2312", "GBK", "CP936", "MS936", "WINDOWS936", "EUCCN"), "gb18030"),
    **dict.fromkeys(("BIG5", "BIG5HKSCS", "CP950", "MS950", "WINDOWS950"), "big5"),
    **dict.fromkeys(
        ("KSX1001", "KSC5601", "KSC56011987", "EUCKR", "CP949", "MS949", "UHC", "WINDOWS949"), "euc_kr"
    ),
    **{f"{name}125{n}": f"cp125{n}" for name in ("WINDOWS", "CP") for n in range(9)},
    "ANSI": "cp1252",
    **dict.fromkeys(("TIS620", "CP874", "WINDOWS874"), "tis-620"),
    # The same sets under their numbers in ISO's register, as DICOM names them.
    **{
        f"ISOIR{n}": f"iso8859-{part}" for n, part in zip((100, 101, 109, 110, 144), range(1, 6), strict=True)
    },
    **{f"ISOIR{n}": f"iso8859-{part}" for n, part in zip((127, 126, 138, 148), range(6, 10), strict=True)},
    "ISOIR203": "iso8859-15",
    "ISOIR149": "euc_kr",
    "ISOIR58": "gb18030",
    "ISOIR166": "tis-620",
    "ISOIR192": "utf-8",
}
_NO_CODEC = {"CNS116431992", "CNS11643"}
_MAX_SHIFT = 16
"""So many bytes of a header's characters may look like field separators."""
_MSH = re.compile(rb"[\s\0\x02-\x04\x1a]*(?i:MSH)")


def codec_for(name: str) -> str | None:
    """Python codec for a name of table 0211 or its usual spellings; None when unknown.

    Raises:
        CharsetError: the name is known, and no codec for it exists here (CNS 11643).
    """
    key = _key(name)
    if key in _NO_CODEC:
        raise CharsetError(
            f"The character set {name!r} of MSH-18 can't be decoded here: no codec for CNS 11643 is available",
            location="MSH[1]-18",
            action="Let the sender use 'UNICODE UTF-8' or 'BIG-5'.",
        )
    return _TABLE_0211.get(key)


def _key(name: str) -> str:
    key = re.sub(r"[^A-Z0-9]", "", name.upper())
    return re.sub(r"^(ISO|IEC)+(?=8859)", "", key)


def quiet_codec(name: str) -> str | None:
    """The same, and None where :func:`codec_for` raises."""
    return None if _key(name) in _NO_CODEC else _TABLE_0211.get(_key(name))


def is_unicode(name: str) -> bool:
    """Whether a name is UNICODE alone, which says nothing of the bytes."""
    return _key(name) == "UNICODE"


def declared_names(payload: bytes) -> list[str]:
    """Repetitions of MSH-18 of an ASCII-compatible payload; [] when absent. Empty repetitions stay as ""."""
    start = _MSH.match(payload)
    if start is None:
        return []
    begin = start.end()
    end = min(
        (i for i in (payload.find(b"\r", begin), payload.find(b"\n", begin)) if i >= 0), default=len(payload)
    )
    header = payload[begin:end]
    names = _names(header.decode("latin-1"))
    if (header.isascii() and b"\x1b" not in header) or (names and None not in map(quiet_codec, names)):
        return names
    return _names_behind_characters(header) or names


def _names_behind_characters(header: bytes) -> list[str]:
    """MSH-18 of a header in which bytes of characters look like field separators, so that it seems to stand further on.

    A set is believed if MSH-18 names it when the header is read in it; [] when there is none.
    """
    for field in header.split(header[:1])[18 : 18 + _MAX_SHIFT]:
        codecs = {quiet_codec(name.strip()) for name in field.decode("latin-1").split("~")}
        for codec in codecs - {None}:
            try:
                text = (
                    iso2022.decode_beside(header, "ascii")
                    if codec == iso2022.CODEC
                    else header.decode(codec or "")
                )
            except (UnicodeDecodeError, LookupError):
                continue
            names = _names(text)
            if codec in map(quiet_codec, names):
                return names
    return []


def names_in(text: str) -> list[str]:
    """The same of the beginning of a text."""
    return declared_names(text.encode("utf-8", "replace"))


def _names(header: str) -> list[str]:
    """Repetitions of MSH-18 in what stands behind the three letters."""
    fields = header.split(header[0]) if header else []
    if len(fields) <= 17 or not fields[17]:
        return []
    characters = [*fields[1], *[""] * 5]
    delimiters = Delimiters(header[:1], *characters[:5])
    repetition = delimiters.repetition or "~"
    return [unescape(part, delimiters).strip() for part in fields[17].split(repetition)]
