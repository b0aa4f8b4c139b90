"""Where statements end in a note: the reach of "no" and "family history of" stops there.

Ward notes mix prose with lists, shorthand and lines that a v2 sender has wrapped. A line break ends a
statement unless the line looks wrapped: it is long, or ends in a comma or a word that needs another.
"""

from __future__ import annotations

import re

_BREAK = re.compile(r"[.!?][)\]\"”’]*(?=\s|$)|[。！？；]|\r\n|\n|\r")
_NEWLINES = frozenset(("\r\n", "\n", "\r"))
# After these a full stop ends no sentence.
_ABBREVIATION = re.compile(
    r"\b(?:dr|mr|mrs|ms|mdm|prof|st|vs|approx|e\.g|i\.e|fig|dept|resp|inj|tab|tabs|cap|caps|susp|syr"
    r"|q\.d|b\.d|t\.d\.s|p\.r\.n|p\.o|i\.v)$",
    re.IGNORECASE,
)
# "E. coli" goes on, "hepatitis B. Denies fever" does not.
_NUMBER_OF_ITEM = re.compile(r"(?:^|[\r\n])[ \t]{0,20}\(?\d{1,2}$")
_INITIAL = re.compile(r"\b[A-Za-z]$")
_HANGING = re.compile(
    r"(?:,|\b(?:and|or|with|without|of|the|a|no|nil|to|for|in|on|at|by|from|denies|denied|not|is|was))$",
    re.IGNORECASE,
)
_ITEM = re.compile(r"\s*(?:[-*•–+#>]|\(?\d{1,2}[.)]|\r|\n|$)")
_LOOK_BACK = 24  # characters; longer than any abbreviation
_WRAPPED_LINE = 50  # characters; a shorter line was ended on purpose


def sentences_of(text: str) -> list[tuple[int, int]]:
    """Start and end of each statement, in order; blank ones are left out."""
    spans: list[tuple[int, int]] = []
    start = 0
    for mark in _BREAK.finditer(text):
        if _ends_here(text, start, mark):
            _add(spans, text, start, mark.end())
            start = mark.end()
    _add(spans, text, start, len(text))
    return spans


def _add(spans: list[tuple[int, int]], text: str, start: int, end: int) -> None:
    piece = text[start:end]
    stripped = piece.strip()
    if stripped:
        start += len(piece) - len(piece.lstrip())
        spans.append((start, start + len(stripped)))


def _ends_here(text: str, start: int, mark: re.Match[str]) -> bool:
    sign = mark.group()
    if sign in _NEWLINES:
        return not _is_wrapped(text, start, mark)
    before = text[max(start - 1, mark.start() - _LOOK_BACK, 0) : mark.start()]
    if sign.startswith("?"):
        # "? PE" asks about what follows; "PE?" ends a statement.
        return bool(before) and not before[-1].isspace()
    if sign.startswith("."):
        if _INITIAL.search(before) and text[mark.end() : mark.end() + 2].strip().islower():
            return False
        return _ABBREVIATION.search(before) is None and _NUMBER_OF_ITEM.search(before) is None
    return True


def _is_wrapped(text: str, start: int, mark: re.Match[str]) -> bool:
    line_start = max(start, text.rfind("\n", 0, mark.start()) + 1, text.rfind("\r", 0, mark.start()) + 1)
    line = text[line_start : mark.start()].rstrip()
    if not line or line[-1] in ".:;!?" or _ITEM.match(text, mark.end()):
        return False
    following = text[mark.end() : mark.end() + _LOOK_BACK].lstrip(" \t")
    return _HANGING.search(line) is not None or (looks_wrapped(line) and following[:1].islower())


def looks_wrapped(line: str) -> bool:
    """Whether a line was ended by a sender's margin rather than by its writer."""
    return len(line) >= _WRAPPED_LINE or _HANGING.search(line[-_LOOK_BACK:]) is not None
