"""The structure of FHIR R4 (4.0.1): what elements a type has, of which type, how often, with which codes.

The data is HL7's own, made compact by ``tools/build_r4_schema.py``; see ``r4/README.md``. It is read when
first asked for. Types are named as FHIR names them (``Patient``, ``HumanName``); a backbone element is
named by its path (``Patient.contact``). Choice elements stand under their JSON names (``valueQuantity``).
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a type.

    Attributes:
        name: JSON name; one name per type of a choice: ``valueQuantity``.
        types: exactly one FHIR type. ``BackboneElement`` (or ``Element`` within data types) when its
            children stand under the element's own path; for a content reference that path, e.g.
            ``Observation.referenceRange``.
        min: 0 or 1. An element of a choice has 0; :func:`choices` tells whether the choice is required.
        max: None means many, so that JSON holds an array.
        codes: the codes allowed by a required binding, None when any code is.
        targets: resource types a Reference may point to; empty when it may point to any.
        binding_system: the code system of ``codes`` if they have just one, else None.
        choice: name of the choice it belongs to (``value``), "" if none.
        content: what to ask :func:`elements` for to see its children; "" for a primitive.
        format: ``mime``, ``ucum`` or ``bcp47`` when a grammar instead of a list defines its codes, else "".
        profile: ``SimpleQuantity`` or ``MoneyQuantity`` when the base definition demands it, else "".
    """

    name: str
    types: tuple[str, ...]
    min: int
    max: int | None
    codes: frozenset[str] | None
    targets: tuple[str, ...]
    binding_system: str | None
    choice: str = ""
    content: str = ""
    format: str = ""
    profile: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """A choice element (FHIR R4 §2.6.1.4): at most one of ``options`` may be present, ``min`` at least."""

    name: str
    min: int
    options: tuple[str, ...]


_YEAR = r"(?!0000)[0-9]{4}"
_DAY = rf"{_YEAR}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
_OFFSET = r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_TEXT = r"[^\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]+"

PRIMITIVES: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        name: re.compile(pattern)
        for name, pattern in {
            "base64Binary": r"[0-9A-Za-z+/=\s]+",
            "boolean": r"true|false",
            "canonical": r"[^\s\x00-\x1f\ud800-\udfff]+",
            "code": r"[^\s\x00-\x1f\ud800-\udfff]+(?: [^\s\x00-\x1f\ud800-\udfff]+)*",
            "date": rf"{_YEAR}(?:-(?:0[1-9]|1[0-2])(?:-(?:0[1-9]|[12][0-9]|3[01]))?)?",
            "dateTime": rf"{_YEAR}(?:-(?:0[1-9]|1[0-2]))?|{_DAY}(?:T{_CLOCK}{_OFFSET})?",
            "decimal": r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?",
            "id": r"[A-Za-z0-9\-.]{1,64}",
            "instant": rf"{_DAY}T{_CLOCK}{_OFFSET}",
            "integer": r"0|-?[1-9][0-9]*",
            "markdown": _TEXT,
            "oid": r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+",
            "positiveInt": r"[1-9][0-9]*",
            "string": _TEXT,
            "time": _CLOCK,
            "unsignedInt": r"0|[1-9][0-9]*",
            "uri": r"[^\s\x00-\x1f\ud800-\udfff]+",
            "url": r"[^\s\x00-\x1f\ud800-\udfff]+",
            "uuid": r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            "xhtml": _TEXT,
        }.items()
    }
)
"""Primitive types and the form of their values (FHIR R4 §2.24.0.1), for ``fullmatch`` on the JSON lexeme.

Where R4's own patterns say less than its prose, the prose wins: control characters are refused in texts,
and a code has single spaces only."""

_ABSTRACT = frozenset({"Resource", "DomainResource"})


@cache
def _data() -> dict[str, Any]:
    packed = resources.files(__package__).joinpath("r4", "schema.json.gz").read_bytes()
    loaded: dict[str, Any] = orjson.loads(gzip.decompress(packed))
    return loaded


@cache
def _code_set(index: int) -> tuple[frozenset[str], str | None]:
    value_set = _data()["valueSets"][index]
    systems = value_set["systems"]
    return frozenset(value_set["codes"]), systems[0] if len(systems) == 1 else None


def _home(type_name: str) -> str:
    """The name a type is stored under: its own, or where a content reference leads."""
    if type_name in _data()["types"]:
        return type_name
    parent, dot, leaf = type_name.rpartition(".")
    if not dot or not (content := elements(parent)[leaf].content):
        raise KeyError(type_name)
    return content


@cache
def elements(type_name: str) -> Mapping[str, Element]:
    """Elements of a type by JSON name, in the order of the specification.

    Args:
        type_name: ``Patient``, ``HumanName``, ``Patient.contact``, also through a content reference
            (``Observation.component.referenceRange``).

    Raises:
        KeyError: FHIR R4 has no such type.
    """
    stored = _home(type_name)
    found = _data()["types"][stored]
    names = {name for name, _ in found["choices"]}
    return MappingProxyType({row[0]: _element(stored, row, names) for row in found["elements"]})


def _element(owner: str, row: list[Any], choice_names: set[str]) -> Element:
    name, type_name, least, most, value_set, form, targets, profile = row
    codes, system = _code_set(value_set) if value_set is not None else (None, None)
    choice = name[: -len(type_name)] if name.lower().endswith(type_name.lower()) else ""
    return Element(
        name=name,
        types=(type_name,),
        min=least,
        max=most,
        codes=codes,
        targets=() if "Resource" in targets else tuple(targets),
        binding_system=system,
        choice=choice if choice in choice_names else "",
        content=_content(owner, name, type_name),
        format=form,
        profile=profile,
    )


def _content(owner: str, name: str, type_name: str) -> str:
    if type_name in PRIMITIVES:
        return ""
    return f"{owner}.{name}" if type_name in {"BackboneElement", "Element"} else type_name


@cache
def choices(type_name: str) -> tuple[Choice, ...]:
    """The choice elements of a type. Raises KeyError as :func:`elements` does."""
    members = elements(type_name)
    return tuple(
        Choice(name, least, tuple(e.name for e in members.values() if e.choice == name))
        for name, least in _data()["types"][_home(type_name)]["choices"]
    )


@cache
def resource_types() -> frozenset[str]:
    """Names of all concrete resource types."""
    types = _data()["types"]
    return frozenset(n for n, t in types.items() if t["kind"] == "resource" and n not in _ABSTRACT)


def is_resource(name: str) -> bool:
    """Whether FHIR R4 has a concrete resource type of that name."""
    return name in resource_types()


@cache
def resolve(path: str) -> Element:
    """The element a path leads to: ``Patient.contact.name``, ``Observation.valueQuantity.value``.

    Raises:
        KeyError: there is no such type or element.
    """
    root, *names = path.split(".")
    if not names:
        raise KeyError(path)
    content, found = root, None
    for name in names:
        if not content:
            raise KeyError(path)
        try:
            found = elements(content)[name]
        except KeyError:
            raise KeyError(path) from None
        content = found.content
    assert found is not None
    return found
