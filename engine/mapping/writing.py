"""How each entry of a message's Bundle is written: put as a whole, patched, or only created.

docs/decisions/0009 says why, and what it means for a receiver that holds older data.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.feeds import FeedProfile
from engine.hl7v2.tree import Message
from engine.mapping.leftovers import Nulled
from engine.mapping.mapper import Mapped
from engine.mapping.patching import patch_entry
from engine.records import Issue, Severity

_CREATES = frozenset({"A01", "A04", "A05", "A14", "A28"})
"""Events that tell of a patient or visit from the beginning; every other ADT event is an update."""
_ABOUT_THE_PATIENT = frozenset(
    {"Patient", "Encounter", "RelatedPerson", "Account", "Coverage", "AllergyIntolerance", "Condition"}
)
_BYSTANDERS = frozenset({"Patient", "Encounter"})
"""What a message that is no ADT tells only in passing: it must not overwrite what ADT told."""
_UNLINKS = "A37"
"""The event that takes back what A24 told: the message has no field for it (v2.5.1 §3.3.37)."""
_PUT, _PATCH, _CREATE = "PUT", "PATCH", "create"


def as_written(
    entries: list[dict[str, Any]], message: Message, profile: FeedProfile, mapped: Mapped
) -> tuple[list[dict[str, Any]], list[Issue]]:
    """Each entry written as the feed's update policy has it, and the explicit nulls that clear nothing."""
    is_adt = message.code == "ADT"
    is_update = is_adt and message.trigger not in _CREATES
    if is_adt and not is_update and not mapped.nulls:
        return entries, []
    nulls: dict[str, list[Nulled]] = {}
    for null in mapped.nulls:
        nulls.setdefault(null.reference, []).append(null)
    ways: dict[str, str] = {}
    for index, entry in enumerate(entries):
        resource, url = entry["resource"], entry["request"]["url"]
        kind, ways[url] = resource["resourceType"], _PUT
        if profile.update_policy == "snapshot":
            continue
        known = url not in mapped.momentary
        merging = known and (profile.update_policy == "merge" or url in nulls)
        if is_update and merging and kind in _ABOUT_THE_PATIENT:
            paths = [path for null in nulls.get(url, ()) for path in null.paths]
            if message.trigger == _UNLINKS and kind == "Patient":
                paths += _links_to_others(entries, url)
            entries[index], ways[url] = patch_entry(resource, paths), _PATCH
        elif not is_adt and kind in _BYSTANDERS:
            # RFC 9110 §13.1.2: with "*" an update creates and never overwrites.
            entry["request"]["ifNoneMatch"], ways[url] = "*", _CREATE
    return entries, list(_not_carried(mapped, ways, is_update=is_update))


def _links_to_others(entries: list[dict[str, Any]], url: str) -> Iterator[str]:
    """Paths of the links of a patient to the other patients of the message; a PUT without links needs none."""
    for entry in entries:
        other = entry["request"]["url"]
        if other != url and other.startswith("Patient/"):
            yield f"Patient.link.where(other.reference = '{other}')"


def _not_carried(mapped: Mapped, ways: dict[str, str], *, is_update: bool) -> Iterator[Issue]:
    """Nulls that no resource carries to the receiver, each once and with the reason."""
    by_location: dict[str, list[Nulled]] = {}
    for null in mapped.nulls:
        by_location.setdefault(null.location, []).append(null)
    for location, nulls in by_location.items():
        written = [null for null in nulls if null.reference in ways]
        for null in written or nulls[:1]:
            kind = null.reference.partition("/")[0]
            momentary = is_update and kind in _ABOUT_THE_PATIENT and null.reference in mapped.momentary
            why = _why_not(null, ways.get(null.reference, ""), momentary)
            if why:
                severity = Severity.WARNING if null.mapped else Severity.INFORMATION
                words = f"The explicit null clears nothing{f' of {kind}' if kind else ''}: {why}"
                action = "Clear the value at the receiver by hand, or map the field in an overlay."
                yield Issue(severity, "null-not-carried", location, words, action)
                break


def _why_not(null: Nulled, way: str, momentary: bool) -> str:
    if not null.mapped:
        return "no rule that applies asks for its field"
    if not way:
        return "the message makes nothing that it could be cleared from"
    if momentary:
        return "what it belongs to has no number by which the receiver could know it"
    if way == _CREATE:
        return "a message that is no ADT changes no patient or visit that is known (update_policy)"
    return "" if way == _PUT or null.carried else "no one FHIR element could be named for it"
