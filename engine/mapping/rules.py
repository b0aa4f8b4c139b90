"""The compiled tables: what a row does with a value, which rows a segment goes through, which resources it makes.

:mod:`engine.mapping.compiler` makes them of the tables; :mod:`engine.mapping.steps` is how rows of segments run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from engine.hl7v2.tree import EMPTY, NULL, Leaf, Node, Segment, child, valued
from engine.mapping.convert import Converter
from engine.mapping.expressions import URNS, Atom, Condition, Getter, question, text_of
from engine.mapping.identity import IdPart
from engine.mapping.paths import Items, Place, Target, compile_target, placing
from engine.mapping.run import Instance, Run
from engine.mapping.steps import Step
from engine.mapping.tables import Line
from engine.mapping.templates import Template, template

Shape = tuple[bool, ...]
Question = Callable[[Node, Segment, Run], object]

_URIS = frozenset({"uri", "url", "canonical", "oid", "uuid"})
MAX_SHAPES = 512
"""Shapes of a segment or component list that a table remembers; feeds send a handful, an attacker any number."""
_CORRECT_ID = "Ask the sender to send a valid one, or map the authority."


@dataclass(slots=True, eq=False)
class Rule:
    """One row of a segment or data type table.

    Attributes:
        field: source field of a segment table; 0 in a data type table or when the row has no source.
        parts: component and subcomponent to go down to.
        placeholders: getters of the ``{...}`` parts of ``fixed``, when it is a template.
        dependent: the row writes a fixed value into an item that another row must make first.
        whole: the converter takes all repetitions of the field at once.
        keep: where and how to keep what is no valid value, as the sender wrote it.
        coded: the value goes through a code table.
        default: a fixed value without a source: only where nothing else was put.
        repetitions: the repetitions of the field that the row is for; None is all.
        atoms: what ``when`` asks, in a segment table.
        repeatable: whether the row looks at one value alone, so that it may make the same of the same.
        inspects: indexes of the components that the row looks at (:mod:`engine.mapping.inspecting`).
        template: makes copies of ``fixed``.
        hits, misses: how often what it makes of a value was remembered (:mod:`engine.mapping.memory`), and how often not.
        rested: how often that was not asked since it last was.
    """

    line: Line
    field: int
    parts: tuple[int, ...]
    when: Condition | None
    target: Target
    convert: Converter | None
    fixed: Any = None
    placeholders: tuple[tuple[str, Getter], ...] = ()
    dependent: bool = False
    whole: bool = False
    keep: tuple[Target, Converter] | None = None
    coded: bool = False
    default: bool = False
    repetitions: slice | None = None
    atoms: tuple[Atom, ...] = ()
    repeatable: bool = False
    inspects: frozenset[int] | None = None
    template: Template = dataclasses.field(init=False)
    hits: int = 0
    misses: int = 0
    rested: int = 0
    step: Step = dataclasses.field(init=False)
    """Does what a row of a segment table does with a segment; made when all tables are there."""

    def __post_init__(self) -> None:
        self.template = template(self.fixed)

    def apply(
        self, node: Node, segment: Segment, run: Run, root: dict[str, Any], items: Items, rep: int
    ) -> bool:
        """Put one source node where the row says; True if a value from the source reached the resource."""
        if self.convert is None:
            return self.put_fixed(node, segment, run, root, items, rep)
        if node.__class__ is Leaf:
            text = node.text
            if not text or text == NULL:
                return False
        target = self.target
        if self.coded and target.taken(root, items, rep):
            run.refuse(node, f"{target.text} is already filled by an earlier rule or repetition")
            return self._says_the_same(node, segment, run, root, items, rep)
        mark = len(run.trail)
        value = self.convert(node, segment, run)
        if value is None:
            run.undo(mark)
            return self._kept(node, segment, run, root, items, rep)
        if value == {}:
            return True  # a line of a text that is put in place when all lines are there
        if target.codes is not None and isinstance(value, str) and value not in target.codes:
            run.undo(mark)
            run.refuse(node, f"invalid: no code that FHIR allows in {target.text}")
            return self._kept(node, segment, run, root, items, rep)
        if not target.place(root, items, value, rep):
            run.undo(mark)
            run.refuse(node, f"{target.text} is already filled by an earlier rule or repetition")
            return False
        return True

    def _says_the_same(
        self, node: Node, segment: Segment, run: Run, root: dict[str, Any], items: Items, rep: int
    ) -> bool:
        """Whether a code means what stands there already: then its value has arrived, else it leaves no trace."""
        assert self.convert is not None
        before = len(run.trail), len(run.issues), len(run.codes), len(run.unknown_codes)
        value = self.convert(node, segment, run)
        if value is not None and self.target.place(root, items, value, rep):
            return True
        run.undo(before[0])
        del run.issues[before[1] :], run.codes[before[2] :], run.unknown_codes[before[3] :]
        return False

    def _kept(
        self, node: Node, segment: Segment, run: Run, root: dict[str, Any], items: Items, rep: int
    ) -> bool:
        """Keep what is no valid value in an extension of the element that it was meant for."""
        if self.keep is None:
            return False
        target, convert_raw = self.keep
        mark = len(run.trail)
        value = convert_raw(node, segment, run)
        if value and target.place(root, items, value, rep):
            return True
        run.undo(mark)
        return False

    def put_fixed(
        self, node: Node, segment: Segment, run: Run, root: dict[str, Any], items: Items, rep: int
    ) -> bool:
        """Put the row's fixed value; True if a value from the source, filled in there, reached the resource."""
        if self.default and self.target.filled(root, items, rep):
            return False
        value = self._fixed(node, segment, run)
        if value is None:
            return False
        placed = self.target.place(root, items, value, rep, create=not self.dependent)
        return placed and bool(self.placeholders)

    def _fixed(self, node: Node, segment: Segment, run: Run) -> Any:
        if not self.placeholders:
            # A fixed dict may be merged into later: every message gets its own copy.
            return self.template.fill(())
        text = self.fixed
        mark = len(run.trail)
        for name, get in self.placeholders:
            found = get(node, segment, run)
            value = text_of(found)
            if not value:
                run.undo(mark)
                return None
            assert found is not None
            run.use_all(found)
            text = text.replace("{" + name + "}", value)
        if text.startswith(URNS):
            stated, text = text, run.naming.urn(text)
            if text.lower() != stated.lower() and self.target.type in _URIS:
                run.warn("invalid-urn", node, "The value is no OID or UUID, as its kind says", _CORRECT_ID)
        return text


class Questions:
    """What the conditions of rows ask, each thing once: where the answers are the same, so is what the conditions say.

    Attributes:
        own: what is asked of one field of the segment at hand: the field and its questions. Their answers are
            remembered by the text of the field (:attr:`engine.mapping.memory.Memory.answers`).
        others: what is asked of more than one field, or of other segments.
    """

    def __init__(self, atoms: Sequence[Atom]) -> None:
        asked: dict[tuple[object, ...], list[Atom]] = {}
        for atom in atoms:
            asked.setdefault(atom.key, []).append(atom)
        by_field: dict[int, list[Question]] = {}
        for alike in asked.values():
            by_field.setdefault(alike[0].field, []).append(question(alike))
        self.others = by_field.pop(0, [])
        self.own = list(by_field.items())

    def answers(self, segment: Segment, run: Run) -> tuple[object, ...]:
        """The answers for a segment, in an order of their own."""
        if not self.own and not self.others:
            return ()
        fields, memory = segment.fields, run.memory
        said: list[object] = []
        for number, asks in self.own:
            key = (self, number, fields[number] if number < len(fields) else "", run.context)
            told = memory.answers.get(key)
            if told is None:
                told = tuple([ask(EMPTY, segment, run) for ask in asks])
                memory.keep_answers(key, told)
            said.append(told)
        for ask in self.others:
            said.append(ask(EMPTY, segment, run))  # noqa: PERF401 - three of four plans have none
        return tuple(said)


class Plan:
    """The rows of a segment table that have something to read in segments of one shape."""

    def __init__(self, rules: list[Rule], shape: Shape) -> None:
        self.rules = rules
        # Of an empty field everything is known.
        self.questions = Questions(
            [
                atom
                for rule in rules
                for atom in rule.atoms
                if not atom.field or (atom.field < len(shape) and shape[atom.field])
            ]
        )
        self.decided: dict[tuple[object, ...], list[Rule]] = {}

    def chosen(self, segment: Segment, run: Run) -> list[Rule]:
        """The rows whose conditions hold for a segment."""
        answers = self.questions.answers(segment, run)
        found = self.decided.get(answers)
        if found is None:
            if len(self.decided) >= MAX_SHAPES:
                self.decided.clear()
            found = self.decided[answers] = [
                rule for rule in self.rules if rule.when is None or rule.when(EMPTY, segment, run)
            ]
        return found


@dataclass(slots=True, eq=False)
class SegmentTable:
    """A compiled table of ``segments/``.

    Attributes:
        shared_items: labelled items of the resource are shared with other segments: those of the same text
            at this place; "" and "1" there mean the resource's own (set id or sub-id of the first).
    """

    name: str
    segment: str
    rules: list[Rule] = field(default_factory=list)
    ignored: dict[int, str] = field(default_factory=dict)
    fields: frozenset[int] = frozenset()
    shapes: dict[Shape, Plan] = field(default_factory=dict)
    shared_items: Getter | None = None

    def _plan(self, shape: Shape) -> Plan:
        """The plan for segments with these fields valued; feeds send few shapes."""
        found = self.shapes.get(shape)
        if found is None:
            if len(self.shapes) >= MAX_SHAPES:
                self.shapes.clear()
            count = len(shape)
            found = self.shapes[shape] = Plan(
                [rule for rule in self.rules if not rule.field or (rule.field < count and shape[rule.field])],
                shape,
            )
        return found

    def items_of(self, instance: Instance, segment: Segment, run: Run) -> Items:
        """The labelled items that a run of this table goes on with."""
        if self.shared_items is None:
            return {}
        key = text_of(self.shared_items(EMPTY, segment, run))
        return instance.items.setdefault("" if key == "1" else key, {})

    def run(self, segment: Segment, run: Run, resource: dict[str, Any], items: Items) -> int:
        """Fill a resource from a segment; returns how many source values reached it."""
        placed = 0
        for rule in self._plan(segment.shape).chosen(segment, run):
            placed += rule.step.run(segment, run, resource, items)
        run.ran.setdefault(id(segment), []).append(self)
        return placed

    def refusal(self, number: int, segment: Segment, run: Run) -> str:
        """The last condition that kept a field from being mapped, "" if none did."""
        false = ""
        for rule in self.rules:
            if rule.field != number:
                continue
            if rule.when is None or rule.when(EMPTY, segment, run):
                return ""  # another part of the field was mapped
            false = rule.line["when"]
        return false


@dataclass(slots=True, eq=False)
class DatatypeTable:
    """A compiled table of ``datatypes/``: a node to an object of a FHIR type."""

    name: str
    type: str
    rules: list[Rule] = field(default_factory=list)
    key: str = ""
    shapes: dict[Shape, list[tuple[Rule, int | None, tuple[int, ...]]]] = field(default_factory=dict)

    def _steps(self, shape: Shape) -> list[tuple[Rule, int | None, tuple[int, ...]]]:
        """The rows that have something to read in a node with these components valued (none is given for a leaf).

        With each row the index of the component that it reads, None for the whole node, and what to go down to there.
        """
        if len(self.shapes) >= MAX_SHAPES:
            self.shapes.clear()
        found: list[tuple[Rule, int | None, tuple[int, ...]]] = []
        for rule in self.rules:
            first = rule.parts[0] if rule.parts else 0
            if not first:
                found.append((rule, None, ()))
            elif shape:
                if first <= len(shape) and shape[first - 1]:
                    found.append((rule, first - 1, rule.parts[1:]))
            elif first == 1:
                found.append((rule, None, rule.parts[1:]))
        self.shapes[shape] = found
        return found

    def convert(self, node: Node, segment: Segment, run: Run) -> dict[str, Any] | None:
        """The object, or None when no source value reached it."""
        out: dict[str, Any] = {}
        items: Items = {}
        placed = 0
        shape = tuple([part is not EMPTY for part in node]) if node.__class__ is tuple else ()
        for rule, index, below in self.shapes.get(shape) or self._steps(shape):
            part = node if index is None else node[index]  # type: ignore[index]
            for number in below:
                part = child(part, number)
            if rule.convert is not None:
                if part is EMPTY or (rule.when is not None and not rule.when(node, segment, run)):
                    continue
                placed += rule.apply(part, segment, run, out, items, 1)
            elif (not rule.parts or valued(part)) and (rule.when is None or rule.when(node, segment, run)):
                placed += rule.put_fixed(node, segment, run, out, items, 1)
        return out if placed else None


@dataclass(slots=True, eq=False)
class MessageRule:
    """One row of ``messages/``: a segment in its group makes or completes a resource."""

    line: Line
    structures: tuple[str, ...]
    groups: tuple[str, ...]
    segment: str
    when: Condition | None
    resource: str
    name: str
    mode: str
    table: SegmentTable | None
    id_rule: tuple[tuple[IdPart, ...], ...]
    links: tuple[Link, ...]
    atoms: tuple[Atom, ...]

    def fits(self, structure: str, group: str) -> bool:
        return any(fnmatchcase(structure, p) for p in self.structures) and (
            not self.groups or any(fnmatchcase(group, p) for p in self.groups)
        )


class Choice:
    """The rows of ``messages/`` for a segment in its group.

    Args:
        alternatives: rows of one name each, of which the first whose condition holds is meant.
    """

    def __init__(self, alternatives: list[list[MessageRule]]) -> None:
        self.alternatives = alternatives
        self.questions = Questions([atom for rules in alternatives for rule in rules for atom in rule.atoms])
        self.decided: dict[tuple[object, ...], list[MessageRule]] = {}

    def chosen(self, segment: Segment, run: Run) -> list[MessageRule]:
        """The rows that a segment goes through."""
        answers = self.questions.answers(segment, run)
        found = self.decided.get(answers)
        if found is None:
            if len(self.decided) >= MAX_SHAPES:
                self.decided.clear()
            firsts = [
                next((rule for rule in rules if rule.when is None or rule.when(EMPTY, segment, run)), None)
                for rules in self.alternatives
            ]
            found = self.decided[answers] = [r for r in firsts if r is not None and r.table is not None]
        return found


@dataclass(frozen=True, slots=True)
class Link:
    """``[Name.]path = Name | this | 'fixed'``: a reference between two instances, or a value beside one.

    Attributes:
        holder: name of the instance that holds the reference; "" is this one.
        source: name of the instance referred to; "" is this one.
        only: refer to it only if there is exactly one.
        before: the instance of that name made before this one is meant.
        own: refer to it only if the same segment made it.
        match: pairs (place in its segment, place in this one) that must hold the same; an empty second
            one asks nothing, but the first pair must be told.
        holder_match: the same for the holder.
        fixed: the fixed value, "" for a reference.
        places: compiled path by resource type of the holder.
    """

    holder: str
    path: str
    source: str
    only: bool
    fixed: str
    places: dict[str, Place]
    match: tuple[tuple[Getter, Getter], ...] = ()
    before: bool = False
    own: bool = False
    holder_match: tuple[tuple[Getter, Getter], ...] = ()

    def place(self, resource_type: str) -> Place:
        """Where it goes in a holder of that type. Raises PathError."""
        found = self.places.get(resource_type)
        if found is None:
            found = self.places[resource_type] = placing(compile_target(resource_type, self.path))
        return found
