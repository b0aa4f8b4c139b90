"""Segments to their groups, by the message structure of the message's own version.

HL7 v2 writes groups without marks: which OBX belongs to which OBR, or to which SPM, follows from the
abstract message definition (HL7 v2.5.1 §2.5.2 and ch. 3-17; here from hl7apy's tables). Real senders leave
required segments out, put them in another order and add their own, so that a strict parser loses them.
This one never does. Each segment is placed by the first rule that fits:

1. where the definition allows it next, going outward from the innermost open group;
2. out of order, in a group seen before that still has room for it; or in a new one within a group that is open;
3. in a new group that should have begun with another segment (that one is missing);
4. in the nearest group that knows it, beyond the number allowed;
5. beside the segment before it (unknown to the structure, and every Z segment).

Rules 2 to 5 are reported. What rules 2 and 4 place stands beside the way: the segments behind it go on where the
message was, so that a visit between an order and its results takes none of them away. NTE is special: it comments on
the segment before it, wherever that stands; so do PRT and ROL where the definition does not want them.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import chain, islice

from engine.hl7v2.groups import Group, Structured
from engine.hl7v2.structures import (
    FALLBACK_VERSIONS,
    UNBOUNDED,
    Spec,
    has,
    load,
    structure_name,
    version_issue,
)
from engine.hl7v2.tree import Message, Segment
from engine.records import Issue, Severity

_NEW_ORDERS = frozenset({"NW", "RO", "XO", "CA", "DC", "HD", "RL"})
"""Order control codes (table 0119) that no earlier result bears."""
_ABOUT_THE_LAST = frozenset({"PRT", "ROL"})
"""Who took part in what the segment before tells."""
_LOOK_BACK = 64
"""Groups searched for the place of a segment that stands out of order."""


def group_segments(message: Message, spec: Spec | None = None) -> Structured:
    """Place every segment of a message; see the rules at the head of this module.

    Args:
        message: as read.
        spec: the definition to hold it against; by default that of its own version, or of a later one where that
            knows more of its segments.
    """
    name, version, issue = structure_name(message)
    given = spec
    spec = given or load(version, name)
    ids = {s.id for s in message.segments if not s.id.startswith("Z")}
    if given is None and not ids <= spec.within:
        # A later version of the same structure may know what the declared one doesn't: take it if so.
        for later in FALLBACK_VERSIONS:
            if later > version and has(later, name):
                candidate = load(later, name)
                if len(ids - candidate.within) < len(ids - spec.within):
                    spec, version = candidate, later
    placer = _Placer(spec)
    placer.issues += [found for found in (issue, version_issue(message)) if found]
    for segment in message.segments:
        placer.place(segment)
    return Structured(name, version, placer.root, tuple(placer.placed), tuple(placer.issues))


class _Placer:
    """Walks the segments once, keeping the innermost open group."""

    def __init__(self, spec: Spec) -> None:
        self.root = Group(spec)
        self.current = self.root
        self.opened = 0
        self.placed: list[tuple[Segment, Group]] = []
        self.issues: list[Issue] = []

    def place(self, segment: Segment) -> None:
        if segment.id == "NTE" and self.placed:
            self._next_to_last(segment)
            return
        if segment.id not in self.root.spec.within:
            self._next_to_last(segment)
            if not segment.id.startswith("Z"):
                self._report(
                    segment, "segment-unexpected", "The message structure does not know this segment"
                )
            return
        if segment.id == "ORC" and self._late_order(segment):
            self._report(segment, "segment-order", "The ORC stands behind the OBR of its own order")
            return
        if segment.id in _ABOUT_THE_LAST and self._of_the_last(segment):
            return
        if not self._expected(segment):
            self._otherwise(segment)

    def _otherwise(self, segment: Segment) -> None:
        """Rules 2 to 4."""
        current = self.current
        if segment.id in _ABOUT_THE_LAST:
            self._next_to_last(segment)
        elif not self._earlier(segment):
            if self._opening(segment):
                self._report(
                    segment,
                    "segment-missing",
                    "A segment that should open this segment's group is missing before it",
                )
                return
            if not self._earlier(segment, repeating=True):
                self._beyond(segment)
                self.current = current
                self._report(
                    segment,
                    "segment-repeated",
                    "The segment is repeated more often than the structure allows",
                )
                return
        self.current = current
        self._report(segment, "segment-order", "The segment stands out of order")

    def _report(self, segment: Segment, code: str, message: str) -> None:
        action = (
            "It was kept and mapped with its nearest group; ask the sender to follow the message structure."
        )
        self.issues.append(Issue(Severity.WARNING, code, segment.location, message, action))

    def _add(self, group: Group, index: int | None, segment: Segment) -> None:
        group.items.append(segment)
        if index is not None:
            group.counts[index] = group.counts.get(index, 0) + 1
            group.position = max(group.position, index)
        self.current = group
        self.placed.append((segment, group))

    def _next_to_last(self, segment: Segment) -> None:
        """Rule 5, and NTE: beside the segment before it."""
        group = self.placed[-1][1] if self.placed else self.root
        group.items.append(segment)
        self.placed.append((segment, group))

    def _of_the_last(self, segment: Segment) -> bool:
        """Behind a segment that stands beside the way: in its group, if the definition has it there."""
        group = self.placed[-1][1] if self.placed else self.root
        if group is self.current or all(child.name != segment.id for child in group.spec.children):
            return False
        self._next_to_last(segment)
        return True

    def _late_order(self, segment: Segment) -> bool:
        """An ORC behind its OBR would open the next order: the order numbers tell that it is this one's."""
        group: Group | None = self.current
        while group is not None:
            requests = [s for s in group.segments() if s.id == "OBR"]
            if requests:
                known = any(s.id == "ORC" for s in group.segments())
                names = [child.name for child in group.spec.children]
                same = any(segment.text(n) and segment.text(n) == requests[-1].text(n) for n in (2, 3))
                index = names.index("ORC") if "ORC" in names else None
                if known or not same or index is None or index > names.index("OBR"):
                    return False  # of OUL, ORC behind OBR is the order that the definition wants
                self._add(group, index, segment)
                return True
            group = group.parent
        return False

    def _expected(self, segment: Segment) -> bool:
        """Rule 1."""
        group: Group | None = self.current
        while group is not None:
            if self._descend(group, segment, max(group.position, 0)):
                return True
            for index, child in enumerate(group.spec.children[: max(group.position, 0)]):
                # A required segment that the sender wrote after an optional one (ORC before OBR in OUL).
                if child.name == segment.id and child.minimum > 0 and not group.counts.get(index):
                    if _has_results(group):
                        break  # they were not this order's: results stand behind their order
                    self._add(group, index, segment)
                    return True
            group = group.parent
        return False

    def _descend(self, group: Group, segment: Segment, start: int) -> bool:
        for index in range(start, len(group.spec.children)):
            child = group.spec.children[index]
            if segment.id not in child.first or not _room(group, index) or _is_next_order(child, segment):
                continue
            if not child.is_group:
                self._add(group, index, segment)
                return True
            self._open(group, index, segment)
            return True
        return False

    def _open(self, group: Group, index: int, segment: Segment) -> None:
        """Open a new instance of child ``index`` and place the segment in it or further down."""
        child = group.spec.children[index]
        self.opened += 1
        fresh = Group(child, group, serial=self.opened)
        group.items.append(fresh)
        group.opened.setdefault(index, []).append(fresh)
        group.counts[index] = group.counts.get(index, 0) + 1
        group.position = max(group.position, index)
        if not self._descend(fresh, segment, 0):
            self._open_anyway(fresh, segment)

    def _open_anyway(self, group: Group, segment: Segment) -> None:
        for index, child in enumerate(group.spec.children):
            if segment.id in child.within:
                if child.is_group:
                    self._open(group, index, segment)
                else:
                    self._add(group, index, segment)
                return

    def _earlier(self, segment: Segment, *, repeating: bool = False) -> bool:
        """Rule 2: in a new group in an open one, else in the nearest group already there, latest first, that has room.

        Where nothing else is left, groups that may repeat are opened in those already there.
        """
        ancestor: Group | None = self.current
        while ancestor is not None:
            for index, child in enumerate(ancestor.spec.children[: max(ancestor.position, 0)]):
                if child.is_group and segment.id in child.first and _room(ancestor, index):
                    self._open(ancestor, index, segment)
                    return True
            for group in _near(ancestor, segment.id):
                for index, child in enumerate(group.spec.children):
                    if segment.id not in child.first or not _room(group, index):
                        continue
                    if not child.is_group:
                        self._add(group, index, segment)
                    elif child.maximum == 1 or repeating:
                        self._open(group, index, segment)
                    else:
                        continue
                    return True
            ancestor = ancestor.parent
        return False

    def _opening(self, segment: Segment) -> bool:
        """Rule 3: open a group whose first segment is missing, nearest and earliest first."""
        group: Group | None = self.current
        while group is not None:
            for index in range(max(group.position, 0), len(group.spec.children)):
                child = group.spec.children[index]
                if ("PID" in child.first and index in group.opened) or _is_next_order(child, segment):
                    continue  # nothing but a PID begins another patient, no order is an earlier result unsaid
                if child.is_group and segment.id in child.within and _room(group, index):
                    self._open(group, index, segment)
                    return True
            group = group.parent
        return False

    def _beyond(self, segment: Segment) -> None:
        """Rule 4."""
        ancestor: Group | None = self.current
        while ancestor is not None:
            for group in _near(ancestor, segment.id):
                for index, child in enumerate(group.spec.children):
                    if not child.is_group and child.name == segment.id:
                        self._add(group, index, segment)
                        return
            ancestor = ancestor.parent
        self._next_to_last(segment)


def _is_next_order(child: Spec, segment: Segment) -> bool:
    """Whether an ORC that the definition would take for an earlier result's opens the next order.

    PRIOR_RESULT may begin with nothing but ORC, so that an ORC behind an order fits both. Earlier results say so
    in ORC-1 (table 0119: PR, previous results with new order), or begin with the PID of their patient.
    """
    if segment.id not in {"ORC", "OBR", "AL1"}:
        return False
    if child.name == "PRIOR_RESULT":
        return segment.id != "ORC" or segment.text(1) != "PR"
    return child.name == "ORDER_PRIOR" and segment.id == "ORC" and segment.text(1) in _NEW_ORDERS


def _has_results(group: Group) -> bool:
    return any("OBX" in group.spec.children[index].first for index in group.opened)


def _room(group: Group, index: int) -> bool:
    child = group.spec.children[index]
    if group.spec.choice and any(i != index for i in group.counts):
        return False
    return child.maximum == UNBOUNDED or group.counts.get(index, 0) < child.maximum


def _near(group: Group, segment_id: str) -> Iterator[Group]:
    """The latest groups in which a segment may have its place, and the one that holds them all.

    What stands out of order stands near its own: to look through ten thousand groups for each of ten thousand
    segments would be no reading any more.
    """
    yield from islice(_latest_first(group, segment_id), _LOOK_BACK)
    yield group


def _latest_first(group: Group, segment_id: str) -> Iterator[Group]:
    """The group and those below it that may hold such a segment, the most recently opened first, itself last."""
    holding = [
        reversed(group.opened[index])
        for index, child in enumerate(group.spec.children)
        if index in group.opened and segment_id in child.within
    ]
    for inner in heapq.merge(*holding, key=lambda g: -g.serial) if len(holding) > 1 else chain(*holding):
        yield from _latest_first(inner, segment_id)
    yield group
