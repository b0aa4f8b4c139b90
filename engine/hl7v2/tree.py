"""The navigable tree of one HL7 v2 message.

A message holds segments, a segment fields, a field repetitions. A repetition is a *node*: a
:class:`Leaf` when it has no components, else a tuple of component nodes; a component node is a leaf or a
tuple of leaves, its subcomponents (HL7 v2.5.1 §2.5). Fields are split when first asked for, so that
keying and routing at the edge touch no more than MSH and PID.

Locations are written ``SEG[n]-f[r].c.s``: the n-th segment of that id (from 1), field, repetition,
component, subcomponent; parts are left out from the right when the whole is meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from engine.errors import ReadError
from engine.hl7v2.delimiters import HEADERS, Delimiters
from engine.hl7v2.escapes import unescape
from engine.records import Issue

NULL = '""'
"""The explicit null: "delete what you hold", unlike an empty field (HL7 v2.5.1 §2.5.3)."""


class Leaf:
    """A value without parts, escapes decoded. ``used`` counts the places it was put into."""

    __slots__ = ("text", "used")

    def __init__(self, text: str) -> None:
        self.text = text
        self.used = 0

    def __repr__(self) -> str:
        return f"Leaf({self.text!r})"


EMPTY = Leaf("")
"""Stands for every empty part; being empty it can be shared."""

Node = Leaf | tuple["Node", ...]

Value = tuple[int, int, int, int, str]
"""A value and where it stands in its segment: (field, repetition, component, subcomponent, text)."""


def child(node: Node, number: int) -> Node:
    """Part ``number`` (from 1) of a node. A leaf is its own first part (HL7 v2.5.1 §2.5.2: data types grow)."""
    if node.__class__ is Leaf:
        return node if number == 1 else EMPTY
    assert isinstance(node, tuple)
    return node[number - 1] if number <= len(node) else EMPTY


def first_leaf(node: Node) -> Leaf:
    """The leaf one reaches by always taking the first part."""
    while isinstance(node, tuple):
        node = node[0]
    return node


def valued(node: Node) -> bool:
    """Whether any leaf below holds a value; the explicit null is not one."""
    if node.__class__ is Leaf:
        return bool(node.text) and node.text != NULL
    assert isinstance(node, tuple)
    for part in node:  # noqa: SIM110 - hot: a generator for any() costs more than the parts
        if valued(part):
            return True
    return False


def leaves(node: Node) -> Iterator[Leaf]:
    """All leaves below, in order, empty ones too."""
    if isinstance(node, tuple):
        for part in node:
            yield from leaves(part)
    else:
        yield node


class Segment:
    """One segment. ``raw`` is its text without terminator; ``occurrence`` counts its id from 1.

    What was asked for by :meth:`repetitions` stays in memory, so that a leaf is one object; a walk of all values
    leaves nothing behind, or a large message of short values would take twenty times its size.
    """

    __slots__ = ("_fields", "_marks", "_nodes", "_shape", "delimiters", "id", "occurrence", "raw")

    def __init__(
        self, raw: str, delimiters: Delimiters, occurrence: int = 1, segment_id: str | None = None
    ) -> None:
        self.raw = raw
        self.id = raw[:3] if segment_id is None else segment_id
        self.delimiters = delimiters
        self.occurrence = occurrence
        self._fields: list[str] | None = None
        self._shape: tuple[bool, ...] | None = None
        self._nodes: dict[int, tuple[Node, ...]] | None = None
        self._marks: dict[int, tuple[int, ...]] | None = None

    def __repr__(self) -> str:
        return f"<Segment {self.location}>"

    @property
    def location(self) -> str:
        """Where it stands, as issues say it: ``OBX[2]``."""
        return f"{self.id}[{self.occurrence}]"

    @property
    def fields(self) -> list[str]:
        """Raw field texts; index 1 is field 1. Index 0 is the segment id. They are split when first asked for."""
        fields = self._fields
        if fields is None:
            fields = self._fields = self._split()
        return fields

    @fields.setter
    def fields(self, fields: list[str]) -> None:
        self._fields, self._shape = fields, None

    @property
    def shape(self) -> tuple[bool, ...]:
        """Which of the fields hold anything, by number."""
        shape = self._shape
        if shape is None:
            shape = self._shape = tuple([text != "" for text in self.fields])
        return shape

    @property
    def is_split(self) -> bool:
        """Whether the fields have been asked for."""
        return self._fields is not None

    def _split(self) -> list[str]:
        fields = self.raw.split(self.delimiters.field)
        if self.id in HEADERS:
            fields.insert(1, self.delimiters.field)
        return fields

    def repetitions(self, number: int) -> tuple[Node, ...]:
        """Field ``number`` as its repetitions; () when the field is absent or empty."""
        fields = self.fields
        if number >= len(fields) or not fields[number]:
            return ()
        kept = self._nodes
        if kept is None:
            kept = self._nodes = {}
        nodes = kept.get(number)
        if nodes is None:
            nodes = kept[number] = self._parsed(fields[number], number)
        return nodes

    def count(self, number: int) -> int:
        """How many repetitions a field has."""
        fields = self.fields
        raw = fields[number] if number < len(fields) else ""
        mark = self.delimiters.repetition
        if not raw or not mark or (number <= 2 and self.id in HEADERS):
            return 1 if raw else 0
        return raw.count(mark) + 1

    def _parsed(self, raw: str, number: int) -> tuple[Node, ...]:
        if number <= 2 and self.id in HEADERS:
            return (Leaf(raw),)
        nodes = parse_field(raw, self.delimiters)
        if self._marks is not None:
            for used in self._marks.get(number, ())[1:]:
                _use(nodes, used)
        return nodes

    def mark(self, number: int, used: int, count: int) -> None:
        """Note which leaves of a field were used, without making them.

        Args:
            number: of the field.
            used: the leaves used now, a bit each, in the order of those that are not empty.
            count: how many there are.
        """
        if self._nodes is not None and number in self._nodes:
            _use(self._nodes[number], used)
        elif self._marks is None:
            self._marks = {number: (count, used)}
        elif number in self._marks:
            self._marks[number] += (used,)
        else:
            self._marks[number] = (count, used)

    def unsettled(self) -> tuple[int, list[int]]:
        """The number of leaves in fields that :meth:`mark` told of wholly, and the other fields with text in them."""
        count, others, marks = 0, [], self._marks or {}
        start = 3 if self.id in HEADERS else 1
        for number, text in enumerate(self.fields):
            if not text or number < start:
                continue
            told = marks.get(number)
            if told is not None and _together(told) == (1 << told[0]) - 1:
                count += told[0]
            else:
                others.append(number)
        return count, others

    def is_parsed(self, number: int) -> bool:
        """Whether :meth:`repetitions` was asked for a field, so that its leaves tell what was used of them."""
        return self._nodes is not None and number in self._nodes

    def marked_leaves(self, number: int, used: int) -> list[Leaf]:
        """The leaves of a field that a mark told of. From now on each tells for itself whether it is used."""
        valued_leaves = [leaf for leaf in leaves(self.repetitions(number)) if leaf is not EMPTY]
        if self._marks is not None:
            self._marks.pop(number, None)
        return [leaf for place, leaf in enumerate(valued_leaves) if used >> place & 1]

    def text(self, number: int, component: int = 1, subcomponent: int = 1, repetition: int = 1) -> str:
        """One value as text; "" when absent. The explicit null comes back as ``""`` in quotes."""
        fields = self.fields
        raw = fields[number] if number < len(fields) else ""
        if raw.isalnum():  # no delimiter is a letter or digit
            return raw if component == subcomponent == repetition == 1 else ""
        d = self.delimiters
        if not raw or (number <= 2 and self.id in HEADERS):
            return raw if component == subcomponent == repetition == 1 else ""
        for mark, part in (
            (d.repetition, repetition),
            (d.component, component),
            (d.subcomponent, subcomponent),
        ):
            if mark and mark in raw:
                parts = raw.split(mark, part)
                raw = parts[part - 1] if part <= len(parts) else ""
            elif part > 1:
                return ""
        return unescape(raw, d) if d.escape and d.escape in raw else raw

    def values(self) -> Iterator[Value]:  # noqa: C901 - the hot loop: one pass without calls
        """Every non-empty value with its place, in order, without keeping any of the tree in memory.

        This is the way to read all of a large message: it splits as it goes and caches nothing.
        """
        delimiters = self.delimiters
        separator, component, repetition, escape, subcomponent, _ = delimiters
        text = self.raw
        fields = text.split(separator)
        number = 0
        if self.id in HEADERS:
            number = 2
            text = separator.join(fields[2:])
            del fields[:1]
        del fields[0]
        # What is nowhere in the segment needs no looking for in each of its fields.
        repeated = repetition != "" and repetition in text
        composed = component != "" and component in text
        divided = subcomponent != "" and subcomponent in text
        escaped = escape != "" and escape in text
        for field in fields:
            number += 1
            if not field:
                continue
            r = 0
            for part in field.split(repetition) if repeated else (field,):
                r += 1
                if not (composed and component in part) and not divided:
                    if part and (found := unescape(part, delimiters) if escaped else part):
                        yield number, r, 1, 1, found
                    continue
                c = 0
                for piece in part.split(component) if composed else (part,):
                    c += 1
                    if not piece:
                        continue
                    if divided and subcomponent in piece:
                        for u, raw in enumerate(piece.split(subcomponent), 1):
                            if raw and (found := unescape(raw, delimiters) if escaped else raw):
                                yield number, r, c, u, found
                    elif found := unescape(piece, delimiters) if escaped else piece:
                        yield number, r, c, 1, found

    def located_leaves(self) -> Iterator[tuple[str, Leaf]]:
        """(location, leaf) of every non-empty leaf, explicit nulls too, in order."""
        fields = self.fields if self.is_split else self._split()
        for number in range(3 if self.id in HEADERS else 1, len(fields)):
            if fields[number]:
                nodes = (self._nodes or {}).get(number)
                yield from self._located(
                    number, self._parsed(fields[number], number) if nodes is None else nodes
                )

    def valued_fields(self) -> list[int]:
        """Numbers of the fields with text in them; the delimiters of a header are none."""
        start = 3 if self.id in HEADERS else 1
        return [number for number, text in enumerate(self.fields) if text and number >= start]

    def field_leaves(self, number: int) -> Iterator[tuple[str, Leaf]]:
        """(location, leaf) of every non-empty leaf of one field, which stay in memory."""
        yield from self._located(number, self.repetitions(number))

    def kept_leaves(self) -> Iterator[tuple[str, Leaf]]:
        """(location, leaf) of what :meth:`repetitions` was asked for."""
        for number, nodes in (self._nodes or {}).items():
            yield from self._located(number, nodes)

    def _located(self, number: int, nodes: tuple[Node, ...]) -> Iterator[tuple[str, Leaf]]:
        base = f"{self.location}-{number}"
        several = len(nodes) > 1
        for r, node in enumerate(nodes, 1):
            if isinstance(node, Leaf):
                if node.text:
                    yield (f"{base}[{r}]" if several else base), node
                continue
            for c, component in enumerate(node, 1):
                if isinstance(component, Leaf):
                    if component.text:
                        yield f"{base}[{r}].{c}", component
                    continue
                for s, leaf in enumerate(component, 1):
                    if isinstance(leaf, Leaf) and leaf.text:
                        yield f"{base}[{r}].{c}.{s}", leaf


def _together(marks: tuple[int, ...]) -> int:
    """The leaves that any mark of a field told of."""
    used = marks[1]
    for mark in marks[2:]:
        used |= mark
    return used


def _use(nodes: tuple[Node, ...], used: int) -> None:
    """Mark the leaves of a field whose bits are set, in the order of those that are not empty."""
    for node in nodes:
        used = _use_of(node, used)


def _use_of(node: Node, used: int) -> int:
    """As :func:`_use`, of one node; returns the bits of what comes behind it."""
    if isinstance(node, tuple):
        for part in node:
            used = _use_of(part, used)
        return used
    if node is EMPTY:
        return used
    node.used += used & 1
    return used >> 1


def parse_field(raw: str, delimiters: Delimiters) -> tuple[Node, ...]:
    """Split one field into repetitions, components and subcomponents, then decode escapes."""
    _, component, repetition, escape, subcomponent, _ = delimiters
    escaping = delimiters if escape and escape in raw else None
    if repetition and repetition in raw:
        return tuple([_node(part, component, subcomponent, escaping) for part in raw.split(repetition)])
    return (_node(raw, component, subcomponent, escaping),)


def _node(raw: str, mark: str, inner: str, escaping: Delimiters | None) -> Node:
    """A repetition, or with ``inner`` empty a component. Lists are made first: a tuple then has the right room at once."""
    if mark and mark in raw:
        if inner and inner in raw:
            return tuple([_node(part, inner, "", escaping) for part in raw.split(mark)])
        if escaping is not None:
            return tuple([Leaf(unescape(part, escaping)) if part else EMPTY for part in raw.split(mark)])
        return tuple([Leaf(part) if part else EMPTY for part in raw.split(mark)])
    if inner and inner in raw:
        return (_node(raw, inner, "", escaping),)
    if not raw:
        return EMPTY
    return Leaf(raw if escaping is None else unescape(raw, escaping))


class Message:
    """One message.

    Attributes:
        segments: in the order received.
        delimiters: of MSH-1 and MSH-2.
        charset: what the bytes were decoded with, "" when the message was made from text.
        issues: what the reader noticed; others add to it.
    """

    __slots__ = ("_found_at", "charset", "delimiters", "issues", "segments")

    def __init__(
        self,
        segments: list[Segment],
        delimiters: Delimiters,
        charset: str = "",
        issues: Sequence[Issue] = (),
    ) -> None:
        self.segments = segments
        self.delimiters = delimiters
        self.charset = charset
        self.issues = list(issues)
        self._found_at = 0

    @property
    def msh(self) -> Segment:
        return self.segments[0]

    def first(self, segment_id: str) -> Segment | None:
        """The first segment of that id, or None."""
        return next((s for s in self.segments if s.id == segment_id), None)

    @property
    def version(self) -> str:
        """MSH-12.1 such as ``2.5.1``, "" when absent."""
        return self.msh.text(12).strip()

    @property
    def code(self) -> str:
        """MSH-9.1, e.g. ADT."""
        return self.msh.text(9).strip()

    @property
    def trigger(self) -> str:
        """MSH-9.2, e.g. A01."""
        return self.msh.text(9, 2).strip()

    @property
    def control_id(self) -> str:
        """MSH-10."""
        return self.msh.text(10)

    @property
    def message_type(self) -> str:
        """MSH-9 as ``ADT^A01^ADT_A01``, whatever the delimiters of the message."""
        parts = [self.msh.text(9, n).strip() for n in (1, 2, 3)]
        return "^".join(parts).rstrip("^")

    def values(self) -> Iterator[tuple[Segment, Value]]:
        """(segment, value) of every non-empty value; see :meth:`Segment.values`."""
        for segment in self.segments:
            for value in segment.values():
                yield segment, value

    def located_leaves(self) -> Iterator[tuple[str, Leaf]]:
        """(location, leaf) of every non-empty leaf of the message, in order."""
        for segment in self.segments:
            yield from segment.located_leaves()

    def locate(self, leaf: Leaf) -> str:
        """Location of a leaf that :meth:`Segment.repetitions` gave; "" when there is none.

        Looks first where the last one was found: those who ask go through the message in order.
        """
        count = len(self.segments)
        for index in range(self._found_at, self._found_at + count):
            for location, found in self.segments[index % count].kept_leaves():
                if found is leaf:
                    self._found_at = index % count
                    return location
        return ""

    def get(self, location: str) -> str:
        """Text at a location such as ``PID-5[2].1`` (occurrence and repetition default to 1); "" when absent."""
        match = _LOCATION.fullmatch(location)
        if match is None:
            raise ReadError(
                f"{location!r} is no location", action="Write it as SEG[n]-f[r].c.s, such as PID[1]-3[2].4.1."
            )
        segment_id, nth, number, repetition, component, subcomponent = match.groups()
        wanted = int(nth or 1)
        for segment in self.segments:
            if segment.id == segment_id and segment.occurrence == wanted:
                return segment.text(
                    int(number), int(component or 1), int(subcomponent or 1), int(repetition or 1)
                )
        return ""


_LOCATION = re.compile(r"([A-Z][A-Z0-9]{2})(?:\[(\d+)\])?-(\d+)(?:\[(\d+)\])?(?:\.(\d+))?(?:\.(\d+))?")
