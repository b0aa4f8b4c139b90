"""The tool that makes the schema: from definitions as HL7 publishes them to the compact rows."""

import gzip
import importlib.util
import json
import sys

import pytest

BASE = "http://hl7.org/fhir/StructureDefinition/"


@pytest.fixture
def tool(root):
    """``tools/`` is no package: the script is loaded from its file."""
    spec = importlib.util.spec_from_file_location("build_r4_schema", root / "tools" / "build_r4_schema.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def element(path, *types, least=0, most="1", **more):
    return {"path": path, "min": least, "max": most, "type": list(types), **more}


@pytest.fixture
def packages(tmp_path):
    """One resource with a choice, a binding, a reference, a backbone and a content reference."""
    core, expansions = tmp_path / "core", tmp_path / "expansions"
    core.mkdir()
    expansions.mkdir()
    bound = {"strength": "required", "valueSet": "http://x/ValueSet/colour|4.0.1"}
    target = {"code": "Reference", "targetProfile": [BASE + "Patient"]}
    elements = [
        element("Thing"),
        element("Thing.colour", {"code": "code"}, least=1, binding=bound),
        element("Thing.value[x]", {"code": "string"}, {"code": "Quantity"}, least=1),
        element("Thing.who", target, most="*"),
        element("Thing.part", {"code": "BackboneElement"}, most="*"),
        element("Thing.part.name", {"code": "string"}),
        {"path": "Thing.part.part", "min": 0, "max": "*", "contentReference": "#Thing.part"},
        element("Thing.gone", {"code": "string"}, most="0"),
    ]
    definition = {"name": "Thing", "kind": "resource", "snapshot": {"element": elements}}
    profile = {**definition, "name": "MyThing", "derivation": "constraint"}
    codes = [
        {"system": "urn:c", "code": "red", "contains": [{"system": "urn:c", "code": "dark-red"}]},
        {"system": "urn:c", "code": "any", "abstract": True},
    ]
    value_set = {"url": "http://x/ValueSet/colour", "expansion": {"contains": codes}}
    (core / "StructureDefinition-Thing.json").write_text(json.dumps(definition), "utf-8")
    (core / "StructureDefinition-MyThing.json").write_text(json.dumps(profile), "utf-8")
    (expansions / "ValueSet-colour.json").write_text(json.dumps(value_set), "utf-8")
    return core, expansions


def test_definitions_become_rows(tool, packages):
    """Choices are expanded, nested codes flattened, abstract codes and forbidden elements left out."""
    made = tool.build(*packages)
    assert made["types"]["Thing"] == {
        "kind": "resource",
        "elements": [
            ["colour", "code", 1, 1, 0, "", [], ""],
            ["valueString", "string", 0, 1, None, "", [], ""],
            ["valueQuantity", "Quantity", 0, 1, None, "", [], ""],
            ["who", "Reference", 0, None, None, "", ["Patient"], ""],
            ["part", "BackboneElement", 0, None, None, "", [], ""],
        ],
        "choices": [["value", 1]],
    }
    assert made["types"]["Thing.part"]["elements"][1] == ["part", "Thing.part", 0, None, None, "", [], ""]
    assert made["valueSets"] == [
        {"url": "http://x/ValueSet/colour", "systems": ["urn:c"], "codes": ["dark-red", "red"]}
    ]
    assert "MyThing" not in made["types"]


def test_the_file_is_the_same_each_time(tool, packages, tmp_path, monkeypatch):
    """A rebuild without a change must not show up as a difference."""
    outputs = []
    for name in ("one.json.gz", "two.json.gz"):
        monkeypatch.setattr(sys, "argv", ["build", *map(str, packages), str(tmp_path / name)])
        tool.main()
        outputs.append((tmp_path / name).read_bytes())
    assert outputs[0] == outputs[1]
    assert json.loads(gzip.decompress(outputs[0]))["fhirVersion"] == "4.0.1"
