"""ER7 ("vertical bar") text to a message tree, and back (HL7 v2.5.1 §2.5-2.6)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from sys import getsizeof

from engine.errors import NotHl7Error, TooLargeError
from engine.hl7v2.charset import decode
from engine.hl7v2.decoded import Decoded
from engine.hl7v2.delimiters import HEADERS, Delimiters
from engine.hl7v2.escapes import escape_text, strange_escapes
from engine.hl7v2.lines import numbered, numbered_in_bytes, segment_lines
from engine.hl7v2.tree import Leaf, Message, Node, Segment
from engine.records import Issue, Severity

DEFAULT_MAX_SEGMENTS = 200_000
"""See ``engine.settings.Read.max_segments``."""

_WRITTEN_LINE_END = re.compile(
    r"(\\r\\n|\\r|\\n|<CR>|<cr>|&#13;|&#x[dD];|\^M|\x85|\u2028|\x1e|(?<=[^|^~&\s]))"
    r"\s*(?:EVN|PID|PV1|ORC|OBR|SCH|TXA|MFI)[|][^|]*[|]"
)
"""What stands in the place of CR before a segment, on the one line of a message."""
_SMALL = 65_536
"""Bytes of a message up to which it does not matter how much room its text takes."""
_LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 \r\n\t")


def read(
    payload: bytes,
    *,
    fallback: str | None = None,
    policy: str = "repair",
    declared: str | None = None,
    max_segments: int = DEFAULT_MAX_SEGMENTS,
) -> Message:
    """Bytes of one message (no framing, no batch headers) to its tree.

    Args:
        payload: the bytes.
        fallback: character set of the feed when none is declared and the bytes are no UTF-8.
        policy: ``repair`` or ``refuse`` when bytes and declaration disagree.
        declared: a character set declared outside of the message; MSH-18 wins over it.
        max_segments: more than so many lines is refused.

    Raises:
        CharsetError: the bytes can't be decoded without guessing.
        NotHl7Error: there is no usable MSH.
        TooLargeError: too many segments.
    """
    decoded = decode(payload, fallback=fallback, policy=policy, declared=declared)
    if _SMALL < len(payload) < getsizeof(decoded.text) // 2 and decoded.charset == "utf-8":
        charset, issues, mark = decoded.charset, decoded.issues, decoded.bom
        del decoded
        return _parse(numbered_in_bytes(payload.removeprefix(mark)), charset, issues, max_segments)
    return parse(decoded, max_segments=max_segments)


def parse(source: Decoded | str, *, max_segments: int = DEFAULT_MAX_SEGMENTS) -> Message:
    """Decoded text of one message to its tree. See :func:`read`."""
    text, charset, issues = (
        (source, "", ()) if isinstance(source, str) else (source.text, source.charset, source.issues)
    )
    return _parse(numbered(text), charset, issues, max_segments)


def _parse(
    lines: Iterable[tuple[int, str]], charset: str, issues: Iterable[Issue], max_segments: int
) -> Message:
    found = list(issues)
    delimiters: Delimiters | None = None
    start = ""
    segments: list[Segment] = []
    for segment_id, occurrence, text in segment_lines(lines, found):
        if delimiters is None:
            delimiters = read_delimiters(text, found)
            start = text[:4] + delimiters.encoding_characters
        elif segment_id == "MSH" or start in text:
            raise _second_header(segment_id, occurrence)
        if len(segments) == max_segments:
            raise TooLargeError(
                f"The message has more segments than the limit of {max_segments}",
                action="Raise read.max_segments if this size is meant.",
            )
        segments.append(Segment(text, delimiters, occurrence, segment_id))
    if delimiters is None:
        raise NotHl7Error("The message is empty", action="Check the sender: a frame or file held no bytes.")
    if len(segments) == 1:
        _refuse_written_line_ends(segments[0])
    for segment, number in ((segments[0], 14), (segments[-1], 1)):
        if segment.id == ("MSH" if number == 14 else "DSC") and segment.text(number).strip():
            found.append(_part_of_another(f"{segment.location}-{number}"))
    return Message(segments, delimiters, charset, found)


def _part_of_another(place: str) -> Issue:
    return Issue(
        Severity.WARNING,
        "message-part",
        place,
        "A continuation pointer says that this is one part of a longer message; it was read by itself",
        "Ask the sender to send messages whole, however long: parts are not put together here (HL7 v2.5.1 §2.10.2).",
    )


def _second_header(segment_id: str, occurrence: int) -> NotHl7Error:
    """Two messages in one would make one patient of two."""
    return NotHl7Error(
        "Another message begins inside of the message",
        location=f"{segment_id}[{occurrence}]",
        action="Let the sender end every segment by a carriage return and frame each message by itself; "
        "a message that is quoted in a text must be escaped (HL7 v2.5.1 §2.5, §2.7).",
    )


def _refuse_written_line_ends(header: Segment) -> None:
    """One line that holds several segments: a step on the way wrote out the line ends as characters."""
    match = _WRITTEN_LINE_END.search(header.raw)
    if match is not None:
        raise NotHl7Error(
            f"The segments are parted by {repr(match[1]) if match[1] else 'nothing'} in place of a carriage return",
            location="MSH[1]",
            action="Check what stands between the sender and here: it writes line ends as text or drops them (HL7 v2.5.1 §2.5).",
        )


def read_delimiters(header: str, issues: list[Issue] | None = None) -> Delimiters:
    """Delimiters from the text of an MSH, BHS or FHS segment.

    Raises:
        NotHl7Error: the header is missing, cut off, or its delimiters contradict each other.
    """
    if header[:3] not in {"MSH", "FHS", "BHS"}:
        raise NotHl7Error(
            "The message does not begin with an MSH segment",
            action="Send one HL7 v2 message that begins with 'MSH|^~\\&|'; nothing may stand before it.",
        )
    if len(header) < 5:
        raise NotHl7Error(
            "The MSH segment is cut off before its encoding characters",
            location="MSH[1]-2",
            action="Check the sender for truncation: MSH must begin as 'MSH|^~\\&|'.",
        )
    separator = header[3]
    if separator in _LETTERS:
        raise NotHl7Error(
            "MSH-1, the field separator, is a letter, digit or blank",
            location="MSH[1]-1",
            action="MSH must begin as 'MSH|^~\\&|' (HL7 v2.5.1 §2.15.9.1).",
        )
    characters = header[4:].split(separator, 1)[0].rstrip(" ")
    if not (separator + characters).isascii():
        raise NotHl7Error(
            "MSH-1 or MSH-2 names a delimiter that is not ASCII",
            location="MSH[1]-1" if separator > "\x7f" else "MSH[1]-2",
            action="Delimiters must be printable 7-bit ASCII characters (HL7 v2.5.1 §2.15.9.18).",
        )
    if not characters or len(characters) > 5 or any(c in _LETTERS for c in characters):
        raise NotHl7Error(
            f"MSH-2 holds {len(characters)} characters that can't be encoding characters",
            location="MSH[1]-2",
            action="MSH-2 must hold 1 to 5 characters such as '^~\\&' (HL7 v2.5.1 §2.15.9.2).",
        )
    if len(set(characters)) != len(characters):
        characters = "".join(dict.fromkeys(characters))
        _report(issues, "delimiters-doubled", "MSH-2 names one character twice; the repeat was ignored")
    if characters.endswith("&") and len(characters) == 3:
        # The backslash was lost on the way, as happens in generated code: "&" has one meaning everywhere.
        _report(
            issues, "delimiters-missing", "MSH-2 has lost its escape character; '&' was taken as subcomponent"
        )
        return Delimiters(separator, characters[0], characters[1], "", "&", "")
    if len(characters) < 4:
        _report(
            issues,
            "delimiters-missing",
            f"MSH-2 names {len(characters)} of four encoding characters; the others were taken as unused",
        )
    padded = [*characters, *[""] * (5 - len(characters))]
    return Delimiters(separator, *padded)


def _report(issues: list[Issue] | None, code: str, message: str) -> None:
    if issues is not None:
        action = "Ask the sender to declare '^~\\&' (HL7 v2.5.1 §2.15.9.2)."
        issues.append(Issue(Severity.WARNING, code, "MSH[1]-2", message, action))


_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def control_issues(message: Message) -> list[Issue]:
    """Control characters in values: FHIR strings hold none but tab, CR and LF (FHIR R4 §2.24.0.1). One issue a field."""
    e = message.delimiters.escape
    found: dict[tuple[str, int], int] = {}
    for segment in message.segments:
        raw = segment.raw
        if (not raw.isprintable() and _CONTROL.search(raw)) or (e and e in raw and f"{e}X" in raw):
            for number, _, _, _, text in segment.values():
                if _CONTROL.search(text):
                    found.setdefault((segment.id, number), segment.occurrence)
    return [
        Issue(
            Severity.WARNING,
            "control-character",
            f"{segment_id}[{occurrence}]-{number}",
            "The value holds control characters, which FHIR can't hold; they were left out",
            "Ask the sender what they mean; line breaks in text are \\.br\\ (HL7 v2.5.1 §2.7.6).",
        )
        for (segment_id, number), occurrence in found.items()
    ]


def escape_issues(message: Message) -> list[Issue]:
    """Escapes that stay in the values as they came: local ones, and what is no escape (HL7 v2.5.1 §2.7).

    One issue for each kind and field, at its first place: a formatted note may hold hundreds.
    """
    d = message.delimiters
    if not d.escape:
        return []
    odd = [segment for segment in message.segments if d.escape in segment.raw]
    if len(odd) == 1 and d.escape not in odd[0].raw.replace(d.encoding_characters, "", 1):
        return []  # the header alone, which names it
    marks = re.compile("[" + re.escape(d.component + d.subcomponent + d.repetition) + "]")
    found: dict[tuple[str, int, str], tuple[str, int]] = {}
    for segment in odd:
        for number, raw in enumerate(segment.fields):
            if d.escape not in raw or (number == 2 and segment.id in HEADERS):
                continue
            for kind in {k for part in marks.split(raw) for k in strange_escapes(part, d)}:
                place, times = found.get((segment.id, number, kind), (f"{segment.location}-{number}", 0))
                found[segment.id, number, kind] = place, times + 1
    return [_escape_issue(kind, place, times) for (_, _, kind), (place, times) in found.items()]


_STRANGE = {
    "local": (
        Severity.INFORMATION,
        "escape-local",
        "A local escape sequence (Z) is kept as it came",
        "Agree with the sender on what it means; receivers see it as text.",
    ),
    "charset": (
        Severity.WARNING,
        "escape-charset",
        "A switch of the character set can't be followed and is kept as it came",
        "Let the sender encode the whole message in 'UNICODE UTF-8'.",
    ),
    "lone": (
        Severity.WARNING,
        "escape-unknown",
        "The escape character stands where no escape sequence is; it is kept as text",
        "Let the sender write the escape character as its own sequence (\\E\\).",
    ),
}


def _escape_issue(kind: str, place: str, times: int) -> Issue:
    severity, code, message, action = _STRANGE[kind]
    more = f", and in {times - 1} more fields of that name" if times > 1 else ""
    return Issue(severity, code, place, message + more, action)


def write(message: Message) -> str:
    """The message as ER7 text, CR after every segment. ``parse(write(m))`` equals ``m``."""
    return "".join(f"{write_segment(s)}\r" for s in message.segments)


def write_segment(segment: Segment) -> str:
    """One segment as ER7 text, from its values: escapes are written anew."""
    d = segment.delimiters
    headers = segment.id in HEADERS
    parts = [segment.id]
    for number in range(1, len(segment.fields)):
        if headers and number == 1:
            continue
        if headers and number == 2:
            parts.append(segment.fields[2])
            continue
        parts.append(d.repetition.join(write_node(n, d) for n in segment.repetitions(number)))
    return d.field.join(parts)


def write_node(node: Node, delimiters: Delimiters, depth: int = 0) -> str:
    """A repetition, component or subcomponent as raw text."""
    if isinstance(node, Leaf):
        return escape_text(node.text, delimiters)
    joint = delimiters.subcomponent if depth else delimiters.component
    return joint.join(write_node(part, delimiters, depth + 1) for part in node)
