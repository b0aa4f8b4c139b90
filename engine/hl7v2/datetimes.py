"""HL7 v2 times to FHIR date, dateTime and instant (HL7 v2.5.1 §2.A.21-22, §2.A.76; FHIR R4 §2.24).

HL7 writes ``YYYY[MM[DD[HH[MM[SS[.S[S[S[S]]]]]]]]][+/-ZZZZ]`` and keeps the precision by leaving the rest
away. FHIR keeps precision too, with two rules more: a time of day has at least minutes and seconds, and
always an offset. Where HL7 gives none, the feed's zone supplies it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from engine.remembering import remembered

_DTM = re.compile(
    r"(?P<year>\d{4})(?:(?P<month>\d\d)(?:(?P<day>\d\d)"
    r"(?:(?P<hour>\d\d)(?:(?P<minute>\d\d)(?:(?P<second>\d\d)(?:\.(?P<fraction>\d{1,9}))?)?)?)?)?)?"
    r"(?P<offset>[+-]\d{4})?",
    re.ASCII,
)
_ISO = re.compile(
    r"(\d{4})-(\d\d)(?:-(\d\d))?(?:[T ](\d\d):?(\d\d)?(?::?(\d\d)(\.\d{1,9})?)?)?\s*(Z|[+-]\d\d:?\d\d)?",
    re.ASCII,
)
_ISO_BASIC = re.compile(r"(\d{8})T?((?:\d\d){1,3}(?:\.\d{1,9})?)(Z|[+-]\d\d:?\d\d)?", re.ASCII)
_USUAL_LENGTHS = (8, 12, 14)
_KNOWN_DAYS = 4096
"""Days remembered: a feed tells of few days of admission and many of birth."""
_KNOWN_OFFSETS = 128
_MAX_OFFSET_MINUTES = 14 * 60
"""No zone on Earth is further from UTC."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A parsed HL7 time.

    Attributes:
        fhir: FHIR dateTime (date-only precision for dates).
        date: its date part at its own precision.
        has_time: whether a time of day was given.
        doubt: "" or what was assumed: ``gap``, ``overlap``, ``24h``, ``iso``.
    """

    fhir: str
    date: str
    has_time: bool
    doubt: str = ""


@remembered(4096)  # one message tells the same time many times over
def parse_moment(text: str, zone: ZoneInfo) -> Moment | None:
    """Parse an HL7 DT, DTM or TS value; None when it is no time that exists.

    Args:
        text: the value. Surrounding blanks are ignored; ISO 8601 spelling is understood and marked.
        zone: zone of a time of day that has no offset of its own.
    """
    text = text.strip()
    return usual(text, zone) or unusual(text, zone)


def usual(text: str, zone: ZoneInfo) -> Moment | None:
    """What nearly all times are, in few steps: a day, or a minute or second of a day, its offset known. None says nothing."""
    offset = ""
    if len(text) > 14 and text[-5] in "+-":
        text, offset = text[:-5], text[-5:]
    if len(text) not in _USUAL_LENGTHS or not (text.isascii() and text.isdigit()):
        return None
    day = _day(text[:8])
    if len(text) == 8:
        return Moment(day, day, has_time=False) if day else None
    hour, minute, second = text[8:10], text[10:12], text[12:] or "00"
    if not day or hour > "23" or minute > "59" or second > "59":
        return None
    offset = (_known_offset(offset) if offset else _offset_all_day(day, zone)) or ""
    return Moment(f"{day}T{hour}:{minute}:{second}{offset}", day, has_time=True) if offset else None


@lru_cache(maxsize=_KNOWN_DAYS)
def _day(text: str) -> str:
    """``YYYY-MM-DD`` of eight digits, "" if there is no such day."""
    year, month, day = text[:4], text[4:6], text[6:]
    return f"{year}-{month}-{day}" if year != "0000" and _exists(year, month, day) else ""


@lru_cache(maxsize=_KNOWN_DAYS)
def _offset_all_day(day: str, zone: ZoneInfo) -> str:
    """The offset of all hours of a day; "" on a day when the clocks are changed."""
    start = datetime.fromisoformat(day)
    if start.date() == date.max:
        return ""
    told = {zone_offset(start + timedelta(hours=hour), zone) for hour in range(25)}
    ((offset, doubt),) = told if len(told) == 1 else {("", "")}
    return "" if doubt else offset


def unusual(text: str, zone: ZoneInfo) -> Moment | None:
    """As :func:`parse_moment`, of any text without blanks around it."""
    match = _DTM.fullmatch(text)
    doubt = ""
    if match is None:
        compact = _from_iso(text)
        match = _DTM.fullmatch(compact) if compact else None
        if match is None:
            return None
        doubt = "iso"
    parts = match.groupdict()
    year, month, day = parts["year"], parts["month"], parts["day"]
    if month == "00" or day == "00":
        # "20100000" means a year only: some systems fill the places that they don't know with zeros.
        month = None if month == "00" else month
        day = None
        if parts["hour"] and int(parts["hour"]):
            return None
        parts["hour"] = None
    if year == "0000" or not _exists(year, month, day):
        return None
    day_text = "-".join(p for p in (year, month, day) if p)
    if parts["hour"] is None or day is None:
        if parts["offset"] and not _offset(parts["offset"]):
            return None
        return Moment(day_text, day_text, has_time=False, doubt=doubt)
    return _with_time(parts, day_text, zone, doubt)


def _with_time(parts: dict[str, str | None], day_text: str, zone: ZoneInfo, doubt: str) -> Moment | None:
    hour, minute, second = (int(parts[k] or 0) for k in ("hour", "minute", "second"))
    if hour == 24 and minute == 0 and second == 0:
        # Midnight at the end of the day, as ISO 8601 allows and some systems write.
        if day_text == date.max.isoformat():
            return None
        day_text = (date.fromisoformat(day_text) + timedelta(days=1)).isoformat()
        hour, doubt = 0, "24h"
    if hour > 23 or minute > 59 or second > 60:
        return None
    fraction = f".{parts['fraction']}" if parts["fraction"] else ""
    clock = f"{hour:02}:{minute:02}:{min(second, 59):02}{fraction}"
    if parts["offset"]:
        offset = _offset(parts["offset"])
        if offset is None:
            return None
    else:
        offset, local_doubt = zone_offset(datetime.fromisoformat(f"{day_text}T{hour:02}:{minute:02}"), zone)
        doubt = doubt or local_doubt
    return Moment(f"{day_text}T{clock}{offset}", day_text, has_time=True, doubt=doubt)


def zone_offset(local: datetime, zone: ZoneInfo) -> tuple[str, str]:
    """Offset of a local time and ``gap`` or ``overlap`` when summer time makes it doubtful.

    In the overlap the first of both is taken (still summer time); in the gap the offset before it.
    """
    early = local.replace(tzinfo=zone, fold=0).utcoffset()
    late = local.replace(tzinfo=zone, fold=1).utcoffset()
    assert early is not None
    assert late is not None
    doubt = "" if early == late else ("overlap" if early > late else "gap")
    minutes = round(early.total_seconds() / 60)
    sign = "-" if minutes < 0 else "+"
    return f"{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}", doubt


def parse_clock(text: str) -> str | None:
    """An HL7 TM value (``HHMM[SS[.S]]``) as FHIR time; None when it is none."""
    match = re.fullmatch(
        r"(\d\d)(?::?(\d\d)(?::?(\d\d)(\.\d{1,9})?)?)?(?:[+-]\d{4})?", text.strip(), re.ASCII
    )
    if match is None:
        return None
    hour, minute, second = (int(match[n] or 0) for n in (1, 2, 3))
    if hour > 23 or minute > 59 or second > 59:
        return None
    return f"{hour:02}:{minute:02}:{second:02}{match[4] or ''}"


@lru_cache(maxsize=_KNOWN_OFFSETS)
def _known_offset(text: str) -> str | None:
    return _offset(text) if text[1:].isascii() and text[1:].isdigit() else None


def _offset(text: str) -> str | None:
    hours, minutes = int(text[1:3]), int(text[3:5])
    if minutes > 59 or hours * 60 + minutes > _MAX_OFFSET_MINUTES:
        return None
    return f"{text[0]}{text[1:3]}:{text[3:5]}"


def _exists(year: str, month: str | None, day: str | None) -> bool:
    try:
        date(int(year), int(month or 1), int(day or 1))
    except ValueError:
        return False
    return True


def _from_iso(text: str) -> str | None:
    """ISO 8601 spelling in HL7's, also the basic form (``20260101T0930Z``); None when it is neither."""
    if basic := _ISO_BASIC.fullmatch(text):
        day, clock, offset = basic.groups()
        return f"{day}{clock}{'+0000' if offset == 'Z' else (offset or '').replace(':', '')}"
    match = _ISO.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    if hour and not day:
        return None
    offset = "+0000" if offset == "Z" else (offset or "").replace(":", "")
    clock = f"{hour}{minute or '00'}{second or '00'}{fraction or ''}" if hour else ""
    return f"{year}{month}{day or ''}{clock}{offset}"
