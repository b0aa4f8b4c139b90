"""The forms of Reference.reference (FHIR R4 §2.3.0.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from engine.fhir.schema import is_resource
from engine.remembering import remembered

_REST = re.compile(r"(?:.*/)?([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/([A-Za-z0-9\-.]{1,64}))?")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s]+")
_SEARCH = re.compile(r"([A-Z][A-Za-z]+)\?[^\s]+")


class Form(Enum):
    """How a reference says where its target is."""

    RELATIVE = "Type/id"
    ABSOLUTE = "absolute URL"
    URN = "urn:uuid or urn:oid"
    CONTAINED = "#id"
    SEARCH = "Type?query, in transactions only"
    BAD = "none of these"


@dataclass(frozen=True, slots=True)
class Target:
    """A reference taken apart; ``type`` and ``id`` are "" where the form does not tell them."""

    form: Form
    type: str = ""
    id: str = ""


@remembered(4096)
def parse_reference(text: str) -> Target:
    """Take a reference apart. Never raises."""
    if text.startswith("#"):
        return Target(Form.CONTAINED, id=text[1:])
    if text.startswith("urn:"):
        return Target(Form.URN) if _ABSOLUTE.fullmatch(text) else Target(Form.BAD)
    rest = _REST.fullmatch(text)
    known = rest if rest and is_resource(rest[1]) else None
    if _ABSOLUTE.fullmatch(text):
        return Target(Form.ABSOLUTE, known[1], known[2]) if known else Target(Form.ABSOLUTE)
    if known and known.start(1) == 0:
        return Target(Form.RELATIVE, known[1], known[2])
    search = _SEARCH.fullmatch(text)
    if search and is_resource(search[1]):
        return Target(Form.SEARCH, search[1])
    return Target(Form.BAD)
