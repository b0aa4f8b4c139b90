"""Dosages as FHIR says them: ``500 mg PO BD x 5/7`` to dose, route, timing and how long.

The text is always kept. A part is only structured when it can mean one thing; shorthand is that of wards in
Singapore (OM: in the morning, ON: at night, EOD: every other day).
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from engine.fhir.invariants import UCUM
from engine.nlp.quantities import quantity, unit_of

SNOMED = "http://snomed.info/sct"
ABBREVIATIONS = "http://terminology.hl7.org/CodeSystem/v3-GTSAbbreviation"

# (SNOMED CT code, display): forms, with dots and blanks taken out, lower case.
_ROUTES: dict[tuple[str, str], str] = {
    ("26643006", "Oral route"): "po|oral|orally|bymouth",
    ("47625008", "Intravenous route"): "iv|intravenous|intravenously",
    ("78421000", "Intramuscular route"): "im|intramuscular|intramuscularly",
    ("34206005", "Subcutaneous route"): "sc|s/c|subcut|subcutaneous|subcutaneously",
    ("37839007", "Sublingual route"): "sl|s/l|sublingual|sublingually",
    ("37161004", "Rectal route"): "pr|rectally",
    ("6064005", "Topical route"): "la|topical|topically",
    ("447694001", "Respiratory tract route"): "inh|inhaled|neb|nebs|nebulised|nebulized",
    ("72607000", "Intrathecal route"): "intrathecal|intrathecally",
    ("46713006", "Nasal route"): "intranasal|intranasally",
}
# (frequency, period, unit, GTS abbreviation, event of the day): forms.
_TIMES: dict[tuple[int, int, str, str, str], str] = {
    (1, 1, "d", "QD", ""): "od|qd|daily|oncedaily|onceday|onceaday|onceperday|everyday",
    (1, 1, "d", "", "MORN"): "om|mane|inthemorning|everymorning|am",
    (1, 1, "d", "", "NIGHT"): "on|nocte|nightly|atnight|everynight",
    (1, 1, "d", "", "EVE"): "intheevening|everyevening|pm",
    (1, 1, "d", "", "HS"): "hs|atbedtime",
    (2, 1, "d", "BID", ""): "bd|bid|twicedaily|twiceday|twiceaday|twiceperday",
    (3, 1, "d", "TID", ""): "tds|tid|thricedaily|thriceaday|threetimesaday|threetimesdaily|threetimesperday",
    (4, 1, "d", "QID", ""): "qds|qid|fourtimesaday|fourtimesdaily|fourtimesperday",
    (1, 2, "d", "QOD", ""): "eod|qod|everyotherday|alternateday|alternatedays",
    (1, 1, "wk", "WK", ""): "aweek|perweek|ow|weekly|onceweekly|onceaweek|onceperweek",
    (2, 1, "wk", "", ""): "twiceweekly|twiceaweek|twiceperweek",
    (3, 1, "wk", "", ""): "thriceweekly|threetimesaweek|threetimesperweek",
    (1, 1, "mo", "MO", ""): "oncemonth|onceamonth|oncepermonth",
}
_MEALS = {"ac": "AC", "beforemeals": "AC", "beforemeal": "AC", "beforefood": "AC", "pc": "PC", "aftermeals": "PC",
          "aftermeal": "PC", "afterfood": "PC", "premeal": "AC", "premeals": "AC", "postmeal": "PC", "postmeals": "PC", "withmeals": "C", "withmeal": "C", "withfood": "C"}  # fmt: skip
# "pre-breakfast": R4 EventTiming. C is a meal, CM, CD and CV are breakfast, lunch and dinner; A before, P after.
_MEAL = re.compile(
    r"\b(?P<when>pre|before|post|after|with)[ -]?(?P<meal>breakfast|lunch|dinner)\b", re.IGNORECASE
)
_MEAL_CODES = {"breakfast": "CM", "lunch": "CD", "dinner": "CV"}
_DAYS = re.compile(r"\b(mon|tue|wed|thu|fri|sat|sun)(?:s|sday|nesday|rs|rsday|urday|day)?s?\b", re.IGNORECASE)
_ON_A_DAY = re.compile(
    r"\bon[ ](?=(?:mon|tue|wed|thu|fri|sat|sun|alternate|days?)\w*)", re.IGNORECASE
)  # not "ON", at night
_AS_NEEDED = frozenset(("prn", "asneeded", "whenrequired", "whennecessary", "sos"))

_ROUTE = {form: route for route, forms in _ROUTES.items() for form in forms.split("|")}
_TIME = {form: time for time, forms in _TIMES.items() for form in forms.split("|")}

_DOSE = re.compile(
    r"(?<![\w.,/])(?P<low>\d{1,3}(?:,\d{3})+|\d+(?:\.\d+)?)(?:\s?(?:-|–|to)\s?(?P<high>\d+(?:\.\d+)?))?[ -]?"
    r"(?P<unit>mg|milligrams?|mcg|ug|µg|μg|micrograms?|gm?|grams?|mls?|cc|iu|units?|u|mmol|tab(?:let)?s?|cap(?:sule)?s?|puffs?|drops?"
    r"|sachets?|sprays?|patch(?:es)?|amp(?:oule)?s?|vials?)(?P<per>\s?(?:/|per)\s?\S+)?(?![\w/])",
    re.IGNORECASE,
)
_SO_OFTEN = re.compile(
    r"(?<![\w.])(?P<count>\d)\s?x\s?/\s?(?P<unit>day|week|wk|month)\b", re.IGNORECASE
)  # 3x/week
_HOURLY = re.compile(
    r"\b(?:q\.?(?P<a>\d{1,2})(?:-(?P<b>\d{1,2}))?\s?h(?:rs?)?|(?P<c>\d{1,2})[ -]?hourly"
    r"|every\s(?P<d>\d{1,2})(?:\s?(?:-|to)\s?(?P<e>\d{1,2}))?\s?(?:hours?|hrs?|h))(?![\w])",
    re.IGNORECASE,
)
_FOR = re.compile(
    r"\b(?:x|for)\s?(?P<count>\d{1,3})(?:/(?P<part>7|52|12)|\s(?P<word>day|week|month)s?)(?![\w/])",
    re.IGNORECASE,
)
_STEPS = re.compile(r"[\s,;]*\b(?:and then|then|followed by)\b[\s,:]*", re.IGNORECASE)
_PERIODS = {"day": "d", "week": "wk", "wk": "wk", "month": "mo"}
_SIDES = re.compile(r"[ \t]*(?:[,;+&]|\band\b)[ \t]*(?=\d)", re.IGNORECASE)
_BOUNDS = {"7": "d", "52": "wk", "12": "mo", "day": "d", "week": "wk", "month": "mo"}
_WORDS = re.compile(
    r"(?<!\w)(?:(?:in the|at|every other|every|once a|once per|twice a|twice per|thrice a|(?:three|four) times(?: a| per)?|before|after|with|as|when"
    r"|alternate|once|twice|thrice|by|a|per)\s\w+|s/[cl]|(?:[a-z]\.){2,3}|[a-z]+)",
    re.IGNORECASE,
)


def dosages_of(text: str) -> list[dict[str, Any]]:
    """FHIR Dosages of a dosage as written.

    One; in their sequence those of "30 mg OM x 5/7 then 20 mg OM x 1/52"; or side by side those of
    "20 units pre-breakfast, 14 units pre-dinner", where each has its own time.
    """
    sides = [side for side in _SIDES.split(text) if side]
    if len(sides) > 1:
        found = [dosage_of(side) for side in sides]
        if all(
            "doseAndRate" in one and {"when", "dayOfWeek"} & one.get("timing", {}).get("repeat", {}).keys()
            for one in found
        ):
            return found
    steps = _STEPS.split(text)
    if len(steps) == 1 or not all(_DOSE.search(step) for step in steps):
        return [dosage_of(text)]
    return [{"sequence": number, **dosage_of(step)} for number, step in enumerate(steps, 1)]


def dosage_of(text: str) -> dict[str, Any]:
    """FHIR Dosage (R4 §2.24.0.15) of a dosage as written."""
    plain = " ".join(text.replace("\u2009", " ").replace("\xa0", " ").split())
    found: dict[str, Any] = {"text": plain}
    words = [re.sub(r"[.\s]", "", word).lower() for word in _WORDS.findall(_ON_A_DAY.sub("", plain))]
    timing = _timing(plain, words)
    if timing:
        found["timing"] = timing
    if _AS_NEEDED.intersection(words):
        found["asNeededBoolean"] = True
    routes = {_ROUTE[word] for word in words if word in _ROUTE}
    if len(routes) == 1:
        code, display = routes.pop()
        found["route"] = {"coding": [{"system": SNOMED, "code": code, "display": display}]}
    dose = _dose(plain)
    if dose:
        found["doseAndRate"] = [dose]
    return found


def _dose(text: str) -> dict[str, Any]:
    doses = list(_DOSE.finditer(text))
    if len(doses) != 1 or doses[0]["per"]:
        return {}  # "5 mg/kg/day" is no amount that one can hand out
    match = doses[0]
    unit = unit_of(match["unit"])
    if unit is None:
        return {}
    low = quantity(Decimal(match["low"].replace(",", "")), unit)
    if match["high"] is None:
        return {"doseQuantity": low}
    return {"doseRange": {"low": low, "high": quantity(Decimal(match["high"]), unit)}}


def _timing(text: str, words: list[str]) -> dict[str, Any]:
    repeat: dict[str, Any] = {}
    code = ""
    bounds = _FOR.search(text)
    if bounds is not None:
        unit = _BOUNDS[bounds["part"] or bounds["word"].lower()]
        repeat["boundsDuration"] = {"value": int(bounds["count"]), "unit": unit, "system": UCUM, "code": unit}
    times = {_TIME[word] for word in words if word in _TIME}
    times |= {(int(m["count"]), 1, _PERIODS[m["unit"].lower()], "", "") for m in _SO_OFTEN.finditer(text)}
    hourly = list(_HOURLY.finditer(text))
    when = [_MEALS[word] for word in words if word in _MEALS]
    if len(times) + len(hourly) == 1:
        if times:
            frequency, period, unit, code, event = times.pop()
            repeat |= {"frequency": frequency, "period": period, "periodUnit": unit}
            when = [event, *when] if event else when
        else:
            match = hourly[0]
            low = int(match["a"] or match["c"] or match["d"])
            high = match["b"] or match["e"]
            repeat |= {"frequency": 1, "period": low, "periodUnit": "h"}
            if high:
                repeat["periodMax"] = int(high)
            code = f"Q{low}H" if not high and low in {1, 2, 3, 4, 6, 8} else ""
    one_dose = len(_DOSE.findall(text)) <= 1
    when += [
        {"pre": "A", "before": "A", "post": "P", "after": "P", "with": ""}[match["when"].lower()]
        + _MEAL_CODES[match["meal"].lower()]
        for match in _MEAL.finditer(text)
        if one_dose
    ]
    days = list(dict.fromkeys(day.lower() for day in _DAYS.findall(text)))
    if days and one_dose:
        repeat["dayOfWeek"] = days
    if when:
        repeat["when"] = sorted(set(when))
    timing: dict[str, Any] = {"repeat": repeat} if repeat else {}
    if code:
        timing["code"] = {"coding": [{"system": ABBREVIATIONS, "code": code}]}
    return timing
