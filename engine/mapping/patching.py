"""FHIRPath Patch (FHIR R4 §3.1.0.9.2): the entry that deletes what was nulled, replaces what was sent, and leaves the rest.

Which elements a null clears is told by :mod:`engine.mapping.clearing`; docs/decisions/0009 says what patches mean for
receivers. They are written so that HAPI FHIR 7, which takes only a part of what the standard allows, does what they say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Any

from engine.fhir import schema
from engine.fhir.bundle import BASE
from engine.mapping.fhirpath import has, lacks, quoted, refers_to

Json = dict[str, Any]

_UNTOUCHED = frozenset({"resourceType", "id", "meta", "text", "contained", "implicitRules", "language"})
_BY_ROLE = frozenset({"Encounter.participant", "Coverage.class", "Coverage.costToBeneficiary"})
"""Backbone elements whose items are told apart by the code of their type."""
_BY_TARGET = frozenset({"Patient.generalPractitioner"})
"""References that are told apart by what they refer to: a clinic (PD1-3), a doctor (PD1-4), a part played (ROL)."""
_TEMPORARY = "http://hl7.org/fhir/StructureDefinition/subject-locationClassification"
"""What a temporary place of a visit bears beside its status."""


def patch_entry(resource: Json, cleared: Iterable[str]) -> Json:
    """An entry that deletes what was nulled, replaces what the resource holds, and leaves the rest alone."""
    kind, resource_id = resource["resourceType"], resource["id"]
    operations = [_operation("delete", path) for path in dict.fromkeys(cleared)]
    known = schema.elements(kind)
    for name in dict.fromkeys(key.removeprefix("_") for key in resource):
        if name not in _UNTOUCHED and name in known:
            operations += _replacement(kind, name, resource.get(name), resource.get(f"_{name}"), known[name])
    url = f"{kind}/{resource_id}"
    return {
        "fullUrl": BASE + url,
        "resource": {"resourceType": "Parameters", "parameter": operations},
        "request": {"method": "PATCH", "url": url},
    }


def _replacement(kind: str, name: str, value: Any, twin: Any, element: schema.Element) -> list[Json]:
    """Operations that make an element what the message says, without touching what it does not speak of.

    ``twin`` holds the extensions of a primitive one, such as what was sent in place of a date that exists.
    """
    stem = element.choice or name
    items, twins = ([x] if not isinstance(x, list) else x for x in (value, twin))
    pairs = list(zip_longest(items, twins))
    by_target = f"{kind}.{stem}" in _BY_TARGET
    paths = [
        f"{kind}.{stem}{_by_target(item) if by_target else _selector(element.types[0], item)}"
        for item, _ in pairs
    ]
    operations = [_operation("delete", path) for path in dict.fromkeys(paths)]
    type_name = element.content or element.types[0]
    return operations + [
        operation
        for item, extras in pairs
        for operation in _adds(kind, stem, _with_twin(type_name, item, extras))
    ]


def _adds(path: str, name: str, value: Json) -> Iterator[Json]:
    """Operations that add a value: one, and one more for each part of it that HAPI FHIR 7 would not take within it.

    Of parts of one name it keeps the last, and a code among them fails the whole transaction.
    """
    within: list[Json] = []
    apart: list[Json] = []
    seen: set[str] = set()
    for part in value.get("part", ()):
        (within if part["name"] not in seen and _is_plain(part) else apart).append(part)
        seen.add(part["name"])
    if not within:
        yield _operation("add", path, name, value)
        return
    yield _operation("add", path, name, {"part": within})
    for part in apart:
        content = {key: inner for key, inner in part.items() if key != "name"}
        yield from _adds(f"{path}.{name}.last()", part["name"], content)


def _is_plain(part: Json) -> bool:
    names = [inner["name"] for inner in part.get("part", ())]
    code = "valueCode" in part and part["name"] != "value"
    return not code and len(set(names)) == len(names) and all(map(_is_plain, part.get("part", ())))


def _with_twin(type_name: str, item: Any, extras: Any) -> Json:
    part = _value(type_name, item) if item is not None else {}
    return {**part, f"_value{type_name[:1].upper()}{type_name[1:]}": extras} if extras is not None else part


def _selector(type_name: str, item: Any) -> str:
    """Which of the items that a receiver may hold is replaced by this one; "" is all of them."""
    if type_name == "Extension":
        return f".where(url = '{quoted(item['url'])}')"
    if type_name == "Identifier" and "system" in item:
        return f".where(system = '{quoted(item['system'])}')"
    if type_name == "ContactPoint":
        return f".where(use = '{quoted(item['use'])}')" if "use" in item else ".where(use & '' = '')"
    if type_name in _BY_ROLE and (codes := list(_codes(item.get("type")))):
        return f".where({has('type.coding.code', codes[0])})"
    if type_name == "Encounter.location" and "status" in item:
        kept = any(e["url"] == _TEMPORARY for e in item.get("extension", ()))
        temporary = (has if kept else lacks)("extension.url", _TEMPORARY)
        return f".where(status = '{quoted(item['status'])}' and {temporary})"
    return ""


def _by_target(item: Any) -> str:
    kind = item.get("reference", "").partition("/")[0]
    return f".where({refers_to(kind)})" if kind else ""


def _codes(concepts: Any) -> Iterator[str]:
    """Codes of a CodeableConcept, or of several."""
    for concept in concepts if isinstance(concepts, list) else [concepts] if concepts else []:
        yield from (coding["code"] for coding in concept.get("coding", ()) if "code" in coding)


def _operation(what: str, path: str, name: str = "", value: Json | None = None) -> Json:
    parts: list[Json] = [{"name": "type", "valueCode": what}, {"name": "path", "valueString": path}]
    if name:
        parts.append({"name": "name", "valueString": name})
    if value is not None:
        parts.append({"name": "value", **value})
    return {"name": "operation", "part": parts}


def _value(kind: str, value: Any) -> Json:
    """A value part: ``value[x]``, or parts where Parameters has no such type (backbone elements)."""
    name = f"value{kind[:1].upper()}{kind[1:]}"
    if name in schema.elements("Parameters.parameter"):
        return {name: value}
    names = dict.fromkeys(key.removeprefix("_") for key in value)
    return {
        "part": [part for key in names for part in _parts(kind, key, value.get(key), value.get(f"_{key}"))]
    }


def _parts(kind: str, key: str, inner: Any, twin: Any) -> Iterator[Json]:
    """Parts of one element; ``twin`` holds the extensions of a primitive one (FHIR R4 §2.6.2)."""
    element = schema.elements(kind)[key]
    type_name = element.content or element.types[0]
    items, twins = ([x] if not isinstance(x, list) else x for x in (inner, twin))
    for item, extras in zip_longest(items, twins):
        yield {"name": element.choice or key, **_with_twin(type_name, item, extras)}
