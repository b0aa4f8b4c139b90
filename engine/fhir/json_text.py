"""JSON text to values, strictly (RFC 8259): numbers exact, no NaN, no duplicate name in silence."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from decimal import InvalidOperation
from typing import Any

from engine.errors import NotFhirError, ReadError, TooLargeError
from engine.fhir.writer import ExactDecimal
from engine.records import Issue, Severity

Json = dict[str, Any]

_INT_DIGITS = 18
"""Whole numbers with more digits are kept as lexemes: they may leave 64 bits."""


class DuplicateNames(dict[str, Any]):
    """An object in which names stood twice; the last value won, as in most readers."""

    lost: list[str]


@dataclass(frozen=True, slots=True)
class Value:
    """One JSON value with what reading had to put right, or why there is none."""

    value: Any = None
    issues: tuple[Issue, ...] = ()
    error: ReadError | None = None


def parse_json(text: str) -> Value:
    """One JSON value, numbers exact: ``int``, or :class:`ExactDecimal` for all others.

    Raw control characters in strings are the one fault that is read over: it can't change a value.

    Raises:
        NotFhirError: no JSON; line and column are told.
        TooLargeError: nested deeper than can be read at all.
    """
    try:
        return _whole_characters(_load(text, strict=True), text)
    except json.JSONDecodeError as fault:
        try:
            return _whole_characters(_load(text, strict=False), text, _CONTROLS)
        except json.JSONDecodeError:
            raise _no_json(text, fault) from None


_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_HALF = re.compile("[\ud800-\udfff]")
_HALVES = Issue(
    Severity.WARNING,
    "half-character",
    "",
    "Strings hold halves of surrogate pairs, which are no characters; they were replaced by U+FFFD",
    "Correct what writes the JSON: it cut a text in the middle of a character.",
)


def _whole_characters(value: Any, text: str, *issues: Issue) -> Value:
    """The value without lone surrogates, which JSON can escape and no encoding can hold (RFC 8259 §8.2)."""
    if not _SURROGATE.search(text):
        return Value(value, issues)
    try:
        whole = _replace_halves(value)
    except RecursionError:
        raise _too_deep() from None
    return Value(value, issues) if whole == value else Value(whole, (*issues, _HALVES))


def _replace_halves(node: Any) -> Any:
    if isinstance(node, str):
        return _HALF.sub("\ufffd", node)
    if isinstance(node, list):
        return [_replace_halves(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {_replace_halves(name): _replace_halves(value) for name, value in node.items()}
    if isinstance(node, DuplicateNames):
        marked = DuplicateNames(made)
        marked.lost = node.lost
        return marked
    return made


def _load(text: str, *, strict: bool) -> Any:
    try:
        return json.loads(
            text,
            parse_float=ExactDecimal,
            parse_int=_integer,
            parse_constant=_refuse_constant,
            object_pairs_hook=_object,
            strict=strict,
        )
    except RecursionError:
        raise _too_deep() from None
    except InvalidOperation:
        raise NotFhirError(
            "A number has an exponent beyond reason", action="Send numbers of a sane size."
        ) from None


def _too_deep() -> TooLargeError:
    return TooLargeError(
        "The JSON is nested too deeply to be read", action="Send resources; they nest about 20 deep."
    )


_OTHER_FORMATS = (
    ("<", "It looks like XML", "Send FHIR as JSON: application/fhir+json."),
    ("MSH", "It looks like HL7 v2", "Send it to an HL7 v2 feed."),
    ("FHS", "It looks like a batch of HL7 v2", "Send it to an HL7 v2 feed."),
)


def _no_json(text: str, fault: json.JSONDecodeError) -> NotFhirError:
    for begin, message, action in _OTHER_FORMATS:
        if text.lstrip().startswith(begin):
            return NotFhirError(f"No JSON. {message}", action=action)
    return NotFhirError(
        f"No JSON: {_kind(fault)} in line {fault.lineno}, column {fault.colno}",
        action="Send one valid JSON document (RFC 8259), or NDJSON with one a line.",
    )


def _kind(fault: json.JSONDecodeError) -> str:
    """The parser's own word on a fault; its texts never quote the document."""
    return fault.msg[:1].lower() + fault.msg[1:].removesuffix(" at")


def _integer(lexeme: str) -> int | ExactDecimal:
    return int(lexeme) if len(lexeme) <= _INT_DIGITS and lexeme != "-0" else ExactDecimal(lexeme)


def _refuse_constant(name: str) -> Any:
    raise NotFhirError(
        f"{name} is no JSON number", action="Leave the element out, or send a dataAbsentReason."
    )


def _object(pairs: list[tuple[str, Any]]) -> Json:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    marked = DuplicateNames(made)
    times = Counter(name for name, _ in pairs)
    marked.lost = [name for name, count in times.items() if count > 1]
    return marked


_CONTROLS = Issue(
    Severity.WARNING,
    "control-character",
    "",
    "Strings hold raw control characters, which JSON forbids; they were read as they are",
    "Escape control characters (RFC 8259 §7).",
)


def try_json(text: str) -> Value:
    """As :func:`parse_json`, with the error in the value instead of raised."""
    try:
        return parse_json(text)
    except ReadError as error:
        return Value(error=error)
