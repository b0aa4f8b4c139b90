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
_VARIANTS = {digit: f"{int(digit, 16) & 0x3 | 0x8:x}" for digit in "0123456789abcdef"}
"""The first digit of the fourth group, with the bits of the variant set (RFC 4122 §4.1.1)."""
_SEPARATOR = "\x1f"
"""ASCII unit separator: no part can hold it, so ("a", "bc") and ("ab", "c") differ."""


def resource_id(resource_type: str, *parts: str) -> str:
    """Deterministic id of a resource from its type and the parts of its business key."""
    return _uuid5(_SEPARATOR.join((resource_type, *parts)).encode("utf-8", "surrogatepass"))


def content_id(resource_type: str, content: bytes) -> str:
    """As :func:`resource_id`, of one part that is UTF-8 already."""
    return _uuid5(f"{resource_type}{_SEPARATOR}".encode() + content)


def _uuid5(name: bytes) -> str:
    """RFC 4122 §4.3, as uuid.uuid5 does it, without the objects around it: 20 ids are made a message."""
    text = sha1(_NAMESPACE + name, usedforsecurity=False).hexdigest()
    variant = _VARIANTS[text[16]]
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{variant}{text[17:20]}-{text[20:32]}"


def patient_key(system: str, value: str) -> str:
    """Kafka key of the patient with this identifier: ``Patient/<id>``."""
    return f"Patient/{resource_id('Patient', system, value)}"
