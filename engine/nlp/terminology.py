"""Codes for what was found: a port, and a default that works offline from authored tables.

Only exact names count, after folding of case, spelling and plural. A finding that no table knows keeps its
text and gets no code: a wrong code is worse than none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Protocol

from engine.nlp.phrases import folded
from engine.records import Label

ICD10 = "http://hl7.org/fhir/sid/icd-10"
SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"


@dataclass(frozen=True, slots=True)
class Coding:
    """A code and its system."""

    system: str
    code: str

    def as_json(self) -> dict[str, str]:
        return {"system": self.system, "code": self.code}


@dataclass(frozen=True, slots=True)
class ImpliedUnit:
    """The UCUM unit of a test's value where none is written and the number is plausible."""

    ucum: str
    low: Decimal
    high: Decimal


@dataclass(frozen=True, slots=True)
class TestFacts:
    """What is known of a test beside its code.

    Attributes:
        category: code of HL7's observation-category, "" if unknown.
        implied: see :class:`ImpliedUnit`; None where a unit must be written.
    """

    category: str = ""
    implied: ImpliedUnit | None = None


class Terminology(Protocol):
    """Codes of findings.

    ``codings`` returns the codes that mean just this, most local first; () when none is sure. ``unit`` is the
    UCUM code of a test's value, "" for none: LOINC has a code for each kind of measurement. ``facts`` tells
    what else is known of a test. Both are pure, quick (microseconds) and never raise.
    """

    def codings(self, label: Label, text: str, unit: str = "") -> tuple[Coding, ...]: ...

    def facts(self, text: str) -> TestFacts: ...


class TableTerminology:
    """The default :class:`Terminology`: the tables beside this module."""

    def __init__(self) -> None:
        self._problems = _problems()
        self._medicines = _medicines()
        self._tests, self._facts = _tests()

    def codings(self, label: Label, text: str, unit: str = "") -> tuple[Coding, ...]:
        name = folded(text)
        if label is Label.PROBLEM:
            return self._problems.get(name, ())
        if label is Label.MEDICATION:
            return self._medicines.get(name, ())
        if label is Label.TEST:
            return self._tests.get((name, unit), ())
        return ()

    def facts(self, text: str) -> TestFacts:
        return self._facts.get(folded(text), TestFacts())


def _rows(table: str) -> Iterator[dict[str, str]]:
    """Rows of a table as name: value. Lines that start with # are comments; fields hold no comma."""
    text = resources.files(__package__).joinpath(f"tables/{table}").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    names = lines[0].split(",")
    for line in lines[1:]:
        yield dict(zip(names, line.split(","), strict=True))


def _names(row: Mapping[str, str]) -> list[str]:
    return [folded(name) for name in (row["name"], *row["synonyms"].split("|")) if name]


@cache
def _problems() -> dict[str, tuple[Coding, ...]]:
    found: dict[str, tuple[Coding, ...]] = {}
    for row in _rows("problems.csv"):
        pairs = ((ICD10, row["icd10"]), (SNOMED, row["snomed"]))
        codings = tuple(Coding(system, code) for system, code in pairs if code)
        found |= dict.fromkeys(_names(row), codings)
    return found


@cache
def _medicines() -> dict[str, tuple[Coding, ...]]:
    found: dict[str, tuple[Coding, ...]] = {}
    for row in _rows("medicines.csv"):
        found |= dict.fromkeys(_names(row), (Coding(RXNORM, row["rxnorm"]),))
    return found


@cache
def _tests() -> tuple[dict[tuple[str, str], tuple[Coding, ...]], dict[str, TestFacts]]:
    """Codes by (name, unit) and facts by name. Other names stand in a test's first row and hold for all."""
    synonyms: dict[str, list[str]] = {}
    codes: dict[tuple[str, str], tuple[Coding, ...]] = {}
    facts: dict[str, TestFacts] = {}
    for row in _rows("tests.csv"):
        names = synonyms.setdefault(row["name"], _names(row))
        for name in names:
            codes[name, row["unit"]] = (Coding(LOINC, row["loinc"]),)
            facts.setdefault(name, TestFacts(row["category"], _implied(row["implied"])))
    return codes, facts


def _implied(text: str) -> ImpliedUnit | None:
    """``Cel:30-45`` as what it means."""
    if not text:
        return None
    ucum, _, between = text.rpartition(":")
    low, _, high = between.partition("-")
    return ImpliedUnit(ucum, Decimal(low), Decimal(high))
