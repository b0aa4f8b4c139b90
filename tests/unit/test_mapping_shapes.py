"""Values with holes: what is remembered of names, numbers and addresses that are new in every message."""

from __future__ import annotations

import pytest

from engine.hl7v2.delimiters import Delimiters
from engine.mapping.mapper import Mapper
from engine.mapping.shapes import passed_on, shape_of, token

USUAL = Delimiters("|", "^", "~", "\\", "&", "")


def words(count: int) -> list[str]:
    return [token(n) for n in range(count)]


def test_texts_go_where_the_words_were():
    first, second = words(2)
    shape = shape_of({"value": f"+{first} {second}", "system": "phone", "rank": 1}, [first, second])
    assert shape is not None
    assert shape.template.fill(["65", "91234567"]) == {"value": "+65 91234567", "system": "phone", "rank": 1}


def test_each_value_is_an_object_of_its_own():
    (word,) = words(1)
    shape = shape_of({"given": [word]}, [word])
    assert shape is not None
    shape.template.fill(["A"])["given"].append("B")
    assert shape.template.fill(["C"]) == {"given": ["C"]}


def test_a_text_that_would_stand_twice_in_an_array_is_a_rival():
    (word,) = words(1)
    shape = shape_of({"line": ["Blk 1", word]}, [word])
    assert shape is not None
    assert shape.rivals == {"Blk 1"}


@pytest.mark.parametrize(
    "value",
    [
        lambda word: {"coding": [{"code": word}, {"code": "A"}]},  # equal items would become one
        lambda word: {"line": [f"a {word}", "a b"]},
    ],
)
def test_what_other_texts_could_make_look_otherwise_has_no_shape(value):
    (word,) = words(1)
    assert shape_of(value(word), [word]) is None


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("Tan", "Tan"),
        ("Tan Ah Kow", "Tan Ah Kow"),
        ("D\\T\\O", "D&O"),
        ('""', ""),
        (" x", ""),
        ("a&b", ""),
        ("{HD.1}", ""),
        ("urn:oid:1.2", ""),
        ("a\\.br\\b", ""),
        ("\x7f", ""),
    ],
)
def test_only_plain_text_is_passed_on(raw, text):
    assert passed_on(raw, USUAL) == text


def test_rows_say_what_they_look_at():
    """Of a name the family and given names are passed on and its type is not; of a code everything counts."""
    rules = {
        rule.line["source"]: rule
        for message_rule in Mapper().rules
        if message_rule.table is not None and message_rule.table.name == "PID-Patient"
        for rule in message_rule.table.rules
    }
    name, number, sex = rules["PID-5"].inspects, rules["PID-3"].inspects, rules["PID-8"].inspects
    assert name is not None
    assert number is not None
    assert sex is None
    assert {0, 1, 2}.isdisjoint(name)
    assert 6 in name
    assert 0 not in number
    assert {3, 4} <= number
