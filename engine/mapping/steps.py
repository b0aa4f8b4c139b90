"""What a row of a segment table does with a segment: one object a row, made when the tables are compiled.

Which of them a row gets follows from the row alone, so that nothing about it is asked again for each segment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.hl7v2.delimiters import Delimiters
from engine.hl7v2.tree import EMPTY, Segment, child, valued
from engine.mapping.convert.primitives import string
from engine.mapping.memory import Known, refused
from engine.mapping.paths import Items, placing
from engine.mapping.run import Run
from engine.mapping.shapes import passed_on

if TYPE_CHECKING:
    from engine.mapping.rules import Rule


class Step:
    """A row at work."""

    def run(self, segment: Segment, run: Run, root: dict[str, Any], items: Items) -> int:
        """Do with the segment what the row says; returns how many values from the source reached the resource."""
        raise NotImplementedError


def step_of(rule: Rule) -> Step:
    """The step of a row."""
    if rule.field:
        return _Remembered(rule) if rule.repeatable and rule.convert is not None else _Read(rule)
    if (
        rule.convert is None
        and not rule.placeholders
        and len(rule.target.steps) == 1
        and not rule.target.many
    ):
        return _Fixed(rule)
    return _Sourceless(rule)


class _Sourceless(Step):
    """A row that reads no field of its own."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule

    def run(self, segment: Segment, run: Run, root: dict[str, Any], items: Items) -> int:
        return int(self.rule.apply(EMPTY, segment, run, root, items, 0))


class _Fixed(Step):
    """A fixed value in an element of the resource itself."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.name = rule.target.name
        self.siblings = rule.target.siblings
        self.template = rule.template

    def run(self, segment: Segment, run: Run, root: dict[str, Any], items: Items) -> int:
        if self.name in root or (self.siblings and not self.siblings.isdisjoint(root)):
            self.rule.put_fixed(EMPTY, segment, run, root, items, 0)
        else:
            root[self.name] = self.template.fill(())
        return 0


class _Read(Step):
    """Every repetition of the field, each read anew."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.number = rule.field
        self.first = rule.parts[0] if rule.parts else 0
        self.fixed = rule.convert is None

    def run(self, segment: Segment, run: Run, root: dict[str, Any], items: Items) -> int:
        rule = self.rule
        if self.first > 1 and _lacks(segment.fields[self.number], self.first, segment.delimiters):
            return 0
        nodes = segment.repetitions(self.number)
        if rule.repetitions is not None:
            nodes = nodes[rule.repetitions]
        if rule.whole:
            return int(rule.apply(nodes, segment, run, root, items, 1))
        placed = 0
        for rep, node in enumerate(nodes, 1):
            for part in rule.parts:
                node = child(node, part)  # noqa: PLW2901 - going down
            if not self.fixed or valued(node):
                placed += rule.apply(node, segment, run, root, items, rep)
        return placed


class _Remembered(Step):
    """The field as it was read before (:mod:`engine.mapping.memory`), else anew."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.number = rule.field
        self.first = rule.parts[0] if rule.parts else 0
        self.passes = rule.convert is string and rule.parts == (1,)
        self.read = _Read(rule)
        self.place = placing(rule.target)

    def run(self, segment: Segment, run: Run, root: dict[str, Any], items: Items) -> int:
        rule = self.rule
        raw = segment.fields[self.number]
        value: Any
        if self.passes and (raw.isalnum() or _is_one_text(raw, segment.delimiters)):
            value, used, count = raw, 1, 1
        else:
            if self.first > 1 and _lacks(raw, self.first, segment.delimiters):
                return 0
            known = run.memory.recent.get((rule, raw, run.context))
            if not isinstance(known, Known) or known.made or known.told:
                placed = run.memory.apply(rule, segment, run, root, items)
                return self.read.run(segment, run, root, items) if placed is None else placed
            rule.hits += 1
            value, used, count = known.template.fill(()), known.used, known.count
            if rule.coded and rule.target.taken(root, items, 1):
                refused(rule, segment, run, 1)  # but for what says the same
                if not self.place.put(root, items, value):
                    return 0
            if known.codes:
                run.codes += known.codes
                run.unknown_codes += known.unknown_codes
        if not self.place.put(root, items, value):
            return refused(rule, segment, run, 1)
        if run.marks is None:
            segment.mark(self.number, used, count)
        else:
            run.mark(segment, self.number, used, count)
        return 1


def _lacks(raw: str, component: int, delimiters: Delimiters) -> bool:
    """Whether no repetition of a field can have that component."""
    mark = delimiters.component
    return mark != "" and raw.count(mark) < component - 1


def _is_one_text(raw: str, delimiters: Delimiters) -> bool:
    """Whether a field is one text that stands in FHIR as it came."""
    _, component, repetition, escape, _, _ = delimiters
    return not (
        (component and component in raw) or (repetition and repetition in raw) or (escape and escape in raw)
    ) and bool(passed_on(raw, delimiters))
