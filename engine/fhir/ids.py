"""Deterministic ids of FHIR resources: the same thing gets the same id, whenever and wherever it arrives.

An id is a UUIDv5 in the project's namespace (:mod:`engine.keys`), of the resource type and what identifies
the thing: its business identifier, else its place and content. A replay therefore writes the same
resources again instead of new ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from engine.fhir.writer import dumps
from engine.keys import resource_id

_PREFERRED_USES = ("usual", "official", "", "secondary", "temp")
_VOLATILE = ("id", "meta", "text")
"""Left out of content ids: a server writes them anew whenever it sends the same thing."""
_PREFERRED_TYPES = ("MR", "PI", "PT", "NI", "SS", "PN")
"""Kinds of number that name a person, best first: the hospital's own before the state's, as for PID-3."""


def from_parts(resource_type: str, *parts: str) -> str:
    """Id from the parts of a business key."""
    return resource_id(resource_type, *parts)


def from_identifier(resource_type: str, system: str, value: str) -> str:
    """Id from one business identifier; for a Patient it agrees with :func:`engine.keys.patient_key`."""
    return resource_id(resource_type, system, value)


def from_content(resource_type: str, content: Any) -> str:
    """Id from what is said: equal JSON (whatever the order of its keys) gives the same id."""
    canonical = dumps(content, sort=True)
    return resource_id(resource_type, "content", hashlib.sha256(canonical).hexdigest())


def with_id(resource: dict[str, Any]) -> dict[str, Any]:
    """The resource with an id: its own, else one from its best identifier, else from its content."""
    if "id" in resource:
        return resource
    return named(resource, id_by_identifier(resource) or id_by_content(resource))


def id_by_identifier(resource: dict[str, Any]) -> str:
    """Id from the identifier that names the resource best; "" when it has none."""
    identifier = resource.get("identifier")
    best = best_identifier(identifier if isinstance(identifier, list) else [identifier])
    return from_identifier(resource["resourceType"], *best) if best else ""


def id_by_content(resource: dict[str, Any], number: int = 1) -> str:
    """Id from what a resource says; ``number`` parts the repeats of one message."""
    said = {name: value for name, value in resource.items() if name not in _VOLATILE}
    return from_content(resource["resourceType"], said if number == 1 else [said, number])


def named(resource: dict[str, Any], made: str) -> dict[str, Any]:
    """The resource under an id, which stands behind resourceType."""
    kind = resource["resourceType"]
    return {
        "resourceType": kind,
        "id": made,
        **{k: v for k, v in resource.items() if k not in {"resourceType", "id"}},
    }


def best_identifier(identifiers: Any) -> tuple[str, str] | None:
    """(system, value) of the identifier that names the thing best; None when none has both.

    By type of identifier first (table 0203), then by use, then by position. Identifiers that are out of
    use (``use`` old) are passed over.
    """
    ranked = [
        (_type_rank(item), _use_rank(item), position, item["system"], item["value"])
        for position, item in enumerate(identifiers if isinstance(identifiers, list) else ())
        if _is_complete(item) and item.get("use") != "old"
    ]
    if not ranked:
        return None
    *_, system, value = min(ranked)
    return system, value


def _is_complete(item: Any) -> bool:
    return isinstance(item, dict) and all(
        isinstance(item.get(k), str) and item[k].strip() for k in ("system", "value")
    )


def _use_rank(item: dict[str, Any]) -> int:
    use = item.get("use", "")
    return _PREFERRED_USES.index(use) if use in _PREFERRED_USES else len(_PREFERRED_USES)


def _type_rank(item: dict[str, Any]) -> int:
    return min((_code_rank(code) for code in _type_codes(item)), default=len(_PREFERRED_TYPES))


def _code_rank(code: str) -> int:
    return _PREFERRED_TYPES.index(code) if code in _PREFERRED_TYPES else len(_PREFERRED_TYPES)


def _type_codes(item: dict[str, Any]) -> Iterable[str]:
    kind = item.get("type")
    codings = kind.get("coding") if isinstance(kind, dict) else None
    for coding in codings if isinstance(codings, list) else ():
        if isinstance(coding, dict) and isinstance(coding.get("code"), str):
            yield coding["code"]
