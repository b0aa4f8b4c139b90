"""Bytes to FHIR resources: one resource, a Bundle, an array of resources, or NDJSON, each read strictly.

JSON is read as RFC 8259 says: no NaN, no duplicate names in silence, numbers exact. One bad line or item never
spoils its neighbours. What can't be read raises, or yields, one of our errors; anything else is a bug.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from engine.errors import NotFhirError, ReadError, TooLargeError
from engine.fhir.findings import Where, fhirpath
from engine.fhir.json_text import DuplicateNames, Value, parse_json, try_json
from engine.fhir.text import decode
from engine.records import Issue, Severity, Unmapped
from engine.settings import Read

Json = dict[str, Any]


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


def _values(text: str) -> Iterator[Value]:
    try:
        whole = parse_json(text)
    except ReadError:
        lines = _lines_of(text)
        if lines is None:
            raise
        yield from map(try_json, lines)
        return
    if whole.value == []:
        raise NotFhirError("The message is an empty array", action="Send at least one FHIR resource.")
    if isinstance(whole.value, list):
        yield from (Value(item, whole.issues) for item in whole.value)
    else:
        yield whole


_NEWLINE = re.compile(r"\r\n|\n|\r")
"""Not ``str.splitlines``: U+2028 and U+0085 may stand in JSON strings."""


def _lines_of(text: str) -> list[str] | None:
    """The lines of NDJSON, else None: most look like whole objects, and one at least is."""
    # Files that were joined have the byte order mark of each in their middle.
    lines = [line for raw in _NEWLINE.split(text) if (line := raw.removeprefix("\ufeff")).strip()]
    whole = [line for line in lines if line.lstrip().startswith("{") and line.rstrip().endswith("}")]
    is_ndjson = (
        len(lines) > 1
        and 2 * len(whole) >= len(lines)
        and any(try_json(line).error is None for line in whole)
    )
    return lines if is_ndjson else None


def _document(index: int, read: Value, charset: str, issues: list[Issue], limits: Read) -> Document:
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
