"""Whether a JSON value is a good value of a FHIR primitive type (FHIR R4 §2.24.0.1, §2.6.2).

A test takes any JSON value and says yes or no; :func:`fault` says what is wrong with one that failed.
Numbers are ``int`` and :class:`~decimal.Decimal` as the reader gives them; a finite ``float`` passes for a
decimal, as maps and tests write them.
"""

from __future__ import annotations

import binascii
import math
import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

from engine.fhir.schema import PRIMITIVES
from engine.fhir.xhtml import is_narrative
from engine.remembering import remembered

Test = Callable[[Any], bool]

_INTEGERS = {"integer": -(2**31), "unsignedInt": 0, "positiveInt": 1}
_MAX_INTEGER = 2**31 - 1

_FORMATS = {
    "mime": re.compile(r"[^\s/;,]+/[^\s/;,]+(?:\s*;.*)?|json|xml|ttl"),
    "bcp47": re.compile(r"(?:[A-Za-z]{2,8}|[xXiI](?=-))(?:-[A-Za-z0-9]{1,8})*"),
    "ucum": re.compile(r"[\x21-\x7e]+"),
}
"""Grammars of codes: media types (RFC 6838) and R4's short names of its own, languages (BCP 47), units (UCUM: ASCII without blanks)."""


def _pattern(type_name: str) -> Test:
    match = PRIMITIVES[type_name].fullmatch

    def test(value: Any) -> bool:
        return type(value) is str and match(value) is not None

    return test


def _text(value: Any) -> bool:
    """Text with something to see in it: white space alone is as good as nothing (FHIR R4 §2.24.0.1)."""
    return type(value) is str and value.strip() != "" and (value.isprintable() or _TEXT(value) is not None)


def element_id(value: Any) -> bool:
    """Element.id is a string without blanks (FHIR R4 §2.24.1.1)."""
    return _text(value) and not any(map(str.isspace, value))


_TEXT = PRIMITIVES["string"].fullmatch


def _boolean(value: Any) -> bool:
    return value is True or value is False


def _decimal(value: Any) -> bool:
    kind = type(value)
    if kind is int:
        return True
    if kind is float:
        return math.isfinite(value)
    return isinstance(value, Decimal) and value.is_finite()


def _integer(least: int) -> Test:
    def test(value: Any) -> bool:
        return type(value) is int and least <= value <= _MAX_INTEGER

    return test


def _existing(type_name: str) -> Callable[[str], bool]:
    """Form and calendar of a text: 2023-02-30 has the form of a date and is none. Another type raises TypeError."""
    match = PRIMITIVES[type_name].fullmatch

    @remembered(8192)
    def exists(value: str) -> bool:
        if match(value) is None:
            return False
        if len(value) < 10 or int(value[8:10]) < 29:
            return True
        try:
            date.fromisoformat(value[:10])
        except ValueError:
            return False
        return True

    return exists


EXISTS = {name: _existing(name) for name in ("date", "dateTime", "instant")}
"""Whether a text is a time that exists."""


def _calendar(type_name: str) -> Test:
    exists = EXISTS[type_name]

    def test(value: Any) -> bool:
        return type(value) is str and exists(value)

    return test


def _base64(value: Any) -> bool:
    """Base64 with its padding (RFC 4648 §4); white space between is allowed by R4's pattern."""
    if type(value) is not str or not value:
        return False
    try:
        packed = value.encode("ascii")
        binascii.a2b_base64(packed, strict_mode=True)
    except UnicodeEncodeError:
        return False
    except binascii.Error:
        stripped = b"".join(packed.split())
        try:
            return bool(stripped) and bool(binascii.a2b_base64(stripped, strict_mode=True))
        except binascii.Error:
            return False
    return True


def _xhtml(value: Any) -> bool:
    return _text(value) and is_narrative(value)


TESTS: dict[str, Test] = {
    **{name: _pattern(name) for name in ("code", "id", "oid", "uuid", "time", "uri", "url", "canonical")},
    **{name: _calendar(name) for name in EXISTS},
    **{name: _integer(least) for name, least in _INTEGERS.items()},
    "string": _text,
    "markdown": _text,
    "boolean": _boolean,
    "decimal": _decimal,
    "base64Binary": _base64,
    "xhtml": _xhtml,
}
"""Test of each primitive type."""

_JSON_KIND: dict[str, tuple[type, ...]] = {
    "boolean": (bool,),
    "decimal": (int, float, Decimal),
    **dict.fromkeys(_INTEGERS, (int, float, Decimal)),
}

_MEANT = {
    "base64Binary": "base64 with its padding",
    "canonical": "a URL without blanks",
    "code": "a code: no blank before, behind or doubled",
    "date": "YYYY, YYYY-MM or YYYY-MM-DD, on a day that exists",
    "dateTime": "YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss with Z or an offset, on a day that exists",
    "decimal": "a finite number",
    "id": "1 to 64 letters, digits, '-' and '.'",
    "instant": "YYYY-MM-DDThh:mm:ss with Z or an offset, on a day that exists",
    "integer": "a whole number of 32 bits",
    "oid": "urn:oid: and an OID",
    "positiveInt": "a whole number from 1 to 2147483647",
    "time": "hh:mm:ss",
    "unsignedInt": "a whole number from 0 to 2147483647",
    "uri": "a URI without blanks",
    "url": "a URL without blanks",
    "uuid": "urn:uuid: and a UUID in lower case",
    "xhtml": "a well-formed, not empty XHTML div of basic elements",
    "markdown": "text without control characters",
    "string": "text without control characters",
}


def format_test(form: str) -> Test:
    """Test of a code defined by a grammar: ``mime``, ``bcp47`` or ``ucum``."""
    match = _FORMATS[form].fullmatch

    def test(value: Any) -> bool:
        return type(value) is str and match(value) is not None

    return test


def fault(type_name: str, value: Any) -> tuple[str, str]:
    """Code and message for a value that failed the test of its type. The value itself is never shown."""
    wanted = _JSON_KIND.get(type_name, (str,))
    is_bool = type(value) is bool
    if not isinstance(value, wanted) or (is_bool and type_name != "boolean"):
        names = {bool: "true or false", str: "a JSON string", int: "a JSON number"}
        return "wrong-type", f"{type_name} must be {names[wanted[0]]}, not {kind_of(value)}"
    return "format", f"The value is no {type_name}: expected {_MEANT[type_name]}"


def kind_of(value: Any) -> str:
    """What a JSON value is, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    return "a string" if isinstance(value, str) else "a number"
