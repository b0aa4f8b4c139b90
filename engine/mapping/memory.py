"""What a value became is remembered: a feed names the same doctors, places, codes and units all day long.

A row of a segment table makes the same of the same text: of the raw text of a field, under the same sender, feed and
delimiters. So the first time the conversion is watched (:class:`_Watch`): which parts it used, which codes it looked
up, which resources it made. The next time that is done again without converting. What looks beyond the value (another
field, another segment, the message), what finds fault or leaves a part with a reason is not remembered, so that every
report is made where it was always made.

Values are kept frozen and thawed for every use: a resource may be changed after it was placed, what is kept never is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.hl7v2.delimiters import HEADERS, Delimiters
from engine.hl7v2.tree import EMPTY, NULL, Leaf, Node, Segment, child, leaves, parse_field
from engine.mapping.frozen import frozen
from engine.mapping.paths import Items
from engine.mapping.run import Run
from engine.settings import Mapping as Limits

if TYPE_CHECKING:
    from engine.mapping.compiler import Rule

Json = dict[str, Any]
_TRIES = 128
"""A row that was asked so often and knew the answer in less than every fourth case is not asked again."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What a row makes of a text.

    Attributes:
        thaw: makes the value.
        used: the leaves that reached the value, as bits in their order in the field.
        valued: the leaves with a value.
        codes, unknown_codes: what was looked up.
        made: reference, content and a maker of the content of each resource that is referred to.
    """

    thaw: Callable[[], Any]
    used: int
    valued: int
    codes: tuple[tuple[str, str], ...]
    unknown_codes: tuple[tuple[str, str], ...]
    made: tuple[tuple[str, Json, Callable[[], Any]], ...]


class Memory:
    """What rows made of texts, for one set of tables; the oldest half is forgotten when it is full."""

    def __init__(self, limits: Limits) -> None:
        self._limit = limits.remembered_values
        self._longest = limits.remembered_chars
        self._new: dict[tuple[Rule, str, int], _Known | None] = {}
        self._old: dict[tuple[Rule, str, int], _Known | None] = {}
        self._contexts: dict[tuple[object, ...], int] = {}
        self._count = 0

    def context(self, run: Run) -> int:
        """A number for all that a conversion may know beside its value: sender, feed and its names, zone, delimiters."""
        names = (id(run.naming), id(run.systems))  # the mapper keeps them as long as it lives
        key = (run.facility, run.profile.name, names, run.zone, run.message.delimiters)
        found = self._contexts.get(key)
        if found is None:
            if len(self._contexts) >= self._limit:
                self._contexts.clear()
            self._count += 1
            found = self._contexts[key] = self._count
        return found

    def apply(self, rule: Rule, segment: Segment, run: Run, root: Json, items: Items) -> bool | None:
        """Do what the row does with the field; None when it must be done by the row itself."""
        if rule.misses > _TRIES and rule.hits * 3 < rule.misses:
            return None
        raw = segment.fields[rule.field]
        key = (rule, raw, run.context)
        try:
            known = self._new[key]
            rule.hits += 1
        except KeyError:
            known = self._recall(key, rule, segment, run)
        return None if known is None else _again(known, rule, segment, run, root, items)

    def _recall(self, key: tuple[Rule, str, int], rule: Rule, segment: Segment, run: Run) -> _Known | None:
        if key in self._old:
            rule.hits += 1
            known = self._old[key]
        else:
            rule.misses += 1
            raw, repetition = key[1], segment.delimiters.repetition
            if len(raw) > self._longest or (repetition and repetition in raw):
                return None
            known = None if segment.id in HEADERS and rule.field <= 2 else _watched(rule, raw, segment, run)
        if len(self._new) >= self._limit:
            self._old, self._new = self._new, {}
        self._new[key] = known
        return known


def _again(known: _Known, rule: Rule, segment: Segment, run: Run, root: Json, items: Items) -> bool | None:
    """What :meth:`Rule.apply` does, of what is known; None when the message has said something else of a resource."""
    target = rule.target
    if rule.coded and target.taken(root, items, 1) and not target.place(root, items, known.thaw(), 1):
        return _refused(rule, segment, run)
    if known.made:
        for reference, content, _ in known.made:
            present = run.made.get(reference)
            if present is not None and present != content:
                return None
        for reference, _, thaw in known.made:
            if reference not in run.made:
                run.made_by[reference] = run.segment.location
                run.made[reference] = thaw()
    if known.codes:
        run.codes += known.codes
        run.unknown_codes += known.unknown_codes
    if not target.place(root, items, known.thaw(), 1):
        return _refused(rule, segment, run)
    if run.by_leaf:
        run.use_some(segment.repetitions(rule.field)[0], known.used)
    else:
        segment.mark(rule.field, known.used, known.valued)
    return True


def _refused(rule: Rule, segment: Segment, run: Run) -> bool:
    node = _part(segment.repetitions(rule.field)[0], rule.parts)
    run.refuse(node, f"{rule.target.text} is already filled by an earlier rule or repetition")
    return False


def _part(node: Node, parts: tuple[int, ...]) -> Node:
    for number in parts:
        node = child(node, number)
    return node


def _watched(rule: Rule, raw: str, segment: Segment, run: Run) -> _Known | None:
    """The conversion of a text with an eye on what it does; None when that can't be done again."""
    assert rule.convert is not None
    (whole,) = parse_field(raw, segment.delimiters)
    order = [leaf for leaf in leaves(whole) if leaf is not EMPTY]
    if any(leaf.text == NULL or not leaf.text.strip() for leaf in order):
        return None
    part = _part(whole, rule.parts)
    if part is EMPTY:
        return None  # the row has nothing to read, whatever its function makes of nothing
    watch: Any = _Watch(run)
    try:
        value = rule.convert(part, _Value(segment.delimiters), watch)  # type: ignore[arg-type]
    except AttributeError:  # it asked for more than there is to a value
        return None
    codes = rule.target.codes
    if (
        value is None
        or value == {}
        or watch.spoiled
        or (codes is not None and isinstance(value, str) and value not in codes)
    ):
        return None
    used = sum(1 << place for place, leaf in enumerate(order) if leaf.used)
    made = tuple((reference, content, frozen(content)) for reference, content in watch.made.items())
    return _Known(
        frozen(value), used, (1 << len(order)) - 1, tuple(watch.codes), tuple(watch.unknown_codes), made
    )


class _Value:
    """A segment that nothing is known of: a conversion that asks for its fields depends on more than its value."""

    __slots__ = ("delimiters",)

    def __init__(self, delimiters: Delimiters) -> None:
        self.delimiters = delimiters


class _Watch:
    """A :class:`Run` of one value: what it lacks (the message, its segments) raises AttributeError when asked for."""

    __slots__ = (
        "codes", "facility", "made", "naming", "spoiled", "systems", "trail", "unknown_codes", "zone"
    )  # fmt: skip

    def __init__(self, run: Run) -> None:
        self.zone, self.naming, self.systems, self.facility = run.zone, run.naming, run.systems, run.facility
        self.trail: list[Leaf] = []
        self.codes: list[tuple[str, str]] = []
        self.unknown_codes: list[tuple[str, str]] = []
        self.made: dict[str, Json] = {}
        self.spoiled = False

    use, use_all, undo, saw_code = Run.use, Run.use_all, Run.undo, Run.saw_code

    def refuse(self, _node: Node, _reason: str) -> None:
        self.spoiled = True

    def warn(self, _code: str, _node: Node | None, _message: str, _action: str = "") -> None:
        self.spoiled = True

    def make(self, resource: Json, *key: str) -> tuple[str, bool]:
        """As :meth:`Run.make`; what one value tells of one thing twice is not done again."""
        reference, content = Run.named(resource, *key)
        self.spoiled = self.spoiled or reference in self.made
        self.made[reference] = content
        return reference, True
