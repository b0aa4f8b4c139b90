"""One resource made ready to leave: valid, and with a report of all that was done to it."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

from engine.fhir.linking import valid_id, with_valid_ids
from engine.fhir.repair import repaired
from engine.fhir.schema import is_resource
from engine.fhir.versions import version_of_element, version_of_resource
from engine.records import Issue, Severity, Unmapped

Json = dict[str, Any]

_INDEX = re.compile(r"\[\d+\]")


@dataclass(frozen=True, slots=True)
class Ready:
    """A resource to be written, or None with the reason as the last issue.

    Attributes:
        resource: valid R4; it has an id if it came with one or the request named one.
        kind: its resourceType, "" when R4 has no such type.
        old_id: the id it came with; "" if none.
        issues, unmapped: locations are FHIRPaths from the document's root.
    """

    resource: Json | None
    kind: str
    old_id: str
    issues: tuple[Issue, ...]
    unmapped: tuple[Unmapped, ...]


def make_ready(resource: Json, place: str = "", forced_id: str = "") -> Ready:
    """Validate and repair one resource.

    Args:
        resource: as read; it is not changed.
        place: FHIRPath of the resource in its Bundle; "" when it is the document itself.
        forced_id: the id that a PUT names, which decides over the resource's own.
    """
    given = resource.get("resourceType")
    if not isinstance(given, str) or not is_resource(given):
        return Ready(None, "", "", (_no_resource(given, place),), ())
    old_id = resource["id"] if isinstance(resource.get("id"), str) else ""
    issues: list[Issue] = []
    unmapped: list[Unmapped] = []
    linked, changed = with_valid_ids(resource)
    if changed:
        issues.append(_odd_reference(given))
    new_id = forced_id or valid_id(given, old_id)
    named = {**linked, "id": new_id} if new_id and new_id != old_id else linked
    if old_id and new_id != old_id:
        issues.append(_other_id(given))
        unmapped.append(Unmapped(f"{given}.id", "replaced by an id that R4 allows"))
    done = repaired(named)
    issues += done.issues
    unmapped += [Unmapped(path, _reason(path, reason)) for path, reason in done.lost]
    return Ready(
        done.resource,
        given,
        old_id,
        tuple(relocate(_telling_version(issue), given, place) for issue in issues),
        tuple(Unmapped(_moved(u.location, given, place), u.reason) for u in unmapped),
    )


def relocate(issue: Issue, root: str, place: str) -> Issue:
    """The issue with its location counted from the document's root instead of the resource's."""
    return dataclasses.replace(issue, location=_moved(issue.location, root, place)) if place else issue


def without_indexes(path: str) -> str:
    """``Patient.name[0].given[1]`` as ``Patient.name.given``."""
    return _INDEX.sub("", path)


def _moved(location: str, root: str, place: str) -> str:
    return place + location.removeprefix(root) if place else location


def _reason(path: str, reason: str) -> str:
    version = version_of_element(without_indexes(path)) if reason.startswith("R4 has no such element") else ""
    return f"{reason}; it is one of {version}" if version else reason


def _telling_version(issue: Issue) -> Issue:
    if issue.code != "unknown-element":
        return issue
    version = version_of_element(without_indexes(issue.location))
    if not version:
        return issue
    return dataclasses.replace(
        issue,
        message=f"An element of FHIR {version} that R4 does not have; it was left out",
        action="Send FHIR R4 (4.0.1).",
    )


def _no_resource(given: Any, place: str) -> Issue:
    location = f"{place}.resourceType" if place else "Resource.resourceType"
    version = version_of_resource(given) if isinstance(given, str) else ""
    if version:
        message, action = f"A resource of FHIR {version} that R4 does not have", "Send FHIR R4 (4.0.1)."
    elif given is None:
        message, action = "There is no resourceType", "Send a FHIR resource: a JSON object with resourceType."
    else:
        message, action = (
            "resourceType names no resource of R4",
            "Correct resourceType; names are case-sensitive.",
        )
    return Issue(Severity.ERROR, "resource-type", location, message, action)


def _odd_reference(kind: str) -> Issue:
    message = (
        "A reference names an id that R4 does not allow; it was given the id that such a resource gets here"
    )
    return Issue(
        Severity.WARNING, "id-replaced", kind, message, "Send ids of 1 to 64 letters, digits, '-' and '.'."
    )


def _other_id(kind: str) -> Issue:
    message = "The id is not what R4 allows, or not what the request names; a fitting one was given"
    return Issue(
        Severity.WARNING,
        "id-replaced",
        f"{kind}.id",
        message,
        "Send ids of 1 to 64 letters, digits, '-' and '.'.",
    )
