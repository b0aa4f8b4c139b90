"""The state of mapping one message: what was made, what was used, what went wrong and where."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.feeds import FeedProfile
from engine.hl7v2.groups import Group, Structured
from engine.hl7v2.structures import UNBOUNDED
from engine.hl7v2.tree import EMPTY, Leaf, Message, Node, Segment, leaves
from engine.keys import resource_id
from engine.mapping.expressions import Getter, text_of
from engine.mapping.naming import choose_patient_identifier, sender_of
from engine.mapping.paths import Items, merge
from engine.records import Issue, Severity

if TYPE_CHECKING:
    from engine.mapping.mapper import Mapper
    from engine.mapping.rules import Link, MessageRule, SegmentTable

Mark = tuple[Segment, int, int]
"""A segment, the number of a field, and the leaves that were used of it (:meth:`Segment.mark`)."""
Match = tuple[tuple[Getter, Getter], ...]
"""Pairs of a place in the other segment and one in this; an empty second one asks nothing, but the first must be told."""

_ABOUT_ANOTHER = frozenset({"NTE", "ROL", "PRT", "ARV"})
"""Segments that say something of the one before them (HL7 v2.8.2 §3.3, §7.3)."""


class Instance:
    """A resource being built from segments.

    Attributes:
        name: how links call it.
        resource: the FHIR resource; its id is "" until all instances are made.
        reference: ``Type/id``, from then on.
        rule: the message rule that made it.
        segment: the segment that made it.
        group: the group of that segment.
        placed: how many values from the source it holds; with none it is not emitted.
        texts: lines collected from several segments, by the element that they become.
        leaves, marks: what was used to make it, kept for ``shared`` instances only: leaves one by one, and those of a
            field (segment, number, bits as in :meth:`Segment.mark`).
        items: labelled items that several segments write into, by what they share.
        momentary: its id is made of the message's content, so that no earlier message can have told of it.
    """

    __slots__ = (
        "group", "id", "items", "leaves", "marks", "momentary", "name", "order", "placed", "reference", "resource",
        "rule", "segment", "texts",
    )  # fmt: skip

    def __init__(
        self, resource: dict[str, Any], rule: MessageRule, segment: Segment, group: Group, order: int
    ) -> None:
        self.name = rule.name
        self.resource = resource
        self.rule = rule
        self.segment = segment
        self.group = group
        self.order = order
        self.placed = 0
        self.texts: dict[str, list[str]] = {}
        self.leaves: Sequence[Leaf] = ()
        self.marks: Sequence[Mark] = ()
        self.items: dict[str, Items] = {}
        self.id = self.reference = ""
        self.momentary = False


class Null(NamedTuple):
    """An explicit null of a field.

    Attributes:
        paths: FHIRPaths that it clears.
        elements: elements of the resource that a patch sets anew, and so clears it, if the message holds them.
    """

    instance: Instance
    location: str
    paths: list[str]
    elements: list[str]


class Run:
    """One message on its way through the tables."""

    def __init__(
        self, mapper: Mapper, message: Message, structured: Structured, profile: FeedProfile
    ) -> None:
        self.mapper = mapper
        self.message = message
        self.structured = structured
        self.profile = profile
        self.zone = profile.zone
        self.naming, self.systems = mapper.names_for(profile)
        self.facility = sender_of(message, profile.name)
        self.issues: list[Issue] = []
        self.instances: list[Instance] = []
        self.by_name: dict[str, list[Instance]] = {}
        self.by_segment: dict[int, list[Instance]] = {}
        self.nulls: list[Null] = []
        """Explicit nulls, and what each clears."""
        self.made: dict[str, dict[str, Any]] = {}
        """Resources made for references (practitioners, places), by reference."""
        self.made_by: dict[str, str] = {}
        """Location of the segment that first told of each of them."""
        self.segment = message.msh
        """The segment at hand."""
        self.marks: list[Mark] | None = None
        """What the table at hand used of whole fields, if it may have to be taken back."""
        self.trail: list[Leaf] = []
        self.reasons: dict[Leaf, str] = {}
        self.ran: dict[int, list[SegmentTable]] = {}
        """Tables that a segment went through, by the id() of the segment."""
        self.codes: list[tuple[str, str]] = []
        self.unknown_codes: list[tuple[str, str]] = []
        self._told_codes: set[tuple[str, str]] = set()
        self.told_again: set[str] = set()
        """References of resources that the message tells more than once, word for word."""
        self.current: Instance | None = None
        self.orphans: dict[int, str] = {}
        """The id() of each segment that should complete an instance that is not there -> its name, the first one asked for."""
        self.links: list[tuple[Instance, Segment, tuple[Link, ...], Items]] = []
        """References to set when all resources have their ids."""
        self.names = {segment.id for segment, _ in structured.placed} | {g.name for _, g in structured.placed}
        self.memory = mapper.memory
        self.context = mapper.memory.context(self)
        """See :class:`engine.mapping.memory.Memory`."""
        self._group_of = {id(segment): group for segment, group in structured.placed}
        self._index_of = {id(segment): i for i, (segment, _) in enumerate(structured.placed)}
        self._numbers: dict[tuple[int, int, str], tuple[str, str] | None] = {}
        self._near: dict[tuple[int, str], list[Segment]] = {}
        """Segments of an id nearest to a group, by the id() of the group."""
        self._message_key, self._momentary = "", False
        """Whether the id being made hangs on the message's content."""
        self._found: dict[tuple[str, int], list[Instance]] | None = None
        """What :meth:`find` found, from when all instances are made."""
        self._known: dict[tuple[str, Getter], dict[str, list[Instance]]] = {}
        """Instances by what their segment says in one place, as links ask for it."""

    # -- source ------------------------------------------------------------------------------------

    def group_of(self, segment: Segment) -> Group:
        return self._group_of[id(segment)]

    def nearest(self, segment: Segment, name: str) -> Segment | None:
        """The nearest segment of that id: in the same group, else in the groups around it."""
        if name == "MSH":
            return self.message.msh
        if name not in self.names:
            return None
        found = self._nearest(self._group_of[id(segment)], name)
        if len(found) < 2:
            return found[0] if found else None
        # Two patients in one message (A17, A24): the one told last before this segment.
        here = self._index_of[id(segment)]
        before = [s for s in found if self._index_of[id(s)] < here]
        return before[-1] if before else found[0]

    def _nearest(self, group: Group, name: str) -> list[Segment]:
        """Those of an id in the group, else in the nearest of the groups around it that holds any."""
        key = (id(group), name)
        found = self._near.get(key)
        if found is None:
            found = list(_in_group(group, name))
            if not found and group.parent is not None:
                found = self._nearest(group.parent, name)
            self._near[key] = found
        return found

    def has(self, segment: Segment, name: str) -> bool:
        """Whether there is such a segment or group in the order that this is part of, or in the groups around it."""
        if name not in self.names:
            return False
        group: Group | None = self.group_of(segment)
        while group is not None:
            if _holds(group, name):
                return True
            if group.spec.maximum != 1 or group.parent is None:
                break
            group = group.parent
        return self.nearest(segment, name) is not None

    def anchor(self, segment: Segment) -> str:
        """Id of the segment that a note, role or restriction is about: the last one before it that is none."""
        index = self._index_of[id(segment)] - 1
        while index >= 0:
            before = self.structured.placed[index][0].id
            if before not in _ABOUT_ANOTHER:
                return before
            index -= 1
        return ""

    def again(self, segment: Segment) -> bool:
        """Whether a segment of the same id stands before this one."""
        return segment.occurrence > 1

    def cx(self, segment: Segment, number: int, what: str = "") -> tuple[str, str] | None:
        """(system, value) of a field's number; of several, the one that names the patient. None when there is none."""
        key = id(segment), number, what
        if key not in self._numbers:
            node = choose_patient_identifier(segment.repetitions(number))
            self._numbers[key] = self.naming.cx(node, self.facility, what) if node is not None else None
        return self._numbers[key]

    def same_number(self, one: Sequence[Node], other: Sequence[Node]) -> bool:
        """Whether two lists of identifiers name the same patient, by the rule that makes Patient ids."""
        first, second = (
            self.naming.cx(node, self.facility) if (node := choose_patient_identifier(nodes)) else None
            for nodes in (one, other)
        )
        return first is not None and first == second

    def continues(self, segment: Segment) -> bool:
        """Whether an OBX goes on with the text of the OBX before it (HL7 v2.5.1 §7.4.2.4: same OBX-3 and OBX-4)."""
        index = self._index_of[id(segment)] - 1
        if index < 0:
            return False
        before = self.structured.placed[index][0]
        return (
            before.id == segment.id
            and segment.text(2) in {"TX", "FT"}
            and all(_raw(before, n) == _raw(segment, n) for n in (2, 3, 4))
        )

    # -- bookkeeping -------------------------------------------------------------------------------

    def use(self, leaf: Leaf) -> None:
        """Note that a leaf's value reached the output."""
        leaf.used += 1
        self.trail.append(leaf)

    def use_all(self, node: Node) -> None:
        if isinstance(node, Leaf):
            if node.text:
                self.use(node)
            return
        for leaf in leaves(node):
            if leaf.text:
                self.use(leaf)

    def mark(self, segment: Segment, number: int, used: int, count: int) -> None:
        """Use leaves of a field; see :meth:`Segment.mark`."""
        segment.mark(number, used, count)
        if self.marks is not None:
            self.marks.append((segment, number, used))

    def undo(self, mark: int) -> None:
        """Take back what was used since ``mark`` (a length of the trail)."""
        for leaf in self.trail[mark:]:
            leaf.used -= 1
        del self.trail[mark:]

    def refuse(self, node: Node, reason: str) -> None:
        """Say why the leaves of a node did not reach the output; the first reason stays."""
        for leaf in leaves(node):
            if leaf.text:
                self.reasons.setdefault(leaf, reason)

    def warn(
        self,
        code: str,
        node: Node | None,
        message: str,
        action: str = "",
        severity: Severity = Severity.WARNING,
    ) -> None:
        """Report an issue at the first valued leaf of a node."""
        location = self.locate(node) if node is not None else ""
        self._add_issue(Issue(severity, code, location, message, action))

    def locate(self, node: Node) -> str:
        """Location of the first valued leaf of a node; "" when there is none."""
        leaf = next((x for x in leaves(node) if x.text), None)
        return self.message.locate(leaf) if leaf is not None else ""

    def _add_issue(self, issue: Issue) -> None:
        if issue not in self.issues[-3:]:  # a value and both ends of its range have one unit
            self.issues.append(issue)

    def unlike_others(self) -> None:
        """Note that what is made of the value at hand says nothing of other values of its form; see :mod:`engine.mapping.memory`."""

    def unknown_code(
        self,
        table: str,
        code: str,
        node: Node,
        message: str,
        action: str,
        severity: Severity = Severity.WARNING,
    ) -> None:
        """Report a code that a table lacks, once a message: where it stands first."""
        if self.first_told(table, code):
            self.report_code(self.locate(node), message, action, severity)

    def first_told(self, table: str, code: str) -> bool:
        """Whether that unknown code is told of for the first time."""
        if (table, code) in self._told_codes:
            return False
        self._told_codes.add((table, code))
        return True

    def report_code(self, location: str, message: str, action: str, severity: Severity) -> None:
        """Report a code that a table lacks."""
        self._add_issue(Issue(severity, "code-unknown", location, message, action))

    def saw_code(self, table: str, code: str, *, known: bool) -> None:
        """Count a looked-up code, for the report and for drift watching."""
        self.codes.append((table, code))
        if not known:
            self.unknown_codes.append((table, code))

    # -- resources ---------------------------------------------------------------------------------

    def make(self, resource: dict[str, Any], *key: str) -> tuple[str, bool]:
        """Add a resource that something refers to.

        Returns:
            Its reference, and whether all it says is kept: where the same thing was told before, what is
            missing there is added, and what contradicts it has no place.
        """
        reference, content = self.named(resource, *key)
        present = self.made.get(reference)
        if present is None:
            self.made_by[reference] = self.segment.location
            self.made[reference] = content
            return reference, True
        return reference, merge(present, resource)

    @staticmethod
    def named(resource: dict[str, Any], *key: str) -> tuple[str, dict[str, Any]]:
        """A resource that something refers to: its reference, and the resource under its id."""
        resource_type = resource["resourceType"]
        made = resource_id(resource_type, *key)
        rest = {name: value for name, value in resource.items() if name != "resourceType"}
        return f"{resource_type}/{made}", {"resourceType": resource_type, "id": made, **rest}

    def find(self, name: str, group: Group, order: int | None = None) -> Instance | None:
        """The instance that a link from ``group`` means.

        Going outward, each group is searched with all it holds that can occur once only. What stands in
        a group that repeats belongs to that repetition alone: an OBX never gets its neighbour's order.
        Of several, the last made is meant; with ``order`` the last made before that place in the message.
        """
        candidates = self.by_name.get(name)
        if not candidates:
            return None
        found = self._nearest_of(name, candidates, group)
        if not found:
            return None
        if order is None or found[-1].order <= order:
            return found[-1]
        before = [i for i in found if i.order <= order]
        return before[-1] if before else found[0]

    def _nearest_of(self, name: str, candidates: list[Instance], group: Group) -> list[Instance]:
        """Those of a name that the nearest group around holds."""
        known = self._found
        found = known.get((name, id(group))) if known is not None else None
        if found is None:
            found = [i for i in candidates if _reachable(i.group, group)]
            if not found and group.parent is not None:
                found = self._nearest_of(name, candidates, group.parent)
            if known is not None:
                known[name, id(group)] = found
        return found

    def all_made(self) -> None:
        """From now on no instance is made or discarded."""
        self._found = {}

    def before(self, name: str, instance: Instance) -> Instance | None:
        """The instance of a name that was made last before this one."""
        made = [i for i in self.by_name.get(name, ()) if i.order < instance.order]
        return made[-1] if made else None

    def find_joint(self, name: str, group: Group) -> Instance | None:
        """As :meth:`find`, going outward no further than the first group that repeats: the same order."""
        around: Group | None = group
        while around is not None:
            found = [i for i in self.by_name.get(name, ()) if _reachable(i.group, around)]
            if found:
                return found[-1]
            if around.spec.maximum == UNBOUNDED or around.spec.maximum > 1:
                return None
            around = around.parent
        return None

    def linked(self, link: Link, instance: Instance, segment: Segment) -> Instance | None:
        """The instance that a link refers to; one made from the same segment comes first."""
        if not link.source:
            return instance
        if link.before:
            return self.before(link.source, instance)
        if link.match:
            return self.matching(link.source, link.match, instance, segment)
        for candidate in self.by_segment.get(id(segment), ()):
            if candidate.name == link.source:
                return candidate
        if link.own:
            return None
        if link.only:
            return self.find_only(link.source, instance.group)
        return self.find(link.source, instance.group, instance.order)

    def holder(self, link: Link, instance: Instance, segment: Segment) -> Instance | None:
        """The instance that is to hold a reference."""
        if not link.holder:
            return instance
        if link.holder_match:
            return self.matching(link.holder, link.holder_match, instance, segment)
        return self.before(link.holder, instance) if link.before else self.find(link.holder, instance.group)

    def matching(self, name: str, match: Match, instance: Instance, segment: Segment) -> Instance | None:
        """The instance whose segment says what this one says of it; of several the last told before this one.

        To be asked when all instances are made: they are looked up by the first pair.
        """
        (there, here), *others = match
        wanted = text_of(here(EMPTY, segment, self))
        if not wanted:
            return None
        known = self._known.get((name, there))
        if known is None:
            known = self._known[name, there] = {}
            for candidate in self.by_name.get(name, ()):
                known.setdefault(text_of(there(EMPTY, candidate.segment, self)), []).append(candidate)
        found = [i for i in known.get(wanted, ()) if i is not instance and self._says(i, others, segment)]
        before = [i for i in found if i.order < instance.order]
        return before[-1] if before else (found[0] if found else None)

    def _says(self, candidate: Instance, match: Sequence[tuple[Getter, Getter]], segment: Segment) -> bool:
        for there, here in match:
            wanted = text_of(here(EMPTY, segment, self))
            if wanted and text_of(there(EMPTY, candidate.segment, self)) != wanted:
                return False
        return True

    def find_only(self, name: str, group: Group) -> Instance | None:
        """The instance anywhere in the order that ``group`` is part of, if there is exactly one.

        With none in the order, the one that stands above it: in some structures a specimen holds its orders.
        A neighbouring order's is never meant.
        """
        candidates = self.by_name.get(name)
        if not candidates:
            return None
        around = group
        while around.parent is not None and not _is_order(around) and _holds_none(candidates, around):
            around = around.parent
        found = [i for i in candidates if _below(i.group, around)]
        if not found and around.parent is not None:
            return self.find(name, around.parent)
        return found[0] if len(found) == 1 else None

    def add(self, instance: Instance) -> None:
        self.instances.append(instance)
        self.by_name.setdefault(instance.name, []).append(instance)
        self.by_segment.setdefault(id(instance.segment), []).append(instance)

    def discard(self, instance: Instance) -> None:
        self.instances.remove(instance)
        self.by_name[instance.name].remove(instance)
        self.by_segment[id(instance.segment)].remove(instance)

    def id_of(self, instance: Instance) -> str:
        """Id of an instance by the id rule of its message rule; other instances' ids are made on the way."""
        if not instance.id:
            resource_type = instance.resource["resourceType"]
            outer, self._momentary = self._momentary, False
            instance.id = resource_id(resource_type, *self._key_of(instance))
            instance.momentary, self._momentary = self._momentary, outer
        self._momentary = self._momentary or instance.momentary
        return instance.id

    def renumber(self, instance: Instance, count: int) -> None:
        """Tell an instance apart from ``count`` earlier ones with the same key in this message."""
        resource_type = instance.resource["resourceType"]
        instance.id = resource_id(resource_type, *self._key_of(instance), f"#{count + 1}")

    def share(self, instance: Instance, first: Instance) -> None:
        """Let two instances be one resource; what contradicts the first has no place and is reported."""
        if not merge(first.resource, instance.resource):
            kept = set(_texts(first.resource))
            marked = [leaf for segment, *mark in instance.marks for leaf in segment.marked_leaves(*mark)]
            for leaf in (*instance.leaves, *marked):
                if leaf.text.strip() in kept:
                    continue
                leaf.used -= 1
                kind = instance.resource["resourceType"]
                self.reasons.setdefault(
                    leaf, f"the message says something else about the same {kind} elsewhere"
                )
        instance.resource = first.resource

    def _key_of(self, instance: Instance) -> tuple[str, ...]:
        for alternative in instance.rule.id_rule:
            self._momentary = False
            parts = [part(instance, self) for part in alternative]
            if all(parts):
                return tuple(p for p in parts if p)
        self._momentary = True
        return (self.message_key, instance.name, str(instance.order))

    @property
    def message_key(self) -> str:
        """Content key: digest of the message. The same bytes give the same ids, other bytes never do."""
        if not self._message_key:
            text = "\r".join(s.raw for s in self.message.segments)
            self._message_key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        return self._message_key


def _texts(content: Any) -> Iterator[str]:
    """Every text in nested content."""
    if isinstance(content, dict):
        for part in content.values():
            yield from _texts(part)
    elif isinstance(content, list):
        for part in content:
            yield from _texts(part)
    else:
        yield str(content)


def _raw(segment: Segment, number: int) -> str:
    fields = segment.fields
    return fields[number] if number < len(fields) else ""


def _holds(group: Group, name: str) -> bool:
    return any(
        item.id == name if isinstance(item, Segment) else item.name == name or _holds(item, name)
        for item in group.items
    )


def _in_group(group: Group, name: str) -> Iterator[Segment]:
    """Segments of the group, of the groups below it that can occur once only, and of its timing (TQ1)."""
    for item in group.items:
        if isinstance(item, Segment):
            if item.id == name:
                yield item
        elif item.spec.maximum == 1 or item.name == "TIMING":
            yield from _in_group(item, name)


def _reachable(group: Group, ancestor: Group) -> bool:
    """Whether ``group`` is ``ancestor`` or below it with no repeating group between."""
    current: Group | None = group
    while current is not None:
        if current is ancestor:
            return True
        if current.spec.maximum != 1:
            return False
        current = current.parent
    return False


def _below(group: Group, ancestor: Group) -> bool:
    current: Group | None = group
    while current is not None:
        if current is ancestor:
            return True
        current = current.parent
    return False


def _is_order(group: Group) -> bool:
    return any(segment.id in {"OBR", "ORC"} for segment in group.segments())


def _holds_none(instances: Any, group: Group) -> bool:
    return not any(_below(i.group, group) for i in instances)
