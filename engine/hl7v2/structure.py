"""Segments to their groups, by the message structure of the message's own version.

HL7 v2 writes groups without marks: which OBX belongs to which OBR, or to which SPM, follows from the
abstract message definition (HL7 v2.5.1 §2.5.2 and ch. 3-17; here from hl7apy's tables). Real senders leave
required segments out, put them in another order and add their own, so that a strict parser loses them.
This one never does. Each segment is placed by the first rule that fits:

1. where the definition allows it next, going outward from the innermost open group;
2. in a group seen before that still has room for it (out of order);
3. in a new group that should have begun with another segment (that one is missing);
4. in the nearest group that knows it, beyond the number allowed;
5. beside the segment before it (unknown to the structure, and every Z segment).

Rules 2 to 5 are reported. NTE is special: it comments on the segment before it, wherever that stands.
"""

from __future__ import annotations

import heapq
import importlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import chain, islice
from typing import Any

from engine.hl7v2.tree import Message, Segment
from engine.records import Issue, Severity

_MODULES = {
    "2.1": "v2_1",
    "2.2": "v2_2",
    "2.3": "v2_3",
    "2.3.1": "v2_3_1",
    "2.4": "v2_4",
    "2.5": "v2_5",
    "2.5.1": "v2_5_1",
    "2.6": "v2_6",
    "2.7": "v2_7",
    "2.7.1": "v2_7",
    "2.8": "v2_8",
    "2.8.1": "v2_8_1",
    "2.8.2": "v2_8_2",
    "2.9": "v2_8_2",
}
_FALLBACK_VERSIONS = ("2.5.1", "2.8.2")

# HL7 table 0354, message structure: structure -> trigger events that use it.
_EVENTS: dict[str, dict[str, str]] = {
    "ADT": {
        "ADT_A01": "A01 A04 A08 A13",
        "ADT_A02": "A02",
        "ADT_A03": "A03",
        "ADT_A05": "A05 A14 A28 A31",
        "ADT_A06": "A06 A07",
        "ADT_A09": "A09 A10 A11",
        "ADT_A12": "A12",
        "ADT_A15": "A15",
        "ADT_A16": "A16",
        "ADT_A17": "A17",
        "ADT_A18": "A18",
        "ADT_A20": "A20",
        "ADT_A21": "A21 A22 A23 A25 A26 A27 A29 A32 A33",
        "ADT_A24": "A24",
        "ADT_A30": "A30 A34 A35 A36 A46 A47 A48 A49",
        "ADT_A37": "A37",
        "ADT_A38": "A38",
        "ADT_A39": "A39 A40 A41 A42",
        "ADT_A43": "A43",
        "ADT_A44": "A44",
        "ADT_A45": "A45",
        "ADT_A50": "A50 A51",
        "ADT_A52": "A52 A53",
        "ADT_A54": "A54 A55",
        "ADT_A60": "A60",
        "ADT_A61": "A61 A62",
    },
    "ORU": {"ORU_R01": "R01 R40", "ORU_R30": "R30 R31 R32"},
    "MDM": {"MDM_T01": "T01 T03 T05 T07 T09 T11", "MDM_T02": "T02 T04 T06 T08 T10"},
    "SIU": {"SIU_S12": " ".join(f"S{n}" for n in range(12, 28))},
    "RDE": {"RDE_O11": "O11 O25"},
    "REF": {"REF_I12": "I12 I13 I14 I15"},
    "PPR": {"PPR_PC1": "PC1 PC2 PC3"},
    "OUL": {"OUL_R21": "R21", "OUL_R22": "R22", "OUL_R23": "R23", "OUL_R24": "R24"},
}
_BY_EVENT = {
    (code, trigger): structure
    for code, table in _EVENTS.items()
    for structure, triggers in table.items()
    for trigger in triggers.split()
}
# When neither MSH-9.3 nor the event is known: the most common structure of the message code.
_BY_CODE = {
    "ADT": "ADT_A01",
    "ORU": "ORU_R01",
    "ORM": "ORM_O01",
    "MDM": "MDM_T02",
    "SIU": "SIU_S12",
    "OML": "OML_O21",
    "OMG": "OMG_O19",
    "RDE": "RDE_O11",
    "RDS": "RDS_O13",
    "RAS": "RAS_O17",
    "RGV": "RGV_O15",
    "OMP": "OMP_O09",
    "VXU": "VXU_V04",
    "DFT": "DFT_P03",
    "BAR": "BAR_P01",
    "PPR": "PPR_PC1",
    "REF": "REF_I12",
    "OUL": "OUL_R22",
    "MFN": "MFN_M02",
    "ACK": "ACK",
}
_ANY = "ORU_R01"
"""Structure of last resort: it has a patient, a visit, orders and results, which is what most hold."""

UNBOUNDED = -1
_NEW_ORDERS = frozenset({"NW", "RO", "XO", "CA", "DC", "HD", "RL"})
"""Order control codes (table 0119) that no earlier result bears."""
_LOOK_BACK = 64
"""Groups searched for the place of a segment that stands out of order."""


@dataclass(frozen=True, slots=True, eq=False)
class Spec:
    """A segment or group of a message structure.

    Attributes:
        name: segment id, or group name without the structure's prefix (``ORDER_OBSERVATION``).
        minimum, maximum: cardinality; -1 is unbounded.
        children: empty for a segment.
        choice: whether only one of the children is meant.
        first: segment ids that can open it.
        within: all segment ids below it.
    """

    name: str
    minimum: int
    maximum: int
    children: tuple[Spec, ...] = ()
    choice: bool = False
    first: frozenset[str] = frozenset()
    within: frozenset[str] = frozenset()

    @property
    def is_group(self) -> bool:
        return bool(self.children)


@dataclass(slots=True, eq=False)
class Group:
    """An instance of a group, in a tree; the root is the message.

    Attributes:
        items: segments and groups in the order received.
    """

    spec: Spec
    parent: Group | None = None
    items: list[Segment | Group] = field(default_factory=list)
    position: int = -1
    counts: dict[int, int] = field(default_factory=dict)
    opened: dict[int, list[Group]] = field(default_factory=dict)
    """The groups directly in this one, by the number of the child in the definition."""
    serial: int = 0
    """The how manieth group of the message this is."""

    @property
    def name(self) -> str:
        return self.spec.name

    def segments(self) -> Iterator[Segment]:
        """Segments directly in this group."""
        return (item for item in self.items if isinstance(item, Segment))

    def groups(self) -> Iterator[Group]:
        """Groups directly in this group."""
        return (item for item in self.items if isinstance(item, Group))

    def path(self) -> str:
        """Names from the outermost group inward, joined with dots; "" for the root."""
        names: list[str] = []
        group: Group | None = self
        while group is not None and group.parent is not None:
            names.append(group.spec.name)
            group = group.parent
        return ".".join(reversed(names))


@dataclass(frozen=True, slots=True)
class Structured:
    """A message with its segments in groups.

    Attributes:
        structure: name of the message structure used, e.g. ``ORU_R01``.
        version: version whose definition was used.
        root: the group tree.
        placed: (segment, its group) in the order received.
        anchors: for each NTE its index in ``placed`` -> index of the segment it comments on.
        issues: what did not fit.
    """

    structure: str
    version: str
    root: Group
    placed: tuple[tuple[Segment, Group], ...]
    issues: tuple[Issue, ...]


def structure_name(message: Message) -> tuple[str, str, Issue | None]:
    """(structure, version to take it from, issue) for a message, by MSH-9 and MSH-12 (tables 0003, 0354)."""
    version = message.version if message.version in _MODULES else ""
    versions = [version, *_FALLBACK_VERSIONS] if version else list(_FALLBACK_VERSIONS)
    code, trigger = message.code.upper(), message.trigger.upper()
    declared = message.msh.text(9, 3).strip().upper()
    candidates = [_BY_EVENT.get((code, trigger), ""), declared, f"{code}_{trigger}", code]
    for name in candidates:
        for candidate_version in versions:
            if name and _has(candidate_version, name):
                return name, candidate_version, None
    name = _BY_CODE.get(code, _ANY)
    for candidate_version in versions:
        if _has(candidate_version, name):
            break
    issue = Issue(
        Severity.WARNING,
        "structure-unknown",
        "MSH[1]-9",
        f"No message structure is known for this message type; {name} was used to group its segments",
        "Known segments are mapped all the same; check the unmapped list.",
    )
    return name, candidate_version, issue


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
        for later in _FALLBACK_VERSIONS:
            if later > version and _has(later, name):
                candidate = load(later, name)
                if len(ids - candidate.within) < len(ids - spec.within):
                    spec, version = candidate, later
    placer = _Placer(spec)
    placer.issues += [found for found in (issue, _version_issue(message)) if found]
    for segment in message.segments:
        placer.place(segment)
    return Structured(name, version, placer.root, tuple(placer.placed), tuple(placer.issues))


def _version_issue(message: Message) -> Issue | None:
    """An MSH-12 that no version has; one that is empty says nothing."""
    if not message.version or message.version in _MODULES:
        return None
    return Issue(
        Severity.WARNING,
        "version-unknown",
        "MSH[1]-12",
        f"MSH-12 names no version of HL7 v2 that is known; the message was read as {_FALLBACK_VERSIONS[0]}",
        "Ask the sender for a version of table 0104, such as 2.5.1.",
    )


@cache
def load(version: str, structure: str) -> Spec:
    """The definition of a message structure in a version. Raises KeyError when there is none."""
    return compile_structure(structure, _messages(version)[structure])


def compile_structure(structure: str, reference: Any) -> Spec:
    """A message structure from hl7apy's form of it."""
    return _compile(structure, reference, (1, 1), f"{structure}_")


def _has(version: str, structure: str) -> bool:
    return structure in _messages(version)


@cache
def structure_names() -> frozenset[str]:
    """Names of the message structures of all versions."""
    return frozenset(name for version in _MODULES for name in _messages(version))


@cache
def group_names(structure: str) -> frozenset[str]:
    """Names of a structure's groups in all versions; the outermost is the structure itself."""
    found: set[str] = set()
    pending = [load(version, structure) for version in _MODULES if _has(version, structure)]
    while pending:
        spec = pending.pop()
        if spec.is_group:
            found.add(spec.name)
            pending += spec.children
    return frozenset(found)


def is_version(text: str) -> bool:
    """Whether MSH-12 names a version that is known."""
    return text in _MODULES


def module_of(version: str) -> str:
    """hl7apy's package of a version that has a definition."""
    return f"hl7apy.{_MODULES[version]}"


@cache
def _messages(version: str) -> dict[str, Any]:
    module = importlib.import_module(f"{module_of(version)}.messages")
    messages: dict[str, Any] = module.MESSAGES
    return messages


def _compile(name: str, reference: Any, cardinality: tuple[int, int], prefix: str) -> Spec:
    kind, parts = reference[0], reference[1]
    children: list[Spec] = []
    for child_name, child_reference, child_cardinality, child_kind in parts:
        if child_kind == "GRP":
            children.append(_compile(child_name, child_reference, child_cardinality, prefix))
        else:
            one = frozenset({child_name})
            low, high = child_cardinality
            children.append(Spec(child_name, low, high, first=one, within=one))
    choice = kind == "choice"
    first: set[str] = set()
    for child in children:
        first |= child.first
        if child.minimum > 0 and not choice:
            break
    within = frozenset().union(*(child.within for child in children)) if children else frozenset()
    return Spec(name.removeprefix(prefix), *cardinality, tuple(children), choice, frozenset(first), within)


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
        if self._expected(segment):
            return
        if self._earlier(segment):
            self._report(segment, "segment-order", "The segment stands out of order")
            return
        if self._opening(segment):
            self._report(
                segment,
                "segment-missing",
                "A segment that should open this segment's group is missing before it",
            )
            return
        self._beyond(segment)
        self._report(
            segment, "segment-repeated", "The segment is repeated more often than the structure allows"
        )

    def _report(self, segment: Segment, code: str, message: str) -> None:
        location = f"{segment.id}[{segment.occurrence}]"
        action = (
            "It was kept and mapped with its nearest group; ask the sender to follow the message structure."
        )
        self.issues.append(Issue(Severity.WARNING, code, location, message, action))

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

    def _earlier(self, segment: Segment) -> bool:
        """Rule 2: in the nearest group already there, latest first, that still has room."""
        ancestor: Group | None = self.current
        while ancestor is not None:
            for group in _near(ancestor, segment.id):
                for index, child in enumerate(group.spec.children):
                    if segment.id not in child.first or not _room(group, index):
                        continue
                    if child.is_group and child.maximum != 1:
                        continue  # opening another repetition is rule 3's
                    if child.is_group:
                        self._open(group, index, segment)
                    else:
                        self._add(group, index, segment)
                    return True
            ancestor = ancestor.parent
        return False

    def _opening(self, segment: Segment) -> bool:
        """Rule 3: open a group whose first segment is missing, nearest and earliest first."""
        group: Group | None = self.current
        while group is not None:
            for index in range(max(group.position, 0), len(group.spec.children)):
                child = group.spec.children[index]
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
