"""Text of a message to the lines that are its segments, whatever ends them and whatever stands between.

CR ends a segment (HL7 v2.5.1 §2.5); LF and CRLF are what files have. What can't be a segment is one of three things:

- nothing: blanks, NULs and the DOS end-of-file mark with which buffers are filled up; left out;
- a further line of the value before it, because a sender put a raw line break into a text; joined back;
- a segment under a name that no segment has, such as ``OBXX|``; a segment of its own, so that its values never
  move into the fields of the one before it.

The last two are reported.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import NamedTuple

from engine.hl7v2.delimiters import HEADERS
from engine.records import Issue, Severity

_SEGMENT_START = re.compile(r"[A-Z][A-Z0-9]{2}")
_LINE_END = re.compile(r"\r\n|\r|\n")
_LINE_END_BYTES = re.compile(rb"\r\n|\r|\n")
_WRONG_NAME = re.compile(r"[A-Z][A-Z0-9]{1,5}")
FILLING = " \t\n\r\v\f\0\x1a\ufeff"
"""What may stand around a line without being a part of it."""
_PIECES = 256
"""Lines kept apart before they are joined: many small strings take several times their text's room."""
_TEXT_FIELDS = {"OBX": 5, "NTE": 3}
"""Where free text stands: a line behind it that looks like nothing known is more of that text."""


class Line(NamedTuple):
    """One segment: its id, which of that id it is, and its text without terminator."""

    id: str
    occurrence: int
    text: str


def segment_lines(lines: Iterable[tuple[int, str]], issues: list[Issue]) -> Iterator[Line]:
    """The segments of a message, in order. The first line is given as it is, be it a header or not.

    Args:
        lines: with their numbers, as :func:`numbered` gives them.
        issues: gets what was odd.
    """
    counts: dict[str, int] = {}
    separator = ""
    held: tuple[str, str] | None = None
    more = _Continuation()

    def finished(segment_id: str, body: str) -> Line:
        counts[segment_id] = counts.get(segment_id, 0) + 1
        line = Line(segment_id, counts[segment_id], more.joined(body))
        issues.extend(more.issues(line))
        return line

    for number, raw in lines:
        if held is None:
            first = raw.strip(FILLING)
            if not first:
                continue
            name = first[:3].upper() if first[:3].upper() in HEADERS else first[:3]
            separator = first[3:4]
            held = name, name + raw.lstrip(FILLING)[3:]
            continue
        found = _segment(raw, separator, held, more)
        if found is None:
            if raw.strip(FILLING):
                more.add(number, raw)
            continue
        yield finished(*held)
        segment_id, body, wrong = found
        if wrong:
            place = f"{segment_id}[{counts.get(segment_id, 0) + 1}]"
            issues.append(_renamed(place) if _SEGMENT_START.fullmatch(segment_id) else _misnamed(place))
        held = segment_id, body
    if held is not None:
        yield finished(*held)


def numbered(text: str) -> Iterator[tuple[int, str]]:
    """Lines and their numbers, one by one: a list of all short lines would take several times the text's room."""
    number, position = 1, 0
    if "\n" not in text:
        while (end := text.find("\r", position)) >= 0:
            yield number, text[position:end]
            number, position = number + 1, end + 1
    else:
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


def _segment(
    line: str, separator: str, before: tuple[str, str], more: _Continuation
) -> tuple[str, str, bool] | None:
    """(id, text, whether its name had to be put right), or None when the line is no segment."""
    if line[3:4] == separator and _SEGMENT_START.match(line):
        return line[:3], line, False
    if not separator:
        return None
    body = line.lstrip(FILLING)
    head, found, rest = body.partition(separator)
    head = head.rstrip(FILLING)
    if not found or len(head) == 3:
        name = head.upper()
        if len(head) == 3 and (is_known(name) or (found and head == name and _SEGMENT_START.match(name))):
            return name, name + found + rest, head != name or body[3:4] not in {separator, ""}
        return None
    if _WRONG_NAME.fullmatch(head) and not more.lines and not _ends_in_text(*before, separator):
        return head, head + found + rest, True
    return None


def _ends_in_text(segment_id: str, text: str, separator: str) -> bool:
    return _TEXT_FIELDS.get(segment_id) == text.count(separator)


@cache
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
        self.lines: list[str] = []
        self._done: list[str] = []
        self._numbers = (0, 0)

    def add(self, number: int, line: str) -> None:
        self._numbers = (self._numbers[0] if self.lines else number, number)
        self.lines.append(line)
        if len(self.lines) > _PIECES:
            self._done.append("\n".join(self.lines[:-1]))
            del self.lines[:-1]

    def joined(self, body: str) -> str:
        return "\n".join((body, *self._done, *self.lines)) if self.lines else body

    def issues(self, line: Line) -> list[Issue]:
        """What to report of them; they are forgotten then."""
        if not self.lines:
            return []
        first, last = self._numbers
        what = f"Line {first} is no segment" if first == last else f"Lines {first} to {last} are no segments"
        self.lines, self._done = [], []
        return [
            Issue(
                Severity.WARNING,
                "raw-line-break",
                f"{line.id}[{line.occurrence}]",
                f"{what}; kept as further lines of the value before",
                "Ask the sender to escape line breaks in text as \\.br\\ or \\X0D\\ (HL7 v2.5.1 §2.7).",
            )
        ]


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
