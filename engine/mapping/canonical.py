"""FHIR input in the canonical form of HL7 v2's output: one name for each code system and identifier system.

A hospital's FHIR sender writes ``urn:oid:2.16.840.1.113883.6.1`` where v2 says ``LN``, and its own URL for
the numbers that the site's ``authorities.csv`` has another for. Here both get the same names by the same
tables, so that one number is one identifier whichever way it came, and a resource without an id gets the
id that v2 would have given it. Nothing else changes: profiles, extensions, narratives, codes and displays stay.
"""

from __future__ import annotations

import re
from typing import Any

from engine.fhir.stu3 import system_of_r4
from engine.mapping.codes import V2_SYSTEM, Systems
from engine.mapping.naming import Naming

Json = dict[str, Any]

_V2_TABLE_OID = re.compile(r"(?:urn:oid:)?2\.16\.840\.1\.113883\.12\.(\d{1,4})")
"""HL7's OIDs of the v2 tables: the last number is the table's."""


def canonical(resource: Json, naming: Naming, systems: Systems) -> Json:
    """A copy with canonical systems; the resource is not changed."""
    found: Json = _copied(resource, naming, systems)
    return found


def _copied(value: Any, naming: Naming, systems: Systems) -> Any:
    if isinstance(value, list):
        return [_copied(item, naming, systems) for item in value]
    if not isinstance(value, dict):
        return value
    found = {name: _copied(part, naming, systems) for name, part in value.items()}
    system = found.get("system")
    if isinstance(system, str):
        if isinstance(found.get("code"), str):  # a Coding, or a Quantity with its unit
            found["system"] = _code_system(system.strip(), systems)
        elif isinstance(found.get("value"), str) and not _is_contact(system):
            found["system"] = naming.known(system.strip()) or system
    return found


def _code_system(system: str, systems: Systems) -> str:
    if found := systems.known(system):
        return found
    table = _V2_TABLE_OID.fullmatch(system)
    return f"{V2_SYSTEM}{table[1]:0>4}" if table else system_of_r4(system)


def _is_contact(system: str) -> bool:
    """ContactPoint.system is a code of seven, an Identifier's a URI."""
    return ":" not in system
