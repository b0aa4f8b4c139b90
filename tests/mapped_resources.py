"""How tests of maps look into what a message became."""

from __future__ import annotations

from typing import Any


def of(mapped: Any, resource_type: str) -> list[dict[str, Any]]:
    """All resources of a type; ``mapped`` has them as ``resources``."""
    return [r for r in mapped.resources if r["resourceType"] == resource_type]


def one(mapped: Any, resource_type: str) -> dict[str, Any]:
    """The only resource of a type."""
    found = of(mapped, resource_type)
    assert len(found) == 1, [r["resourceType"] for r in mapped.resources]
    return found[0]


def reference(resource: dict[str, Any]) -> dict[str, str]:
    """A Reference to it."""
    return {"reference": f"{resource['resourceType']}/{resource['id']}"}
