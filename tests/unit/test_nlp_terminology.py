"""Codes of findings, and the tables they come from."""

from collections import Counter

import pytest

from engine.nlp.terminology import ICD10, LOINC, RXNORM, SNOMED, TableTerminology, _rows
from engine.records import Label

TERMS = TableTerminology()


def code(label, text, unit="", system=None):
    return [c.code for c in TERMS.codings(label, text, unit) if system is None or c.system == system]


@pytest.mark.parametrize(
    ("label", "text", "unit", "system", "expected"),
    [
        (Label.PROBLEM, "HTN", "", ICD10, ["I10"]),
        (Label.PROBLEM, "Hypertension", "", SNOMED, ["38341003"]),
        (Label.PROBLEM, "type 2 Diabetes Mellitus", "", ICD10, ["E11.9"]),
        (Label.PROBLEM, "anemia", "", ICD10, ["D64.9"]),
        (Label.PROBLEM, "haemoptysis", "", ICD10, ["R04.2"]),
        (Label.MEDICATION, "Panadol", "", RXNORM, ["161"]),
        (Label.MEDICATION, "frusemide", "", RXNORM, ["4603"]),
        (Label.TEST, "Hb", "g/dL", LOINC, ["718-7"]),
        (Label.TEST, "Cr", "umol/L", LOINC, ["14682-9"]),
        (Label.TEST, "creatinine", "mg/dL", LOINC, ["2160-0"]),
        (Label.TEST, "BP", "mm[Hg]", LOINC, ["85354-9"]),
    ],
)
def test_common_names_have_their_code(label, text, unit, system, expected):
    """Full names, abbreviations, brands and both spellings lead to one code."""
    assert code(label, text, unit, system) == expected


@pytest.mark.parametrize(
    ("label", "text", "unit"),
    [
        (Label.PROBLEM, "severe hypertension", ""),
        (Label.PROBLEM, "hypertens", ""),
        (Label.MEDICATION, "augmentin", ""),
        (Label.TEST, "creatinine", ""),
        (Label.TEST, "creatinine", "mmol/L"),
        (Label.TEST, "urine sodium", "mmol/L"),
        (Label.ANATOMY, "heart", ""),
        (Label.PROBLEM, "", ""),
    ],
)
def test_what_is_not_sure_has_no_code(label, text, unit):
    """Near is not exact, and a unit that does not fit is another test: a wrong code is worse than none."""
    assert code(label, text, unit) == []


@pytest.mark.parametrize(
    ("table", "least"), [("problems.csv", 200), ("medicines.csv", 100), ("tests.csv", 100)]
)
def test_no_name_stands_for_two_things(table, least):
    """A name in two rows of a table would get one of two codes by chance."""
    rows = list(_rows(table))
    seen = Counter()
    for row in rows:
        for name in {row["name"], *filter(None, row["synonyms"].split("|"))}:
            seen[name, row.get("unit", "")] += 1
    assert len(rows) >= least
    assert [name for name, count in seen.items() if count > 1] == []


def test_every_test_has_a_category():
    """observation-category is what receivers filter by."""
    assert {row["category"] for row in _rows("tests.csv")} == {"laboratory", "vital-signs", "survey"}


def test_an_implied_unit_has_a_plausible_range():
    """37 is Celsius without saying, 99 is not."""
    implied = TERMS.facts("temp").implied
    assert implied.ucum == "Cel"
    assert implied.low <= 37 <= implied.high < 99
