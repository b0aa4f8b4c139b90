"""Units: what laboratories write, the UCUM code that they mean, and what is said where they mean none."""

from __future__ import annotations

import pytest
from mapped_resources import one

from engine.mapping.ucum import _written, is_ucum, unit_meant

UCUM = "http://unitsofmeasure.org"


def result_of(message, unit, *, kind="NM", value="5"):
    return message(
        "ORU^R01^ORU_R01",
        "PID|1||7^^^KGH^MR",
        "OBR|1|O1^HIS|F1^LAB|1-1^Panel^LN",
        f"OBX|1|{kind}|2-2^Test^LN||{value}|{unit}|1-9||||F",
    )


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("mmol/L", "mmol/L"),
        ("mmol/l", "mmol/l"),
        ("MMOL/L", "mmol/L"),
        ("x10E9/L", "10*9/L"),
        ("10*9/L", "10*9/L"),
        ("10³/µL", "10*3/uL"),
        ("K/uL", "10*3/uL"),
        ("μmol/L", "umol/L"),
        ("mcg", "ug"),
        ("IU/L", "[IU]/L"),
        ("%", "%"),
        ("sec", "s"),
        ("cells/cumm", "{cells}/mm3"),
        ("mm Hg", "mm[Hg]"),
        ("mL/min/1.73m2", "mL/min/{1.73_m2}"),
        ("/HPF", "/[HPF]"),
        ("pH", "[pH]"),
        ("MG", "mg"),
        ("ML", "mL"),
        ("ml", "ml"),
        ("Mg", "mg"),
        ("PG", "pg"),
        ("MV", "mV"),
        ("MG/ML", "mg/mL"),
    ],
)
def test_a_unit_without_a_coding_system_gets_the_code_that_it_means(message, written, code):
    quantity = one(result_of(message, written), "Observation")["valueQuantity"]
    assert (quantity["code"], quantity["system"], quantity["unit"]) == (code, UCUM, written)


@pytest.mark.parametrize("written", ["tab", "mystery/L", "G/L", "S", "FEU", "mmol/L of blood"])
def test_a_unit_that_no_table_tells_without_doubt_stays_a_text(message, written):
    """G/L is grams to senders of capitals and giga to the French; S is siemens and no second."""
    mapped = result_of(message, written)
    assert one(mapped, "Observation")["valueQuantity"] == {"value": 5, "unit": written}
    assert not mapped.outcome.issues


def test_a_unit_of_another_system_is_none_of_ucum(message):
    quantity = one(result_of(message, "mmol/L^^99LAB"), "Observation")["valueQuantity"]
    assert "code" not in quantity
    assert quantity["unit"] == "mmol/L"


@pytest.mark.parametrize(
    ("written", "code"), [("IU/L", "[IU]/L"), ("K/uL", "10*3/uL"), ("AU/mL", "[arb'U]/mL")]
)
def test_what_is_called_ucum_and_is_not_meant_so_is_read_as_meant_and_told_once(message, written, code):
    """K/uL is kelvin in UCUM, and AU the distance to the sun."""
    mapped = result_of(message, f"{written}^^UCUM")
    observation = one(mapped, "Observation")
    assert observation["valueQuantity"]["code"] == code
    assert observation["referenceRange"][0]["high"]["code"] == code
    assert [(i.code, i.location) for i in mapped.outcome.issues] == [("unit-not-ucum", "OBX[1]-6[1].1")]


@pytest.mark.parametrize("unit", ["10^9/L", "x10^9/L", "10^9/L^UCUM"])
def test_a_power_of_ten_whose_circumflex_split_it_is_put_together(message, unit):
    """ "9/L" alone would be a unit that nobody wrote."""
    mapped = result_of(message, unit)
    quantity = one(mapped, "Observation")["valueQuantity"]
    assert quantity["code"] == "10*9/L"
    assert quantity["unit"] == "^".join(unit.split("^")[:2])
    assert [i.code for i in mapped.outcome.issues] == ["unit-split"]
    assert not [u for u in mapped.outcome.unmapped if u.location.startswith("OBX[1]-6")]


def test_the_split_unit_of_a_text_is_put_together_too(message):
    observation = one(result_of(message, "10^9/L", kind="ST", value="clumped"), "Observation")
    (units,) = [e for e in observation["extension"] if e["url"].endswith(":StructureDefinition/units")]
    assert units["valueCodeableConcept"] == {"text": "10^9/L"}


def test_every_code_of_the_table_is_ucum_and_means_itself():
    codes = set(_written().values())
    assert len(codes) > 100
    assert [code for code in codes if not is_ucum(code) or unit_meant(code) != code] == []


def test_how_a_unit_was_written_is_kept_beside_its_name(message):
    quantity = result_of(message, "x10E9/L^giga per litre").one("Observation")["valueQuantity"]
    assert (quantity["code"], quantity["unit"]) == ("10*9/L", "giga per litre")
    assert [e["valueString"] for e in quantity["extension"]] == ["x10E9/L"]
