"""The text of a message, and what is doubtful in it although its bytes could be decoded."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

from engine.errors import CharsetError
from engine.hl7v2 import iso2022
from engine.records import Issue, Severity

_ONE_CODE_EACH = frozenset({"utf-8", "ascii", "tis-620", "cp874"}).union(
    (f"iso8859-{n}" for n in range(1, 17)), (f"cp125{n}" for n in range(9))
)
"""Sets in which every character has one code alone."""
_PRIVATE = re.compile("[\ue000-\uf8ff\U000f0000-\U0010fffd]")


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


def checked(decoded: Decoded, payload: bytes, policy: str) -> Decoded:
    """Switches that the declared set does not follow, and characters that have several codes in their set."""
    text = decoded.text
    if ("\x1b" in text or "\x0e" in text) and not decoded.charset.endswith(iso2022.CODEC):
        decoded = _with_switches(decoded, payload, policy)
    if iso2022.shifts_to_nothing(decoded.text):
        raise CharsetError(
            "The bytes shift (0E and 0F) to a character set that neither they nor MSH-18 name",
            location="MSH[1]-18",
            action="Ask the sender to name the set in MSH-18, such as 'ASCII~KS X 1001', or to send 'UNICODE UTF-8'.",
        )
    if "\x1b" in decoded.text:
        decoded = _with_issue(
            decoded,
            "charset-escape",
            "The text holds escape characters (1B) that no declared character set gives a meaning; they were kept",
            "Ask the sender which set it switches to, and to name it in MSH-18 or send UTF-8.",
        )
    # Text in ASCII may have come with switches all the same: such as one at its end, to a set that nothing is said in.
    switched = b"\x1b" in payload or b"\x0e" in payload
    if not switched and (decoded.charset in _ONE_CODE_EACH or decoded.text.isascii()):
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
    """ESC in a text: switches of ISO 2022 that MSH-18 does not tell of are followed where they fit."""
    harmless = iso2022.says_what_holds(payload, decoded.charset)
    if not harmless and not iso2022.switches(payload):
        return decoded
    try:
        text = iso2022.decode_beside(payload, decoded.charset)
    except (UnicodeDecodeError, LookupError):
        return decoded
    if harmless:
        return dataclasses.replace(decoded, text=text)
    if policy == "refuse":
        raise CharsetError(
            "The bytes switch to other sets by ISO 2022, which MSH-18 does not declare",
            location="MSH[1]-18",
            action="Ask the sender to name the set in MSH-18, such as 'ASCII~ISO IR87'; "
            "charset_policy: repair follows such switches.",
        )
    codec = iso2022.CODEC if payload.isascii() else f"{decoded.charset}+{iso2022.CODEC}"
    issue = repaired(
        decoded.declared or "nothing", "ISO 2022 escape sequences to other sets", codec, "MSH[1]-18"
    )
    return dataclasses.replace(decoded, text=text, charset=codec, issues=(*decoded.issues, issue))


def with_doubts(decoded: Decoded) -> Decoded:
    """Text that was spoilt before it came here: nothing can bring it back, so that someone must be told."""
    text = decoded.text
    if text.isascii():
        return decoded
    if "\ufffd" in text:
        decoded = _with_issue(
            decoded,
            "charset-replaced",
            "The text holds U+FFFD, which stands for a character that was lost before it came here",
            "Check the sender and what stands between: a step decodes with the wrong character set.",
            text.index("\ufffd"),
        )
    if (match := _PRIVATE.search(text)) is not None:
        decoded = _with_issue(
            decoded,
            "charset-private",
            f"The text holds a character of a private area (U+{ord(match[0]):04X}), which other systems can't show; it was kept",
            "Ask the sender for the standard character (such as gaiji in a name), and whether MSH-18 is right.",
            match.start(),
        )
    if decoded.charset == "utf-8" and (place := _encoded_twice(text)) is not None:
        decoded = _with_issue(
            decoded,
            "charset-twice",
            "The text looks as if its UTF-8 had been read as Windows-1252 and encoded again; it was kept",
            "Check the sender and what stands between for a wrong character set: letters such as é come as two.",
            place,
        )
    return decoded


def _encoded_twice(text: str) -> int | None:
    """Where a text in Latin letters has them only as what UTF-8 looks like in Windows-1252; None where it is in order."""
    for codec in ("cp1252", "latin-1"):
        try:
            text.encode(codec).decode("utf-8")
        except UnicodeError:
            continue
        return next(index for index, character in enumerate(text) if not character.isascii())
    return None


def _with_issue(decoded: Decoded, code: str, message: str, action: str, place: int | None = None) -> Decoded:
    location = "MSH[1]-18"
    if place is not None:
        location = (
            locate_byte(decoded.text[: place + 1].encode(), len(decoded.text[:place].encode())) or location
        )
    issue = Issue(Severity.WARNING, code, location, message, action)
    return dataclasses.replace(decoded, issues=(*decoded.issues, issue))


def repaired(label: str, reason: str, codec: str, location: str) -> Issue:
    """The issue of a message that was read otherwise than it says."""
    return Issue(
        Severity.WARNING,
        "charset-repaired",
        location,
        f"MSH-18 declares {label}, which the bytes contradict ({reason}); they were read as {codec}",
        "Ask the sender to correct MSH-18, or set charset_policy: refuse in the feed's profile.",
    )


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
