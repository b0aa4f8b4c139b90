"""The explicit null through to FHIR: which elements ``""`` in a field clears.

HL7 v2 has three states of a field (v2.5.1 §2.5.3): absent leaves what the receiver holds, ``""`` deletes
it, a value replaces it. A PUT knows two: what the resource does not hold is gone. So where a sender uses
nulls in an update, the resource is written as a patch (:mod:`engine.mapping.patching`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from engine.fhir import schema
from engine.mapping.fhirpath import has, lacks, quoted, refers_to

if TYPE_CHECKING:
    from engine.mapping.rules import Rule, SegmentTable

Json = dict[str, Any]
Applies = Callable[["Rule"], bool]

_NARROWED = frozenset({"Extension", "Identifier", "ContactPoint"})
"""Types whose items are replaced one by one, by what tells them apart."""
_NESTED = re.compile(r"(.*\.extension\.where\(url = '[^']*')\)\.extension\.where\(")
_LABEL = re.compile(r"\[[^\]]*\]$")


def cleared_paths(table: SegmentTable, type_name: str, number: int, applies: Applies) -> list[str]:
    """FHIRPaths that a null in field ``number`` clears; [] when the tables can't tell one element from its like.

    A path goes as deep as it must to hold nothing of another field: the county of an address, not the address.

    Args:
        table: of the segment.
        type_name: of the resource.
        number: of the field.
        applies: whether a row's condition holds in this message: the marks that it would give an item tell the item.
    """
    rules = _rules_of(table, number)
    if not rules or _path(table, rules[0], type_name, applies) is None:
        return []
    paths = [path for rule in rules if (path := _path(table, rule, type_name, applies)) is not None]
    # An extension whose last part has gone is none any more (ext-1).
    hollow = [
        f"{match[1]} and extension[0].url & '' = '')" for path in paths if (match := _NESTED.match(path))
    ]
    return list(dict.fromkeys([*paths, *hollow]))


def replaced_elements(table: SegmentTable, type_name: str, number: int, *, part: bool) -> list[str]:
    """Elements that a field writes into and that a patch sets anew, if the message holds them at all.

    Args:
        table, type_name, number: as for :func:`cleared_paths`.
        part: the null is in a part of a value: then also those count whose items are replaced one by one.
    """
    known = schema.elements(type_name)
    names = {rule.target.steps[0].name for rule in _rules_of(table, number) if rule.target.steps}
    return sorted(n for n in names if n in known and (part or known[n].types[0] not in _NARROWED))


def _rules_of(table: SegmentTable, number: int) -> list[Rule]:
    return [rule for rule in table.rules if rule.field == number and rule.convert is not None]


def _path(table: SegmentTable, rule: Rule, type_name: str, applies: Applies) -> str | None:
    """Path of what a rule writes, narrowed where several rules write into one array; None if that can't be told."""
    path, holder = type_name, type_name
    for step in rule.target.steps:
        if step.url:
            if _owned_before(table, rule):
                return None
            path, holder = f"{path}.extension.where(url = '{quoted(step.url)}')", "Extension"
        else:
            name = step.name.lstrip("_")
            element = schema.elements(holder)[name]
            holder = element.content or element.types[0]
            path += f".{element.choice or name}"
            if step.many:
                selector = _selector_of(table, rule, step.key, applies)
                if selector is None:
                    return None
                path += selector
        if step.many and (not _shared(table, rule, step.key) or _needed(rule, step.key, holder)):
            return path  # the whole item is this field's, or is nothing without it
    return path


def _shared(table: SegmentTable, rule: Rule, key: str) -> bool:
    """Whether other fields write other parts of the item that a path with labels leads to."""
    return any(
        other.field != rule.field
        and other.convert is not None
        and other.target.text != rule.target.text
        and _below(other.target.text, key)
        for other in table.rules
    )


def _needed(rule: Rule, key: str, holder: str) -> bool:
    """Whether the part that a rule writes is one that its item must have."""
    part = rule.target.text.removeprefix(key).lstrip(".").partition(".")[0].partition("[")[0]
    element = schema.elements(holder).get(part) if part and holder != "Extension" else None
    return element is not None and element.min > 0


def _below(target: str, key: str) -> bool:
    return target == key or target.startswith(f"{key}.")


def _owned_before(table: SegmentTable, rule: Rule) -> bool:
    """Whether an earlier field writes to the very place, of which this one is only the understudy."""
    for other in table.rules:
        if other is rule:
            return False
        if other.field not in {0, rule.field} and other.target.text == rule.target.text:
            return True
    return False


def _selector_of(table: SegmentTable, rule: Rule, key: str, applies: Applies) -> str | None:
    """What tells a rule's items of an array from those of other fields: "" if there are none, None if nothing does."""
    if rule.target.text == key and (own := _by_defaults(rule)):
        return f".where({own})"
    array = _unlabelled(key)
    mine = _marks(table, key, applies)
    tests = list(mine)
    others = {
        step.key: other
        for other in table.rules
        for step in other.target.steps
        if step.many
        and step.key != key
        and other.convert is not None
        and other.field != rule.field
        and _unlabelled(step.key) == array
    }
    plain = rule.target.text == key == array
    rivals = [
        other
        for other in table.rules
        if other.target.text == key and other.field != rule.field and other.convert is not None
    ]
    if plain and rivals:
        kind = _referred(rule)
        if kind and all(_referred(other) not in {"", kind} for other in rivals):
            return f".where({refers_to(kind)})"
        defaults = [_by_defaults(other) for other in rivals]
        if not any(defaults):
            return None
        # Numbers without a use of their own are told from those with one; a later field of the same meaning is the same.
        tests += [default.replace(" = ", " & '' != ", 1) for default in defaults if default]
    for label, other in others.items():
        theirs = _marks(table, label, applies)
        if not theirs and other.target.text == label and (default := _by_defaults(other)):
            theirs = {default: default.replace(" = ", " & '' != ", 1)}
        if not mine.keys() <= theirs.keys() or (mine and mine.keys() == theirs.keys()):
            continue  # told apart, or of one meaning
        extra = [negation for mark, negation in theirs.items() if mark not in mine]
        if not extra:
            return None
        tests.append(extra[0])
    return f".where({' and '.join(dict.fromkeys(tests))})" if tests else ""


def _referred(rule: Rule) -> str:
    """Type of the resource that ``Reference(XCN-Practitioner)`` refers to; "" for what is no reference."""
    kind = rule.line["using"].removesuffix(")").rpartition("-")[2]
    return kind if rule.line["using"].startswith("Reference(") and schema.is_resource(kind) else ""


def _unlabelled(key: str) -> str:
    """``location[now]`` as ``location``."""
    return _LABEL.sub("", key)


def _by_defaults(rule: Rule) -> str:
    """``XTN-ContactPoint(use=home)`` tells its items by their use."""
    using = rule.line["using"]
    if "(" not in using or using.startswith("Reference("):
        return ""
    name, _, value = using[using.index("(") + 1 : -1].split(";")[0].partition("=")
    return f"{name.strip()} = '{quoted(value.strip())}'"


def _marks(table: SegmentTable, key: str, applies: Applies) -> dict[str, str]:
    """Fixed values that rows write into an item: tests that it passes, each with the test that others pass."""
    found: dict[str, str] = {}
    names: set[str] = set()
    for other in table.rules if "[" in key else ():
        target = other.target.text
        if other.convert is not None or other.placeholders or not target.startswith(f"{key}."):
            continue
        name, fixed = target.removeprefix(f"{key}."), other.fixed
        if name in names or not applies(other):
            continue  # a value for other circumstances
        names.add(name)
        if name.startswith("extension("):
            url = next(step.url for step in other.target.steps if step.url)
            test = "extension.url", url
        elif isinstance(fixed, dict):
            coding = fixed["coding"][0] if "coding" in fixed else fixed
            if "code" not in coding:
                continue  # a reference, a period: no code tells it
            test = f"{name}.coding.code", coding["code"]
        elif isinstance(fixed, str) and "." not in name and name != "system":
            found[f"{name} = '{quoted(fixed)}'"] = f"{name} & '' != '{quoted(fixed)}'"
            continue
        else:
            continue
        found[has(*test)] = lacks(*test)
    if not found and applies is not _always:
        # A condition that asks for the field itself fails where the field is null.
        return _marks(table, key, _always)
    return found


def _always(_rule: Rule) -> bool:
    return True
