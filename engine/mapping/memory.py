"""What a value became is remembered: a feed names the same doctors, places, codes and units all day long.

A row of a segment table makes the same of the same text: of the raw text of a repetition, under the same sender, feed
and delimiters. So the first time the conversion is watched (:class:`_Watch`): which parts it used, which codes it
looked up, which resources it made. The next time that is done again without converting.

Names, numbers and addresses are new in every message, yet their conversion looks at few of their parts
(:mod:`engine.mapping.inspecting`): the others stand in the value as they came. Such a part is a hole: what is
remembered is a value with holes (:mod:`engine.mapping.shapes`), by the text of the other parts.

What looks beyond the value (another field, another segment, the message), what finds fault or leaves a part with a
reason is not remembered, so that every report is made where it was always made. Values are made anew for every use: a
resource may be changed after it was placed, what is kept never is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.hl7v2.delimiters import HEADERS, Delimiters
from engine.hl7v2.tree import EMPTY, NULL, Leaf, Node, Segment, child, leaves, parse_field
from engine.mapping.paths import Items
from engine.mapping.run import Run
from engine.mapping.shapes import Shape, passed_on, shape_of, token
from engine.mapping.templates import Template, template
from engine.records import Severity
from engine.settings import Mapping as Limits

if TYPE_CHECKING:
    from engine.mapping.rules import Rule

Json = dict[str, Any]
Form = str | tuple[str | None, ...]
"""The text of a repetition, or its components with None for each hole."""
Key = tuple["Rule", Form, int]
"""Row, form and context."""
Asked = tuple[object, int, str, int]
"""Who asks, the field, its text and the context."""
_TRIES = 2048
"""A row that was asked so often and knew the answer in less than one of five cases is left alone for a while."""
_REST = 16384
"""How many values it is left alone for: by then a feed may have told of all its beds, or another feed has begun."""


class Told(NamedTuple):
    """A code that no table knows, as :meth:`Run.unknown_code` is told of it; ``place`` is the leaf's, in the repetition."""

    table: str
    code: str
    place: int
    message: str
    action: str
    severity: Severity


@dataclass(frozen=True, slots=True)
class Known:
    """What a row makes of a text.

    Attributes:
        template: makes the value of the texts in the holes, in order.
        rivals: texts that none of the holes may hold: the value would look otherwise.
        used: the leaves that reached the value, as bits in their order in the repetition.
        count: the number of leaves with a value.
        codes, unknown_codes: what was looked up.
        made: reference, content and a maker of the content of each resource that is referred to.
        told: the unknown codes that are reported.
    """

    template: Template
    rivals: frozenset[str]
    used: int
    count: int
    codes: tuple[tuple[str, str], ...]
    unknown_codes: tuple[tuple[str, str], ...]
    made: tuple[tuple[str, Json, Template], ...]
    told: tuple[Told, ...]


class _Once(Enum):
    """In place of what is known: the text was met once."""

    ONCE = 1


_ONCE = _Once.ONCE


class Memory:
    """What rows made of texts, for one set of tables; the oldest half is forgotten when it is full."""

    def __init__(self, limits: Limits) -> None:
        self._limit = limits.remembered_values
        self._longest = limits.remembered_chars
        self.recent: dict[Key, Known | _Once | None] = {}
        """What is known: by row, form and :meth:`context`. None: nothing can be remembered of it."""
        self._old: dict[Key, Known | _Once | None] = {}
        self.answers: dict[Asked, tuple[object, ...]] = {}
        """What conditions and id rules asked of the texts of fields."""
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

    def keep_answers(self, key: Asked, answers: tuple[object, ...]) -> None:
        """Remember what was said of a text; of a long one, that does not come again, nothing."""
        if len(key[2]) > self._longest:
            return
        if len(self.answers) >= self._limit:
            self.answers.clear()
        self.answers[key] = answers

    def apply(self, rule: Rule, segment: Segment, run: Run, root: Json, items: Items) -> int | None:
        """Do what the row does with the field; None when it must be done by the row itself.

        Returns:
            How many of the repetitions reached the resource.
        """
        if rule.misses > _TRIES and 4 * rule.hits < rule.misses and not _asked_again(rule):
            return None
        number = rule.field
        raw, repetition = segment.fields[number], segment.delimiters.repetition
        if segment.id in HEADERS and number <= 2:
            return None
        if repetition and repetition in raw:
            return self._each(rule, raw.split(repetition), segment, run, root, items)
        holes: list[str] = []
        known = self._known(rule, raw, holes, segment, run)
        if known is None or (known.made and _contradicted(known, run)):
            return None
        if not put(known, holes, rule, segment, run, root, items, 1):
            return refused(rule, segment, run, 1)
        run.mark(segment, number, known.used, known.count)
        return 1

    def _each(
        self, rule: Rule, texts: list[str], segment: Segment, run: Run, root: Json, items: Items
    ) -> int | None:
        """As :meth:`apply`, of a field that repeats: all repetitions are known, or the row does them all."""
        if rule.repetitions is not None:
            return None
        found: list[tuple[Known, list[str]]] = []
        for text in texts:
            holes: list[str] = []
            known = self._known(rule, text, holes, segment, run) if text else None
            if known is None or known.made:
                return None
            found.append((known, holes))
        used = count = placed = 0
        for rep, (known, holes) in enumerate(found, 1):
            if put(known, holes, rule, segment, run, root, items, rep):
                used |= known.used << count
                placed += 1
            else:
                refused(rule, segment, run, rep)
            count += known.count
        run.mark(segment, rule.field, used, count)
        return placed

    def _known(self, rule: Rule, text: str, holes: list[str], segment: Segment, run: Run) -> Known | None:
        """What the row makes of a repetition, None if it is not known; the texts in its holes are put into ``holes``."""
        form = text if rule.inspects is None else _form(text, rule.inspects, segment.delimiters, holes)
        key = (rule, form, run.context)
        known = self.recent.get(key, self)
        if known is self:
            known = self._met(key, text)
        if known is None:
            rule.misses += 1
            return None
        if known is _ONCE:
            rule.misses += 1
            known = self.recent[key] = _watched(rule, form, segment, run)
            if known is None:
                return None
        else:
            rule.hits += 1
        assert isinstance(known, Known)
        if holes:
            several = len(holes) > 1 and len(set(holes)) < len(holes)
            if several or not known.rivals.isdisjoint(holes):
                return None
        return known

    def _met(self, key: Key, text: str) -> Known | _Once | None:
        """What the older half knows. What nothing is known of may be the only one of its kind: it is watched when it comes again."""
        if len(text) > self._longest:
            return None
        found = self._old.get(key, _ONCE)
        if len(self.recent) >= self._limit:
            self._old = dict(self.recent)
            self.recent.clear()
        self.recent[key] = found
        return None if found is _ONCE else found


def _form(text: str, inspects: frozenset[int], delimiters: Delimiters, holes: list[str]) -> Form:
    """The form of a repetition; what stands in its holes is added to ``holes``."""
    parts: list[str | None] = [*text.split(delimiters.component)] if delimiters.component else [text]
    for index, part in enumerate(parts):
        if part and index not in inspects and (told := passed_on(part, delimiters)):
            holes.append(told)
            parts[index] = None
    return tuple(parts) if holes else text


def _asked_again(rule: Rule) -> bool:
    """Whether a row that seldom knew the answer has been left alone for long enough."""
    rule.rested += 1
    if rule.rested < _REST:
        return False
    rule.rested = rule.hits = rule.misses = 0
    return True


def _contradicted(known: Known, run: Run) -> bool:
    """Whether the message has said something else of a resource that the value refers to."""
    for reference, content, _ in known.made:
        present = run.made.get(reference)
        if present is not None and present != content:
            return True
    return False


def put(
    known: Known,
    holes: Sequence[str],
    rule: Rule,
    segment: Segment,
    run: Run,
    root: Json,
    items: Items,
    rep: int,
) -> bool:
    """What :meth:`Rule.apply` does, of what is known."""
    target = rule.target
    if rule.coded and target.taken(root, items, rep):
        refused(rule, segment, run, rep)  # but for what says the same
        if not target.place(root, items, known.template.fill(holes), rep):
            return False
    if known.made:
        for reference, _, content in known.made:
            if reference not in run.made:
                run.made_by[reference] = run.segment.location
                run.made[reference] = content.fill(())
    if known.codes:
        run.codes += known.codes
        run.unknown_codes += known.unknown_codes
    for told in known.told:
        _tell(told, segment, rule.field, rep, run)
    return target.place(root, items, known.template.fill(holes), rep)


def _tell(told: Told, segment: Segment, number: int, rep: int, run: Run) -> None:
    """Report a code that no table knows, where it stands in this message."""
    if run.first_told(told.table, told.code):
        node = segment.repetitions(number)[rep - 1]
        leaf = [leaf for leaf in leaves(node) if leaf is not EMPTY][told.place]
        location = next(place for place, found in segment.field_leaves(number) if found is leaf)
        run.report_code(location, told.message, told.action, told.severity)


def refused(rule: Rule, segment: Segment, run: Run, rep: int) -> int:
    """Say of a repetition that its place is taken; returns 0."""
    node = _part(segment.repetitions(rule.field)[rep - 1], rule.parts)
    run.refuse(node, f"{rule.target.text} is already filled by an earlier rule or repetition")
    return 0


def _part(node: Node, parts: tuple[int, ...]) -> Node:
    for number in parts:
        node = child(node, number)
    return node


def _watched(rule: Rule, form: Form, segment: Segment, run: Run) -> Known | None:
    """The conversion with an eye on what it does; None when that can't be done again. In each hole stands a word of ours."""
    assert rule.convert is not None
    words: list[str] = []
    if isinstance(form, str):
        text = form
    else:
        words = [token(n) for n in range(form.count(None))]
        fill = iter(words)
        text = segment.delimiters.component.join(next(fill) if part is None else part for part in form)
    (whole,) = parse_field(text, segment.delimiters)
    order = [leaf for leaf in leaves(whole) if leaf is not EMPTY]
    if any(leaf.text == NULL or not leaf.text.strip() for leaf in order):
        return None
    part = _part(whole, rule.parts)
    if part is EMPTY:
        return None  # the row has nothing to read, whatever its function makes of nothing
    watch = _Watch(run)
    try:
        value = rule.convert(part, _Value(segment.delimiters), watch)
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
    shape = _shape(value, words, watch)
    if shape is None:
        return None
    used = sum(1 << place for place, leaf in enumerate(order) if leaf.used)
    made = tuple((reference, content, template(content)) for reference, content in watch.made.items())
    told = _told(watch, order, words)
    if told is None:
        return None
    codes_seen, unknown = tuple(watch.codes), tuple(watch.unknown_codes)
    return Known(shape.template, shape.rivals, used, len(order), codes_seen, unknown, made, told)


def _told(watch: _Watch, order: list[Leaf], words: list[str]) -> tuple[Told, ...] | None:
    """The unknown codes of a value and where they stand in it; None if that can't be said of others of its form."""
    found: list[Told] = []
    for table, code, node, message, action, severity in watch.told:
        first = next((leaf for leaf in leaves(node) if leaf.text), None)
        place = next((n for n, leaf in enumerate(order) if leaf is first), -1)
        said = f"{code}{message}{action}"
        if place < 0 or any(word in said for word in words):
            return None
        found.append(Told(table, code, place, message, action, severity))
    return tuple(found)


def _shape(value: Any, words: list[str], watch: Any) -> Shape | None:
    if not words:
        return Shape(template(value), frozenset())
    # The name of a resource is made of what it holds: with a word in it, it would be another.
    return None if watch.made else shape_of(value, words)


class _Value(Segment):
    """A segment that nothing is known of: a conversion that asks for its fields depends on more than its value."""

    def __init__(self, delimiters: Delimiters) -> None:
        self.delimiters = delimiters


class _Watch(Run):
    """A run of one value: what it lacks (the message, its segments) raises AttributeError when asked for."""

    def __init__(self, run: Run) -> None:
        self.zone, self.naming, self.systems, self.facility = run.zone, run.naming, run.systems, run.facility
        self.trail = []
        self.codes = []
        self.unknown_codes = []
        self.made = {}
        self.told: list[tuple[str, str, Node, str, str, Severity]] = []
        self.spoiled = False

    def refuse(self, node: Node, reason: str) -> None:  # noqa: ARG002 - as the run has it
        self.spoiled = True

    def warn(
        self,
        code: str,  # noqa: ARG002
        node: Node | None,  # noqa: ARG002
        message: str,  # noqa: ARG002
        action: str = "",  # noqa: ARG002
        severity: Severity = Severity.WARNING,  # noqa: ARG002
    ) -> None:
        self.spoiled = True

    def unlike_others(self) -> None:
        self.spoiled = True

    def unknown_code(
        self,
        table: str,
        code: str,
        node: Node,
        message: str,
        action: str,
        severity: Severity = Severity.WARNING,
    ) -> None:
        self.told.append((table, code, node, message, action, severity))

    def make(self, resource: Json, *key: str) -> tuple[str, bool]:
        """As :meth:`Run.make`; what one value tells of one thing twice is not done again."""
        reference, content = Run.named(resource, *key)
        self.spoiled = self.spoiled or reference in self.made
        self.made[reference] = content
        return reference, True
