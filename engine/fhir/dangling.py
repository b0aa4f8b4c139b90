"""References to resources that could not be emitted: taken out, so that none dangles."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from engine.fhir.repair import repaired
from engine.records import Issue, Severity

Json = dict[str, Any]


def without_dangling(resources: list[Json], gone: Iterable[str]) -> tuple[list[Json], list[Issue]]:
    """The resources without references to those that are gone (``Type/id``), and what was done.

    What a reference says beside (display, identifier) stays. A resource that can't be without the reference
    goes too, and so do references to it.

    Args:
        resources: valid ones; they are not changed.
        gone: what was to be emitted and is not.
    """
    missing = frozenset(gone)
    issues: list[Issue] = []
    while missing:
        kept: list[Json] = []
        lost: set[str] = set()
        for resource in resources:
            stripped, found = _stripped(resource, missing)
            if not found:
                kept.append(resource)
                continue
            name = f"{resource['resourceType']}/{resource['id']}"
            mended = repaired(stripped)
            issues.append(
                Issue(
                    Severity.WARNING,
                    "reference-lost",
                    resource["resourceType"],
                    "It refers to a resource that could not be emitted; "
                    + (
                        "the reference was taken out"
                        if mended.resource
                        else "it can't be without it and was left out"
                    ),
                    "See why the other resource could not be emitted.",
                )
            )
            if mended.resource is not None:
                kept.append(mended.resource)
            else:
                lost.add(name)
        resources, missing = kept, frozenset(lost)
    return resources, issues


def _stripped(node: Any, missing: frozenset[str]) -> tuple[Any, bool]:
    """A copy without these references and what is left empty by that; whether there was one."""
    if isinstance(node, list):
        done = [_stripped(item, missing) for item in node]
        found = any(was for _, was in done)
        return [item for item, was in done if not was or item not in ({}, [])], found
    if not isinstance(node, dict):
        return node, False
    found = node.get("reference") in missing if isinstance(node.get("reference"), str) else False
    made: Json = {}
    for name, value in node.items():
        if found and name == "reference":
            continue
        part, was = _stripped(value, missing)
        found = found or was
        if not was or part not in ({}, []):
            made[name] = part
    return made, found
