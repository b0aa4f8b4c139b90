"""One HL7 v2 message to FHIR resources: runs the compiled tables and reports what they left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.feeds import FeedProfile
from engine.hl7v2.groups import Group
from engine.hl7v2.structure import group_segments
from engine.hl7v2.tree import NULL, Message, Segment
from engine.mapping.codes import Systems
from engine.mapping.compiler import Compiler
from engine.mapping.convert import finish_texts
from engine.mapping.leftovers import Nulled, nulled, nulls_of, report
from engine.mapping.memory import Memory
from engine.mapping.naming import Naming
from engine.mapping.paths import Items, merge
from engine.mapping.rules import Choice, Link, MessageRule
from engine.mapping.run import Instance, Run
from engine.mapping.tables import Folder, builtin, load
from engine.records import Issue, Unmapped
from engine.settings import Mapping as Limits


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a message became.

    Attributes:
        resources: in the order made, ids set.
        sources: reference -> location of the segment that made it.
        patient: (system, value) of the patient's identifier, None if the message names none.
        issues: findings of structure and mapping.
        unmapped: every valued leaf that reached no element, with the reason.
        cleared: locations of explicit nulls.
        nulls: explicit nulls, once for each resource that their field goes to.
        momentary: references of resources that no earlier message can have told of.
        leaves: number of valued leaves, nulls left out.
        codes, unknown_codes: (table, code) looked up, and the part no table knew.
        structure: message structure used.
    """

    resources: tuple[dict[str, Any], ...]
    sources: Mapping[str, str]
    patient: tuple[str, str] | None
    issues: tuple[Issue, ...]
    unmapped: tuple[Unmapped, ...]
    cleared: tuple[str, ...]
    nulls: tuple[Nulled, ...]
    momentary: frozenset[str]
    leaves: int
    codes: tuple[tuple[str, str], ...]
    unknown_codes: tuple[tuple[str, str], ...]
    structure: str


_CHOICES = 4096
"""Segments in a group of a structure whose rows are remembered: all tables name some hundreds, senders may name any."""


class Mapper:
    """The compiled tables. Make one at start and use it for every message.

    Args:
        overlay: a site's folder of tables, or None.
        base: root of the URIs that must be invented, e.g. ``urn:wardstream:``.
        limits: how much may be remembered of values.
        acts: whether to make the Provenance resources that the tables tell; what they alone tell is reported if not.

    Raises:
        MapTableError: a table is wrong; file and line are named.
    """

    def __init__(
        self,
        overlay: Folder | None = None,
        *,
        base: str = "urn:wardstream:",
        acts: bool = True,
        limits: Limits | None = None,
    ) -> None:
        tables = load(builtin(), overlay) if overlay is not None else load(builtin())
        compiler = Compiler(tables, base)
        self.rules = compiler.compile()
        self.acts_off: dict[str, frozenset[int]] = {}
        """Fields by segment that would tell of an act, had the site not switched Provenance off."""
        if not acts:
            for rule in self.rules:
                if rule.resource == "Provenance" and rule.table is not None:
                    known = self.acts_off.get(rule.segment, frozenset())
                    self.acts_off[rule.segment] = known | rule.table.fields
            self.rules = [rule for rule in self.rules if rule.resource != "Provenance"]
        self.rules_version = tables.digest()
        """Changes whenever a row changes, built-in or of the overlay: for Provenance."""
        self.memory = Memory(limits or Limits())
        self.naming = compiler.naming
        self.systems = compiler.systems
        self.ignored: dict[tuple[str, int], str] = {}
        """(segment, field) -> why the tables leave it out; the first table that says so is heard."""
        for table in compiler.segments.values():
            for number, why in table.ignored.items():
                self.ignored.setdefault((table.segment, number), why)
        self._names: dict[tuple[object, ...], tuple[Naming, Systems]] = {}
        self._chosen: dict[tuple[str, str, str], Choice] = {}

    def map(self, message: Message, profile: FeedProfile) -> Mapped:
        """Map one message. Never raises for what the message holds: faults become issues."""
        structured = group_segments(message)
        try:
            return self._map(Run(self, message, structured, profile))
        finally:
            structured.release()

    def _map(self, run: Run) -> Mapped:
        for segment, group in run.structured.placed:
            self._segment(run, segment, group)
        self._finish_texts(run)
        for instance in list(run.instances):
            if not instance.placed:
                run.discard(instance)
        run.all_made()
        self._identify(run)
        for instance, segment, links, items in run.links:
            self._link(run, instance, segment, links, items)
        if run.told_again:
            _list_once(run)
        unmapped, cleared, count = report(run)
        return Mapped(
            tuple(_once(run)),
            run.made_by | {i.reference: i.segment.location for i in run.instances},
            _patient(run),
            (*run.message.issues, *run.structured.issues, *run.issues),
            unmapped,
            cleared,
            tuple(nulled(run)),
            frozenset([i.reference for i in run.instances if i.momentary]),
            count,
            tuple(run.codes),
            tuple(run.unknown_codes),
            run.structured.structure,
        )

    def names_for(self, profile: FeedProfile) -> tuple[Naming, Systems]:
        """Assigning authorities and coding systems as this feed's profile has them."""
        if not profile.authorities and not profile.coding_systems:
            return self.naming, self.systems
        key = (*profile.authorities.items(), None, *profile.coding_systems.items())
        found = self._names.get(key)
        if found is None:
            found = self._names[key] = (
                self.naming.with_local(profile.authorities),
                self.systems.with_local(profile.coding_systems),
            )
        return found

    def _choice_for(self, structure: str, segment: str, group: str) -> Choice:
        """Rules for a segment in a group."""
        key = (structure, segment, group)
        found = self._chosen.get(key)
        if found is None:
            by_name: dict[str, list[MessageRule]] = {}
            for rule in self.rules:
                if rule.segment == segment and rule.fits(structure, group):
                    by_name.setdefault(rule.name, []).append(rule)
            if len(self._chosen) >= _CHOICES:
                self._chosen.clear()
            found = self._chosen[key] = Choice(list(by_name.values()))
        return found

    def _segment(self, run: Run, segment: Segment, group: Group) -> None:
        for rule in self._choice_for(run.structured.structure, segment.id, group.name).chosen(segment, run):
            self._apply(run, rule, segment, group)

    def _apply(self, run: Run, rule: MessageRule, segment: Segment, group: Group) -> None:
        instance: Instance | None = None
        if rule.mode in {"add", "last"}:
            made = run.by_name.get(rule.name)
            instance = run.find(rule.name, group) if rule.mode == "add" else (made[-1] if made else None)
            if instance is None:
                run.orphans.setdefault(id(segment), rule.name)
                return
        elif rule.mode == "join":
            instance = run.find_joint(rule.name, group)
        if instance is None:
            resource = {
                "resourceType": rule.resource,
                "id": "",
            }  # to be said when all is known, in this place
            instance = Instance(resource, rule, segment, group, len(run.instances))
            run.add(instance)
        run.current, run.segment = instance, segment
        assert rule.table is not None
        items = rule.table.items_of(instance, segment, run)
        mark = len(run.trail)
        shared = rule.mode == "shared"  # another one may contradict it
        run.marks = [] if shared else None
        instance.placed += rule.table.run(segment, run, instance.resource, items)
        if shared:
            instance.leaves, instance.marks = run.trail[mark:], run.marks or []
        if rule.links:
            run.links.append((instance, segment, rule.links, items))
        if NULL in segment.raw:
            for number in rule.table.fields:
                if number < len(segment.fields) and NULL in segment.fields[number]:
                    run.nulls += nulls_of(run, rule, instance, segment, number)

    @staticmethod
    def _finish_texts(run: Run) -> None:
        """Texts collected over several segments become one value."""
        for instance in run.instances:
            finish_texts(instance.resource, instance.texts)

    def _identify(self, run: Run) -> None:
        """Give every instance its id; instances of one type with one key are told apart by order."""
        seen: dict[tuple[str, str], list[Instance]] = {}
        for instance in run.instances:
            like = seen.setdefault((instance.resource["resourceType"], run.id_of(instance)), [])
            like.append(instance)
            if len(like) > 1 and instance.rule.mode == "shared":
                run.share(instance, like[0])
            elif len(like) > 1 and instance.resource["resourceType"] in _STATEMENTS:
                self._tell_once(run, instance, like)
            elif len(like) > 1:
                run.renumber(instance, len(like) - 1)
        for instance in run.instances:
            instance.resource["id"] = instance.id
            instance.reference = _reference(instance)

    @staticmethod
    def _tell_once(run: Run, instance: Instance, like: list[Instance]) -> None:
        """What is told again word for word is the same resource; what differs is another one of the same key."""
        for first in like[:-1]:
            if first.resource == instance.resource:
                instance.id, instance.resource = first.id, first.resource
                run.told_again.add(_reference(first))
                return
        run.renumber(instance, len(like) - 1)

    @staticmethod
    def _link(run: Run, instance: Instance, segment: Segment, links: tuple[Link, ...], own: Items) -> None:
        if not instance.placed:
            return  # it was discarded
        others: dict[int, Items] = {}
        for link in links:
            if link.source and link.source not in run.by_name:
                continue
            holder = run.holder(link, instance, segment)
            if holder is None:
                continue
            place = link.place(holder.resource["resourceType"])
            held = own if holder is instance else others.setdefault(id(holder), {})
            if link.fixed:
                place.target.place(holder.resource, held, link.fixed, 1, create=False)
                continue
            source = run.linked(link, instance, segment)
            if source is not None and source is not holder:
                place.put(holder.resource, held, {"reference": source.reference})


_STATEMENTS = frozenset({"AllergyIntolerance", "Condition", "Coverage", "RelatedPerson"})
"""What is true once, however often a message says it: a diagnosis beside each of five orders. Events may happen twice."""


def _patient(run: Run) -> tuple[str, str] | None:
    """(system, value) that names the patient: PID-3, else PID-2, else PID-4 (older versions)."""
    pid = run.message.first("PID")
    if pid is None:
        return None
    return run.cx(pid, 3) or run.cx(pid, 2) or run.cx(pid, 4)


def _reference(instance: Instance) -> str:
    return f"{instance.resource['resourceType']}/{instance.id}"


def _list_once(run: Run) -> None:
    """Items that are alike and refer to a resource that was told again, such as a visit's diagnoses, are one item."""
    for instance in run.instances:
        for value in instance.resource.values():
            if isinstance(value, list) and len(value) > 1:
                kept: list[Any] = []
                for item in value:
                    if item not in kept or run.told_again.isdisjoint(_references(item)):
                        kept.append(item)
                value[:] = kept


def _references(content: Any) -> Iterator[str]:
    if isinstance(content, dict):
        for name, part in content.items():
            if name == "reference":
                yield part
            else:
                yield from _references(part)
    elif isinstance(content, list):
        for part in content:
            yield from _references(part)


def _once(run: Run) -> list[dict[str, Any]]:
    """Every resource once: what was made for a reference gives way to the instance of the same id."""
    resources = {i.reference: i.resource for i in run.instances}
    for reference, resource in run.made.items():
        if reference in resources:
            merge(resources[reference], resource)
        else:
            resources[reference] = resource
    return list(resources.values())
