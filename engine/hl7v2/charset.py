r"""Bytes to text: HL7 table 0211, what the field really sends, and what to do when both disagree.

Bytes are decoded before anything is split: in Big5, Shift-JIS and GB 18030 the second byte of a
character may be ``|``, ``\`` or ``^``. Nothing here ever yields U+FFFD or a guess in silence: a text that
does not fit its declaration is refused, or repaired by a stated rule and reported.

Order of trust: a byte order mark, the shape of UTF-16/32, MSH-18, a declaration outside of the message,
UTF-8 if the bytes are valid UTF-8, the feed's fallback (HL7 v2.5.1 §2.15.9.18).
"""

from __future__ import annotations

import codecs
import contextlib
import dataclasses
import re
from dataclasses import dataclass

from engine.errors import CharsetError
from engine.hl7v2 import iso2022
from engine.hl7v2.delimiters import Delimiters
from engine.hl7v2.escapes import unescape
from engine.records import Issue, Severity

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
    "UNICODEUTF16": "utf-16",
    "UTF16": "utf-16",
    "UNICODEUTF32": "utf-32",
    "UTF32": "utf-32",
    "ISOIR6": "ascii",
    "ISOIR14": "iso2022_jp_ext",
    "ISOIR87": "iso2022_jp_ext",
    "ISOIR159": "iso2022_jp_ext",
    "ISO2022JP": "iso2022_jp_ext",
    "SHIFTJIS": "cp932",
    "SJIS": "cp932",
    "MS932": "cp932",
    "WINDOWS31J": "cp932",
    "EUCJP": "euc_jp",
    "GB180302000": "gb18030",
    "GB18030": "gb18030",
    "GB2312": "gb18030",
    "GBK": "gb18030",
    "BIG5": "big5",
    "KSX1001": "euc_kr",
    "EUCKR": "euc_kr",
    "WINDOWS1250": "cp1250",
    "WINDOWS1251": "cp1251",
    "WINDOWS1252": "cp1252",
    "CP1252": "cp1252",
    "ANSI": "cp1252",
    "TIS620": "tis-620",
}
_NO_CODEC = {"CNS116431992", "CNS11643"}
_ONE_CODE_EACH = frozenset({"utf-8", "ascii", "cp1250", "cp1251", "cp1252", "tis-620"}) | {
    f"iso8859-{n}" for n in range(1, 17)
}
"""Sets in which every character has one code alone."""
_WITHIN_BIG5 = ("big5", "cp950", "big5hkscs")
"""Big5 as defined, with Microsoft's and with Hong Kong's additions: tried in this order."""

_BOMS = (
    # UTF-32 first: its little-endian mark begins with UTF-16's.
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_BOM_STARTS = frozenset(mark[:1] for mark, _ in _BOMS)
_WIDE = tuple(
    (letters.encode(codec), codec)
    for codec in ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
    for letters in ("MS", "FH", "BH")
)
"""How a header begins in 16 or 32 bits. UTF-32 first: two of its letters are four of UTF-16's."""
_MSH = re.compile(rb"[\s\0\x02-\x04\x1a]*(?i:MSH)")
_C1 = re.compile(rb"[\x80-\x9f]")
_NEITHER_ASCII_NOR_EAST_ASIAN = re.compile(
    "[^\\x00-\\x7f\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]"
)
_HIGH = re.compile(rb"[\x80-\xff]")
_HEADER_LENGTH = 8192
"""Characters looked at for the MSH of a message in UTF-16 or UTF-32."""
_SINGLE_BYTE = frozenset(f"iso8859-{n}" for n in range(1, 17)) | {"cp1252", "cp1250", "cp1251", "tis-620"}


@dataclass(frozen=True, slots=True)
class Decoded:
    """Text of one message.

    Attributes:
        text: without byte order mark.
        charset: Python codec that turns ``text`` back into the bytes, with ``bom`` in front; two joined by ``+``
            where the second is switched to from the first.
        declared: MSH-18 as sent, "" if absent.
        bom: the byte order mark that was there.
        issues: repairs and doubts.
    """

    text: str
    charset: str
    declared: str = ""
    bom: bytes = b""
    issues: tuple[Issue, ...] = ()

    def encode(self) -> bytes:
        """The bytes again. Where no issue says otherwise they are the bytes that came in.

        Raises:
            UnicodeEncodeError: an issue ``charset-not-reversible`` says so.
        """
        default, beside, _ = self.charset.partition("+")
        if beside:
            return self.bom + iso2022.encode_beside(self.text, default)
        return self.bom + self.text.encode(self.charset)


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


def decode(
    payload: bytes, *, fallback: str | None = None, policy: str = "repair", declared: str | None = None
) -> Decoded:
    """Decode one message. See :func:`engine.hl7v2.er7.read` for the arguments.

    Raises:
        CharsetError: with the location of the first byte that does not fit and what to do.
    """
    mark, codec = byte_order_mark(payload)
    codec = codec or wide_without_mark(payload) or ""
    if codec:
        text = _strict(
            payload[len(mark) :], codec, "", declared_name="the byte order mark" if mark else codec
        )
        label = "~".join(_names_in(text[:_HEADER_LENGTH]))
        return Decoded(text, codec, label, mark, _against_shape(label, codec, policy))
    names = declared_names(payload)
    if not names and declared:
        names = [declared]
    return _checked(_by_declaration(payload, names, fallback, policy), payload, policy)


def _by_declaration(payload: bytes, names: list[str], fallback: str | None, policy: str) -> Decoded:
    label = "~".join(names)
    codec_name, issues = _choose(names)
    if codec_name is None:
        return _undeclared(payload, fallback, label, issues)
    if codec_name.startswith(("utf-16", "utf-32")):
        return _contradicted(
            payload, label, policy, fallback, issues, reason="the bytes are not 16 or 32 bits wide"
        )
    return _declared(payload, codec_name, label, policy, fallback, issues)


def _checked(decoded: Decoded, payload: bytes, policy: str) -> Decoded:
    """Switches that the declared set does not follow, and characters that have several codes in their set."""
    if "\x1b" in decoded.text and not decoded.charset.endswith(iso2022.CODEC):
        decoded = _with_switches(decoded, payload, policy)
    # Text in ASCII may have come with switches all the same: such as one at its end, to a set that nothing is said in.
    plain = decoded.text.isascii() and not decoded.charset.endswith(iso2022.CODEC)
    if decoded.charset in _ONE_CODE_EACH or plain:
        return decoded
    try:
        if decoded.encode() == payload:
            return decoded
    except UnicodeEncodeError:
        pass
    issue = Issue(
        Severity.INFORMATION,
        "charset-not-reversible",
        "MSH[1]-18",
        f"The text holds characters or switches that {decoded.declared or decoded.charset} can write in more than one way; "
        "written again it has other bytes",
        "Nothing is lost. The bytes as they came are in the log.",
    )
    return dataclasses.replace(decoded, issues=(*decoded.issues, issue))


def _with_switches(decoded: Decoded, payload: bytes, policy: str) -> Decoded:
    """ESC in a text: switches of ISO 2022 that MSH-18 does not tell of are followed where they fit, else named."""
    if iso2022.switches(decoded.text):
        text = None
        with contextlib.suppress(UnicodeDecodeError, LookupError):
            text = iso2022.decode_beside(payload, decoded.charset)
        if text is not None and policy != "refuse":
            codec = iso2022.CODEC if payload.isascii() else f"{decoded.charset}+{iso2022.CODEC}"
            label = decoded.declared or "nothing"
            issue = _repaired(label, "ISO 2022 escape sequences to Japanese sets", codec, "MSH[1]-18")
            return dataclasses.replace(decoded, text=text, charset=codec, issues=(*decoded.issues, issue))
        if policy == "refuse":
            raise CharsetError(
                "The bytes switch to Japanese sets by ISO 2022, which MSH-18 does not declare",
                location="MSH[1]-18",
                action="Ask the sender to name the set in MSH-18, such as 'ASCII~ISO IR87'; "
                "charset_policy: repair follows such switches.",
            )
    issue = Issue(
        Severity.WARNING,
        "charset-escape",
        "MSH[1]-18",
        "The text holds escape characters (1B) that no declared character set gives a meaning; they were kept",
        "Ask the sender which set it switches to, and to name it in MSH-18 or send UTF-8.",
    )
    return dataclasses.replace(decoded, issues=(*decoded.issues, issue))


def declared_names(payload: bytes) -> list[str]:
    """Repetitions of MSH-18 of an ASCII-compatible payload; [] when absent. Empty repetitions stay as ""."""
    start = _MSH.match(payload)
    if start is None:
        return []
    begin = start.end()
    end = min(
        (i for i in (payload.find(b"\r", begin), payload.find(b"\n", begin)) if i >= 0), default=len(payload)
    )
    return _names(payload[begin:end].decode("latin-1"))


def _names_in(text: str) -> list[str]:
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


def _choose(names: list[str]) -> tuple[str | None, list[Issue]]:
    """The one codec that reads all declared sets: the first is the default, others come by ISO 2022 escapes."""
    issues: list[Issue] = []
    chosen: str | None = None
    for name in names:
        if not name:
            continue
        codec = codec_for(name)
        if codec is None:
            issues.append(
                Issue(
                    Severity.WARNING,
                    "charset-unknown",
                    "MSH[1]-18",
                    "MSH-18 names a character set that table 0211 does not have; it was treated as undeclared",
                    "Let the sender use a code of HL7 table 0211, such as 'UNICODE UTF-8'.",
                )
            )
        elif chosen is None or chosen == "ascii":
            chosen = codec
        elif codec == iso2022.CODEC and not chosen.endswith(codec):
            chosen = f"{chosen}+{codec}"
    return chosen, issues


def byte_order_mark(payload: bytes) -> tuple[bytes, str]:
    """(mark, codec) at the beginning of a payload, else (b"", "")."""
    if payload[:1] in _BOM_STARTS:
        for mark, codec in _BOMS:
            if payload.startswith(mark):
                return mark, codec
    return b"", ""


def _against_shape(label: str, codec: str, policy: str) -> tuple[Issue, ...]:
    """What MSH-18 says against the mark or the width of the bytes, which can't lie."""
    names = [_quiet_codec(name) for name in label.split("~") if name]
    if not names or None in names or any(name in {codec, codec[:6]} for name in names if name):
        return ()
    if _key(label) == "UNICODE":
        return ()  # withdrawn in v2.6 because it names none of them
    if policy == "refuse":
        raise CharsetError(
            f"The bytes are {codec} and not {label} as declared",
            location="MSH[1]-18",
            action="Ask the sender to correct MSH-18; charset_policy: repair reads such messages.",
        )
    return (_repaired(label, "their shape or byte order mark", codec, "MSH[1]-18"),)


def _quiet_codec(name: str) -> str | None:
    return None if _key(name) in _NO_CODEC else _TABLE_0211.get(_key(name))


def wide_without_mark(payload: bytes) -> str | None:
    """UTF-16 or UTF-32 by the zero bytes around the first three letters."""
    head = payload[:8]
    if 0 not in head:
        return None
    return next((codec for start, codec in _WIDE if head.startswith(start)), None)


def _undeclared(payload: bytes, fallback: str | None, label: str, issues: list[Issue]) -> Decoded:
    try:
        return Decoded(payload.decode("utf-8"), "utf-8", label, issues=tuple(issues))
    except UnicodeDecodeError as error:
        if fallback:
            codec = codec_for(fallback) or fallback
            issues.append(
                Issue(
                    Severity.INFORMATION,
                    "charset-fallback",
                    "MSH[1]-18",
                    f"No usable character set is declared and the bytes are no UTF-8; the feed's {fallback} was used",
                    "Ask the sender to fill MSH-18.",
                )
            )
            return Decoded(
                _strict(payload, codec, label, declared_name=fallback), codec, label, issues=tuple(issues)
            )
        raise CharsetError(
            f"No usable character set is declared and byte {error.start} is no UTF-8",
            location=locate_byte(payload, error.start),
            action="Ask the sender to fill MSH-18, or set fallback_charset in the feed's profile.",
        ) from None


def _declared(
    payload: bytes, codec: str, label: str, policy: str, fallback: str | None, issues: list[Issue]
) -> Decoded:
    if codec in {"utf-8", "ascii"} or not (_HIGH.search(payload) or "+" in codec):
        try:
            return Decoded(payload.decode(codec), codec, label, issues=tuple(issues))
        except UnicodeDecodeError as error:
            where = f"byte {error.start}"
            return _contradicted(payload, label, policy, fallback, issues, reason=where, offset=error.start)
    if _is_utf8(payload, surely=codec not in _SINGLE_BYTE):
        return _contradicted(
            payload, label, policy, fallback, issues, reason="the bytes are multi-byte UTF-8"
        )
    if codec.startswith("iso8859-") and (match := _C1.search(payload)):
        reason = f"byte {match.start()} is a control character there and a letter or sign in Windows-1252"
        return _contradicted(payload, label, policy, "cp1252", issues, reason=reason, offset=match.start())
    candidates = _WITHIN_BIG5 if codec == "big5" else (codec,)
    first: UnicodeDecodeError | None = None
    for candidate in candidates:
        default, beside, _ = candidate.partition("+")
        try:
            text = iso2022.decode_beside(payload, default) if beside else payload.decode(candidate)
            return Decoded(text, candidate, label, issues=tuple(issues))
        except UnicodeDecodeError as error:
            first = first or error
    assert first is not None
    return _contradicted(
        payload, label, policy, fallback, issues, reason=f"byte {first.start}", offset=first.start
    )


def _contradicted(
    payload: bytes,
    label: str,
    policy: str,
    fallback: str | None,
    issues: list[Issue],
    *,
    reason: str,
    offset: int | None = None,
) -> Decoded:
    """The declaration is wrong. Repair only to what the bytes prove, or what the feed's profile says."""
    location = locate_byte(payload, offset) if offset is not None else "MSH[1]-18"
    if policy == "repair":
        for codec in ("utf-8", codec_for(fallback) or fallback if fallback else None):
            if codec is None:
                continue
            try:
                text = payload.decode(codec)
            except (UnicodeDecodeError, LookupError):
                continue
            issues.append(_repaired(label, reason, codec, location))
            return Decoded(text, codec, label, issues=tuple(issues))
    raise CharsetError(
        f"The bytes are not {label} as declared: {reason}",
        location=location,
        action="Ask the sender to correct MSH-18 or its encoder; a fallback_charset in the feed's profile lets "
        "charset_policy: repair read such messages.",
    )


def _repaired(label: str, reason: str, codec: str, location: str) -> Issue:
    return Issue(
        Severity.WARNING,
        "charset-repaired",
        location,
        f"MSH-18 declares {label}, which the bytes contradict ({reason}); they were read as {codec}",
        "Ask the sender to correct MSH-18, or set charset_policy: refuse in the feed's profile.",
    )


def _strict(payload: bytes, codec: str, label: str, *, declared_name: str) -> str:
    try:
        return payload.decode(codec)
    except UnicodeDecodeError as error:
        raise CharsetError(
            f"Byte {error.start} is not valid {declared_name}",
            location=locate_byte(payload, error.start),
            action="Check the sender's encoder, and that no step between truncates messages.",
        ) from None
    except LookupError:
        raise CharsetError(
            f"{declared_name!r} is no known character set",
            location="MSH[1]-18" if label else "",
            action="Use a code of HL7 table 0211 in the feed's profile.",
        ) from None


def _is_utf8(payload: bytes, *, surely: bool) -> bool:
    """Whether bytes are multi-byte UTF-8. ``surely``: beyond what short texts in Big5 and its like are by chance.

    Two bytes of these sets pass for one letter of UTF-8 often enough; two of their characters pass for ideographs,
    syllables or kana, and nothing else beside them, hardly ever.
    """
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return not surely or not _NEITHER_ASCII_NOR_EAST_ASIAN.search(text)


def locate_byte(payload: bytes, offset: int) -> str:
    """Segment and field of a byte, as ``PID[1]-5``; by ASCII delimiters, so near enough for an error text."""
    if payload.lstrip()[:3] != b"MSH":
        return ""
    before = payload[:offset].replace(b"\r\n", b"\r").replace(b"\n", b"\r")
    lines = [line for line in before.split(b"\r") if line.strip()]
    if before.endswith(b"\r") or not lines:
        return ""
    current = lines[-1]
    segment_id = current[:3].decode("ascii", "replace")
    occurrence = sum(1 for line in lines if line[:3] == current[:3])
    separator = payload.lstrip()[3:4]
    number = current.count(separator) + (1 if segment_id == "MSH" else 0)
    return f"{segment_id}[{occurrence}]-{number}" if number else f"{segment_id}[{occurrence}]"
