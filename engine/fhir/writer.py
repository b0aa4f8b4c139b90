"""FHIR JSON out: the same value gives the same bytes, and decimals keep their digits (FHIR R4 §2.24.0.1).

1.50 means another precision than 1.5, so numbers are never passed through binary floating point.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Self

import orjson

_PLAIN_DIGITS = 18
"""Decimals are written without exponent up to so many places; FHIR's have at most 18 digits."""
_INT64 = 2**63 - 1


class ExactDecimal(Decimal):
    """A JSON number with its lexeme, so that 1e2 and 0.0000001 are written as they were read."""

    __slots__ = ("lexeme",)
    lexeme: str

    def __new__(cls, lexeme: str) -> Self:
        """Raises decimal.InvalidOperation when the exponent is beyond what Decimal holds."""
        made = super().__new__(cls, lexeme)
        made.lexeme = lexeme
        return made

    def __reduce__(self) -> tuple[type[ExactDecimal], tuple[str]]:
        return ExactDecimal, (self.lexeme,)

    def __copy__(self) -> ExactDecimal:
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> ExactDecimal:
        return self


def dumps(value: Any, *, pretty: bool = False, sort: bool = False) -> bytes:
    """JSON as UTF-8 bytes, keys in their own order unless ``sort`` says otherwise.

    Args:
        value: dicts with str keys, lists, str, int, finite float, Decimal, bool and None. (A float that is
            not finite would be written as null; the reader lets none in.)
        pretty: indented by two blanks, for people.
        sort: keys in order of their names, for comparison: equal content gives equal bytes.

    Raises:
        TypeError: a value of another type, a Decimal that is not finite, or a str that UTF-8 can't hold.
    """
    option = (orjson.OPT_INDENT_2 if pretty else 0) | (orjson.OPT_SORT_KEYS if sort else 0)
    try:
        return orjson.dumps(value, default=_other, option=option)
    except TypeError:
        if not _has_big_integer(value):
            raise
        return orjson.dumps(_as_decimals(value), default=_other, option=option)


def ready(json: bytes) -> orjson.Fragment:
    """JSON that is there already, as a value for :func:`dumps`."""
    return orjson.Fragment(json)


def _has_big_integer(node: Any) -> bool:
    if isinstance(node, dict):
        return any(map(_has_big_integer, node.values()))
    if isinstance(node, list):
        return any(map(_has_big_integer, node))
    return isinstance(node, int) and abs(node) > _INT64


def _as_decimals(node: Any) -> Any:
    """Whole numbers beyond 64 bits, which orjson can't write, as Decimals, which it can be told to."""
    if isinstance(node, dict):
        return {name: _as_decimals(value) for name, value in node.items()}
    if isinstance(node, list):
        return [_as_decimals(value) for value in node]
    return ExactDecimal(str(node)) if isinstance(node, int) and abs(node) > _INT64 else node


def _other(value: Any) -> orjson.Fragment:
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(lexeme(value))
    raise TypeError(f"No JSON value: {type(value).__name__}")


def lexeme(number: Decimal) -> str:
    """The JSON number of a Decimal with all its digits: ``1.50``, ``0.0000001``, ``1E+20``."""
    if isinstance(number, ExactDecimal):
        return number.lexeme
    text = str(number)
    if "E" not in text:  # as nearly all
        return text
    plain = -_PLAIN_DIGITS <= number.adjusted() <= _PLAIN_DIGITS and not _has_positive_exponent(number)
    return format(number, "f") if plain else text


def _has_positive_exponent(number: Decimal) -> bool:
    """Written out, 1E+2 would claim two digits more than it has."""
    exponent = number.as_tuple().exponent
    return isinstance(exponent, int) and exponent > 0
