"""What a text is, for conditions and converters alike: a number, a unit of UCUM or another way to write one, a range."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

from engine.mapping.ucum import is_ucum, unit_meant

_UNSIGNED = r"(?:\d{1,20}(?:\.\d{0,20})?|\.\d{1,20})"
_NUMBER = re.compile(rf"(?:[<>]=?|=[<>])?\s*[+-]?{_UNSIGNED}")
_RANGE = re.compile(rf"([+-]?{_UNSIGNED})\s*-\s*(\+?{_UNSIGNED})")


def is_number(text: str) -> bool:
    """A number as laboratories send it, with comparator or not: ``5.1``, ``<5``, ``>= 10``."""
    return _NUMBER.fullmatch(text) is not None


def range_of(text: str) -> tuple[Decimal, Decimal] | None:
    """The two ends of ``3.5 - 5.1``; None when it is another text or runs downward."""
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        return None
    low, high = Decimal(match[1]), Decimal(match[2])
    return (low, high) if low <= high else None


KINDS: dict[str, Callable[[str], bool]] = {
    "number": is_number,
    "range": lambda text: range_of(text) is not None,
    "ucum": is_ucum,
    "unit": lambda text: unit_meant(text) != "",
}
"""The words that may stand after ``is`` in a condition."""
