"""Values and dosages as FHIR says them."""

from decimal import Decimal

import pytest

from engine.nlp.dosing import dosage_of, dosages_of
from engine.nlp.quantities import parse_value, quantity

VALUES = [
    ("10.2 g/dL", Decimal("10.2"), None, "", "g/dL", ""),
    ("4.0", Decimal("4.0"), None, "", "", ""),
    ("<0.01 ug/L", Decimal("0.01"), None, "<", "ug/L", ""),
    ("≥5 mmol/L", Decimal(5), None, ">=", "mmol/L", ""),
    ("less than 5 ng/ml", Decimal(5), None, "<", "ng/mL", ""),
    ("98%", Decimal(98), None, "", "%", ""),
    ("12,000 /uL", Decimal(12000), None, "", "/uL", ""),
    ("12 000 cells/mm3", Decimal(12000), None, "", "/mm3", ""),
    ("13\u202f×\u200910^9/L", Decimal(13), None, "", "10*9/L", ""),
    ("145\u2009μmol/l", Decimal(145), None, "", "umol/L", ""),
    ("38.1 °C", Decimal("38.1"), None, "", "Cel", ""),
    ("3.5-5.0 mmol/L", Decimal("3.5"), Decimal("5.0"), "", "mmol/L", ""),
    ("8.1 g/dL (L)", Decimal("8.1"), None, "", "g/dL", "L"),
    ("8.1 g/dL L", Decimal("8.1"), None, "", "g/dL", "L"),
    ("5.9 mmol/L H", Decimal("5.9"), None, "", "mmol/L", "H"),
    ("15.2 H", Decimal("15.2"), None, "", "", "H"),
    ("12.3 x 10(9)/L", Decimal("12.3"), None, "", "10*9/L", ""),
    ("no growth", None, None, "", "", "NEG"),
    ("normal", None, None, "", "", "N"),
    ("raised", None, None, "", "", "H"),
    ("+ve", None, None, "", "", "POS"),
    ("Not detected", None, None, "", "", "ND"),
    ("~50", None, None, "", "", ""),
    ("2-3 weeks or so", None, None, "", "", ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "low", "high", "comparator", "ucum", "meaning"), VALUES, ids=[v[0] for v in VALUES]
)
def test_a_value_is_read_as_written(text, low, high, comparator, ucum, meaning):
    """Number, comparator, UCUM unit and flag; what is not sure gives nothing."""
    value = parse_value(text)
    found = (value.low, value.high, value.comparator, value.unit.ucum, value.interpretation)
    assert found == (low, high, comparator, ucum, meaning)


def test_two_numbers_with_a_slash_are_a_pair():
    """120/80 is no range and no quotient."""
    assert parse_value("120/80 mmHg").pair
    assert not parse_value("10-20").pair


def test_a_litre_is_not_a_low_flag():
    """ "2 L" of oxygen is a volume."""
    assert parse_value("2 L").interpretation == ""


def test_digits_are_kept():
    """4.0 says more than 4 (FHIR R4 decimal)."""
    assert str(quantity(parse_value("4.0 mmol/L").low, parse_value("4.0 mmol/L").unit)["value"]) == "4.0"


def test_a_unit_that_no_table_knows_stays_text():
    """No UCUM code is made up."""
    assert quantity(Decimal(3), parse_value("3 widgets").unit) == {"value": Decimal(3), "unit": "widgets"}


def timing(text):
    repeat = dosage_of(text).get("timing", {}).get("repeat", {})
    return {name: value for name, value in repeat.items() if name != "boundsDuration"}


DAY = {"period": 1, "periodUnit": "d"}
TIMINGS = [
    ("500 mg BD", {"frequency": 2, **DAY}),
    ("1 tab tds", {"frequency": 3, **DAY}),
    ("1 g QDS", {"frequency": 4, **DAY}),
    ("100 mg OM", {"frequency": 1, **DAY, "when": ["MORN"]}),
    ("40 mg ON", {"frequency": 1, **DAY, "when": ["NIGHT"]}),
    ("5 mg EOD", {"frequency": 1, "period": 2, "periodUnit": "d"}),
    ("1 g q6h", {"frequency": 1, "period": 6, "periodUnit": "h"}),
    ("2 puffs every 4-6 hours", {"frequency": 1, "period": 4, "periodUnit": "h", "periodMax": 6}),
    ("70 mg weekly", {"frequency": 1, "period": 1, "periodUnit": "wk"}),
    ("three times a day", {"frequency": 3, **DAY}),
    ("4000 units SC 3x/week", {"frequency": 3, "period": 1, "periodUnit": "wk"}),
    ("p.o. t.d.s. after meals", {"frequency": 3, **DAY, "when": ["PC"]}),
    ("100 mg ON and 50 mg OM", {}),
    ("20 mg a day", {}),
    ("stat", {}),
]


@pytest.mark.parametrize(("text", "expected"), TIMINGS, ids=[row[0] for row in TIMINGS])
def test_a_frequency_is_structured_when_it_means_one_thing(text, expected):
    """Ward shorthand becomes Timing; two frequencies in one text are left to the reader."""
    assert timing(text) == expected


def test_dose_route_and_days_are_structured():
    """A whole prescription line is understood."""
    found = dosage_of("500 mg PO BD x 5/7")
    assert found["text"] == "500 mg PO BD x 5/7"
    assert found["doseAndRate"][0]["doseQuantity"]["code"] == "mg"
    assert found["route"]["coding"][0]["code"] == "26643006"
    assert found["timing"]["repeat"]["boundsDuration"]["value"] == 5
    assert found["timing"]["code"]["coding"][0]["code"] == "BID"


def test_prn_is_as_needed():
    """PRN becomes asNeededBoolean; without it nothing is said."""
    assert dosage_of("1 g QDS PRN")["asNeededBoolean"] is True
    assert "asNeededBoolean" not in dosage_of("1 g QDS")


@pytest.mark.parametrize("text", ["5 mg/kg/day", "10 mg to 20 mg a day", "a bit"])
def test_a_dose_that_is_no_single_amount_stays_text(text):
    """A wrong dose is worse than none."""
    found = dosage_of(text)
    assert found["text"] == text
    assert "doseAndRate" not in found


def test_a_course_in_steps_is_a_sequence_of_dosages():
    """Each step has its own dose and length; what is no step stays one dosage."""
    first, second = dosages_of("30 mg OM x 5/7 then 20 mg OM x 1/52")
    assert (first["sequence"], first["text"]) == (1, "30 mg OM x 5/7")
    assert first["timing"]["repeat"]["boundsDuration"]["value"] == 5
    assert (second["sequence"], second["text"]) == (2, "20 mg OM x 1/52")
    assert second["doseAndRate"][0]["doseQuantity"]["value"] == 20
    (one,) = dosages_of("5 mg stat then q4h")
    assert "sequence" not in one


def test_doses_at_their_own_times_are_dosages_side_by_side():
    """Each has its dose and time; without a time of its own nothing is split."""
    first, second = dosages_of("16 units pre-breakfast, 8 units pre-dinner")
    assert [d["timing"]["repeat"]["when"] for d in (first, second)] == [["ACM"], ["ACV"]]
    assert [d["doseAndRate"][0]["doseQuantity"]["value"] for d in (first, second)] == [16, 8]
    assert "sequence" not in first
    (one,) = dosages_of("4 mg Mon/Wed, 3 mg other days")
    assert "timing" not in one
    assert "doseAndRate" not in one


def test_days_of_the_week_are_structured():
    """And "on" before a day is not "ON", at night."""
    assert timing("1 tab on Mondays") == {"dayOfWeek": ["mon"]}
    assert timing("10 mg Tue/Sat") == {"dayOfWeek": ["tue", "sat"]}


def test_a_dose_may_have_a_separator_of_thousands():
    """Heparin 5,000 units is not 5 and not nothing."""
    assert dosage_of("5,000 units BD")["doseAndRate"][0]["doseQuantity"]["value"] == 5000
