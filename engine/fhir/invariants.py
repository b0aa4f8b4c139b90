"""R4's invariants of data types as a table of small functions, and the record they share.

Each test takes the JSON object of the element that the rule stands on, and says whether it holds. Tests
must not fail on values of a wrong type: those are found elsewhere, so such a value passes here. Names and
meaning are R4's own (the constraints of each StructureDefinition); ``blame`` says what repair takes away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from engine.fhir.moments import is_after

Json = dict[str, Any]
Test = Callable[[Json], bool]

UCUM = "http://unitsofmeasure.org"
CURRENCY = "urn:iso:std:iso:4217"


@dataclass(frozen=True, slots=True)
class Invariant:
    """A rule over several elements.

    Attributes:
        key: R4's name of it, e.g. ``obs-6``.
        types: the types (or backbone paths) it stands on.
        message: what it demands.
        test: whether an object keeps it.
        blame: elements whose removal mends a breach; ``value[x]`` means whichever type is there,
            ``telecom.use=home`` the ``use`` of those items where it is home. Empty: the object itself must go.
    """

    key: str
    types: tuple[str, ...]
    message: str
    test: Test
    blame: tuple[str, ...] = ()


def has(node: Json, *names: str) -> bool:
    """Whether any of the elements is there, with a value or extensions only."""
    for name in names:  # noqa: SIM110 - hot: a generator for any() costs more than the names
        if name in node or f"_{name}" in node:
            return True
    return False


def has_choice(node: Json, name: str) -> bool:
    """Whether a choice element is there under any of its names."""
    end = len(name)
    for key in node:
        bare = key[1:] if key[:1] == "_" else key
        if bare.startswith(name) and bare[end : end + 1].isupper():
            return True
    return False


def objects(node: Json, name: str) -> list[Json]:
    """The objects of a repeating element; whatever else stands there is found elsewhere."""
    value = node.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def child(node: Json, name: str) -> Json:
    """The object of a single element, empty if there is none."""
    value = node.get(name)
    return value if isinstance(value, dict) else {}


def coded(node: Json, name: str, *codes: str) -> bool:
    """Whether the concept (or one of the concepts) in ``name`` has a coding with one of ``codes``."""
    concepts = [child(node, name), *objects(node, name)]
    return any(coding.get("code") in codes for concept in concepts for coding in objects(concept, "coding"))


def number(node: Json, name: str = "value") -> Decimal | None:
    value = node.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    found = Decimal(str(value)) if isinstance(value, float) else Decimal(value)
    return found if found.is_finite() else None


def _in_order(node: Json) -> bool:
    low, high = child(node, "low"), child(node, "high")
    if low.get("code", low.get("unit")) != high.get("code", high.get("unit")):
        return True
    least, most = number(low), number(high)
    return least is None or most is None or least <= most


def _not_negative(name: str) -> Test:
    def test(node: Json) -> bool:
        found = number(node, name)
        return found is None or found >= 0

    return test


def _ratio(node: Json) -> bool:
    both = has(node, "numerator"), has(node, "denominator")
    return both[0] == both[1] and (both[0] or has(node, "extension"))


def _age(node: Json) -> bool:
    value = number(node)
    system_fits = node.get("system", UCUM) == UCUM
    return (has(node, "code") or not has(node, "value")) and system_fits and (value is None or value > 0)


def _count(node: Json) -> bool:
    value = number(node)
    whole = value is None or "." not in str(value)
    return (
        node.get("system", UCUM) == UCUM
        and (has(node, "code") or value is None)
        and node.get("code", "1") == "1"
        and whole
    )


def _money(node: Json) -> bool:
    return (has(node, "code") or not has(node, "value")) and node.get("system", CURRENCY) == CURRENCY


def _offset_fits(node: Json) -> bool:
    when = node.get("when")
    meals = ("C", "CM", "CD", "CV")
    return not has(node, "offset") or (isinstance(when, list) and not any(event in meals for event in when))


def _needs(first: str, second: str) -> Test:
    """``first`` may be there only with ``second``."""
    return lambda node: not has(node, first) or has(node, second)


def _absolute(name: str) -> Test:
    return lambda node: not isinstance(value := node.get(name), str) or ":" in value or value.startswith("#")


_QUANTITIES = ("Quantity", "Age", "Count", "Distance", "Duration")
_REPEAT = ("Timing.repeat",)

DATA_TYPES: tuple[Invariant, ...] = (
    Invariant("age-1", ("Age",), "An age has a UCUM code with its value and is above 0", _age),
    Invariant("att-1", ("Attachment",), "data needs a contentType", _needs("data", "contentType"), ("data",)),
    Invariant("cnt-3", ("Count",), "A count is whole, with the UCUM code 1", _count),
    Invariant("cpt-2", ("ContactPoint",), "value needs a system", _needs("value", "system"), ("value",)),
    Invariant(
        "dis-1",
        ("Distance",),
        "value needs a code, of UCUM",
        lambda n: (has(n, "code") or not has(n, "value")) and n.get("system", UCUM) == UCUM,
    ),
    Invariant(
        "drt-1",
        ("Duration",),
        "code needs a value and the system UCUM",
        lambda n: not has(n, "code") or (n.get("system") == UCUM and has(n, "value")),
        ("code",),
    ),
    Invariant(
        "drq-1",
        ("DataRequirement.codeFilter",),
        "Either path or searchParam",
        lambda n: has(n, "path") != has(n, "searchParam"),
    ),
    Invariant(
        "drq-2",
        ("DataRequirement.dateFilter",),
        "Either path or searchParam",
        lambda n: has(n, "path") != has(n, "searchParam"),
    ),
    Invariant(
        "exp-1",
        ("Expression",),
        "An expression or a reference to one",
        lambda n: has(n, "expression", "reference"),
    ),
    Invariant(
        "ext-1",
        ("Extension",),
        "Either extensions or a value, and not both",
        lambda n: has(n, "extension") != has_choice(n, "value"),
    ),
    Invariant(
        "per-1",
        ("Period",),
        "start is not after end",
        lambda n: not is_after(n.get("start"), n.get("end")),
        ("end",),
    ),
    Invariant("qty-3", _QUANTITIES, "code needs a system", _needs("code", "system"), ("code",)),
    Invariant(
        "rat-1", ("Ratio",), "numerator and denominator are both there, or an extension instead", _ratio
    ),
    Invariant("rng-2", ("Range",), "low is not above high", _in_order),
    Invariant(
        "tim-1",
        _REPEAT,
        "duration needs durationUnit",
        _needs("duration", "durationUnit"),
        ("duration", "durationMax"),
    ),
    Invariant(
        "tim-2", _REPEAT, "period needs periodUnit", _needs("period", "periodUnit"), ("period", "periodMax")
    ),
    Invariant(
        "tim-4", _REPEAT, "duration is not negative", _not_negative("duration"), ("duration", "durationMax")
    ),
    Invariant("tim-5", _REPEAT, "period is not negative", _not_negative("period"), ("period", "periodMax")),
    Invariant("tim-6", _REPEAT, "periodMax needs period", _needs("periodMax", "period"), ("periodMax",)),
    Invariant(
        "tim-7", _REPEAT, "durationMax needs duration", _needs("durationMax", "duration"), ("durationMax",)
    ),
    Invariant("tim-8", _REPEAT, "countMax needs count", _needs("countMax", "count"), ("countMax",)),
    Invariant("tim-9", _REPEAT, "offset needs a when that is no meal itself", _offset_fits, ("offset",)),
    Invariant(
        "tim-10",
        _REPEAT,
        "Either timeOfDay or when",
        lambda n: not (has(n, "timeOfDay") and has(n, "when")),
        ("when", "offset"),
    ),
    Invariant(
        "trd-1",
        ("TriggerDefinition",),
        "Either data or timing",
        lambda n: not (has(n, "data") and has_choice(n, "timing")),
    ),
    Invariant(
        "trd-2", ("TriggerDefinition",), "condition needs data", _needs("condition", "data"), ("condition",)
    ),
)
"""Errors of data types, in R4's alphabet."""

PROFILES: dict[str, Invariant] = {
    "SimpleQuantity": Invariant(
        "sqty-1", (), "No comparator here", lambda n: not has(n, "comparator"), ("comparator",)
    ),
    "MoneyQuantity": Invariant("mqty-1", (), "value needs a code, of ISO 4217", _money),
}
"""Profiles of Quantity that base definitions apply to single elements."""

ADVICE: tuple[Invariant, ...] = (
    Invariant(
        "system-absolute", ("Identifier", "Coding"), "system should be an absolute URI", _absolute("system")
    ),
)
"""Rules of the prose that receivers enforce; breaches are warnings."""
