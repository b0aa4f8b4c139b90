"""Values of tests as FHIR says them: ``<0.01 ug/L`` to a Quantity, ``120/80`` to two, ``negative`` to a code.

Numbers keep the digits they were written with. A unit gets its UCUM code where the table knows it without
doubt; otherwise it stays as text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any

from engine.fhir.invariants import UCUM

INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"

# HL7 v3-ObservationInterpretation (FHIR R4 observation-interpretation): the words that mean it.
_QUALITIES = {
    "N": ("Normal", "normal|unremarkable|nad|wnl|within normal limits|within normal range|clear"),
    "A": ("Abnormal", "abnormal|deranged"),
    "H": ("High", "high|elevated|raised|increased|h|prolonged"),
    "L": ("Low", "low|decreased|reduced|l"),
    "HH": ("Critical high", "hh"),
    "LL": ("Critical low", "ll"),
    "POS": ("Positive", "positive|pos|+ve"),
    "NEG": ("Negative", "negative|neg|-ve|no growth"),
    "DET": ("Detected", "detected"),
    "ND": ("Not detected", "not detected|non detected|non-detected"),
    "RR": ("Reactive", "reactive"),
    "NR": ("Non-reactive", "non-reactive|non reactive|nonreactive|not reactive"),
    "IND": ("Indeterminate", "equivocal|indeterminate|borderline"),
}
_QUALITY = {word: code for code, (_, words) in _QUALITIES.items() for word in words.split("|")}
_PRINTED = str.maketrans(
    {"\u2212": "-", "\u2013": "-", "\u2010": "-", "\u2011": "-", "µ": "u", "μ": "u", "×": "x", "\u2103": "°C"}
    | dict.fromkeys("\xa0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f", " ")
)
_COMPARATORS = {
    "<": "<", "<=": "<=", "≤": "<=", ">": ">", ">=": ">=", "≥": ">=",
    "less than": "<", "below": "<", "under": "<", "more than": ">", "greater than": ">", "above": ">", "over": ">",
}  # fmt: skip
_ABOUT = frozenset(("~", "≈"))  # said of a number, FHIR has no way to say it: the value stays text
_VALUE = re.compile(
    r"(?P<comparator><=|>=|[<>≤≥~≈]|less than|more than|greater than|above|below|over|under)?\s*"
    r"(?P<number>-?\d{1,3}(?:[, ]\d{3})+|-?\d+(?:\.\d+)?)"
    r"(?:\s?(?P<dash>-|/|to)\s?(?P<second>\d+(?:\.\d+)?))?"
    r"\s??(?P<unit>[^()]*?)(?:\s?\((?P<flag>[A-Za-z]{1,4})\*?\)|(?<=[\d\w%])\s(?P<bare>(?-i:HH?|LL?)))?",
    re.IGNORECASE,
)
_POWER = re.compile(r"\b10\((\d{1,2})\)")  # x 10(9)/L


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit as written, and its UCUM code if it is known."""

    text: str
    ucum: str = ""


@dataclass(frozen=True, slots=True)
class Value:
    """A value as far as it was understood.

    Attributes:
        low: the number; None when there is none.
        high: the second number of ``120/80`` or ``10-20``.
        pair: the two numbers are two measurements (``120/80``), not a range.
        comparator: FHIR quantity-comparator, "" for none.
        unit: as written, with UCUM where known.
        interpretation: code of v3-ObservationInterpretation, "" for none.
    """

    low: Decimal | None = None
    high: Decimal | None = None
    pair: bool = False
    comparator: str = ""
    unit: Unit = Unit("")
    interpretation: str = ""


def parse_value(text: str) -> Value:
    """What a value says; an empty :class:`Value` when it can't be told for sure."""
    plain = _POWER.sub(r"10^\1", " ".join(text.translate(_PRINTED).split()))
    quality = _QUALITY.get(plain.lower())
    if quality is not None:
        return Value(interpretation=quality)
    match = _VALUE.fullmatch(plain)
    if match is None or match["comparator"] in _ABOUT:
        return Value()
    unit = unit_of(match["unit"])
    if unit is None:
        return Value()
    flag = match["flag"] or match["bare"] or ""
    if match["bare"] == "L" and not unit.text:
        unit, flag = Unit("L"), ""  # "2 L" is a volume, "10.2 g/dL L" is low
    comparator = (match["comparator"] or "").lower()
    if comparator and match["second"]:
        return Value()
    return Value(
        low=_decimal(match["number"]),
        high=_decimal(match["second"]) if match["second"] else None,
        pair=match["dash"] == "/",
        comparator=_COMPARATORS.get(comparator, ""),
        unit=unit,
        interpretation=_QUALITY.get(flag.lower(), ""),
    )


def _decimal(text: str) -> Decimal:
    return Decimal(text.replace(",", "").replace(" ", ""))


def unit_of(text: str) -> Unit | None:
    """A unit with its UCUM code; code "" when the table does not know it; None for what is no unit."""
    text = text.strip()
    key = re.sub(r"\s+", "", text).lower()
    if key in _units():
        return Unit(text, _units()[key])
    looks_like_unit = re.fullmatch(r"[A-Za-z%°][A-Za-z0-9%°/.^*²]{0,19}", text) is not None
    return Unit(text) if looks_like_unit else None


@cache
def _units() -> dict[str, str]:
    """Written form, lower case and without blanks: UCUM code."""
    lines = resources.files(__package__).joinpath("tables/units.csv").read_text("utf-8").splitlines()
    rows = (line.split(",") for line in lines if line and not line.startswith("#"))
    return {written: ucum for ucum, forms in rows for written in forms.split(";")} | {"": ""}


def quantity(value: Decimal, unit: Unit, comparator: str = "") -> dict[str, Any]:
    """FHIR Quantity (R4 §2.24.0.9)."""
    found: dict[str, Any] = {"value": value}
    if comparator:
        found["comparator"] = comparator
    if unit.text:
        found["unit"] = unit.text
    if unit.ucum:
        found |= {"system": UCUM, "code": unit.ucum}
    return found


def interpretation(code: str) -> dict[str, Any]:
    """CodeableConcept of an interpretation code."""
    return {"coding": [{"system": INTERPRETATION, "code": code, "display": _QUALITIES[code][0]}]}
