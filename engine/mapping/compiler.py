"""Tables to code that runs: every row is checked once, at start, and becomes a small object.

A wrong row never waits for a message to show itself: paths are checked against FHIR R4, conditions are
parsed, names of tables and converters are resolved; each fault is told with file and line.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any

from engine.fhir import schema
from engine.hl7v2.tree import EMPTY, NULL, Leaf, Node, Segment, child, valued
from engine.mapping import convert
from engine.mapping.codes import CodeTable, Systems, compile_codes, is_v2_table, parse_fixed_coding, v2_table
from engine.mapping.convert import Converter
from engine.mapping.expressions import (
    PLACEHOLDER,
    URNS,
    Atom,
    Condition,
    ExpressionError,
    Getter,
    Ref,
    atoms_of,
    compile_condition,
    getter,
    parse_ref,
    question,
    text_of,
)
from engine.mapping.inspecting import inspected
from engine.mapping.naming import Naming, choose_patient_identifier
from engine.mapping.paths import Items, PathError, Target, compile_target
from engine.mapping.run import Instance, Run
from engine.mapping.steps import Step, step_of
from engine.mapping.templates import Template, template
from engine.mapping.tables import Faults, Line, Table, TableSet

IdPart = Callable[[Instance, Run], str]
Shape = tuple[bool, ...]

_TIMES = frozenset({"date", "dateTime", "instant", "time"})
_URIS = frozenset({"uri", "url", "canonical", "oid", "uuid"})
_WHOLE_FIELD = ("joined", "text-line", "lines", "concept-text")
"""Functions that take all components of a field into one text."""
_LINES = ("lines", "text-line", "report-time")
"""Functions that take all repetitions of a field at once."""
_LITERALS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "boolean": ("true|false", lambda text: text == "true"),
    "integer": (r"-?\d+", int),
    "positiveInt": (r"[1-9]\d*", int),
    "unsignedInt": (r"\d+", int),
    "decimal": (r"-?\d+(\.\d+)?", Decimal),
}
"""Fixed values that are no text in JSON: how they are written, and what reads them."""
MAX_SHAPES = 512
"""Shapes of a segment or component list that a table remembers; feeds send a handful, an attacker any number."""
_CORRECT_ID = "Ask the sender to send a valid one, or map the authority."
_SEPARATOR = "\x1f"
_ID_PARTS = "Use cx(), ei(), eip(), code(), text(), raw(), ref(), identifier() or fixed()."
_BEFORE = "[before]"
_LINK = re.compile(r"((?:[^=\[]|\[[^\]]*\])*)=(.*)")
_MATCH = re.compile(r"\w+\[[^\]]*=")
_REPETITIONS = re.compile(r"(.+)\[(\d+)(\+?)\]")
_REFERENCE = re.compile(r"(Reference|Known)\((.*)\)")
_CALL = re.compile(r"([A-Za-z][\w:-]*)(?:\((.*)\))?")


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


Question = Callable[[Node, Segment, Run], object]


@dataclass(slots=True, eq=False)
class Plan:
    """The rows of a segment table that have something to read in segments of one shape, and what they ask.

    Attributes:
        rules: those rows, in order.
        own: what the conditions of the rows ask of one field of the segment: the field and its questions. Their answers
            are remembered by the text of the field (:attr:`engine.mapping.memory.Memory.answers`).
        others: what they ask of more than one field, or of other segments. Each thing is asked once.
        decided: the rows whose conditions hold, by the answers.
    """

    rules: list[Rule]
    own: list[tuple[int, list[Question]]]
    others: list[Question]
    decided: dict[tuple[object, ...], list[Rule]] = field(default_factory=dict)

    @classmethod
    def of(cls, rules: list[Rule], shape: Shape) -> Plan:
        asked: dict[tuple[object, ...], list[Atom]] = {}
        for rule in rules:
            for atom in rule.atoms:
                # Of an empty field everything is known.
                if not atom.field or (atom.field < len(shape) and shape[atom.field]):
                    asked.setdefault(atom.key, []).append(atom)
        by_field: dict[int, list[Question]] = {}
        for atoms in asked.values():
            by_field.setdefault(atoms[0].field, []).append(question(atoms))
        others = by_field.pop(0, [])
        return cls(rules, list(by_field.items()), others)

    def chosen(self, segment: Segment, run: Run) -> list[Rule]:
        """The rows to run on a segment."""
        fields, context, answers = segment.fields, run.context, run.memory.answers
        said: list[object] = []
        for number, asks in self.own:
            key = (self, number, fields[number], context)
            told = answers.get(key)
            if told is None:
                told = tuple([ask(EMPTY, segment, run) for ask in asks])
                run.memory.keep_answers(key, told)
            said.append(told)
        for ask in self.others:
            said.append(ask(EMPTY, segment, run))  # noqa: PERF401 - three of four plans have none
        key_of_all = tuple(said)
        found = self.decided.get(key_of_all)
        if found is None:
            if len(self.decided) >= MAX_SHAPES:
                self.decided.clear()
            found = self.decided[key_of_all] = [
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

    def _plan(self, fields: list[str]) -> Plan:
        """The plan for segments with these fields valued; feeds send few shapes."""
        shape = tuple([text != "" for text in fields])
        found = self.shapes.get(shape)
        if found is None:
            if len(self.shapes) >= MAX_SHAPES:
                self.shapes.clear()
            count = len(fields)
            found = self.shapes[shape] = Plan.of(
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
        for rule in self._plan(segment.fields).chosen(segment, run):
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

    def fits(self, structure: str, group: str) -> bool:
        return any(fnmatchcase(structure, p) for p in self.structures) and (
            not self.groups or any(fnmatchcase(group, p) for p in self.groups)
        )


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
        targets: compiled path by resource type of the holder.
    """

    holder: str
    path: str
    source: str
    only: bool
    fixed: str
    targets: dict[str, Target]
    match: tuple[tuple[Getter, Getter], ...] = ()
    before: bool = False
    own: bool = False
    holder_match: tuple[tuple[Getter, Getter], ...] = ()

    def target(self, resource_type: str) -> Target:
        found = self.targets.get(resource_type)
        if found is None:
            found = self.targets[resource_type] = compile_target(resource_type, self.path)
        return found


class Compiler:
    """Compiles a table set. All faults are MapTableError; the first is raised, unless ``faults`` collects them."""

    def __init__(self, tables: TableSet, base: str, faults: Faults | None = None) -> None:
        self.tables = tables
        self.faults = faults or Faults()
        self.extension_base = f"{base}StructureDefinition/"
        self.systems = Systems(self._sound(tables.systems, lambda lines: Systems(lines, base)), base)
        self.naming = Naming(self._sound(tables.authorities, lambda lines: Naming(lines, base)), base)
        self.aliases = {line["name"].upper(): line["system"] for line in tables.systems}
        self.codes: dict[str, CodeTable] = {
            name: compile_codes(table, self.faults) for name, table in tables.codes.items()
        }
        self.datatypes: dict[str, DatatypeTable] = {}
        self.segments: dict[str, SegmentTable] = {}
        self.types_by_name: dict[str, str] = {}

    def compile(self) -> list[MessageRule]:
        """Compile everything, used or not, so that no fault hides."""
        for name, table in self.tables.datatypes.items():
            with self.faults.told():
                root = self._root(table)
                self.datatypes[name] = DatatypeTable(name, root, key=table.directives.get("key", ""))
        for name, compiled in self.datatypes.items():
            for line in self.tables.datatypes[name].lines:
                if line["target"] != "-":
                    with self.faults.told():
                        compiled.rules.append(self._rule(line, compiled.type, ""))
        for name, table in self.tables.segments.items():
            with self.faults.told():
                self.segments[name] = self._segment(name, table)
        for line in self.tables.messages:
            if line["resource"] != "-":
                self.types_by_name.setdefault(line["name"] or line["resource"], line["resource"])
        self._make_steps()
        rules = []
        for line in self.tables.messages:
            with self.faults.told():
                rules.append(self._message_rule(line))
        return rules

    def _make_steps(self) -> None:
        """What the rows of segments do, now that the data types that they lead to are known."""
        for table in self.segments.values():
            for rule in table.rules:
                if rule.repeatable:
                    rule.inspects = inspected(rule, self.datatypes)
                rule.step = step_of(rule)

    def _sound(self, lines: list[Line], attempt: Callable[[list[Line]], object]) -> list[Line]:
        """The rows that can be made something of; the faults of the others are told."""
        sound = []
        for line in lines:
            with self.faults.told():
                attempt([line])
                sound.append(line)
        return sound

    def _root(self, table: Table) -> str:
        root = table.directives.get("type", "")
        try:
            schema.elements(root)
        except KeyError:
            first = table.lines[0] if table.lines else Line(table.file, 1, {})
            raise first.fault(
                f"The table's type {root!r} is no FHIR R4 type",
                "Start the file with '#: type: Identifier' or the like.",
            ) from None
        return root

    def _segment(self, name: str, table: Table) -> SegmentTable:
        segment = name.split("-", 1)[0]
        root = self._root(table)
        compiled = SegmentTable(name, segment)
        if "items" in table.directives:
            first = table.lines[0] if table.lines else Line(table.file, 1, {})
            where = table.directives["items"]
            compiled.shared_items = (
                _nowhere if where == "resource" else getter(self._ref(first, where), segment)
            )
        for line in table.lines:
            with self.faults.told():
                if line["target"] == "-":
                    source = self._ref(line, line["source"])
                    compiled.ignored[source.field] = line["note"] or "the map leaves it out"
                else:
                    compiled.rules.append(self._rule(line, root, segment))
        compiled.fields = frozenset(r.field for r in compiled.rules) | frozenset(compiled.ignored)
        return compiled

    def _ref(self, line: Line, text: str) -> Any:
        try:
            return parse_ref(text)
        except ExpressionError as error:
            raise line.fault(f"The source is wrong: {error}") from None

    def _rule(self, line: Line, root: str, home: str) -> Rule:
        place, repetitions = line["source"], None
        if match := _REPETITIONS.fullmatch(place):
            place, first = match[1], int(match[2]) - 1
            repetitions = slice(first, None if match[3] else first + 1)
        source = self._ref(line, place) if place else None
        if source is not None and home and source.segment != home:
            raise line.fault(f"The source {line['source']!r} is not of segment {home}")
        try:
            when = compile_condition(line["when"], home) if line["when"] else None
            atoms = atoms_of(line["when"], home) if line["when"] and home else ()
        except ExpressionError as error:
            raise line.fault(f"The condition is wrong: {error}") from None
        try:
            target = compile_target(root, self._own_urls(line["target"]))
        except PathError as error:
            raise line.fault(f"The target is wrong: {error}") from None
        number = source.field if source else 0
        parts = source.parts if source else ()
        if line["value"]:
            fixed, placeholders = self._fixed_value(line, target, home)
            dependent = "[" in line["target"] and not placeholders
            default = not line["source"] and not target.many
            return Rule(
                line,
                number,
                parts,
                when,
                target,
                None,
                fixed,
                placeholders,
                dependent,
                default=default,
                atoms=atoms,
            )
        if source is None:
            raise line.fault("The row has neither a source nor a value")
        converter = self._converter(line, target)
        whole = line["using"].startswith(_LINES)
        if (
            home
            and not parts
            and target.type in schema.PRIMITIVES
            and not (target.type == "code" and line["codes"])
            and not line["using"].startswith(_WHOLE_FIELD)
        ):
            # A primitive takes the first component; what a sender added after it is reported as unmapped.
            parts = (1,)
        keep, coded = self._keeper(line, target, root), bool(line["codes"])
        rule = Rule(
            line, number, parts, when, target, converter, whole=whole, keep=keep, coded=coded, atoms=atoms
        )
        rule.repetitions = repetitions
        rule.repeatable = not whole and (repetitions is None or repetitions.start == 0)
        return rule

    def _keeper(self, line: Line, target: Target, root: str) -> tuple[Target, Converter] | None:
        """Times and codes that can't be told in FHIR stay beside the element as the sender wrote them."""
        path = self._own_urls(line["target"])
        if not target.steps or target.many or " from " in line["using"]:
            return None
        if len(target.steps) > 1 and target.steps[-2].url:
            # An extension without a value holds other extensions instead (ext-1).
            path = path.removesuffix(f".{target.steps[-1].name}")
        if target.type in _TIMES:
            text = _text_instead(root, path)
            if text:
                return compile_target(root, text), convert.string
            url = f"{self.extension_base}source-value"
            return compile_target(root, f"{path}.extension({url}).valueString"), convert.string
        if target.type == "code" and line["codes"]:
            concept = self.datatypes["CWE-CodeableConcept"].convert
            return compile_target(root, f"{path}.extension(alternate-codes).valueCodeableConcept"), concept
        return None

    def _own_urls(self, target: str) -> str:
        """``extension(ws:name)`` is an extension of this project, under the site's base URI."""
        return target.replace("extension(ws:", f"extension({self.extension_base}")

    def _fixed_value(
        self, line: Line, target: Target, home: str
    ) -> tuple[Any, tuple[tuple[str, Getter], ...]]:
        text = line["value"]
        names = PLACEHOLDER.findall(text)
        if names:
            try:
                return text, tuple((n, getter(parse_ref(n), home)) for n in names)
            except ExpressionError as error:
                raise line.fault(f"The value's placeholder is wrong: {error}") from None
        if target.type in _LITERALS:
            pattern, read = _LITERALS[target.type]
            if not re.fullmatch(pattern, text):
                raise line.fault(f"{text!r} is no {target.type}, which {target.text} is")
            return read(text), ()
        match target.type:
            case "Coding":
                return parse_fixed_coding(text, line, self.aliases).coding(), ()
            case "CodeableConcept":
                if text.startswith("text:"):
                    return {"text": text.removeprefix("text:")}, ()
                return {"coding": [parse_fixed_coding(text, line, self.aliases).coding()]}, ()
        if target.codes is not None and text not in target.codes:
            raise line.fault(f"FHIR R4 does not allow the code {text!r} in {target.text}")
        if target.type in {"uri", "url", "canonical"} and text.upper() in self.aliases:
            return self.aliases[text.upper()], ()
        return text, ()

    def _converter(self, line: Line, target: Target) -> Converter:
        using, _, elsewhere = line["using"].partition(" from ")
        if not using:
            if target.type not in convert.PRIMITIVES:
                raise line.fault(
                    f"{target.text} is a {target.type}: say in 'using' which table or function makes one"
                )
            found = convert.PRIMITIVES[target.type]
        else:
            found = self._named(line, using)
        if line["codes"]:
            table = self._code_table(line)
            if target.codes is not None and target.type == "code":
                self._check_codes(table, target)
            found = convert.translated(found, table, target.type)
        return _from_field(found, self._ref(line, elsewhere.strip())) if elsewhere else found

    def _check_codes(self, table: CodeTable, target: Target) -> None:
        """A code table may only give codes that FHIR allows where the code goes."""
        assert target.codes is not None
        wrong = {coded.code for coded in table.entries.values() if coded.code} - target.codes
        for line in self.tables.codes[table.name].lines if wrong and table.name in self.tables.codes else ():
            if line["to"] in wrong:
                with self.faults.told():
                    raise line.fault(f"FHIR R4 does not allow the code {line['to']!r} in {target.text}")

    def _named(self, line: Line, using: str) -> Converter:
        if reference := _REFERENCE.fullmatch(using):
            made = self._reference(line, reference[2])
            return made if reference[1] == "Reference" else _said_elsewhere(made)
        match = _CALL.fullmatch(using)
        if match is None:
            raise line.fault(f"{using!r} in 'using' can't be read")
        name, arguments = match[1], match[2]
        if name in self.datatypes:
            table = self.datatypes[name]
            return (
                _with_defaults(table.convert, self._defaults(line, arguments)) if arguments else table.convert
            )
        if name in convert.FUNCTIONS:
            return convert.FUNCTIONS[name]
        if name in convert.FACTORIES:
            places = [self._ref(line, text.strip()) for text in (arguments or "").split(";") if text.strip()]
            try:
                return convert.FACTORIES[name](*(_anywhere(ref) for ref in places))
            except TypeError:
                raise line.fault(f"{using!r} in 'using' names too few or too many places") from None
        if name.startswith("sender-system:"):
            return convert.sender_system(name.partition(":")[2])
        if name in convert.PRIMITIVES:
            return convert.PRIMITIVES[name]
        known = ", ".join(sorted([*self.datatypes, *convert.FUNCTIONS]))
        raise line.fault(f"There is no data type table or function {name!r}; there are: {known}")

    @staticmethod
    def _defaults(line: Line, arguments: str) -> dict[str, str]:
        found = {}
        for part in arguments.split(";"):
            name, sign, value = part.partition("=")
            if not sign:
                raise line.fault(f"{part!r} in 'using' is no name=value")
            found[name.strip()] = value.strip()
        return found

    def _reference(self, line: Line, name: str) -> Converter:
        if name in convert.FUNCTIONS:
            make = convert.FUNCTIONS[name]

            def from_function(node: Node, segment: Segment, run: Run) -> dict[str, Any] | None:
                reference = make(node, segment, run)
                return {"reference": reference} if reference else None

            return from_function
        table = self.datatypes.get(name)
        if table is None or not schema.is_resource(table.type):
            raise line.fault(f"Reference({name}) needs a data type table of a resource type")
        return _made_resource(table)

    def _code_table(self, line: Line) -> CodeTable:
        name = line["codes"]
        if name.startswith("v2:"):
            if not is_v2_table(name[3:]):
                raise line.fault(f"HL7 v2 has no table {name[3:]!r}")
            return v2_table(name[3:])
        if name not in self.codes:
            raise line.fault(f"There is no code table {name!r}; there are: {', '.join(sorted(self.codes))}")
        return self.codes[name]

    # -- messages ----------------------------------------------------------------------------------

    def _message_rule(self, line: Line) -> MessageRule:
        segment, resource = line["segment"], line["resource"]
        if not re.fullmatch(r"[A-Z][A-Z0-9]{2}", segment):
            raise line.fault(f"{segment!r} is no segment id")
        if resource != "-" and not schema.is_resource(resource):
            raise line.fault(f"FHIR R4 has no resource type {resource!r}")
        mode = line["mode"] or "new"
        if mode not in {"new", "add", "join", "last", "shared"}:
            raise line.fault(
                f"The mode {mode!r} is unknown",
                "Use new, add, join, last or shared; tables/README.md explains them.",
            )
        try:
            when = compile_condition(line["when"], segment) if line["when"] else None
        except ExpressionError as error:
            raise line.fault(f"The condition is wrong: {error}") from None
        table_name = line["map"] or f"{segment}-{resource}"
        table = self.segments.get(table_name)
        if table is None and resource != "-":
            raise line.fault(f"There is no segment table {table_name!r}")
        return MessageRule(
            line,
            tuple((line["structure"] or "*").split()),
            tuple(line["group"].split()),
            segment,
            when,
            resource,
            line["name"] or resource,
            mode,
            table,
            self._id_rule(line),
            self._links(line, resource),
        )

    def _id_rule(self, line: Line) -> tuple[tuple[IdPart, ...], ...]:
        text = line["id"].strip()
        if not text:
            return ()
        return tuple(
            tuple(self._id_part(line, part) for part in alternative.split())
            for alternative in text.split("|")
        )

    def _id_part(self, line: Line, text: str) -> IdPart:
        match = re.fullmatch(r"(\w+)\(([^()]*)\)", text)
        if match is None:
            raise line.fault(f"{text!r} is no part of an id rule", _ID_PARTS)
        function, argument = match[1], match[2]
        if function == "ref":
            return _id_of_other(argument)
        if function == "identifier":
            return _id_of_identifier
        if function == "fixed":
            return lambda _instance, _run: argument
        name, _, what = argument.partition(",")
        ref, kind = self._ref(line, name.strip()), what.strip()
        if function not in _NUMBER_PARTS and function != "text":
            raise line.fault(f"{function!r} is no function of id rules", _ID_PARTS)
        home = line["segment"]
        if function == "text":
            return _id_of_text(getter(ref, home))
        return _NUMBER_PARTS[function](ref.segment, ref.field, home, kind)

    def _links(self, line: Line, resource: str) -> tuple[Link, ...]:
        links = []
        for text in filter(None, (part.strip() for part in line["links"].split(";"))):
            link = self._link(line, text)
            known = resource if not link.holder else self.types_by_name.get(link.holder, "")
            if not known:
                raise line.fault(f"The link {text!r} names {link.holder!r}, which no row makes")
            if resource != "-":
                try:
                    link.target(known)
                except PathError as error:
                    raise line.fault(f"The link {text!r} is wrong: {error}") from None
            links.append(link)
        return tuple(links)

    def _link(self, line: Line, text: str) -> Link:
        cut = _LINK.match(text)
        if cut is None or not cut[1].strip() or not cut[2].strip():
            raise line.fault(f"The link {text!r} is not of the form path=Name")
        right = cut[2].strip()
        holder, holder_match, path = self._holder(line, cut[1].strip())
        fixed = right[1:-1] if right.startswith("'") else ""
        source, match = self._match(line, right.removesuffix(_BEFORE))
        return Link(
            holder.removesuffix(_BEFORE),
            self._own_urls(path),
            "" if source == "this" or fixed else source.rstrip("?!"),
            source.endswith("?"),
            fixed,
            {},
            match,
            before=_BEFORE in text,
            own=source.endswith("!"),
            holder_match=holder_match,
        )

    def _holder(self, line: Line, left: str) -> tuple[str, tuple[tuple[Getter, Getter], ...], str]:
        """``Observation[OBX-4=OBR-26.2].hasMember``: the holder's name, its match, the path."""
        if not left[:1].isupper():
            return "", (), left
        if not _MATCH.match(left):
            holder, _, path = left.partition(".")
            return holder, (), path
        end = left.index("]") + 1
        holder, match = self._match(line, left[:end])
        return holder, match, left[end + 1 :]

    def _match(self, line: Line, right: str) -> tuple[str, tuple[tuple[Getter, Getter], ...]]:
        """``Observation[OBX-4=OBR-26.2]``: the name, and what must be the same."""
        name, bracket, inside = right.partition("[")
        if not bracket:
            return right, ()
        pairs = []
        for part in inside.removesuffix("]").split():
            there, sign, here = part.partition("=")
            if not sign:
                raise line.fault(f"{part!r} is no pair of places such as OBX-4=OBR-26.2")
            pairs.append((_anywhere(self._ref(line, there)), _anywhere(self._ref(line, here))))
        return name, tuple(pairs)


def _nowhere(_node: Node, _segment: Segment, _run: Run) -> Node | None:
    return None


def _anywhere(ref: Ref) -> Getter:
    """A getter for a place in the segment at hand or, if that is another one, in the nearest of its name."""

    def fetch(node: Node, segment: Segment, run: Run) -> Node | None:
        return getter(ref, segment.id)(node, segment, run)

    return fetch


def _from_field(inner: Converter, ref: Any) -> Converter:
    """A converter that reads the first repetition of another field instead, of this or the nearest segment."""

    def convert_elsewhere(_node: Node, segment: Segment, run: Run) -> Any:
        found = segment if segment.id == ref.segment else run.nearest(segment, ref.segment)
        nodes = found.repetitions(ref.field) if found is not None else ()
        return inner(nodes[0], segment, run) if nodes else None

    return convert_elsewhere


def _with_defaults(inner: Converter, defaults: dict[str, str]) -> Converter:
    def convert_with(node: Node, segment: Segment, run: Run) -> Any:
        found = inner(node, segment, run)
        if found:
            for name, value in defaults.items():
                found.setdefault(name, value)
        return found

    return convert_with


def _made_resource(table: DatatypeTable) -> Converter:
    """A resource of its own for a data type, known by its identifier, else by its content and sender."""

    def make(node: Node, segment: Segment, run: Run) -> dict[str, Any] | None:
        mark = len(run.trail)
        found = table.convert(node, segment, run)
        if not found:
            return None
        resource = {"resourceType": table.type, **found}
        reference, whole = run.make(resource, *_business_key(resource, run.facility))
        if not whole:
            run.undo(mark)
            run.refuse(node, f"the message says something else about the same {table.type} elsewhere")
        return {"reference": reference}

    return make


def _said_elsewhere(refer: Converter) -> Converter:
    """Add what is told of a thing to its resource, which another field refers to; nothing is put in place."""

    def convert_known(node: Node, segment: Segment, run: Run) -> dict[str, Any] | None:
        return {} if refer(node, segment, run) else None

    return convert_known


def _business_key(resource: dict[str, Any], facility: str) -> tuple[str, str]:
    """What names a thing that several segments tell of: its first identifier, else its name, else its content.

    Of a name the sender is part: somebody known by name only is the same at one sender, with address or not.
    """
    first = next((i for i in resource.get("identifier") or () if i.get("value")), None)
    if first is not None:
        return first.get("system", facility), first["value"]
    if "name" in resource:
        return facility, _content(resource["name"])
    return facility, _content({k: v for k, v in resource.items() if k != "resourceType"})


def _content(value: Any) -> str:
    """A stable text of nested content."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{k}:{_content(v)}" for k, v in sorted(value.items())) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_content(v) for v in value) + "]"
    return str(value)


def _nodes(instance: Instance, run: Run, segment: str, number: int, home: str) -> tuple[Node, ...]:
    found: Segment | None = instance.segment if segment == home else run.nearest(instance.segment, segment)
    return found.repetitions(number) if found is not None else ()


def _id_of_other(name: str) -> IdPart:
    def part(instance: Instance, run: Run) -> str:
        other = run.find(name, instance.group, instance.order)
        return run.id_of(other) if other is not None and other is not instance else ""

    return part


def _id_of_identifier(instance: Instance, run: Run) -> str:
    return _SEPARATOR.join(_business_key(instance.resource, run.facility))


def _id_of_cx(segment: str, number: int, home: str, what: str) -> IdPart:
    def part(instance: Instance, run: Run) -> str:
        node = choose_patient_identifier(_nodes(instance, run, segment, number, home))
        found = run.naming.cx(node, run.facility, what) if node is not None else None
        return _SEPARATOR.join(found) if found else ""

    return part


def _id_of_ei(segment: str, number: int, home: str, what: str) -> IdPart:
    def part(instance: Instance, run: Run) -> str:
        nodes = _nodes(instance, run, segment, number, home)
        found = run.naming.ei(nodes[0], run.facility, what or "id") if nodes else None
        return _SEPARATOR.join(found) if found else ""

    return part


def _id_of_eip(segment: str, number: int, home: str, what: str) -> IdPart:
    def part(instance: Instance, run: Run) -> str:
        for node in _nodes(instance, run, segment, number, home)[:1]:
            for n in (2, 1):  # the filler's number names the specimen; the placer's stands in
                found = run.naming.ei(child(node, n), run.facility, what or "id")
                if found:
                    return _SEPARATOR.join(found)
        return ""

    return part


def _id_of_code(segment: str, number: int, home: str, _what: str) -> IdPart:
    def part(instance: Instance, run: Run) -> str:
        source: Segment | None = (
            instance.segment if segment == home else run.nearest(instance.segment, segment)
        )
        if source is None:
            return ""
        for code, system in ((1, 3), (4, 6)):
            if text := _told(source, number, code):
                return f"{text}{_SEPARATOR}{_told(source, number, system)}"
        return _told(source, number, 2)

    return part


def _told(segment: Segment, number: int, component: int) -> str:
    text = segment.text(number, component)
    return "" if text == NULL else text


def _id_of_text(get: Getter) -> IdPart:
    def part(instance: Instance, run: Run) -> str:
        return text_of(get(EMPTY, instance.segment, run)) or "-"

    return part


def _id_of_raw(segment: str, number: int, home: str, _what: str) -> IdPart:
    def part(instance: Instance, run: Run) -> str:
        found: Segment | None = (
            instance.segment if segment == home else run.nearest(instance.segment, segment)
        )
        fields = found.fields if found is not None else []
        return fields[number] if number < len(fields) else ""

    return part


_NUMBER_PARTS: dict[str, Callable[[str, int, str, str], IdPart]] = {
    "cx": _id_of_cx,
    "ei": _id_of_ei,
    "eip": _id_of_eip,
    "code": _id_of_code,
    "raw": _id_of_raw,
}
"""Functions of id rules that read a field: of which segment, its number, the row's own segment, what it numbers."""

__all__ = ["Compiler", "DatatypeTable", "Link", "MessageRule", "Rule", "SegmentTable"]


def _text_instead(root: str, path: str) -> str:
    """The text of a choice that R4 demands: a time that is none must not leave it without a value. "" if there is none."""
    for choice in schema.choices(root):
        text = f"{choice.name}String"
        if choice.min and path in choice.options and text in choice.options:
            return text
    return ""
