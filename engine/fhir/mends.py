"""Values that can be saved by a stated rule, without guessing what the sender meant.

Each rule takes the value that failed and the element it stands in, and returns the mended value with a word
on what was done, or None when there is nothing safe to do; then the value is taken out. A rule never makes
up what was not said: it changes the form of a value, or says less (a date for a time without offset).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from engine.fhir.primitives import TESTS
from engine.fhir.schema import PRIMITIVES, Element
from engine.fhir.writer import ExactDecimal, lexeme
from engine.fhir.xhtml import html_to_text, text_to_narrative

Mended = tuple[Any, str] | None
Mend = Callable[[Any, Element], Mended]

_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
_TIME = re.compile(
    r"(?P<date>\d{4}-\d{2}-\d{2})[Tt ](?P<clock>\d{2}:\d{2})(?P<second>:\d{2}(?:\.\d+)?)?(?P<zone>[Zz]|[+-]\d{2}:?\d{2})?"
)
_TEXTS = ("string", "markdown", "code", "id", "uri", "url", "canonical", "oid", "uuid")
_TEXT_OF = {
    "Address": "text",
    "Annotation": "text",
    "CodeableConcept": "text",
    "Coding": "display",
    "Dosage": "text",
    "HumanName": "text",
    "Identifier": "value",
    "Reference": "reference",
}
"""The element of an object that says as much as a plain text in its place."""
_MAX_LEXEME = 40
"""Longer numbers are no whole numbers of 32 bits, and may have exponents that take forever to write out."""


def mend_format(value: Any, element: Element) -> Mended:
    """A value of the right JSON type that has not the form of its FHIR type."""
    kind = element.types[0]
    if not isinstance(value, str):
        return _whole(value) if kind in {"integer", "unsignedInt", "positiveInt"} else None
    for rule in _FORMS.get(kind, ()):
        found = rule(value)
        if found is not None and TESTS[kind](found[0]):
            return found
    return None


def mend_type(value: Any, element: Element) -> Mended:
    """A value whose JSON type is another than its FHIR type's: ``"true"``, ``"5"``, ``12345``."""
    kind = element.types[0]
    test = TESTS.get(kind)
    found: Any = None
    if test is None or isinstance(value, dict | list):
        return None
    if isinstance(value, str):
        found = _unquoted(value.strip(), kind)
    elif kind in _TEXTS:
        found = ("true" if value else "false") if isinstance(value, bool) else _number_text(value)
    if found is None or not test(found):
        return None
    return found, "its JSON type was changed"


def mend_object(value: Any, element: Element) -> Mended:
    """A plain text or number where an object belongs that has one element for just that."""
    kind = element.types[0]
    if isinstance(value, str) and value.strip() and kind in _TEXT_OF:
        return {_TEXT_OF[kind]: value}, f"it was made the {_TEXT_OF[kind]} of a {kind}"
    if kind == "Quantity" and isinstance(value, int | Decimal) and not isinstance(value, bool):
        return {"value": value}, "it was made the value of a Quantity"
    return None


def mend_code(value: Any, element: Element) -> Mended:
    """A code that differs from one code of the required set in case or blanks only."""
    if not isinstance(value, str) or element.codes is None:
        return None
    wanted = value.strip().lower().replace(" ", "-").replace("_", "-")
    matches = [code for code in element.codes if code.lower() == wanted]
    return (matches[0], "it was written as the value set writes it") if len(matches) == 1 else None


def mend_concept(value: Any, element: Element) -> Mended:
    """A concept whose coding has a code of the required set, and no system."""
    codings = value.get("coding") if isinstance(value, dict) else None
    if element.codes is None or element.binding_system is None or not isinstance(codings, list):
        return None
    for index, coding in enumerate(codings):
        code = coding.get("code") if isinstance(coding, dict) else None
        if isinstance(code, str) and code in element.codes and "system" not in coding:
            named = {"system": element.binding_system, **coding}
            return {
                **value,
                "coding": [*codings[:index], named, *codings[index + 1 :]],
            }, "the system was added"
    return None


def _stripped(value: str) -> Mended:
    return value.strip(), "blanks around it were removed"


def _single_blanks(value: str) -> Mended:
    return " ".join(value.split()), "its blanks were made single"


def _no_controls(value: str) -> Mended:
    return _CONTROLS.sub("", value), "control characters were removed"


def _lower(value: str) -> Mended:
    return value.strip().lower(), "it was written in lower case"


def _escaped_blanks(value: str) -> Mended:
    return re.sub(r"\s", "%20", value.strip()), "its blanks were escaped"


def _padded(value: str) -> Mended:
    packed = "".join(value.split())
    return packed + "=" * (-len(packed) % 4), "its padding was added"


def _full_time(value: str) -> Mended:
    """Seconds may be zero-filled (FHIR R4 §2.24.0.1); the separators are made R4's."""
    found = _TIME.fullmatch(value.strip())
    if not found or not found["zone"]:
        return None
    zone = found["zone"].upper()
    if len(zone) == 5:
        zone = f"{zone[:3]}:{zone[3:]}"
    return (
        f"{found['date']}T{found['clock']}{found['second'] or ':00'}{zone}",
        "it was written as R4 writes times",
    )


def _date_of_time(value: str) -> Mended:
    """A time without offset may mean any zone: its date is kept, the time of day is not guessed."""
    found = _TIME.fullmatch(value.strip())
    return (found["date"], "the time of day was taken out") if found else None


def _rebuilt(value: str) -> Mended:
    """A narrative with markup that R4 forbids: its text is kept, its markup is not."""
    text = _CONTROLS.sub("", html_to_text(value))
    return (text_to_narrative(text), "its text was kept without the markup") if text else None


_FORMS: dict[str, tuple[Callable[[str], Mended], ...]] = {
    "string": (_no_controls,),
    "markdown": (_no_controls,),
    "code": (_single_blanks, _no_controls),
    "id": (_stripped,),
    "uri": (_stripped, _escaped_blanks),
    "url": (_stripped, _escaped_blanks),
    "canonical": (_stripped, _escaped_blanks),
    "oid": (_stripped,),
    "uuid": (_lower,),
    "date": (_stripped, _date_of_time),
    "dateTime": (_stripped, _full_time, _date_of_time),
    "instant": (_stripped, _full_time),
    "time": (_stripped,),
    "base64Binary": (_padded,),
    "xhtml": (_rebuilt,),
}


def _unquoted(text: str, kind: str) -> Any:
    if kind == "boolean":
        return {"true": True, "false": False}.get(text.lower())
    if not PRIMITIVES["decimal"].fullmatch(text):
        return None
    if kind == "decimal":
        try:
            return ExactDecimal(text)
        except InvalidOperation:
            return None
    return int(text) if PRIMITIVES["integer"].fullmatch(text) and len(text) < _MAX_LEXEME else None


def _whole(value: Any) -> Mended:
    """1.0 where a whole number belongs."""
    if not isinstance(value, Decimal | float) or len(str(value)) > _MAX_LEXEME:
        return None
    number = Decimal(str(value))
    if not number.is_finite() or abs(number) > 2**31 or number != int(number):
        return None
    return int(number), "it was written as a whole number"


def _number_text(value: Any) -> str:
    return lexeme(value) if isinstance(value, Decimal) else str(value)
