"""FHIR JSON out: the digits of numbers, and stable bytes."""

import copy
import json
import pickle
from decimal import Decimal

import pytest

from engine.fhir.writer import ExactDecimal, dumps


@pytest.mark.parametrize(
    "text", ["1.50", "0.0000001", "1e2", "-0", "-0.0", "1E+400", "123456789012345678901234567890"]
)
def test_a_number_is_written_as_it_was_read(text):
    """1.50 and 1.5 are two measurements; no digit may change."""
    assert dumps([ExactDecimal(text)]) == f"[{text}]".encode()


@pytest.mark.parametrize(
    ("number", "text"),
    [("1.50", "1.50"), ("0.0000001", "0.0000001"), ("1E+2", "1E+2"), ("1E-300", "1E-300"), ("100", "100")],
)
def test_a_decimal_made_by_a_map_keeps_its_precision(number, text):
    """Plain digits where they say the same, an exponent where digits would claim more than was measured."""
    assert dumps([Decimal(number)]) == f"[{text}]".encode()


def test_whole_numbers_beyond_64_bits_are_written():
    """Python has no limit, and neither has JSON."""
    assert dumps({"a": [10**40, 2**63]}) == f'{{"a":[{10**40},{2**63}]}}'.encode()


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("Infinity"), object(), {1}, b"x", "\ud800"])
def test_what_is_no_json_is_refused(value):
    """An error beats a document that no one can read."""
    with pytest.raises(TypeError):
        dumps([value])


def test_keys_keep_their_order_and_text_its_characters():
    """The same value gives the same bytes, in UTF-8."""
    value = {"resourceType": "Patient", "b": "陈", "a": True, "c": None}
    assert dumps(value) == '{"resourceType":"Patient","b":"陈","a":true,"c":null}'.encode()
    assert json.loads(dumps(value, pretty=True)) == value


def test_an_exact_number_survives_copies_and_processes():
    """Messages are copied for repair and may cross to another process."""
    number = ExactDecimal("1e2")
    copies = (copy.copy(number), copy.deepcopy(number), pickle.loads(pickle.dumps(number)))
    assert [(c, c.lexeme) for c in copies] == [(Decimal(100), "1e2")] * 3
