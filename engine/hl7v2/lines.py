"""Text of a message to the lines that are its segments, whatever ends them and whatever stands between.

CR ends a segment (HL7 v2.5.1 §2.5); LF and CRLF are what files have. What can't be a segment is one of three things:

- nothing: blanks, NULs and the DOS end-of-file mark with which buffers are filled up; left out;
- a further line of the value before it, because a sender put a raw line break into a text; joined back;
- a segment under a name that no segment has, such as ``OBXX|``, or text behind a segment that has ended, such as a
  ruler between messages; a segment of its own, so that it never changes a field of the one before it.

The last two are reported. ADD goes on with the last field of the segment before it, which was too long for its sender
(§2.10.2): joined without a word, for that is what it means. Behind a header it goes on with another message and is kept.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator
from functools import cache

from engine.hl7v2.delimiters import HEADERS
from engine.records import Issue, Severity
from engine.remembering import remembered

_starts_segment = re.compile(r"[A-Z][A-Z0-9]{2}").match
_LINE_END = re.compile(r"\r\n|\r|\n")
_LINE_END_BYTES = re.compile(rb"\r\n|\r|\n")
_WORDS = re.compile(r"[a-z\u00c0-\uffff ]")
STRAY = "TEXT"
"""Id of lines that belong to no segment."""
_WRONG_NAME = re.compile(r"[A-Z][A-Z0-9]{1,5}")
FILLING = " \t\n\r\v\f\0\x02\x03\x04\x1a\ufeff"
"""What may stand around a line without being a part of it: blanks, and the marks of older protocols and systems."""
_PIECES = 256
"""Lines kept apart before they are joined: many small strings take several times their text's room."""
_LONG = 40
"""Characters a line, on average, from which all lines of a text may be in memory together: segments are that long."""
_NO_TEXTS = frozenset({"EVN", "PID", "MRG", "PV1"})
"""Segments of names and numbers: a line behind them is more of an address when it has parts, else it must change nothing."""
_TEXT_FIELDS = {"OBX": 5, "NTE": 3}
"""Where free text stands: a line behind it that looks like nothing known is more of that text."""


Line = tuple[str, int, str]
"""One segment: its id, which of that id it is, and its text without terminator."""


def segment_lines(lines: Iterable[tuple[int, str]], issues: list[Issue]) -> Iterator[Line]:
    """The segments of a message, in order. The first line is given as it is, be it a header or not.

    Args:
        lines: with their numbers, as :func:`numbered` gives them.
        issues: gets what was odd.
    """
    lines = iter(lines)
    first = next((raw for _, raw in lines if raw.strip(FILLING)), None)
    if first is None:
        return
    body = first.lstrip(FILLING)
    segment_id = body[:3].upper() if body[:3].upper() in HEADERS else body[:3]
    body = segment_id + body[3:]
    separator, component = body.rstrip(FILLING)[3:4], body[4:5] or " "
    counts: dict[str, int] = {}
    more = _Continuation()
    for number, raw in lines:
        if raw[3:4] == separator and _starts_segment(raw):  # so are nearly all lines: no more calls for them
            following, text, wrong = raw[:3], raw, False
        else:
            odd = _odd_segment(raw, separator, (segment_id, body), more)
            if odd is None:
                if raw.strip(FILLING):
                    parts = segment_id in _NO_TEXTS and component in raw
                    more.add(number, raw, parted=parts or separator in raw)
                continue
            following, text, wrong = odd
        if following == "ADD" and segment_id not in HEADERS:
            more.go_on(text[4:])
            continue
        if more.lines:
            yield from _with_lines_behind(segment_id, body, separator, counts, more, issues)
        else:
            counts[segment_id] = occurrence = counts.get(segment_id, 0) + 1
            yield segment_id, occurrence, body
        segment_id, body = following, text
        if wrong:
            place = f"{segment_id}[{counts.get(segment_id, 0) + 1}]"
            issues.append(_renamed(place) if len(segment_id) == 3 else _misnamed(place))
    yield from _with_lines_behind(segment_id, body, separator, counts, more, issues)


def _with_lines_behind(
    segment_id: str,
    body: str,
    separator: str,
    counts: dict[str, int],
    more: _Continuation,
    issues: list[Issue],
) -> Iterator[Line]:
    """A segment with the lines behind it that are none: of its last value, or strays."""
    stray = bool(more.lines) and not (more.parted or _open_ended(segment_id, body, separator))
    counts[segment_id] = counts.get(segment_id, 0) + 1
    yield segment_id, counts[segment_id], body if stray else more.joined(body)
    place = segment_id
    if stray:
        place = STRAY
        counts[STRAY] = counts.get(STRAY, 0) + 1
        yield STRAY, counts[STRAY], separator + more.joined("")[1:]
    issues.extend(more.issues(f"{place}[{counts[place]}]", stray=stray))


def numbered(text: str) -> Iterator[tuple[int, str]]:
    """Lines and their numbers."""
    returns, feeds = text.count("\r"), text.count("\n")
    if max(returns, feeds) * _LONG > len(text):
        return _one_by_one(text)
    if not feeds:
        return enumerate(text.split("\r"), 1)
    if not returns:
        return enumerate(text.split("\n"), 1)
    return enumerate(text.split("\r\n"), 1) if returns == feeds == text.count("\r\n") else _one_by_one(text)


def _one_by_one(text: str) -> Iterator[tuple[int, str]]:
    """The same for mixed line ends, and for short lines: a list of them would take several times the text's room."""
    number, position = 1, 0
    for match in _LINE_END.finditer(text):
        yield number, text[position : match.start()]
        number, position = number + 1, match.end()
    yield number, text[position:]


def numbered_in_bytes(payload: bytes) -> Iterator[tuple[int, str]]:
    """The same of valid UTF-8: one emoji makes each character of a whole text four bytes large, of a line only there."""
    number, position = 1, 0
    for match in _LINE_END_BYTES.finditer(payload):
        yield number, payload[position : match.start()].decode()
        number, position = number + 1, match.end()
    yield number, payload[position:].decode()


def _odd_segment(
    line: str, separator: str, before: tuple[str, str], more: _Continuation
) -> tuple[str, str, bool] | None:
    """A line that does not begin as segments do: (id, text, whether its name had to be put right), or None for no segment."""
    if not separator:
        return None
    body = line.lstrip(FILLING)
    head, found, rest = body.partition(separator)
    head = head.rstrip(FILLING)
    if not found or len(head) == 3:
        name = head.upper()
        if len(head) == 3 and (is_known(name) or (found and head == name and _starts_segment(name))):
            return name, name + found + rest, head != name or body[3:4] not in {separator, ""}
        return None
    if _WRONG_NAME.fullmatch(head) and not more.lines and not _ends_in_text(*before, separator):
        return head, head + found + rest, True
    return None


def _open_ended(segment_id: str, text: str, separator: str) -> bool:
    """Whether the last value of a segment may go on in another line: a text may, a code or a time does not."""
    last = text.rpartition(separator)[2]
    return _ends_in_text(segment_id, text, separator) or (
        segment_id not in HEADERS and segment_id not in _NO_TEXTS and _WORDS.search(last) is not None
    )


def _ends_in_text(segment_id: str, text: str, separator: str) -> bool:
    return _TEXT_FIELDS.get(segment_id) == text.count(separator)


@remembered(1024)
def is_known(segment_id: str) -> bool:
    """Whether HL7 defines a segment of that id, or a site may: Z segments."""
    return bool(re.fullmatch("Z[A-Z0-9]{2}", segment_id)) or segment_id in _defined()


@cache
def _defined() -> frozenset[str]:
    """Segments of the versions that between them have all: some were withdrawn. Loaded only for a line that is in doubt."""
    modules = (importlib.import_module(f"hl7apy.v{v}.segments") for v in ("2_2", "2_3_1", "2_5_1", "2_8_2"))
    return frozenset().union(*(module.SEGMENTS for module in modules), HEADERS, ("BTS", "FTS"))


class _Continuation:
    """Lines that go on with the value before them."""

    def __init__(self) -> None:
        self.parted = False
        """Whether one of them holds a field separator: then they are the rest of a segment that was broken."""
        self.lines: list[str] = []
        self._done: list[str] = []
        self._numbers = (0, 0)
        """First and last of those that are no segments."""

    def add(self, number: int, line: str, *, parted: bool) -> None:
        self.parted |= parted
        self._numbers = (self._numbers[0] or number, number)
        self._keep(f"\n{line}")

    def go_on(self, text: str) -> None:
        """Take what an ADD segment holds: it begins where the last field ends."""
        self.parted = True
        self._keep(text)

    def _keep(self, piece: str) -> None:
        self.lines.append(piece)
        if len(self.lines) > _PIECES:
            self._done.append("".join(self.lines[:-1]))
            del self.lines[:-1]

    def joined(self, body: str) -> str:
        return "".join((body, *self._done, *self.lines))

    def issues(self, place: str, *, stray: bool) -> list[Issue]:
        """What to report of them; they are forgotten then."""
        first, last = self._numbers
        what = f"Line {first} is no segment" if first == last else f"Lines {first} to {last} are no segments"
        self.lines, self._done, self.parted, self._numbers = [], [], False, (0, 0)
        if not first:
            return []
        if stray:
            code, kept = "stray-line", "kept beside the segment before, which had ended, and not mapped"
            action = (
                "Check what writes lines between segments: a segment begins with its id (HL7 v2.5.1 §2.5.1)."
            )
        else:
            code, kept = "raw-line-break", "kept as further lines of the value before"
            action = "Ask the sender to escape line breaks in text as \\.br\\ or \\X0D\\ (HL7 v2.5.1 §2.7)."
        return [Issue(Severity.WARNING, code, place, f"{what}; {kept}", action)]


def _renamed(place: str) -> Issue:
    return Issue(
        Severity.WARNING,
        "segment-case",
        place,
        "The segment id is not written as three capital letters; it was read as if it were",
        "Ask the sender to write segment ids in capital letters, the field separator behind (HL7 v2.5.1 §2.5.1).",
    )


def _misnamed(place: str) -> Issue:
    return Issue(
        Severity.WARNING,
        "segment-name",
        place,
        "The segment's name does not have three characters, so no segment is meant for certain; nothing of it is mapped",
        "Ask the sender to correct the segment's name (HL7 v2.5.1 §2.5.1).",
    )
