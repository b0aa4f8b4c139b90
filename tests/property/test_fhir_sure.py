"""The quick answer never says yes where the walk or fhir.resources find an error, and says yes to what feeds make."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import mutate

from engine.fhir.schema import resource_types
from engine.fhir.sure import surely_valid
from engine.fhir.validate import second_opinion, validate
from engine.fhir.writer import ExactDecimal, dumps
from engine.records import Severity

SEEDS = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Emitted(list[dict[str, Any]]):
    """Resources; Hypothesis would print all of them with every example that fails."""

    def __repr__(self) -> str:
        return f"{len(self)} resources"


@pytest.fixture(scope="module")
def emitted(root) -> Emitted:
    """Every resource of the golden files."""
    lines = [
        json.loads(line, parse_float=ExactDecimal)
        for path in sorted((root / "fixtures" / "golden").rglob("*.ndjson"))
        for line in path.read_text("utf-8").splitlines()
    ]
    return Emitted(line["resource"] for line in lines if "resource" in line)


def errors(resource: dict[str, Any]) -> list[Any]:
    return [found for found in validate(resource) if found.severity is Severity.ERROR]


def test_what_feeds_make_is_seen_to_be_valid_at_once(emitted):
    """A test that is never sure would be no faster than the walk."""
    kinds = {resource["resourceType"] for resource in emitted}
    assert len(kinds) > 25
    sure = sum(map(surely_valid, emitted))
    assert sure > 0.97 * len(emitted)


@SEEDS
@given(seed=st.integers(0, 2**32))
def test_a_yes_is_never_contradicted(emitted, seed):
    """Any value in any place of an emitted resource: neither our walk nor fhir.resources' models find an error."""
    chance = random.Random(seed)
    resource = chance.choice(emitted)
    for _ in range(10):
        changed = json.loads(mutate(dumps(resource), chance), parse_float=ExactDecimal)
        if isinstance(changed, dict) and surely_valid(changed):
            assert errors(changed) == [], changed
            # R4 allows numbers that fhir.resources, which reads doubles, can't hold.
            if "1e400" not in str(changed):
                assert second_opinion(changed) == [], changed


@SEEDS
@given(seed=st.integers(0, 2**32))
def test_one_wrong_thing_is_never_sure(emitted, seed):
    """An element that R4 demands taken away, a stranger, an empty value: what the walk refuses is never let pass."""
    chance = random.Random(seed)
    changed = json.loads(dumps(chance.choice(emitted)), parse_float=ExactDecimal)
    node = _some_object(changed, chance)
    match chance.randrange(4):
        case 0:
            node.pop(chance.choice(list(node)))
        case 1:
            node[
                chance.choice(("nickname", "_id", "valueString", "_valueString", "contained", "resource"))
            ] = "x"
        case 2:
            node[chance.choice(list(node))] = chance.choice(
                ([], {}, None, "", " ", [None], 0, True, {"id": "x"})
            )
        case _:
            name = chance.choice(list(node))
            node[name] = [node[name]] if not isinstance(node[name], list) else node[name][0]
    assert not (errors(changed) and surely_valid(changed)), changed


@pytest.mark.parametrize("kind", sorted(resource_types()))
def test_every_type_has_its_test(kind):
    """Types that no table makes come in as FHIR; an unknown element is seen in each."""
    assert surely_valid({"resourceType": kind, "id": "a"}) is (
        errors({"resourceType": kind, "id": "a"}) == []
    )
    assert not surely_valid({"resourceType": kind, "nickname": "x"})


def _some_object(node: Any, chance: random.Random) -> dict[str, Any]:
    """An object of the tree that is not empty."""
    found: list[dict[str, Any]] = []
    pending = [node]
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            found += [part] if part else []
            pending += part.values()
        elif isinstance(part, list):
            pending += part
    return chance.choice(found)
