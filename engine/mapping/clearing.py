"""The explicit null through to FHIR: which elements ``""`` in a field clears, and the patch that does it.

HL7 v2 has three states of a field (v2.5.1 §2.5.3): absent leaves what the receiver holds, ``""`` deletes
it, a value replaces it. A PUT knows two: what the resource does not hold is gone. So where a sender uses
nulls in an update, the resource is written as a FHIRPath Patch (FHIR R4 §3.1.0.9.2) that deletes what was
nulled, replaces what was sent, and leaves the rest alone. docs/decisions/0009 says what that means for
receivers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from engine.fhir import schema
from engine.fhir.bundle import BASE

if TYPE_CHECKING:
    from engine.mapping.compiler import Rule, SegmentTable

Json = dict[str, Any]

_UNTOUCHED = frozenset({"resourceType", "id", "meta", "text", "contained", "implicitRules", "language"})
_FHIRPATH_QUOTE = str.maketrans({"\\": "\\\\", "'": "\\'"})


def cleared_paths(table: SegmentTable, type_name: str, number: int) -> list[str]:
    """FHIRPaths that a null in field ``number`` clears; [] when the tables can't tell one element from its like."""
    paths: list[str] = []
    for rule in table.rules:
        if rule.field != number or rule.convert is None:
            continue
        path = _path(table, rule, type_name)
        if path is not None and path not in paths:
            paths.append(path)
    return paths


def _path(table: SegmentTable, rule: Rule, type_name: str) -> str | None:
    """Path of what a rule writes, narrowed where several rules write into one array."""
    path, holder = type_name, type_name
    for step in rule.target.steps:
        if step.url:
            return f"{path}.extension.where(url = '{_quoted(step.url)}')"
        name = step.name.lstrip("_")
        element = schema.elements(holder)[name]
        holder = element.content or element.types[0]
        path += f".{element.choice or name}"
        if not step.many:
            continue
        selector = _by_defaults(rule) or _by_neighbours(table, step.key)
        if selector:
            return f"{path}.where({selector})"
        return None if _others_write(table, rule.field, name, step.key) else path
    return path


def _by_defaults(rule: Rule) -> str:
    """``XTN-ContactPoint(use=home)`` tells its items by their use."""
    using = rule.line["using"]
    if "(" not in using or using.startswith("Reference("):
        return ""
    name, _, value = using[using.index("(") + 1 : -1].split(";")[0].partition("=")
    return f"{name.strip()} = '{_quoted(value.strip())}'"


def _by_neighbours(table: SegmentTable, key: str) -> str:
    """A fixed coding or code that another row writes into the same item tells it from its like."""
    if "[" not in key:
        return ""
    for other in table.rules:
        if other.convert is not None or other.placeholders or not other.line["target"].startswith(f"{key}."):
            continue
        name = other.line["target"].removeprefix(f"{key}.")
        fixed = other.fixed
        if isinstance(fixed, dict):
            coding = fixed["coding"][0] if "coding" in fixed else fixed
            return f"{name}.coding.where(code = '{_quoted(coding['code'])}').exists()"
        if isinstance(fixed, str) and "." not in name and name != "system":
            return f"{name} = '{_quoted(fixed)}'"
    return ""


def _others_write(table: SegmentTable, number: int, element: str, key: str) -> bool:
    """Whether other fields write other items of the same array, so that clearing all of it would clear theirs."""
    for other in table.rules:
        first = other.target.steps[0] if other.target.steps else None
        if first is None or other.field == number or first.name != element:
            continue
        if "[" not in key or first.key != key:
            return True
    return False


def _quoted(text: str) -> str:
    return text.translate(_FHIRPATH_QUOTE)


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
    paths = [f"{kind}.{stem}{_selector(element.types[0], item)}" for item, _ in pairs]
    operations = [_operation("delete", path) for path in dict.fromkeys(paths)]
    type_name = element.content or element.types[0]
    return operations + [
        _operation("add", kind, stem, _with_twin(type_name, item, extras)) for item, extras in pairs
    ]


def _with_twin(type_name: str, item: Any, extras: Any) -> Json:
    part = _value(type_name, item) if item is not None else {}
    return {**part, f"_value{type_name[:1].upper()}{type_name[1:]}": extras} if extras is not None else part


def _selector(type_name: str, item: Any) -> str:
    """Which of the items that a receiver may hold is replaced by this one; "" is all of them."""
    if type_name == "Extension":
        return f".where(url = '{_quoted(item['url'])}')"
    if type_name == "Identifier" and "system" in item:
        return f".where(system = '{_quoted(item['system'])}')"
    if type_name == "ContactPoint":
        return f".where(use = '{_quoted(item['use'])}')" if "use" in item else ".where(use.empty())"
    return ""


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
