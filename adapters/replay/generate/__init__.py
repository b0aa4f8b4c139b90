"""Synthetic messages for load, demonstration and drift: any number, varied, and the same for the same seed.

A stream is the traffic of one invented hospital. Its patients keep their identifiers, names and visits from
message to message; they are registered before they are admitted, and admitted before they are discharged, so
that order per patient means something. Orders come before their results. Several systems send, each with its own
version and character set. No clock is read: time begins at ``base`` and moves with every message.

Every HL7 message before a shift is valid by its version's structure. What a shift changes stands in
:mod:`.rates`.
"""

from __future__ import annotations

from adapters.replay.generate.single import adt_a01, oru_with
from adapters.replay.generate.stream import DEFAULT_BASE, KINDS, generate

__all__ = ["DEFAULT_BASE", "KINDS", "adt_a01", "generate", "oru_with"]
