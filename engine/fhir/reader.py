"""Bytes to FHIR resources: one resource, a Bundle, an array of resources, or NDJSON, each read strictly.

JSON is read as RFC 8259 says: no NaN, no duplicate names in silence, numbers exact. One bad line or item never
spoils its neighbours. What can't be read raises, or yields, one of our errors; anything else is a bug.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import InvalidOperation
from typing import Any

from engine.errors import NotFhirError, ReadError, TooLargeError
from engine.fhir.findings import Where, fhirpath
from engine.fhir.text import decode
from engine.fhir.writer import ExactDecimal
from engine.records import Issue, Severity, Unmapped
from engine.settings import Read

Json = dict[str, Any]

_INT_DIGITS = 18
"""Whole numbers with more digits are kept as lexemes: they may leave 64 bits."""


@dataclass(frozen=True, slots=True)
class Document:
    """One resource as it was read, or why it could not be.

    Attributes:
        index: position in the payload, from 0.
        resource: a JSON object; its resourceType has not been looked at. Empty when ``error`` is set.
        charset: IANA name of the character set used.
        issues: what reading had to put right.
        unmapped: values that reading lost: the earlier ones of duplicate names.
        leaves: how many values the document has.
        error: why there is no resource.
    """

    index: int
    resource: Json
    charset: str
    issues: tuple[Issue, ...] = ()
    unmapped: tuple[Unmapped, ...] = ()
    leaves: int = 0
    error: ReadError | None = None


class DuplicateNames(dict[str, Any]):
    """An object in which names stood twice; the last value won, as in most readers."""

    lost: list[str]


def read_documents(payload: bytes, limits: Read, *, charset: str | None = None) -> Iterator[Document]:
    """The documents of a payload, in order, read one by one as they are asked for.

    Args:
        payload: JSON or NDJSON.
        limits: of size and depth.
        charset: character set declared by the transport.

    Raises:
        TooLargeError, CharsetError, NotFhirError: the payload as a whole can't be read. What is wrong with
            one line or item comes as that document's ``error``.
    """
    if len(payload) > limits.max_message_bytes:
        raise TooLargeError(
            f"The message has {len(payload)} bytes; the limit is {limits.max_message_bytes}",
            action="Send less at a time, or raise read.max_message_bytes.",
        )
    text, used, issues = decode(payload, charset)
    if not text.strip():
        raise NotFhirError("The message is empty", action="Send a FHIR resource as JSON.")
    for index, read in enumerate(_values(text)):
        yield _document(index, read, used, issues, limits)


@dataclass(frozen=True, slots=True)
class _Value:
    """One JSON value with what reading had to put right, or why there is none."""

    value: Any = None
    issues: tuple[Issue, ...] = ()
    error: ReadError | None = None


def _values(text: str) -> Iterator[_Value]:
    try:
        whole = _parse(text)
    except ReadError:
        lines = _lines_of(text)
        if lines is None:
            raise
        yield from map(_line, lines)
        return
    if whole.value == []:
        raise NotFhirError("The message is an empty array", action="Send at least one FHIR resource.")
    if isinstance(whole.value, list):
        yield from (_Value(item, whole.issues) for item in whole.value)
    else:
        yield whole


def _line(text: str) -> _Value:
    try:
        return _parse(text)
    except ReadError as error:
        return _Value(error=error)


def _parse(text: str) -> _Value:
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
            raise NotFhirError(
                f"No JSON: {_kind(fault)} in line {fault.lineno}, column {fault.colno}",
                action="Send one valid JSON document (RFC 8259), or NDJSON with one a line.",
            ) from None


_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_HALF = re.compile("[\ud800-\udfff]")
_HALVES = Issue(
    Severity.WARNING,
    "half-character",
    "",
    "Strings hold halves of surrogate pairs, which are no characters; they were replaced by U+FFFD",
    "Correct what writes the JSON: it cut a text in the middle of a character.",
)


def _whole_characters(value: Any, text: str, *issues: Issue) -> _Value:
    """The value without lone surrogates, which JSON can escape and no encoding can hold (RFC 8259 §8.2)."""
    if not _SURROGATE.search(text):
        return _Value(value, issues)
    whole = _replace_halves(value)
    return _Value(value, issues) if whole == value else _Value(whole, (*issues, _HALVES))


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
        raise TooLargeError(
            "The JSON is nested too deeply to be read", action="Send resources; they nest about 20 deep."
        ) from None
    except InvalidOperation:
        raise NotFhirError(
            "A number has an exponent beyond reason", action="Send numbers of a sane size."
        ) from None


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


_NEWLINE = re.compile(r"\r\n|\n|\r")
"""Not ``str.splitlines``: U+2028 and U+0085 may stand in JSON strings."""


def _lines_of(text: str) -> list[str] | None:
    """The lines of NDJSON, else None: most look like whole objects, and one at least is."""
    lines = [line for line in _NEWLINE.split(text) if line.strip()]
    whole = [line for line in lines if line.lstrip().startswith("{") and line.rstrip().endswith("}")]
    is_ndjson = (
        len(lines) > 1 and 2 * len(whole) >= len(lines) and any(_line(line).error is None for line in whole)
    )
    return lines if is_ndjson else None


def _document(index: int, read: _Value, charset: str, issues: list[Issue], limits: Read) -> Document:
    error, known = read.error, (*issues, *read.issues)
    if error is None and not isinstance(read.value, dict):
        error = NotFhirError(
            "The document is JSON, but no object", action="Send a FHIR resource: a JSON object."
        )
    if error is not None:
        return Document(index, {}, charset, known, error=error)
    survey = _Survey(limits.max_json_depth)
    try:
        survey.visit(read.value, (), 1)
    except TooLargeError as fault:
        return Document(index, {}, charset, known, error=fault)
    return Document(
        index, read.value, charset, (*known, *survey.issues), tuple(survey.unmapped), survey.leaves
    )


@dataclass(slots=True)
class _Survey:
    """One pass over a document: how deep, how many values, which duplicate names."""

    max_depth: int
    leaves: int = 0
    issues: list[Issue] = field(default_factory=list)
    unmapped: list[Unmapped] = field(default_factory=list)

    def visit(self, node: Any, where: Where, depth: int) -> None:
        if depth > self.max_depth:
            raise TooLargeError(
                f"The JSON is nested deeper than {self.max_depth}",
                location=fhirpath("Resource", where[:8]),
                action="Send resources; they nest about 20 deep. The limit is read.max_json_depth.",
            )
        if isinstance(node, dict):
            if isinstance(node, DuplicateNames):
                self._duplicates(node, where)
            for name, value in node.items():
                if isinstance(value, dict | list):
                    self.visit(value, (*where, name), depth + 1)
                elif value is not None and value != "":
                    self.leaves += 1
        else:
            for index, value in enumerate(node):
                if isinstance(value, dict | list):
                    self.visit(value, (*where, index), depth + 1)
                elif value is not None and value != "":
                    self.leaves += 1

    def _duplicates(self, node: DuplicateNames, where: Where) -> None:
        for name in node.lost:
            path = fhirpath("Resource", (*where, name))
            message = "The name stands more than once in its object; the last value was kept"
            self.issues.append(
                Issue(Severity.WARNING, "duplicate-name", path, message, "Send each name once.")
            )
            self.unmapped.append(Unmapped(path, "duplicate name: the last value was kept"))
