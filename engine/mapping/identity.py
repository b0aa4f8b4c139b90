"""What a resource is known by: the parts of the id rules in ``messages/``, each a text that its id is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.hl7v2.tree import EMPTY, NULL, Node, Segment, child
from engine.mapping.expressions import Getter, text_of
from engine.mapping.run import Instance, Run

IdPart = Callable[[Instance, Run], str]
_SEPARATOR = "\x1f"


def business_key(resource: dict[str, Any], facility: str) -> tuple[str, str]:
    """What names a thing that several segments tell of: its first identifier, else its name, else its content.

    Of a name the sender is part: somebody known by name only is the same at one sender, with address or not.
    """
    first = next((i for i in resource.get("identifier") or () if i.get("value")), None)
    if first is not None:
        return first.get("system", facility), first["value"]
    if "name" in resource:
        return facility, _content(resource["name"])
    return facility, _content({k: v for k, v in resource.items() if k not in {"resourceType", "id"}})


def _content(value: Any) -> str:
    """A stable text of nested content."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{k}:{_content(v)}" for k, v in sorted(value.items())) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_content(v) for v in value) + "]"
    return str(value)


def _source(instance: Instance, run: Run, segment: str, home: str) -> Segment | None:
    return instance.segment if segment == home else run.nearest(instance.segment, segment)


def _nodes(instance: Instance, run: Run, segment: str, number: int, home: str) -> tuple[Node, ...]:
    found = _source(instance, run, segment, home)
    return found.repetitions(number) if found is not None else ()


def of_other(name: str) -> IdPart:
    def part(instance: Instance, run: Run) -> str:
        other = run.find(name, instance.group, instance.order)
        return run.id_of(other) if other is not None and other is not instance else ""

    return part


def of_identifier(instance: Instance, run: Run) -> str:
    return _SEPARATOR.join(business_key(instance.resource, run.facility))


def _of_cx(segment: str, number: int, home: str, what: str) -> IdPart:
    def part(instance: Instance, run: Run) -> str:
        source = _source(instance, run, segment, home)
        found = run.cx(source, number, what) if source is not None else None
        return _SEPARATOR.join(found) if found else ""

    return part


def _of_ei(segment: str, number: int, home: str, what: str) -> IdPart:
    def part(instance: Instance, run: Run) -> str:
        nodes = _nodes(instance, run, segment, number, home)
        found = run.naming.ei(nodes[0], run.facility, what or "id") if nodes else None
        return _SEPARATOR.join(found) if found else ""

    return part


def _of_eip(segment: str, number: int, home: str, what: str) -> IdPart:
    def part(instance: Instance, run: Run) -> str:
        for node in _nodes(instance, run, segment, number, home)[:1]:
            for n in (2, 1):  # the filler's number names the specimen; the placer's stands in
                found = run.naming.ei(child(node, n), run.facility, what or "id")
                if found:
                    return _SEPARATOR.join(found)
        return ""

    return part


class _Code:
    """The code of a field and its system, of the first or the second triplet; else its text (HL7 v2.5.1 §2.A.13)."""

    def __init__(self, segment: str, number: int, home: str) -> None:
        self.segment = segment
        self.number = number
        self.home = home

    def said(self, instance: Instance, run: Run) -> str:
        source = _source(instance, run, self.segment, self.home)
        if source is None or self.number >= len(source.fields):
            return ""
        key = self, self.number, source.fields[self.number], run.context
        told = run.memory.answers.get(key)
        if told is None:
            told = (self._read(source),)
            run.memory.keep_answers(key, told)
        return str(told[0])

    def _read(self, source: Segment) -> str:
        for code, system in ((1, 3), (4, 6)):
            if text := _told(source, self.number, code):
                return f"{text}{_SEPARATOR}{_told(source, self.number, system)}"
        return _told(source, self.number, 2)


def _of_code(segment: str, number: int, home: str, _what: str) -> IdPart:
    return _Code(segment, number, home).said


def _told(segment: Segment, number: int, component: int) -> str:
    text = segment.text(number, component)
    return "" if text == NULL else text


def of_text(get: Getter) -> IdPart:
    def part(instance: Instance, run: Run) -> str:
        return text_of(get(EMPTY, instance.segment, run)) or "-"

    return part


def _of_raw(segment: str, number: int, home: str, _what: str) -> IdPart:
    def part(instance: Instance, run: Run) -> str:
        found = _source(instance, run, segment, home)
        fields = found.fields if found is not None else []
        return fields[number] if number < len(fields) else ""

    return part


NUMBER_PARTS: dict[str, Callable[[str, int, str, str], IdPart]] = {
    "cx": _of_cx,
    "ei": _of_ei,
    "eip": _of_eip,
    "code": _of_code,
    "raw": _of_raw,
}
"""Functions of id rules that read a field: of which segment, its number, the row's own segment, what it numbers."""
