"""Numbers with their comparators, units and counterparts: NM, SN, CQ, NA, MO."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from engine.fhir import schema
from engine.fhir.invariants import UCUM
from engine.hl7v2.tree import Node, Segment, child, leaves
from engine.mapping.convert.primitives import NUMBER, to_decimal, value_text
from engine.mapping.kinds import range_of
from engine.mapping.naming import plain
from engine.mapping.ucum import is_ucum, unit_meant

if TYPE_CHECKING:
    from engine.mapping.run import Run

ABSENT_REASON = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
_CURRENCIES = schema.resolve("Money.currency").codes or frozenset()
_COMPARATORS = {"<": "<", "<=": "<=", "=<": "<=", ">": ">", ">=": ">=", "=>": ">="}


def number_or_comparator(node: Node, _segment: Segment, run: Run) -> dict[str, Any] | None:
    """NM to Quantity; ``<5`` and ``>=10`` are no NM but are what laboratories send."""
    text = value_text(node).strip()
    match = re.fullmatch(r"([<>]=?|=[<>])?\s*(\S+)", text)
    if not match or not NUMBER.fullmatch(match[2]):
        if text:
            run.refuse(node, "invalid: no number")
        return None
    run.use_all(node)
    found: dict[str, Any] = {"value": to_decimal(match[2])}
    if match[1]:
        found["comparator"] = _COMPARATORS[match[1]]
    return found


def structured_numeric(node: Node, _segment: Segment, run: Run) -> dict[str, Any] | None:
    """SN to the FHIR type that its separator means: Quantity, Range or Ratio, under ``value[x]`` names."""
    comparator, first, separator, second = (plain(child(node, n)) for n in range(1, 5))
    numbers = [n for n in (first, second) if n]
    if comparator and comparator not in {*_COMPARATORS, "="}:
        return None
    if not numbers or not all(NUMBER.fullmatch(n) for n in numbers):
        return None
    low: dict[str, Any] = {"value": to_decimal(first)} if first else {}
    high: dict[str, Any] = {"value": to_decimal(second)} if second else {}
    if comparator in _COMPARATORS and low:
        low["comparator"] = _COMPARATORS[comparator]
    if not separator and not second:
        run.use_all(node)
        return {"valueQuantity": low}
    if separator == "-" and low and high and comparator in {"", "="}:
        if Decimal(first) > Decimal(second):
            return None  # rng-2: low must not be above high
        run.use_all(node)
        return {"valueRange": {"low": low, "high": high}}
    if separator in {":", "/"} and low and high:
        run.use_all(node)
        return {"valueRatio": {"numerator": low, "denominator": high}}
    return None


def range_text(node: Node, _segment: Segment, run: Run) -> dict[str, Any] | None:
    """``3.5 - 5.1`` to low and high; None when it is another text or runs downward."""
    ends = range_of(value_text(node))
    if ends is None:
        return None
    run.use_all(node)
    return {"low": {"value": ends[0]}, "high": {"value": ends[1]}}


def sampled_data(node: Node, _segment: Segment, run: Run) -> dict[str, Any] | None:
    """NA to SampledData: the numbers of one channel, in order (FHIR R4 §2.24.0.10)."""
    texts = [plain(leaf) for leaf in leaves(node)]
    if not any(texts) or not all(NUMBER.fullmatch(t) for t in texts if t):
        return None
    run.use_all(node)
    absent = [{"url": ABSENT_REASON, "valueCode": "unknown"}]
    return {
        "origin": {"extension": absent},
        "_period": {"extension": absent},
        "dimensions": 1,
        "data": " ".join(str(to_decimal(t)) if t else "E" for t in texts),
    }


def money(node: Node, _segment: Segment, run: Run) -> dict[str, Any] | None:
    """MO, or a CP whose first component is one: amount and ISO 4217 currency (HL7 v2.5.1 §2.A.41)."""
    first = child(node, 1)
    amount, currency = (
        (child(first, 1), child(first, 2)) if isinstance(first, tuple) else (first, child(node, 2))
    )
    text = plain(amount).lstrip("$")
    if not NUMBER.fullmatch(text):
        if text:
            run.refuse(amount, "invalid: no amount of money")
        return None
    run.use_all(amount)
    found: dict[str, Any] = {"value": to_decimal(text)}
    code = plain(currency).upper()
    if len(code) == 3 and code.isalpha() and code in _CURRENCIES:
        run.use_all(currency)
        found["currency"] = code
    return found


def ucum_unit(node: Node, _segment: Segment, run: Run) -> dict[str, Any] | None:
    """A unit that is known by the way it is written: UCUM's code of it. What was written stays its text."""
    leaf, system = child(node, 1), child(node, 3)
    written = plain(leaf)
    code = unit_meant(written)
    if not code:
        return None
    run.use_all(leaf)
    run.use_all(system)
    if is_ucum(written) and written.replace("l", "L") == code.replace("l", "L"):
        code = written  # l and L are the same unit; MG is no mg: it would be megagauss
    elif plain(system):
        run.warn(
            "unit-not-ucum",
            leaf,
            f"The unit is declared as UCUM and is none, or one that is not meant; it was read as {code}",
            "Ask the sender to send a unit of https://ucum.org, or to leave the coding system out.",
        )
    return {"code": code, "system": UCUM}


def split_power(node: Node, _segment: Segment, run: Run) -> dict[str, Any] | None:
    """``10^9/L`` whose circumflex was not escaped, so that it came as two components: the unit that was meant."""
    base, rest = child(node, 1), child(node, 2)
    written = f"{plain(base)}^{plain(rest)}"
    run.use_all(base)
    run.use_all(rest)
    run.warn(
        "unit-split",
        base,
        "The unit holds a component separator that is not escaped; its two parts were read as one unit",
        r"Ask the sender to escape the separator (\S\), or to write 10*9/L as UCUM does.",
    )
    found = {"unit": written}
    if code := unit_meant(written):
        run.use_all(child(node, 3))
        found |= {"code": code, "system": UCUM}
    return found


def unchecked_unit(node: Node, _segment: Segment, run: Run) -> str | None:
    """A unit that is said to be UCUM and is not: a text for people only."""
    text = plain(node)
    if not text:
        return None
    run.use_all(node)
    run.warn(
        "unit-not-ucum",
        node,
        "The unit is declared as UCUM and is no UCUM expression; it was kept as a text",
        "Ask the sender to send a unit of https://ucum.org, or to leave the coding system out.",
    )
    return text
