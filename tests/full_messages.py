"""Messages that fill in everything: every segment of a structure, nearly every field and component, typed by HL7's tables.

No hospital sends such messages; they make every row of the mapping tables do its work, alone and together.
Everything is drawn from the random source given.
"""

from __future__ import annotations

import importlib
import random
from functools import cache
from typing import Any

from mutations import BAD

from engine.mapping.codes import v2_codes

TYPES = {
    "ADT_A01": ("ADT^A01", "2.5.1"), "ADT_A02": ("ADT^A02", "2.5.1"), "ADT_A03": ("ADT^A03", "2.5.1"),
    "ADT_A05": ("ADT^A31", "2.5.1"), "ADT_A06": ("ADT^A06", "2.5.1"), "ADT_A09": ("ADT^A11", "2.5.1"),
    "ADT_A12": ("ADT^A12", "2.5.1"), "ADT_A15": ("ADT^A15", "2.5.1"), "ADT_A16": ("ADT^A16", "2.5.1"),
    "ADT_A17": ("ADT^A17", "2.5.1"), "ADT_A20": ("ADT^A20", "2.5.1"), "ADT_A21": ("ADT^A21", "2.5.1"),
    "ADT_A24": ("ADT^A24", "2.5.1"), "ADT_A30": ("ADT^A34", "2.5.1"), "ADT_A38": ("ADT^A38", "2.5.1"),
    "ADT_A39": ("ADT^A40", "2.5.1"), "ADT_A43": ("ADT^A44", "2.5.1"), "ADT_A45": ("ADT^A45", "2.5.1"),
    "ADT_A54": ("ADT^A54", "2.5.1"), "ADT_A60": ("ADT^A60", "2.5.1"), "ADT_A61": ("ADT^A61", "2.5.1"),
    "ORU_R01": ("ORU^R01", "2.5.1"), "ORU_R30": ("ORU^R30", "2.5.1"), "OUL_R21": ("OUL^R21", "2.5.1"),
    "OUL_R22": ("OUL^R22", "2.8.2"), "OUL_R23": ("OUL^R23", "2.8.2"), "OUL_R24": ("OUL^R24", "2.8.2"),
    "ORM_O01": ("ORM^O01", "2.5.1"), "OMG_O19": ("OMG^O19", "2.5.1"), "OML_O21": ("OML^O21", "2.5.1"),
    "OML_O33": ("OML^O33", "2.5.1"), "OML_O35": ("OML^O35", "2.5.1"), "OMP_O09": ("OMP^O09", "2.5.1"),
    "ORL_O22": ("ORL^O22", "2.5.1"), "RDE_O11": ("RDE^O11", "2.5.1"), "RDS_O13": ("RDS^O13", "2.5.1"),
    "RAS_O17": ("RAS^O17", "2.5.1"), "RGV_O15": ("RGV^O15", "2.5.1"), "MDM_T01": ("MDM^T01", "2.5.1"),
    "MDM_T02": ("MDM^T02", "2.5.1"), "SIU_S12": ("SIU^S12", "2.5.1"), "VXU_V04": ("VXU^V04", "2.5.1"),
    "DFT_P03": ("DFT^P03", "2.5.1"), "DFT_P11": ("DFT^P11", "2.5.1"), "BAR_P01": ("BAR^P01", "2.5.1"),
    "BAR_P02": ("BAR^P02", "2.5.1"), "BAR_P12": ("BAR^P12", "2.5.1"), "PPR_PC1": ("PPR^PC1", "2.5.1"),
    "REF_I12": ("REF^I12", "2.5.1"), "MFN_M02": ("MFN^M02", "2.5.1"), "MFN_M05": ("MFN^M05", "2.5.1"), "ACK": ("ACK", "2.5.1"),
}  # fmt: skip
"""Message structures, with a message type that uses each and a version that defines it."""

_VALUES = {
    "DT": ("20230405", "202304", "2023"),
    "DTM": ("20230405", "20230405061500", "202304050615+0800", "20230405061500.250-0330", "2023"),
    "TS": ("20230405061500", "202304050615+0800"),
    "TM": ("0615", "061530"),
    "NM": ("7", "0", "12.50", "-3", "0.001", "120"),
    "SI": ("1", "2", "3"),
    "SNM": ("0615551234", "+6561234567"),
}
_SYSTEMS = ("LN", "SCT", "I10", "L", "99LAB", "UCUM", "CVX", "NDC", "HL70005", "ICD9CM", "CPT4")
_WORDS = ("alpha", "beta gamma", "delta", "Lim", "Tan Ah Kow", "mg", "4711", "A-1", "x")
_RESULTS = (
    "NM",
    "SN",
    "CWE",
    "CE",
    "ST",
    "FT",
    "TX",
    "DT",
    "TM",
    "DTM",
    "ED",
    "RP",
    "NR",
    "CX",
    "XCN",
    "EI",
    "CQ",
    "XAD",
    "XTN",
)
_HD_TYPES = ("ISO", "DNS", "URI", "UUID", "L")


@cache
def _library(version: str, part: str) -> Any:
    return importlib.import_module(f"hl7apy.v{version.replace('.', '_')}.{part}")


class Full:
    """A writer of such messages.

    Args:
        chance: where everything is drawn from.
        filled: how likely a field or component has a value.
        bad: how likely a value is one of :data:`mutations.BAD`.
    """

    def __init__(self, chance: random.Random, *, filled: float = 0.6, bad: float = 0.03) -> None:
        self.chance = chance
        self.filled = filled
        self.bad = bad

    def message(self, structure: str) -> bytes:
        kind, version = TYPES[structure]
        lines = [
            f"MSH|^~\\&|APP|FAC|RECV|RFAC|20230405061500+0800||{kind}^{structure}|{structure}-1|P|{version}|||AL|NE|SGP|UNICODE UTF-8"
        ]
        messages = _library(version, "messages").MESSAGES
        definition = messages.get(structure) or _library(version, "groups").GROUPS[structure]
        self._group(definition, version, lines)
        return "\r".join([*lines, ""]).encode("utf-8", "surrogatepass")

    def _group(self, definition: Any, version: str, lines: list[str]) -> None:
        for name, part, (_, most), kind in definition[1]:
            for _ in range(2 if most == -1 and self.chance.random() < 0.3 else 1):
                if kind == "SEG":
                    self._segment(name, version, lines)
                else:
                    self._group(part, version, lines)

    def _segment(self, name: str, version: str, lines: list[str]) -> None:
        if name in {"MSH", "anyHL7Segment", "anyZSegment", "Hxx", "ADD", "DSC"}:
            return
        fields = [name]
        for field_name, part, (_, most), _ in _library(version, "segments").SEGMENTS[name][1]:
            number = int(field_name.rpartition("_")[2])
            fields += [""] * (number + 1 - len(fields))
            if self.chance.random() < self.filled:
                count = 2 if most == -1 and self.chance.random() < 0.3 else 1
                fields[number] = "~".join(self._value(part, version, "^") for _ in range(count))
        if name == "OBX":
            kind = self.chance.choice(_RESULTS)
            structs = _library(version, "datatypes").DATATYPES
            fields[2] = kind
            fields[5] = self._of_type(kind, structs, version)
        lines.append("|".join(fields))

    def _of_type(self, kind: str, structs: Any, version: str) -> str:
        match kind:
            case "SN":
                return self.chance.choice(("<^5", "^1^-^2", ">=^7.4", "^1^:^128", "^3^+", "=^2"))
            case "ED":
                return self.chance.choice(
                    (
                        "APP^TEXT^PLAIN^A^some text",
                        "^application^pdf^Base64^JVBERi0xLjQ=",
                        "^IM^JPEG^Base64^/9j=",
                    )
                )
            case "RP":
                return "img/1.dcm^PACS&1.2.3&ISO^image^dicom"
            case _ if kind in _VALUES:
                return self._leaf(kind, None)
            case _:
                found = _library(version, "datatypes").DATATYPES_STRUCTS.get(kind)
                return self._parts(found, version, "^") if found else self._leaf("ST", None)

    def _value(self, part: Any, version: str, joint: str) -> str:
        if part[0] == "leaf" or joint == "":
            return self._leaf(part[2], part[4])
        return self._parts(part[1], version, joint)

    def _parts(self, parts: Any, version: str, joint: str) -> str:
        below = {"^": "&", "&": ""}[joint]
        system = self.chance.choice(_HD_TYPES)
        texts = []
        for name, part, _, _ in parts:
            text = ""
            if self.chance.random() < self.filled:
                text = self._value(part, version, below)
                if (
                    part[3]
                    and "CODING_SYSTEM" in part[3]
                    and "VERSION" not in part[3]
                    and "OID" not in part[3]
                ):
                    text = self.chance.choice(_SYSTEMS)
                if name == "HD_2":
                    text = {"ISO": "1.2.36.99", "UUID": "3f2504e0-4f89-11d3-9a0c-0305e82c3301"}.get(
                        system, "x.example"
                    )
                if name == "HD_3":
                    text = system
            texts.append(text)
        return joint.join(texts).rstrip(joint)

    def _leaf(self, kind: str, table: str | None) -> str:
        if self.chance.random() < self.bad:
            return self.chance.choice(BAD)
        codes = sorted(v2_codes(table[3:])) if table and table.startswith("HL7") else []
        if codes and self.chance.random() < 0.9:
            return self.chance.choice(codes)
        return self.chance.choice(_VALUES.get(kind, _WORDS))
