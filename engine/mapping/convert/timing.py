"""When and how often: repeat patterns (RPT, RI, TQ), durations and times that are told as a distance."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from engine.fhir import schema
from engine.fhir.invariants import UCUM
from engine.hl7v2.datetimes import parse_clock, parse_moment
from engine.hl7v2.tree import Leaf, Node, Segment, child
from engine.mapping.convert.primitives import NUMBER, Converter, to_decimal, value_text
from engine.mapping.expressions import Getter, text_of
from engine.mapping.naming import plain

if TYPE_CHECKING:
    from engine.mapping.run import Run

_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400, "wk": 604800}
_UNITS = {
    "S": "s", "SEC": "s", "SECS": "s", "SECOND": "s", "SECONDS": "s",
    "M": "min", "MIN": "min", "MINS": "min", "MINUTE": "min", "MINUTES": "min",
    "H": "h", "HR": "h", "HRS": "h", "HOUR": "h", "HOURS": "h",
    "D": "d", "DAY": "d", "DAYS": "d",
    "W": "wk", "WK": "wk", "WEEK": "wk", "WEEKS": "wk",
    "L": "mo", "MO": "mo", "MON": "mo", "MONTH": "mo", "MONTHS": "mo",
    "Y": "a", "YR": "a", "A": "a", "YEAR": "a", "YEARS": "a",
}  # fmt: skip
"""Units of time as tables 0335 and 0255 and senders write them -> UCUM (FHIR R4 units-of-time)."""

_SYSTEM = re.compile(r"[A-Za-z][\w.-]*\d[\w.-]*|L|LN|SCT|UCUM")
"""What names a coding system; in its place a repeat pattern has the number of a weekday (RPT.3)."""

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WHEN = frozenset(schema.resolve("Timing.repeat.when").codes or ())
_MEALS = {"M": "M", "D": "D", "V": "V", "B": "M", "L": "D", "S": "V"}
_PARTS_OF_DAY = {
    "QAM": "MORN",
    "AM": "MORN",
    "QPM": "EVE",
    "PM": "EVE",
    "QHS": "HS",
    "BED": "HS",
    "QNOON": "NOON",
}
_TIMES_A_DAY = {
    "QD": 1, "QDAY": 1, "DAILY": 1, "OD": 1, "BID": 2, "BD": 2, "TID": 3, "TDS": 3, "QID": 4, "QDS": 4,
}  # fmt: skip


def unit_of_time(text: str) -> str:
    """UCUM code of a unit of time; "" when it is none."""
    return _UNITS.get(text.strip().upper(), "")


def repeat_of(pattern: str) -> dict[str, Any] | None:
    """``Timing.repeat`` of a repeat pattern of table 0335, or what prescribers write for it; None if it is another."""
    code = pattern.strip().upper().replace(".", "")
    if code in _TIMES_A_DAY:
        return _frequency(_TIMES_A_DAY[code], 1, "d")
    if code == "QOD":
        return _frequency(1, 2, "d")
    if code in {"ONCE", "STAT"}:
        return {"count": 1}
    if code in _PARTS_OF_DAY:
        return _frequency(1, 1, "d") | {"when": [_PARTS_OF_DAY[code]]}
    if code in _WHEN:
        return {"when": [code]}
    if match := re.fullmatch(r"(\d{1,2})ID", code):
        return _frequency(int(match[1]), 1, "d") if int(match[1]) else None
    if match := re.fullmatch(r"Q(\d{0,3})J([1-7]{1,7})", code):
        days = [_DAYS[int(day) - 1] for day in dict.fromkeys(match[2])]
        return _frequency(1, int(match[1] or 1), "wk") | {"dayOfWeek": days}
    if match := re.fullmatch(r"Q(\d{0,4})([SMHDWL])", code):
        every = int(match[1] or 1)
        return _frequency(1, every, _UNITS[match[2]]) if every else None
    if match := re.fullmatch(r"([AP]C|C)([MDVBLS])", code):
        return {"when": [match[1] + _MEALS[match[2]]]}
    return None


def _frequency(times: int, period: int, unit: str) -> dict[str, Any]:
    return {"frequency": times, "period": Decimal(period), "periodUnit": unit}


def repeat_pattern(node: Node, segment: Segment, run: Run) -> dict[str, Any] | None:
    """RPT (v2.5.1 §2.A.66) or RI (§2.A.65) to Timing.

    The pattern's code stays as ``code.text`` beside what it means. Explicit periods (RPT.5, RPT.6) and
    weekdays (RPT.2 = DW) come before what the code says.
    """
    pattern = _pattern(node)
    code = plain(child(pattern, 1)) or plain(child(pattern, 2))
    timing: dict[str, Any] = {}
    repeat: dict[str, Any] = {}
    if code:
        run.use_all(pattern)
        timing["code"] = _code(pattern, code, run)
        repeat = repeat_of(code) or {}
    if segment.id == "TQ1" and segment.text(4):
        repeat.pop("when", None)  # tim-10: the field tells the times of the day themselves
    if pattern is not child(node, 1):
        return timing | {"repeat": repeat} if repeat else timing
    if clocks := _clocks(child(node, 2), run):
        repeat = {name: part for name, part in repeat.items() if name != "when"} | {"timeOfDay": clocks}
    elif plain(child(node, 2)).upper() == "DW":
        repeat |= _weekdays(node, run)
    repeat |= _explicit_period(node, run)
    event = child(node, 8)
    if segment.id == "TQ1" and segment.text(4):
        run.refuse(event, "TQ1-4 tells the times of the day (tim-10)")
        run.refuse(child(node, 9), "TQ1-4 tells the times of the day (tim-10)")
    elif plain(event) in _WHEN and "timeOfDay" not in repeat:
        run.use_all(event)
        repeat["when"] = [plain(event)]
        repeat |= _offset(node, run)
    if repeat:
        timing["repeat"] = repeat
    return timing or None


def _pattern(node: Node) -> Node:
    """RPT.1, or the first three components where a sender wrote the code's parts as components: ``BID^Twice^HL70335``."""
    if (
        isinstance(node, tuple)
        and isinstance(child(node, 1), Leaf)
        and _SYSTEM.fullmatch(plain(child(node, 3)))
    ):
        return node[:3]
    return child(node, 1)


def _code(pattern: Node, code: str, run: Run) -> dict[str, Any]:
    """The repeat pattern as a concept: coded when its system is told."""
    display = plain(child(pattern, 2))
    concept: dict[str, Any] = {"text": plain(child(pattern, 9)) or display or code}
    named = plain(child(pattern, 3))
    if named and plain(child(pattern, 1)):
        coding = {"system": run.systems.url(named, run.facility), "code": code}
        concept = {"coding": [coding | {"display": display} if display else coding], **concept}
    return concept


def _clocks(node: Node, run: Run) -> list[str]:
    """RI.2: ``0830,1400``."""
    texts = [t.strip() for t in plain(node).split(",") if t.strip()]
    clocks = [parse_clock(t) for t in texts if re.fullmatch(r"\d{4}", t)]
    found = [c for c in clocks if c]
    if not texts or len(found) != len(texts):
        return []
    run.use_all(node)
    return found


def _weekdays(node: Node, run: Run) -> dict[str, Any]:
    """RPT.3 to RPT.4, counted from Monday."""
    first, last = plain(child(node, 3)), plain(child(node, 4))
    if not re.fullmatch(r"[1-7]", first) or (last and not re.fullmatch(r"[1-7]", last)):
        return {}
    for number in (2, 3, 4):
        run.use_all(child(node, number))
    days = range(int(first), int(last or first) + 1)
    return {"dayOfWeek": [_DAYS[day - 1] for day in days]} if days else {}


def _explicit_period(node: Node, run: Run) -> dict[str, Any]:
    number, unit = plain(child(node, 5)), unit_of_time(plain(child(node, 6)))
    if not NUMBER.fullmatch(number) or not unit:
        return {}
    run.use_all(child(node, 5))
    run.use_all(child(child(node, 6), 1))
    return {"frequency": 1, "period": to_decimal(number), "periodUnit": unit}


def _offset(node: Node, run: Run) -> dict[str, Any]:
    minutes = _minutes(plain(child(node, 9)), plain(child(node, 10)) or "min")
    if minutes is None:
        return {}
    run.use_all(child(node, 9))
    run.use_all(child(child(node, 10), 1))
    return {"offset": minutes}


def _minutes(number: str, unit: str) -> int | None:
    seconds = _SECONDS.get(unit_of_time(unit))
    if seconds is None or not NUMBER.fullmatch(number) or Decimal(number) < 0:
        return None
    whole = Decimal(number) * seconds / 60
    return int(whole) if whole == int(whole) else None


def duration(node: Node, _segment: Segment, run: Run) -> dict[str, Any] | None:
    """CQ, or the ``6W`` of TQ.3 (v2.5.1 §4.3.3), to Duration; None when its unit is none of time."""
    text = plain(child(node, 1))
    number, unit = text, plain(child(child(node, 2), 1))
    if match := re.fullmatch(r"([SMHDWL])(\d{1,4})", text.upper()):
        number, unit = match[2], match[1]
    code = unit_of_time(unit)
    if not code or not NUMBER.fullmatch(number):
        return None
    run.use_all(child(node, 1))
    if number == text:
        run.use_all(child(node, 2))  # what it is called and in which system: it is told in UCUM
    return {"value": to_decimal(number), "unit": code, "system": UCUM, "code": code}


def duration_parts(node: Node, segment: Segment, run: Run) -> dict[str, Any] | None:
    """As :func:`duration`, as the pair ``duration`` and ``durationUnit`` of Timing.repeat."""
    found = duration(node, segment, run)
    return {"duration": found["value"], "durationUnit": found["code"]} if found else None


def minutes(units: Getter | None = None) -> Converter:
    """A number to whole minutes, by the unit in another place (minutes where none is told)."""

    def convert(node: Node, segment: Segment, run: Run) -> int | None:
        unit_node = units(node, segment, run) if units else None
        found = _minutes(value_text(node).strip(), text_of(unit_node) or "min")
        if not found:
            run.refuse(node, "invalid: no whole number of minutes")
            return None
        _use_with_unit(run, node, unit_node)
        return found

    return convert


def later(start: Getter, units: Getter | None = None) -> Converter:
    """A distance to the time that it leads to: the start in one place, its unit in another or minutes."""

    def convert(node: Node, segment: Segment, run: Run) -> str | None:
        unit_node = units(node, segment, run) if units else None
        seconds = _SECONDS.get(unit_of_time(text_of(unit_node) or "min"))
        number = value_text(node).strip()
        begin = parse_moment(text_of(start(node, segment, run)), run.zone)
        if seconds is None or begin is None or not begin.has_time or not NUMBER.fullmatch(number):
            return None
        try:
            end = moved(begin.fhir, timedelta(seconds=float(Decimal(number) * seconds)))
        except OverflowError:
            run.refuse(node, "invalid: it leads beyond any year that a date can have")
            return None
        _use_with_unit(run, node, unit_node)
        return end

    return convert


def _use_with_unit(run: Run, node: Node, unit: Node | None) -> None:
    """A number and the unit that another place holds have both reached an element."""
    run.use_all(node)
    if isinstance(unit, Leaf):
        run.use_all(unit)


def moved(moment: str, distance: timedelta) -> str:
    """A FHIR dateTime with time of day, so much later, at its own offset."""
    return (datetime.fromisoformat(moment) + distance).isoformat()


def report_time(_node: Node, _segment: Segment, run: Run) -> dict[str, Any] | None:
    """The time of the report (OBR-7, OBR-8) that a result is part of, for a result without one of its own."""
    reports = run.by_name.get("DiagnosticReport")
    if not reports or run.current is None:
        return None
    report, group = reports[-1], run.current.group
    order = report.group
    while order.spec.maximum == 1 and order.parent is not None:
        order = order.parent
    while group is not order:
        if group.parent is None:
            return None  # a result of another order, or of none
        group = group.parent
    for name in ("effectiveDateTime", "effectivePeriod"):
        if name in report.resource:
            value = report.resource[name]
            return {name: dict(value) if isinstance(value, dict) else value}
    return None
