"""What a note tells of a relative beside the disease: at what age it began, and whether the relative has died.

Only what stands in the relative's own part of the statement counts: from the word for the relative to the next relative.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from engine.nlp.triggers import words_for_relatives

_LOOK_AROUND = 160  # characters before and after a finding; a statement on one relative is shorter
_YEARS = r"(?P<age>\d{1,3})(?![\d/%:]|[.-]\d|[ ]?(?:mg|ml|g|kg|am|pm|weeks?|wks?|months?|mths?|days?|hours?|hrs?|/7|/12|/52)\b)(?:[ ]?(?:years?(?:[ ]old|[ ]of[ ]age)?|yrs?(?:[ ]old)?|y/?o)\b)?"
_AT = rf"(?:at(?:[ ](?:the[ ])?age(?:[ ]of)?)?|aged|age|@|when (?:he|she|they) (?:was|were)|since(?:[ ]the)?[ ]age(?:[ ]of)?|from(?:[ ]the)?[ ]age(?:[ ]of)?)[ ]?{_YEARS}"
_DECADE = r"in (?:his|her|their|the) (?:early |mid[- ]?|late )?\d0['’]?s"
_BEGAN = r"[ ]?[,(]?[ ]?(?:(?:first[ ])?(?:diagnosed|dx|dxed|onset|detected|found|developed)[ ]?(?:was )?)?"
_ONSET_AFTER = re.compile(rf"{_BEGAN}(?:{_AT}|(?P<decade>{_DECADE}))", re.IGNORECASE)
_ONSET_BEFORE = re.compile(rf"(?:{_AT})[ ,]{{1,2}}(?:with|had|developed|got)[ ](?:an?[ ])?$", re.IGNORECASE)
_DIED = r"(?:died|dead|deceased|demised|passed[ ](?:away|on)|succumbed)"
_IS_DEAD = re.compile(rf"\b{_DIED}\b|\u2020", re.IGNORECASE)
_LATE = re.compile(r"\blate[ ]$", re.IGNORECASE)
_DIED_OF = re.compile(
    rf"\b{_DIED}[ ](?:(?:suddenly|{_AT})[ ])?(?:of|from|due to|secondary to|because of|to)[ ](?:an?[ ]|his[ ]|her[ ])?$",
    re.IGNORECASE,
)
_DIED_AT = re.compile(rf"\b{_DIED}\b[^,;.]{{0,60}}?{_AT}", re.IGNORECASE)
_STATEMENT_ENDS = re.compile(r"[;\r\n]|[.](?=\s|$)")
_OLDEST = 120  # years


@dataclass(frozen=True, slots=True)
class Told:
    """What is told of a relative.

    Attributes:
        onset: age in years at which the disease began, None if not told.
        onset_text: the same where it is told as a decade ("in her 70s"), "" if not.
        deceased: whether the relative is said to have died.
        died_at: at what age in years, None if not told.
        died_of: whether of this disease.
    """

    onset: int | None = None
    onset_text: str = ""
    deceased: bool = False
    died_at: int | None = None
    died_of: bool = False


def told_of(text: str, start: int, end: int) -> Told:
    """What the statement around the finding at ``text[start:end]`` tells of the relative who has it."""
    first, last, kin = _part(text, start, end)
    part = text[first:last]
    died_at = _DIED_AT.search(part)
    died_of = _DIED_OF.search(text, first, start) is not None
    dead = (
        died_of
        or _IS_DEAD.search(part) is not None
        or (kin >= 0 and _LATE.search(text, max(0, kin - 5), kin) is not None)
    )
    after = _ONSET_AFTER.match(text, end, last)
    before = _ONSET_BEFORE.search(text, first, start)
    onset = after or before
    if onset is not None and died_at is not None and first + died_at.end("age") == onset.end("age"):
        onset = None
    return Told(
        onset=_age(onset),
        onset_text=(after["decade"] or "") if after is not None else "",
        deceased=dead,
        died_at=_age(died_at) if dead else None,
        died_of=died_of,
    )


def _part(text: str, start: int, end: int) -> tuple[int, int, int]:
    """Offsets of the relative's part of the statement, and of the word for the relative (-1 if there is none before)."""
    first = max(0, start - _LOOK_AROUND)
    for mark in _STATEMENT_ENDS.finditer(text, first, start):
        first = mark.end()
    stop = _STATEMENT_ENDS.search(text, end, min(len(text), end + _LOOK_AROUND))
    last = stop.start() if stop is not None else min(len(text), end + _LOOK_AROUND)
    kin = -1
    for word in _relative().finditer(text, first, start):
        kin = word.start()
    following = _relative().search(text, end, last)
    if following is not None and kin >= 0:
        last = following.start()
    return (kin if kin >= 0 else first), last, kin


def _age(match: re.Match[str] | None) -> int | None:
    if match is None or match["age"] is None:
        return None
    age = int(match["age"])
    return age if 0 < age <= _OLDEST else None


_RELATIVE: list[re.Pattern[str]] = []


def _relative() -> re.Pattern[str]:
    if not _RELATIVE:
        words = sorted(words_for_relatives(), key=len, reverse=True)
        _RELATIVE.append(re.compile(rf"\b(?:{'|'.join(map(re.escape, words))})\b", re.IGNORECASE))
    return _RELATIVE[0]
