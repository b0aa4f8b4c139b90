"""Message structures: which one a message has (HL7 table 0354), and HL7's definition of it, from hl7apy's tables."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from typing import Any

from engine.hl7v2.tree import Message
from engine.records import Issue, Severity

_MODULES = {
    "2.0": "v2_1",
    "2.0D": "v2_1",
    "2.1": "v2_1",
    "2.2": "v2_2",
    "2.3": "v2_3",
    "2.3.1": "v2_3_1",
    "2.3.2": "v2_3_1",
    "2.4": "v2_4",
    "2.5": "v2_5",
    "2.5.1": "v2_5_1",
    "2.6": "v2_6",
    "2.7": "v2_7",
    "2.7.1": "v2_7",
    "2.8": "v2_8",
    "2.8.1": "v2_8_1",
    "2.8.2": "v2_8_2",
    "2.9": "v2_8_2",
    "2.9.1": "v2_8_2",
}
FALLBACK_VERSIONS = ("2.5.1", "2.8.2")

# HL7 table 0354, message structure: structure -> trigger events that use it.
_EVENTS: dict[str, dict[str, str]] = {
    "ADT": {
        "ADT_A01": "A01 A04 A08 A13",
        "ADT_A02": "A02",
        "ADT_A03": "A03",
        "ADT_A05": "A05 A14 A28 A31",
        "ADT_A06": "A06 A07",
        "ADT_A09": "A09 A10 A11",
        "ADT_A12": "A12",
        "ADT_A15": "A15",
        "ADT_A16": "A16",
        "ADT_A17": "A17",
        "ADT_A18": "A18",
        "ADT_A20": "A20",
        "ADT_A21": "A21 A22 A23 A25 A26 A27 A29 A32 A33",
        "ADT_A24": "A24",
        "ADT_A30": "A30 A34 A35 A36 A46 A47 A48 A49",
        "ADT_A37": "A37",
        "ADT_A38": "A38",
        "ADT_A39": "A39 A40 A41 A42",
        "ADT_A43": "A43",
        "ADT_A44": "A44",
        "ADT_A45": "A45",
        "ADT_A50": "A50 A51",
        "ADT_A52": "A52 A53",
        "ADT_A54": "A54 A55",
        "ADT_A60": "A60",
        "ADT_A61": "A61 A62",
    },
    "ORU": {"ORU_R01": "R01 R40", "ORU_R30": "R30 R31 R32"},
    "MDM": {"MDM_T01": "T01 T03 T05 T07 T09 T11", "MDM_T02": "T02 T04 T06 T08 T10"},
    "SIU": {"SIU_S12": " ".join(f"S{n}" for n in range(12, 28))},
    "RDE": {"RDE_O11": "O11 O25"},
    "REF": {"REF_I12": "I12 I13 I14 I15"},
    "PPR": {"PPR_PC1": "PC1 PC2 PC3"},
    "OUL": {"OUL_R21": "R21", "OUL_R22": "R22", "OUL_R23": "R23", "OUL_R24": "R24"},
}
_BY_EVENT = {
    (code, trigger): structure
    for code, table in _EVENTS.items()
    for structure, triggers in table.items()
    for trigger in triggers.split()
}
# When neither MSH-9.3 nor the event is known: the most common structure of the message code.
_BY_CODE = {
    "ADT": "ADT_A01",
    "ORU": "ORU_R01",
    "ORM": "ORM_O01",
    "MDM": "MDM_T02",
    "SIU": "SIU_S12",
    "OML": "OML_O21",
    "OMG": "OMG_O19",
    "RDE": "RDE_O11",
    "RDS": "RDS_O13",
    "RAS": "RAS_O17",
    "RGV": "RGV_O15",
    "OMP": "OMP_O09",
    "VXU": "VXU_V04",
    "DFT": "DFT_P03",
    "BAR": "BAR_P01",
    "PPR": "PPR_PC1",
    "REF": "REF_I12",
    "OUL": "OUL_R22",
    "MFN": "MFN_M02",
    "ACK": "ACK",
}
_ANY = "ORU_R01"
"""Structure of last resort: it has a patient, a visit, orders and results, which is what most hold."""

UNBOUNDED = -1


@dataclass(frozen=True, slots=True, eq=False)
class Spec:
    """A segment or group of a message structure.

    Attributes:
        name: segment id, or group name without the structure's prefix (``ORDER_OBSERVATION``).
        minimum, maximum: cardinality; -1 is unbounded.
        children: empty for a segment.
        choice: whether only one of the children is meant.
        first: segment ids that can open it.
        within: all segment ids below it.
    """

    name: str
    minimum: int
    maximum: int
    children: tuple[Spec, ...] = ()
    choice: bool = False
    first: frozenset[str] = frozenset()
    within: frozenset[str] = frozenset()

    @property
    def is_group(self) -> bool:
        return bool(self.children)


def structure_name(message: Message) -> tuple[str, str, Issue | None]:
    """(structure, version to take it from, issue) for a message, by MSH-9 and MSH-12 (tables 0003, 0354)."""
    version = message.version if message.version in _MODULES else ""
    versions = [version, *FALLBACK_VERSIONS] if version else list(FALLBACK_VERSIONS)
    code, trigger = message.code.upper(), message.trigger.upper()
    declared = message.msh.text(9, 3).strip().upper()
    candidates = [_BY_EVENT.get((code, trigger), ""), declared, f"{code}_{trigger}", code]
    for name in candidates:
        for candidate_version in versions:
            if name and has(candidate_version, name):
                return name, candidate_version, None
    name = _BY_CODE.get(code, _ANY)
    for candidate_version in versions:
        if has(candidate_version, name):
            break
    issue = Issue(
        Severity.WARNING,
        "structure-unknown",
        "MSH[1]-9",
        f"No message structure is known for this message type; {name} was used to group its segments",
        "Known segments are mapped all the same; check the unmapped list.",
    )
    return name, candidate_version, issue


def version_issue(message: Message) -> Issue | None:
    """An MSH-12 that no version has; one that is empty says nothing."""
    if not message.version or message.version in _MODULES:
        return None
    return Issue(
        Severity.WARNING,
        "version-unknown",
        "MSH[1]-12",
        f"MSH-12 names no version of HL7 v2 that is known; the message was read as {FALLBACK_VERSIONS[0]}",
        "Ask the sender for a version of table 0104, such as 2.5.1.",
    )


@cache
def load(version: str, structure: str) -> Spec:
    """The definition of a message structure in a version. Raises KeyError when there is none."""
    return compile_structure(structure, _messages(version)[structure])


def compile_structure(structure: str, reference: Any) -> Spec:
    """A message structure from hl7apy's form of it."""
    return _compile(structure, reference, (1, 1), f"{structure}_")


def has(version: str, structure: str) -> bool:
    """Whether a version defines a structure."""
    return structure in _messages(version)


@cache
def structure_names() -> frozenset[str]:
    """Names of the message structures of all versions."""
    return frozenset(name for version in _MODULES for name in _messages(version))


@cache
def group_names(structure: str) -> frozenset[str]:
    """Names of a structure's groups in all versions; the outermost is the structure itself."""
    found: set[str] = set()
    pending = [load(version, structure) for version in _MODULES if has(version, structure)]
    while pending:
        spec = pending.pop()
        if spec.is_group:
            found.add(spec.name)
            pending += spec.children
    return frozenset(found)


def is_version(text: str) -> bool:
    """Whether MSH-12 names a version that is known."""
    return text in _MODULES


def module_of(version: str) -> str:
    """hl7apy's package of a version that has a definition."""
    return f"hl7apy.{_MODULES[version]}"


@cache
def _messages(version: str) -> dict[str, Any]:
    module = importlib.import_module(f"{module_of(version)}.messages")
    messages: dict[str, Any] = module.MESSAGES
    return messages


def _compile(name: str, reference: Any, cardinality: tuple[int, int], prefix: str) -> Spec:
    kind, parts = reference[0], reference[1]
    children: list[Spec] = []
    for child_name, child_reference, child_cardinality, child_kind in parts:
        if child_kind == "GRP":
            children.append(_compile(child_name, child_reference, child_cardinality, prefix))
        else:
            one = frozenset({child_name})
            low, high = child_cardinality
            children.append(Spec(child_name, low, high, first=one, within=one))
    choice = kind == "choice"
    first: set[str] = set()
    for child in children:
        first |= child.first
        if child.minimum > 0 and not choice:
            break
    within = frozenset().union(*(child.within for child in children)) if children else frozenset()
    return Spec(name.removeprefix(prefix), *cardinality, tuple(children), choice, frozenset(first), within)
