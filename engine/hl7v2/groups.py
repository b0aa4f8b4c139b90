"""The groups that a message's segments make: a tree beside the flat list of the message."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine.hl7v2.structures import Spec
from engine.hl7v2.tree import Segment
from engine.records import Issue


class Group:
    """An instance of a group, in a tree; the root is the message.

    Attributes:
        items: segments and groups in the order received.
        position: the last child of the definition that is there, -1 for none.
        counts: how often each child of the definition is there, by its number.
        opened: the groups directly in this one, by the number of the child in the definition.
        serial: the how manieth group of the message this is.
    """

    __slots__ = ("counts", "items", "opened", "parent", "position", "serial", "spec")

    def __init__(self, spec: Spec, parent: Group | None = None, serial: int = 0) -> None:
        self.spec = spec
        self.parent = parent
        self.serial = serial
        self.items: list[Segment | Group] = []
        self.position = -1
        self.counts: dict[int, int] = {}
        self.opened: dict[int, list[Group]] = {}

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

    def release(self) -> None:
        """Let the groups go of those around them when all is done.

        What refers to each other waits for the garbage collector, and holds the whole message until then.
        """
        for _, group in self.placed:
            inner: Group | None = group
            while inner is not None:
                around = inner.parent
                inner.parent = None
                inner = around
