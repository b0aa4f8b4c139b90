"""Tables to code that runs: every row is checked once, at start, and becomes a small object.

A wrong row never waits for a message to show itself: paths are checked against FHIR R4, conditions are
parsed, names of tables and converters are resolved; each fault is told with file and line.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from engine.fhir import schema
from engine.hl7v2.tree import Node, Segment
from engine.mapping import convert, identity
from engine.mapping.codes import CodeTable, Systems, compile_codes, is_v2_table, parse_fixed_coding, v2_table
from engine.mapping.convert import Converter
from engine.mapping.expressions import (
    PLACEHOLDER,
    ExpressionError,
    Getter,
    Ref,
    atoms_of,
    compile_condition,
    getter,
    parse_ref,
)
from engine.mapping.identity import IdPart
from engine.mapping.inspecting import inspected
from engine.mapping.naming import Naming
from engine.mapping.paths import PathError, Target, compile_target
from engine.mapping.rules import DatatypeTable, Link, MessageRule, Rule, SegmentTable
from engine.mapping.run import Run
from engine.mapping.steps import step_of
from engine.mapping.tables import Faults, Line, Table, TableSet

_TIMES = frozenset({"date", "dateTime", "instant", "time"})
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
_ID_PARTS = "Use cx(), ei(), eip(), code(), text(), raw(), ref(), identifier() or fixed()."
_BEFORE = "[before]"
_LINK = re.compile(r"((?:[^=\[]|\[[^\]]*\])*)=(.*)")
_MATCH = re.compile(r"\w+\[[^\]]*=")
_REPETITIONS = re.compile(r"(.+)\[(\d+)(\+?)\]")
_REFERENCE = re.compile(r"(Reference|Known)\((.*)\)")
_CALL = re.compile(r"([A-Za-z][\w:-]*)(?:\((.*)\))?")


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
            atoms_of(line["when"], segment) if line["when"] else (),
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
            return identity.of_other(argument)
        if function == "identifier":
            return identity.of_identifier
        if function == "fixed":
            return lambda _instance, _run: argument
        name, _, what = argument.partition(",")
        ref, kind = self._ref(line, name.strip()), what.strip()
        if function not in identity.NUMBER_PARTS and function != "text":
            raise line.fault(f"{function!r} is no function of id rules", _ID_PARTS)
        home = line["segment"]
        if function == "text":
            return identity.of_text(getter(ref, home))
        return identity.NUMBER_PARTS[function](ref.segment, ref.field, home, kind)

    def _links(self, line: Line, resource: str) -> tuple[Link, ...]:
        links = []
        for text in filter(None, (part.strip() for part in line["links"].split(";"))):
            link = self._link(line, text)
            known = resource if not link.holder else self.types_by_name.get(link.holder, "")
            if not known:
                raise line.fault(f"The link {text!r} names {link.holder!r}, which no row makes")
            if resource != "-":
                try:
                    link.place(known)
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
        reference, whole = run.make(resource, *identity.business_key(resource, run.facility))
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


def _text_instead(root: str, path: str) -> str:
    """The text of a choice that R4 demands: a time that is none must not leave it without a value. "" if there is none."""
    for choice in schema.choices(root):
        text = f"{choice.name}String"
        if choice.min and path in choice.options and text in choice.options:
            return text
    return ""
