r"""Bytes to text: HL7 table 0211, what the field really sends, and what to do when both disagree.

Bytes are decoded before anything is split: in Big5, Shift-JIS and GB 18030 the second byte of a
character may be ``|``, ``\`` or ``^``. Nothing here ever yields U+FFFD or a guess in silence: a text that
does not fit its declaration is refused, or repaired by a stated rule and reported.

Order of trust: a byte order mark, the shape of UTF-16/32, MSH-18, a declaration outside of the message,
UTF-8 if the bytes are valid UTF-8, the feed's fallback (HL7 v2.5.1 §2.15.9.18).
"""

from __future__ import annotations

import re

from engine.errors import CharsetError
from engine.hl7v2 import iso2022
from engine.hl7v2.charset_names import codec_for, declared_names, is_unicode, names_in, quiet_codec
from engine.hl7v2.charset_shape import byte_order_mark, wide_without_mark
from engine.hl7v2.decoded import Decoded, checked, locate_byte, repaired, with_doubts
from engine.records import Issue, Severity

_C1 = re.compile(rb"[\x80-\x9f]")
_HIGH = re.compile(rb"[\x80-\xff]")
_NOT_EAST_ASIAN = re.compile(
    "[^\\x00-\\x7f\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]"
)
_NOT_THAI = re.compile("[^\\x00-\\x7f\u0e00-\u0e7f]")
_UNLIKE = {
    **dict.fromkeys(("big5", "cp932", "euc_jp", "gb18030", "euc_kr"), _NOT_EAST_ASIAN),
    **dict.fromkeys(("tis-620", "iso8859-11"), _NOT_THAI),
}
"""Characters that tell that valid UTF-8 is so by chance: two bytes of these sets are one letter of it often enough, but
two of their characters hardly ever are ideographs, syllables or kana, or Thai, and nothing else beside."""
_WIDER = {
    "big5": ("big5", "cp950", "big5hkscs"),
    "euc_kr": ("euc_kr", "cp949"),
    "tis-620": ("tis-620", "cp874"),
}
"""Sets as defined, and with the additions of vendors and governments: tried in this order."""
_OF_WINDOWS = {
    **dict.fromkeys(("iso8859-1", "iso8859-15"), "cp1252"),
    **{
        f"iso8859-{part}": codec
        for part, codec in ((2, "cp1250"), (5, "cp1251"), (7, "cp1253"), (9, "cp1254"))
    },
    **{
        f"iso8859-{part}": codec
        for part, codec in ((8, "cp1255"), (6, "cp1256"), (4, "cp1257"), (13, "cp1257"))
    },
    "iso8859-11": "cp874",
}
"""The set of Windows for the languages of each part of 8859; it has letters where 8859 has control characters."""
_HEADER_LENGTH = 8192
"""Characters looked at for the MSH of a message in UTF-16 or UTF-32."""


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
        label = "~".join(names_in(text[:_HEADER_LENGTH]))
        return with_doubts(Decoded(text, codec, label, mark, _against_shape(label, codec, policy)))
    names = declared_names(payload)
    if not names and declared:
        names = [declared]
    return with_doubts(checked(_by_declaration(payload, names, fallback, policy), payload, policy))


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


def _choose(names: list[str]) -> tuple[str | None, list[Issue]]:
    """The one codec that reads all declared sets: the first is the default, others come by ISO 2022 escapes."""
    issues: list[Issue] = []
    chosen: str | None = None
    halves = iso2022.RIGHT_HALVES
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
        elif not chosen.endswith(iso2022.CODEC) and (codec == iso2022.CODEC or {codec, chosen} <= halves):
            chosen = f"{chosen}+{iso2022.CODEC}" if codec != chosen else chosen
    return chosen, issues


def _against_shape(label: str, codec: str, policy: str) -> tuple[Issue, ...]:
    """What MSH-18 says against the mark or the width of the bytes, which can't lie."""
    names = [quiet_codec(name) for name in label.split("~") if name]
    if not names or None in names or any(name in {codec, codec[:6]} for name in names if name):
        return ()
    if is_unicode(label):
        return ()  # withdrawn in v2.6 because it names none of them
    if policy == "refuse":
        raise CharsetError(
            f"The bytes are {codec} and not {label} as declared",
            location="MSH[1]-18",
            action="Ask the sender to correct MSH-18; charset_policy: repair reads such messages.",
        )
    return (repaired(label, "their shape or byte order mark", codec, "MSH[1]-18"),)


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
    default, beside, _ = codec.partition("+")
    if codec == iso2022.CODEC:
        default, beside = "ascii", codec
    first: UnicodeDecodeError | None = None
    if default not in {"utf-8", "ascii"} and _HIGH.search(payload):
        if _is_utf8(payload, _UNLIKE.get(default)):
            reason = "the bytes are multi-byte UTF-8"
            return _contradicted(payload, label, policy, fallback, issues, reason=reason)
        if default.startswith("iso8859-") and (match := _C1.search(payload)):
            windows = _OF_WINDOWS.get(default, fallback)
            reason = (
                f"byte {match.start()} is a control character there and a letter or sign in Windows' sets"
            )
            return _contradicted(payload, label, policy, windows, issues, reason=reason, offset=match.start())
    for candidate in _WIDER.get(default, (default,)):
        try:
            text = iso2022.decode_beside(payload, candidate) if beside else payload.decode(candidate)
        except UnicodeDecodeError as error:
            first = first or error
        else:
            return Decoded(text, codec if beside else candidate, label, issues=tuple(issues))
    assert first is not None
    reason = f"byte {first.start}"
    return _contradicted(payload, label, policy, fallback, issues, reason=reason, offset=first.start)


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
            issues.append(repaired(label, reason, codec, location))
            return Decoded(text, codec, label, issues=tuple(issues))
    raise CharsetError(
        f"The bytes are not {label} as declared: {reason}",
        location=location,
        action="Ask the sender to correct MSH-18 or its encoder; a fallback_charset in the feed's profile lets "
        "charset_policy: repair read such messages.",
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


def _is_utf8(payload: bytes, unlike: re.Pattern[str] | None) -> bool:
    """Whether bytes are multi-byte UTF-8, with no character that tells that they are so by chance."""
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return unlike is None or not unlike.search(text)
