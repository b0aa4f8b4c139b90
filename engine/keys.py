"""Ids and keys that say the same thing wherever they are made: at the edge, in a map, in a FHIR feed.

The Kafka key of a patient is the reference to the Patient resource that Wardstream emits for them, so
that everything about one patient is in one partition, and no key carries a number that a person could read.
"""

from __future__ import annotations

from uuid import UUID, uuid5

NAMESPACE = UUID("6d8f3a1e-2f0b-5c64-9d53-0f6b7a5f2c11")
"""UUIDv5 namespace of all resource ids. It never changes: ids would."""

_SEPARATOR = "\x1f"
"""ASCII unit separator: no part can hold it, so ("a", "bc") and ("ab", "c") differ."""


def resource_id(resource_type: str, *parts: str) -> str:
    """Deterministic id of a resource from its type and the parts of its business key."""
    return str(uuid5(NAMESPACE, _SEPARATOR.join((resource_type, *parts))))


def patient_key(system: str, value: str) -> str:
    """Kafka key of the patient with this identifier: ``Patient/<id>``."""
    return f"Patient/{resource_id('Patient', system, value)}"
