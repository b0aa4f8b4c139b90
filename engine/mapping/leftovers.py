"""What a mapped message left: fields that reached no element, with the reason, and what explicit nulls clear."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from engine.hl7v2.tree import NULL, Leaf, Node, Segment, valued
from engine.mapping.clearing import cleared_paths, replaced_elements
from engine.mapping.rules import MessageRule, Rule
from engine.mapping.run import Instance, Null, Run
from engine.records import Unmapped

_nothing = Leaf("")


@dataclass(frozen=True, slots=True)
class Nulled:
    """An explicit null in one of the resources that its field goes to.

    Attributes:
        location: of the null.
        reference: of the resource; "" if the message makes none.
        paths: FHIRPaths that it clears.
        carried: whether a patch of the resource clears it, by these paths or by what it sets anew.
        mapped: whether a rule asks for the field at all.
    """

    location: str
    reference: str
    paths: tuple[str, ...]
    carried: bool
    mapped: bool = True


def nulls_of(
    run: Run, rule: MessageRule, instance: Instance, segment: Segment, number: int
) -> Iterator[Null]:
    """The explicit null of a field, or of parts of it, in one of the resources that the field goes to."""
    assert rule.table is not None
    located = [(place, leaf.text) for place, leaf in segment.field_leaves(number) if leaf.text]
    nulls = [place for place, text in located if text == NULL]
    if not nulls:
        return
    field = f"{segment.location}-{number}"
    whole = replaced_elements(rule.table, rule.resource, number, part=False)
    if len(nulls) == len(located) and (nulls[0] == field or nulls[0].endswith(("[1]", "[1].1", "[1].1.1"))):
        # All there is, from the first part on: some write "" into each component.

        def applies(row: Rule) -> bool:
            return row.when is None or bool(row.when(_nothing, segment, run))

        yield Null(instance, field, cleared_paths(rule.table, rule.resource, number, applies), whole)
        return
    parts = replaced_elements(rule.table, rule.resource, number, part=True)
    repetitions = segment.repetitions(number)
    for place in nulls:
        index = int(place.removeprefix(f"{field}[").partition("]")[0]) if place.startswith(f"{field}[") else 1
        yield Null(instance, place, [], parts if valued(repetitions[index - 1]) else whole)


def nulled(run: Run) -> Iterator[Nulled]:
    for null in run.nulls:
        placed = null.instance.placed > 0
        # A null in a part of a field, or in one repetition, is carried by the other values, which replace the element.
        replaced = placed and any(name in null.instance.resource for name in null.elements)
        yield Nulled(
            null.location,
            null.instance.reference if placed else "",
            tuple(null.paths),
            carried=bool(null.paths) or replaced,
        )
    for location in _unmapped_nulls(run):
        yield Nulled(location, "", (), carried=False, mapped=False)


def _unmapped_nulls(run: Run) -> Iterator[str]:
    """Fields with explicit nulls that no table of their segment asks for, nor leaves out on purpose."""
    for segment, _ in run.structured.placed:
        if NULL not in segment.raw:
            continue
        asked = {number for table in run.ran.get(id(segment), ()) for number in table.fields}
        for number in segment.valued_fields():
            if number in asked or (segment.id, number) in run.mapper.ignored:
                continue
            if any(leaf.text == NULL for _, leaf in segment.field_leaves(number)):
                yield f"{segment.location}-{number}"


def report(run: Run) -> tuple[tuple[Unmapped, ...], tuple[str, ...], int]:
    """What reached no element, with the reason; explicit nulls; the number of valued leaves."""
    unmapped: list[Unmapped] = []
    cleared: list[str] = []
    count = 0
    for segment, _ in run.structured.placed:
        settled, others = segment.unsettled()
        count += settled
        for number in others:
            if segment.fields[number].isalnum() and not segment.is_parsed(number):
                # One value that nobody asked for, such as a set id.
                count += 1
                unmapped.append(Unmapped(f"{segment.location}-{number}", _reason(run, segment, number)))
                continue
            used = _all_used(segment.repetitions(number))
            if used is not None:
                count += used
                continue
            for location, leaf in segment.field_leaves(number):
                if leaf.text == NULL:
                    cleared.append(location)
                    continue
                if not leaf.text.strip():
                    continue
                count += 1
                if not leaf.used:
                    unmapped.append(Unmapped(location, _reason(run, segment, number, leaf)))
    return tuple(unmapped), tuple(cleared), count


def _all_used(nodes: Iterable[Node]) -> int | None:
    """Number of leaves when all were used, as in most fields; None when a leaf needs a closer look."""
    count = 0
    for node in nodes:
        if isinstance(node, Leaf):
            if node.used:
                count += 1
            elif node.text:
                return None
        else:
            below = _all_used(node)
            if below is None:
                return None
            count += below
    return count


def _reason(run: Run, segment: Segment, number: int, leaf: Leaf | None = None) -> str:
    known = run.reasons.get(leaf) if leaf is not None else None
    if known:
        return known
    if number in run.mapper.acts_off.get(segment.id, ()):
        return "left out: it tells of an act alone, and mapping.provenance is off"
    tables = run.ran.get(id(segment))
    if tables is None:
        return _segment_reason(run, segment)
    for table in tables:
        if number in table.ignored:
            return table.ignored[number]
    for table in reversed(tables):
        if false := table.refusal(number, segment, run):
            return f"condition false: {false}"
    if not any(number in table.fields for table in tables):
        return "no rule for this field"
    return "no rule for this component"


def _segment_reason(run: Run, segment: Segment) -> str:
    if orphan := run.orphans.get(id(segment)):
        return f"there is no {orphan} that this segment could complete"
    rules = [r for r in run.mapper.rules if r.segment == segment.id]
    if not rules:
        return f"no rule for segment {segment.id}"
    structure, group = run.structured.structure, run.group_of(segment).name
    if any(r.fits(structure, group) and r.table is not None for r in rules):
        asked = dict.fromkeys(r.line["when"] for r in rules if r.line["when"] and r.fits(structure, group))
        return "condition false: " + "; ".join(asked)
    return f"no rule for segment {segment.id} in {structure}"
