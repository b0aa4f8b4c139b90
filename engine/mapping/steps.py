"""What a row of a segment table does with a segment: one function a row, made when the tables are compiled.

Which of them a row gets follows from the row alone, so that nothing about it is asked again for each segment. Each
returns how many values from the source reached the resource.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from engine.hl7v2.delimiters import Delimiters
from engine.hl7v2.tree import EMPTY, Segment, child, valued
from engine.mapping.convert.primitives import string
from engine.mapping.memory import Known, refused
from engine.mapping.paths import Items, placing
from engine.mapping.run import Run
from engine.mapping.shapes import passed_on

if TYPE_CHECKING:
    from engine.mapping.compiler import Rule

Step = Callable[[Segment, Run, dict[str, Any], Items], int]


def step_of(rule: Rule) -> Step:
    """The function of a row."""
    if rule.field:
        return _remembered(rule) if rule.repeatable and rule.convert is not None else _read(rule)
    if (
        rule.convert is None
        and not rule.placeholders
        and len(rule.target.steps) == 1
        and not rule.target.many
    ):
        return _fixed(rule)
    return lambda segment, run, root, items: int(rule.apply(EMPTY, segment, run, root, items, 0))


def _fixed(rule: Rule) -> Step:
    """A fixed value in an element of the resource itself."""
    name, thaw, siblings = rule.target.name, rule.thaw, rule.target.siblings

    def step(segment: Segment, run: Run, root: dict[str, Any], items: Items) -> int:
        if name in root or (siblings and not siblings.isdisjoint(root)):
            rule.put_fixed(EMPTY, segment, run, root, items, 0)
        else:
            root[name] = thaw()
        return 0

    return step


def _read(rule: Rule) -> Step:
    """Every repetition of the field, each read anew."""
    number, parts, wanted, apply = rule.field, rule.parts, rule.repetitions, rule.apply
    first, whole, fixed = parts[0] if parts else 0, rule.whole, rule.convert is None

    def step(segment: Segment, run: Run, root: dict[str, Any], items: Items) -> int:
        if first > 1:
            mark = segment.delimiters.component
            if mark and segment.fields[number].count(mark) < first - 1:
                return 0  # no repetition has that component
        nodes = segment.repetitions(number)
        if wanted is not None:
            nodes = nodes[wanted]
        if whole:
            return int(apply(nodes, segment, run, root, items, 1))
        placed = 0
        for rep, node in enumerate(nodes, 1):
            for part in parts:
                node = child(node, part)  # noqa: PLW2901 - going down
            if not fixed or valued(node):
                placed += apply(node, segment, run, root, items, rep)
        return placed

    return step


def _remembered(rule: Rule) -> Step:
    """The field as it was read before (:mod:`engine.mapping.memory`), else anew."""
    number, target, read, coded = rule.field, rule.target, _read(rule), rule.coded
    first, put = rule.parts[0] if rule.parts else 0, placing(rule.target)
    passes = rule.convert is string and rule.parts == (1,)

    def step(segment: Segment, run: Run, root: dict[str, Any], items: Items) -> int:
        raw = segment.fields[number]
        value: Any
        if passes and (raw.isalnum() or _is_one_text(raw, segment.delimiters)):
            value, used, count = raw, 1, 1
        else:
            if first > 1:
                mark = segment.delimiters.component
                if mark and raw.count(mark) < first - 1:
                    return 0  # no repetition has that component
            known = run.recall((rule, raw, run.context))
            if known.__class__ is not Known or known.made:
                placed = run.memory.apply(rule, segment, run, root, items)
                return read(segment, run, root, items) if placed is None else placed
            rule.hits += 1
            value, used, count = known.make(()), known.used, known.count
            if coded and target.taken(root, items, 1) and not put(root, items, value):
                return refused(rule, segment, run, 1)
            if known.codes:
                run.codes += known.codes
                run.unknown_codes += known.unknown_codes
        if not put(root, items, value):
            return refused(rule, segment, run, 1)
        if run.marks is None:
            segment.mark(number, used, count)
        else:
            run.mark(segment, number, used, count)
        return 1

    return step


def _is_one_text(raw: str, delimiters: Delimiters) -> bool:
    """Whether a field is one text that stands in FHIR as it came."""
    _, component, repetition, escape, _, _ = delimiters
    return not (
        (component and component in raw) or (repetition and repetition in raw) or (escape and escape in raw)
    ) and bool(passed_on(raw, delimiters))
