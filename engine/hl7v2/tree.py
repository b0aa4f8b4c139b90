"""The navigable tree of one HL7 v2 message.

A message holds segments, a segment fields, a field repetitions. A repetition is a *node*: a
:class:`Leaf` when it has no components, else a list of component nodes; a component node is a leaf or a
list of leaves, its subcomponents (HL7 v2.5.1 §2.5). Fields are split when first asked for, so that
keying and routing at the edge touch no more than MSH and PID.

Locations are written ``SEG[n]-f[r].c.s``: the n-th segment of that id (from 1), field, repetition,
component, subcomponent; parts are left out from the right when the whole is meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from engine.errors import ReadError
from engine.hl7v2.delimiters import Delimiters
from engine.hl7v2.escapes import unescape
from engine.records import Issue

NULL = '""'
"""The explicit null: "delete what you hold", unlike an empty field (HL7 v2.5.1 §2.5.3)."""

HEADERS = frozenset({"MSH", "FHS", "BHS"})
"""Segments whose first field is the field separator itself."""


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

Node = Leaf | list["Node"]

Value = tuple[int, int, int, int, str]
"""A value and where it stands in its segment: (field, repetition, component, subcomponent, text)."""


def child(node: Node, number: int) -> Node:
    """Part ``number`` (from 1) of a node. A leaf is its own first part (HL7 v2.5.1 §2.5.2: data types grow)."""
    if node.__class__ is Leaf:
        return node if number == 1 else EMPTY
    assert isinstance(node, list)
    return node[number - 1] if number <= len(node) else EMPTY


def first_leaf(node: Node) -> Leaf:
    """The leaf one reaches by always taking the first part."""
    while isinstance(node, list):
        node = node[0]
    return node


def valued(node: Node) -> bool:
    """Whether any leaf below holds a value; the explicit null is not one."""
    if node.__class__ is Leaf:
        return bool(node.text) and node.text != NULL
    assert isinstance(node, list)
    for part in node:  # noqa: SIM110 - hot: a generator for any() costs more than the parts
        if valued(part):
            return True
    return False


def leaves(node: Node) -> Iterator[Leaf]:
    """All leaves below, in order, empty ones too."""
    if isinstance(node, list):
        for part in node:
            yield from leaves(part)
    else:
        yield node


class Segment:
    """One segment. ``raw`` is its text without terminator; ``occurrence`` counts its id from 1."""

    __slots__ = ("_fields", "_nodes", "delimiters", "id", "occurrence", "raw")

    def __init__(self, raw: str, delimiters: Delimiters, occurrence: int = 1) -> None:
        self.raw = raw
        self.id = raw[:3]
        self.delimiters = delimiters
        self.occurrence = occurrence
        self._fields: list[str] | None = None
        self._nodes: dict[int, list[Node]] = {}

    def __repr__(self) -> str:
        return f"<Segment {self.id}[{self.occurrence}]>"

    @property
    def fields(self) -> list[str]:
        """Raw field texts; index 1 is field 1. Index 0 is the segment id."""
        fields = self._fields
        if fields is None:
            fields = self.raw.split(self.delimiters.field)
            if self.id in HEADERS:
                fields.insert(1, self.delimiters.field)
            self._fields = fields
        return fields

    def repetitions(self, number: int) -> list[Node]:
        """Field ``number`` as its repetitions; [] when the field is absent or empty."""
        nodes = self._nodes.get(number)
        if nodes is None:
            fields = self.fields
            raw = fields[number] if number < len(fields) else ""
            if not raw:
                nodes = []
            elif number <= 2 and self.id in HEADERS:
                nodes = [Leaf(raw)]
            else:
                nodes = parse_field(raw, self.delimiters)
            self._nodes[number] = nodes
        return nodes

    def text(self, number: int, component: int = 1, subcomponent: int = 1, repetition: int = 1) -> str:
        """One value as text; "" when absent. The explicit null comes back as ``""`` in quotes."""
        nodes = self.repetitions(number)
        if len(nodes) < repetition:
            return ""
        return first_leaf(child(child(nodes[repetition - 1], component), subcomponent)).text

    def values(self) -> Iterator[Value]:  # noqa: C901 - the hot loop: one pass without calls
        """Every non-empty value with its place, in order, without keeping any of the tree in memory.

        This is the way to read all of a large message: it splits as it goes and caches nothing.
        """
        separator, component, repetition, escape, subcomponent, _ = self.delimiters
        fields = self.raw.split(separator)
        number = 2 if self.id in HEADERS else 0
        inner = (component, repetition, escape, subcomponent)
        for raw in fields[number:] if number else fields[1:]:
            number += 1
            if not raw:
                continue
            plain = True
            for character in inner:
                if character and character in raw:
                    plain = False
                    break
            if plain:
                yield number, 1, 1, 1, raw
                continue
            escaped = bool(escape) and escape in raw
            for r, part in enumerate(raw.split(repetition) if repetition else (raw,), 1):
                for c, piece in enumerate(part.split(component) if component else (part,), 1):
                    if not piece:
                        continue
                    if subcomponent and subcomponent in piece:
                        for u, text in enumerate(piece.split(subcomponent), 1):
                            if text:
                                yield number, r, c, u, unescape(text, self.delimiters) if escaped else text
                    else:
                        yield number, r, c, 1, unescape(piece, self.delimiters) if escaped else piece

    def located_leaves(self) -> Iterator[tuple[str, Leaf]]:
        """(location, leaf) of every non-empty leaf, explicit nulls too, in order."""
        for number in self.valued_fields():
            yield from self.field_leaves(number)

    def valued_fields(self) -> list[int]:
        """Numbers of the fields with text in them; the delimiters of a header are none."""
        start = 3 if self.id in HEADERS else 1
        return [number for number, text in enumerate(self.fields) if text and number >= start]

    def field_leaves(self, number: int) -> Iterator[tuple[str, Leaf]]:
        """(location, leaf) of every non-empty leaf of one field."""
        base = f"{self.id}[{self.occurrence}]-{number}"
        nodes = self.repetitions(number)
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


def parse_field(raw: str, delimiters: Delimiters) -> list[Node]:
    """Split one field into repetitions, components and subcomponents, then decode escapes."""
    _, component, repetition, escape, subcomponent, _ = delimiters
    escaped = bool(escape) and escape in raw
    parts = raw.split(repetition) if repetition and repetition in raw else [raw]
    nodes: list[Node] = []
    for part in parts:
        has_sub = bool(subcomponent) and subcomponent in part
        if component and component in part:
            if has_sub:
                nodes.append(
                    [_component(c, subcomponent, delimiters, escaped=escaped) for c in part.split(component)]
                )
            elif escaped:
                nodes.append([Leaf(unescape(c, delimiters)) if c else EMPTY for c in part.split(component)])
            else:
                nodes.append([Leaf(c) if c else EMPTY for c in part.split(component)])
        elif has_sub:
            nodes.append([_component(part, subcomponent, delimiters, escaped=escaped)])
        elif escaped:
            nodes.append(Leaf(unescape(part, delimiters)))
        else:
            nodes.append(Leaf(part) if part else EMPTY)
    return nodes


def _component(raw: str, subcomponent: str, delimiters: Delimiters, *, escaped: bool) -> Node:
    if subcomponent not in raw:
        if not raw:
            return EMPTY
        return Leaf(unescape(raw, delimiters) if escaped else raw)
    if escaped:
        return [Leaf(unescape(s, delimiters)) if s else EMPTY for s in raw.split(subcomponent)]
    return [Leaf(s) if s else EMPTY for s in raw.split(subcomponent)]


class Message:
    """One message.

    Attributes:
        segments: in the order received.
        delimiters: of MSH-1 and MSH-2.
        charset: what the bytes were decoded with, "" when the message was made from text.
        issues: what the reader noticed; others add to it.
    """

    __slots__ = ("charset", "delimiters", "issues", "segments")

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
        """Location of a leaf of this message; "" when it is not one. For error texts: cost is a full walk."""
        return next((location for location, found in self.located_leaves() if found is leaf), "")

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
