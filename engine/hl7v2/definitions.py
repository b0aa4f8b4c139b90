"""hl7apy's definitions of segments, data types and tables, by version, with their gaps closed."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from typing import Any

from engine.hl7v2.structures import module_of

Reference = Any
"""hl7apy's form of a definition; of a field: ``(kind, parts, data type, name, table, length)``."""

_TABLES_FROM = {
    "hl7apy.v2_1": "hl7apy.v2_3_1",
    "hl7apy.v2_2": "hl7apy.v2_3_1",
    "hl7apy.v2_3": "hl7apy.v2_3_1",
}
"""hl7apy has no tables of the oldest versions."""
_LATEST = "hl7apy.v2_8_2"
_TWINS = {"HL70206": "HL70287", "HL70287": "HL70206"}
"""Two tables of action codes whose places versions exchanged (ROL-2, PRT-2): codes of both are seen in both."""
_OPEN_TABLES = frozenset({"HL70291"})
"""Subtypes of MIME: whatever is registered."""
_LOCAL_SYSTEM = re.compile(r"HL7\d{4}|99[A-Za-z0-9]{1,4}|L|UCUM|ISO.*")
"""Names of coding systems that table 0396 allows by rule."""
_MORE = frozenset({"...", "…", ""})
"""Rows that say that a table goes on."""
_OPEN = re.compile(r"\.\.\.|<integer>|and higher")
"""In a code that stands for many: nobody can say what is not in the table."""


@cache
def segments(version: str) -> Mapping[str, Reference]:
    """Definitions of all segments of a version; those that hl7apy knows by name only are not there."""
    module = importlib.import_module(f"{module_of(version)}.segments")
    whole = {
        name: found if found[0] == "sequence" else ("sequence", found)
        for name, found in module.SEGMENTS.items()
    }
    return {name: found for name, found in whole.items() if len(found) > 1}


def data_type(version: str, name: str) -> Reference | None:
    """The parts of a data type; None if it has none or the version does not know it."""
    parts = _data_types(version).get(name)
    return ("sequence", parts, name, name, None, -1) if parts else None


@cache
def _data_types(version: str) -> Mapping[str, tuple[Any, ...]]:
    found: Mapping[str, tuple[Any, ...]] = importlib.import_module(
        f"{module_of(version)}.datatypes"
    ).DATATYPES_STRUCTS
    return found


@cache
def table(version: str, name: str) -> tuple[str, frozenset[str]]:
    """Name of a table and its codes in the version and in the latest, whose older ones have gaps; () if unknown."""
    own = module_of(version)
    title, codes = "", set()
    if name in _OPEN_TABLES:
        return title, frozenset()
    for package in dict.fromkeys((_TABLES_FROM.get(own, own), _LATEST)):
        if find_spec(f"{package}.tables") is None:
            continue
        tables = importlib.import_module(f"{package}.tables").TABLES
        for key in filter(None, (name, _TWINS.get(name))):
            if found := tables.get(key):
                title = title or (found[0] if key == name else "")
                codes |= {code.strip() for code in found[1]}
    codes -= _MORE
    return title, frozenset() if any(map(_OPEN.search, codes)) else frozenset(codes)


def in_table(version: str, name: str, code: str) -> bool:
    """Whether a code is of a table; True where the codes are not known."""
    codes = table(version, name)[1]
    return not codes or code in codes or (name == "HL70396" and bool(_LOCAL_SYSTEM.fullmatch(code)))
