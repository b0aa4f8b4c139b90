"""Ids and keys that say the same thing wherever they are made: at the edge, in a map, in a FHIR feed.

The Kafka key of a patient is the reference to the Patient resource that Wardstream emits for them, so
that everything about one patient is in one partition, and no key carries a number that a person could read.
"""

from __future__ import annotations

from hashlib import sha1
from uuid import UUID

NAMESPACE = UUID("6d8f3a1e-2f0b-5c64-9d53-0f6b7a5f2c11")
"""UUIDv5 namespace of all resource ids. It never changes: ids would."""

_NAMESPACE = NAMESPACE.bytes
_SEPARATOR = "\x1f"
"""ASCII unit separator: no part can hold it, so ("a", "bc") and ("ab", "c") differ."""


def resource_id(resource_type: str, *parts: str) -> str:
    """Deterministic id of a resource from its type and the parts of its business key."""
    name = _SEPARATOR.join((resource_type, *parts)).encode("utf-8", "surrogatepass")
    # RFC 4122 §4.3, as uuid.uuid5 does it, without the objects around it: 20 ids are made a message.
    digest = bytearray(sha1(_NAMESPACE + name, usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def patient_key(system: str, value: str) -> str:
    """Kafka key of the patient with this identifier: ``Patient/<id>``."""
    return f"Patient/{resource_id('Patient', system, value)}"
