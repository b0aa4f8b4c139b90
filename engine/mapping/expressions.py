"""The condition language of the mapping tables.

::

    condition = and-part { "or" and-part }
    and-part  = not-part { "and" not-part }
    not-part  = [ "not" ] ( "(" condition ")" | test )
    test      = ref "valued" | ref "not" "valued"
              | ref ( "=" | "!=" ) ( 'text' | ref )
              | ref [ "not" ] "in" "(" 'text' { "," 'text' } ")"
              | ref "~" 'regular expression'           (searched, not anchored)
              | ref "is" ( "number" | "range" | "ucum" | "unit" )   a number, with comparator or not; ``3.5 - 5``; a unit
              | "count(" ref ")" ( "=" | ">" | "<" ) number   repetitions of a field
              | "after" ( SEG | "(" SEG { "," SEG } ")" )   this note, role or restriction is about a SEG: the
                                  last segment before it that is no NTE, ROL, PRT or ARV
              | "again"           a segment of this one's id stands before it in the message
              | "same" "(" SEG-field "," SEG-field ")"      both name the same patient (the rule of their ids)
              | "has" ( SEG | GROUP )   there is one in this order (the group that repeats, with all below it), or
                                  in the groups around it
              | "continues"       this OBX goes on with the text of the one before it
    ref       = SEG-field[.component[.subcomponent]]   in segment tables: PID-3.4, MSH-9.2
              | TYPE.component[.subcomponent]           in data type tables: CX.4.2

A reference to another segment means the nearest one: of the same group, else of the groups around it.
The explicit null is not a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple

from engine.hl7v2.tree import EMPTY, NULL, Leaf, Node, Segment, child, first_leaf, leaves, valued
from engine.mapping.kinds import KINDS

if TYPE_CHECKING:
    from engine.mapping.run import Run

Condition = Callable[[Node, Segment, "Run"], bool]
Getter = Callable[[Node, Segment, "Run"], Node | None]

PLACEHOLDER = re.compile(r"\{([^{}]+)\}")
"""A place in the text of a ``value`` column, such as ``{HD.2}``."""
URNS = ("urn:oid:", "urn:uuid:")
"""What a value may begin with that is checked to be what it says."""
_TOKEN = re.compile(
    r"\s*(?:(?P<text>'[^']*')|(?P<number>\d+(?![\w.-]))"
    r"|(?P<ref>[A-Z][A-Z0-9]{2}-\d+(?:\.\d+){0,2}|[A-Z]{2,3}\.\d+(?:\.\d+)?)"
    r"|(?P<word>[A-Za-z][A-Za-z0-9_]*)|(?P<sign>!=|[=()<>,~]))"
)


class Ref(NamedTuple):
    """A place in the source. ``segment`` is "" when the reference is to a part of a data type."""

    segment: str
    field: int
    parts: tuple[int, ...]


class ExpressionError(ValueError):
    """The condition can't be read; the text says where and what was expected."""


def parse_ref(text: str) -> Ref:
    """``PID-3.4.2``, ``CX.4`` or a bare ``4.2`` (a part of the data type at hand)."""
    if match := re.fullmatch(r"([A-Z][A-Z0-9]{2})-(\d+)((?:\.\d+){0,2})", text):
        return Ref(match[1], int(match[2]), tuple(int(p) for p in match[3].split(".")[1:]))
    if re.fullmatch(r"[A-Z]{2,3}", text):
        return Ref("", 0, ())  # the whole of the data type
    if match := re.fullmatch(r"(?:[A-Z]{2,3}\.)?(\d+)((?:\.\d+){0,2})", text):
        parts = (int(match[1]), *(int(p) for p in match[2].split(".")[1:]))
        return Ref("", 0, parts)
    raise ExpressionError(f"{text!r} is no reference such as PID-3.4 or CX.4")


def getter(ref: Ref, home: str) -> Getter:
    """A function that fetches what a reference names; ``home`` is the segment of the table, "" for a data type."""
    if ref.segment:
        return _own_field(ref) if ref.segment == home else _field_elsewhere(ref)
    if len(ref.parts) == 1:
        return partial(_part, ref.parts[0] - 1)
    return lambda node, _segment, _run: _down(node, ref.parts)


def _own_field(ref: Ref) -> Getter:
    def own(_node: Node, segment: Segment, _run: Run) -> Node | None:
        nodes = segment.repetitions(ref.field)
        return _down(nodes[0], ref.parts) if nodes else None

    return own


def _field_elsewhere(ref: Ref) -> Getter:
    def elsewhere(_node: Node, segment: Segment, run: Run) -> Node | None:
        source = run.nearest(segment, ref.segment)
        nodes = source.repetitions(ref.field) if source is not None else ()
        return _down(nodes[0], ref.parts) if nodes else None

    return elsewhere


def _down(node: Node, parts: tuple[int, ...]) -> Node:
    for number in parts:
        node = child(node, number)
    return node


def text_of(node: Node | None) -> str:
    """Text of a place; "" when absent or explicitly null."""
    if node is None:
        return ""
    text = node.text if node.__class__ is Leaf else first_leaf(node).text
    return "" if text == NULL else text


class Atom(NamedTuple):
    """What a condition asks of a segment: one place's text, or one test.

    Attributes:
        key: the same for the same question.
        field: the field of the segment at hand on which alone the answer depends; 0 if it depends on more.
        values: the texts that are asked for; a text that is none of them makes no difference. None for a test.
        ask: the answer: the text, or whether the test holds.
    """

    key: tuple[object, ...]
    field: int
    values: frozenset[str] | None
    ask: Callable[[Node, Segment, Run], object]


@cache
def atoms_of(source: str, home: str) -> tuple[Atom, ...]:
    """All that a condition asks: where the answers are the same, so is what the condition says.

    Raises:
        ExpressionError: as :func:`compile_condition`.
    """
    parser = _Parser(source, home)
    parser.either()
    return tuple(parser.atoms)


def question(atoms: Sequence[Atom]) -> Callable[[Node, Segment, Run], object]:
    """One function for atoms of one key: the text of a place if any of them asks for it."""
    values = atoms[0].values
    if values is None:
        return atoms[0].ask
    wanted = values.union(*(atom.values or () for atom in atoms))
    ref, home = atoms[0].key
    assert isinstance(ref, Ref)
    get, number = getter(ref, str(home)), ref.field
    # Letters and digits are no delimiters: such a text is its field's only value, which needs no tree to be read.
    first = ref.segment == home and ref.parts in {(), (1,), (1, 1)}
    plain = frozenset(v for v in wanted if v.isalnum() and first)

    def ask(node: Node, segment: Segment, run: Run) -> object:
        fields = segment.fields
        if plain and number < len(fields) and fields[number] in plain:
            return fields[number]
        text = text_of(get(node, segment, run))
        return text if text in wanted else None

    return ask


@cache
def asked_of(source: str) -> tuple[tuple[int, ...] | None, ...]:
    """What a condition of a data type table asks more of than whether it holds anything: parts of the type.

    None stands for what is no part of it: another segment, or where the segment stands.
    """
    parser = _Parser(source, "")
    parser.either()
    return tuple(parser.asked)


@cache
def compile_condition(source: str, home: str) -> Condition:
    """Compile a condition; the same text gives the same function, which a table asks once a segment.

    Raises:
        ExpressionError: it can't be read; the text says where and what was expected.
    """
    parser = _Parser(source, home)
    condition = parser.either()
    if parser.peek() is not None:
        raise ExpressionError(f"{parser.peek()!r} was not expected after a whole condition")
    return condition


class _Parser:
    def __init__(self, source: str, home: str) -> None:
        self.home = home
        self.atoms: list[Atom] = []
        self.asked: list[tuple[int, ...] | None] = []
        """Parts of a data type that are looked at; see :func:`asked_of`."""
        self.tokens: list[tuple[str, str]] = []
        position = 0
        while position < len(source.rstrip()):
            match = _TOKEN.match(source, position)
            if match is None:
                raise ExpressionError(f"{source[position:].strip()!r} can't be read")
            kind = match.lastgroup
            assert kind is not None
            self.tokens.append((kind, match[kind]))
            position = match.end()
        self.at = 0

    def peek(self) -> str | None:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else None

    def take(self, kind: str = "", value: str = "") -> str:
        if self.at >= len(self.tokens):
            raise ExpressionError(f"the condition ends where {value or kind!r} was expected")
        found_kind, found = self.tokens[self.at]
        if (kind and found_kind != kind) or (value and found != value):
            raise ExpressionError(f"{found!r} stands where {value or kind!r} was expected")
        self.at += 1
        return found

    def either(self) -> Condition:
        parts = [self.both()]
        while self.peek() == "or":
            self.take()
            parts.append(self.both())
        return _joined(parts, _either)

    def both(self) -> Condition:
        parts = [self.single()]
        while self.peek() == "and":
            self.take()
            parts.append(self.single())
        return _joined(parts, _both)

    def single(self) -> Condition:
        if self.peek() == "not":
            self.take()
            inner = self.single()
            return lambda node, segment, run: not inner(node, segment, run)
        if self.peek() == "(":
            self.take()
            inner = self.either()
            self.take("sign", ")")
            return inner
        start, before = self.at, len(self.atoms)
        test = self.test()
        if len(self.atoms) == before:
            tokens = self.tokens[start : self.at]
            refs = [parse_ref(text) for kind, text in tokens if kind == "ref"]
            own = len(refs) == 1 and refs[0].segment == self.home
            self.atoms.append(Atom(tuple(tokens), refs[0].field if own else 0, None, test))
        return test

    def ask_text(self, ref: Ref, values: Iterable[str]) -> None:
        """The test that is read depends on one text alone."""
        field = ref.field if ref.segment == self.home else 0
        self.atoms.append(Atom((ref, self.home), field, frozenset(values), _nothing_asked))

    def test(self) -> Condition:
        word = self.peek()
        if word in {"after", "again", "has", "same", "continues"}:
            self.asked.append(None)
            return self.place(self.take())
        if word == "count":
            self.asked.append(None)
            return self.count()
        ref = parse_ref(self.take("ref"))
        get = getter(ref, self.home)
        operator = self.take()
        if ref.segment or "valued" not in {operator, self.peek()}:
            self.asked.append(None if ref.segment else ref.parts)
        if operator == "not":
            start = self.at
            word = self.take()
            inner = self.membership(ref, get, word)
            if word == "valued":  # the same question without the not
                key = (("ref", self.tokens[start - 2][1]), self.tokens[start])
                self.atoms.append(Atom(key, ref.field if ref.segment == self.home else 0, None, inner))
            return lambda node, segment, run: not inner(node, segment, run)
        if operator in {"valued", "in"}:
            return self.membership(ref, get, operator)
        if operator == "is":
            return self.kind(get)
        return self.comparison(ref, get, operator)

    def place(self, word: str) -> Condition:
        """Where the segment stands among the others."""
        if word == "continues":
            return lambda _node, segment, run: run.continues(segment)
        if word == "again":
            return lambda _node, segment, run: run.again(segment)
        if word == "same":
            return self.same()
        if word == "after":
            names = self.names()
            return lambda _node, segment, run: run.anchor(segment) in names
        name = self.take("word")
        return lambda _node, segment, run: run.has(segment, name)

    def names(self) -> frozenset[str]:
        """One segment id, or several in parentheses."""
        if self.peek() != "(":
            return frozenset({self.take("word")})
        self.take()
        found = [self.take("word")]
        while self.peek() == ",":
            self.take()
            found.append(self.take("word"))
        self.take("sign", ")")
        return frozenset(found)

    def same(self) -> Condition:
        self.take("sign", "(")
        one = parse_ref(self.take("ref"))
        self.take("sign", ",")
        other = parse_ref(self.take("ref"))
        self.take("sign", ")")
        home = self.home

        def told_alike(_node: Node, segment: Segment, run: Run) -> bool:
            found: list[tuple[Node, ...]] = []
            for ref in (one, other):
                source: Segment | None = segment if ref.segment == home else run.nearest(segment, ref.segment)
                found.append(source.repetitions(ref.field) if source is not None else ())
            return run.same_number(*found)

        return told_alike

    def membership(self, ref: Ref, get: Getter, word: str) -> Condition:
        if word == "valued":
            whole_field = self.home and ref.segment == self.home and not ref.parts
            return _valued_field(ref.field) if whole_field else _valued(get)
        if word == "in":
            values = self.values()
            self.ask_text(ref, values)
            return lambda node, segment, run: text_of(get(node, segment, run)) in values
        raise ExpressionError(f"{word!r} stands where 'valued' or 'in' was expected")

    def kind(self, get: Getter) -> Condition:
        word = self.take("word")
        if word not in KINDS:
            raise ExpressionError(f"{word!r} stands where one of {', '.join(KINDS)} was expected")
        is_kind = KINDS[word]
        if word not in {"number", "range"}:
            return lambda node, segment, run: is_kind(text_of(get(node, segment, run)).strip())

        def is_one(node: Node, segment: Segment, run: Run) -> bool:
            # 13^5 is no 13: what stands behind a component separator may be a part of the number.
            found = get(node, segment, run)
            if not is_kind(text_of(found).strip()):
                return False
            return found.__class__ is Leaf or sum(leaf.text != "" for leaf in leaves(found or EMPTY)) == 1

        return is_one

    def comparison(self, ref: Ref, get: Getter, operator: str) -> Condition:
        if operator not in {"=", "!=", "~"}:
            raise ExpressionError(
                f"{operator!r} stands where 'valued', 'is', 'in', '=', '!=' or '~' was expected"
            )
        if operator != "~" and self.at < len(self.tokens) and self.tokens[self.at][0] == "ref":
            beside, same = parse_ref(self.take("ref")), operator == "="
            self.asked.append(None if beside.segment else beside.parts)
            other = getter(beside, self.home)
            return lambda node, segment, run: (
                (text_of(get(node, segment, run)) == text_of(other(node, segment, run))) is same
            )
        value = self.take("text")[1:-1]
        if operator != "~":
            self.ask_text(ref, [value])
        if operator == "=":
            return lambda node, segment, run: text_of(get(node, segment, run)) == value
        if operator == "!=":
            return lambda node, segment, run: text_of(get(node, segment, run)) != value
        try:
            pattern = re.compile(value)
        except re.error as error:
            raise ExpressionError(f"{value!r} is no regular expression: {error}") from None
        return lambda node, segment, run: bool(pattern.search(text_of(get(node, segment, run))))

    def count(self) -> Condition:
        self.take()
        self.take("sign", "(")
        ref = parse_ref(self.take("ref"))
        self.take("sign", ")")
        operator = self.take("sign")
        limit = int(self.take("number"))
        if operator not in {"=", "<", ">"}:
            raise ExpressionError(f"{operator!r} stands where '=', '<' or '>' was expected")
        home = self.home

        def counted(_node: Node, segment: Segment, run: Run) -> bool:
            source: Segment | None = segment if ref.segment == home else run.nearest(segment, ref.segment)
            n = source.count(ref.field) if source is not None else 0
            return n == limit if operator == "=" else (n < limit if operator == "<" else n > limit)

        return counted

    def values(self) -> frozenset[str]:
        self.take("sign", "(")
        found = [self.take("text")[1:-1]]
        while self.peek() == ",":
            self.take()
            found.append(self.take("text")[1:-1])
        self.take("sign", ")")
        return frozenset(found)


def _part(index: int, node: Node, _segment: Segment, _run: Run) -> Node:
    """As :func:`engine.hl7v2.tree.child`: the commonest place of all, without a call below it."""
    if node.__class__ is Leaf:
        return EMPTY if index else node
    assert isinstance(node, tuple)
    return node[index] if index < len(node) else EMPTY


def _joined(parts: list[Condition], join: Callable[[Condition, Condition], Condition]) -> Condition:
    """The parts joined two by two, the last two first: no loop while a message is mapped."""
    joint = parts[-1]
    for part in reversed(parts[:-1]):
        joint = join(part, joint)
    return joint


def _either(first: Condition, second: Condition) -> Condition:
    return lambda node, segment, run: first(node, segment, run) or second(node, segment, run)


def _both(first: Condition, second: Condition) -> Condition:
    return lambda node, segment, run: first(node, segment, run) and second(node, segment, run)


def _nothing_asked(_node: Node, _segment: Segment, _run: Run) -> object:
    return None


def _valued_field(number: int) -> Condition:
    """Whether the first repetition of a field of the segment at hand holds a value."""

    def test(_node: Node, segment: Segment, _run: Run) -> bool:
        fields = segment.fields
        raw = fields[number] if number < len(fields) else ""
        if not raw or raw[0].isalnum():
            return raw != ""  # what begins with a letter or digit has a value before any delimiter
        nodes = segment.repetitions(number)
        return bool(nodes) and valued(nodes[0])

    return test


def _valued(get: Getter) -> Condition:
    def test(node: Node, segment: Segment, run: Run) -> bool:
        found = get(node, segment, run)
        return found is not None and valued(found)

    return test
