"""Every row that writes an element with a required binding (R4 §4.1.5): only codes of its value set can come out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from engine.feeds import FeedProfile
from engine.hl7v2 import er7
from engine.hl7v2.structure import group_segments
from engine.mapping.compiler import Compiler
from engine.mapping.mapper import Mapper
from engine.mapping.rules import Rule
from engine.mapping.run import Run
from engine.mapping.tables import builtin, load

UNKNOWN = "Qq9"
_compiler = Compiler(load(builtin()), "urn:wardstream:")
_compiler.compile()


def bound() -> Iterator[tuple[str, Rule]]:
    """The rows of all tables whose target has a required binding."""
    for table in (*_compiler.segments.values(), *_compiler.datatypes.values()):
        for rule in table.rules:
            if rule.target.codes is not None:
                yield f"{table.name}:{rule.line.number} {rule.line['source']} {rule.target.text}", rule


ROWS = dict(bound())
CODED = {name: rule for name, rule in ROWS.items() if rule.convert is not None}
PLAIN = {
    name: rule
    for name, rule in CODED.items()
    if rule.target.type == "code" and " from " not in rule.line["using"]
}


@pytest.fixture(scope="module")
def mapper():
    return Mapper()


def applied(mapper: Mapper, rule: Rule, code: str) -> tuple[dict[str, Any], Run, Any]:
    """What one row makes of a code, the run that says what became of it, and the code's place."""
    message = er7.read(f"MSH|^~\\&|EMR|KGH|||20260101||ADT^A01|1|P|2.5\rZZZ|{code}".encode())
    segment = message.segments[1]
    (node,) = segment.repetitions(1)
    run = Run(mapper, message, group_segments(message), FeedProfile())
    root: dict[str, Any] = {}
    rule.apply(node, segment, run, root, {}, 1)
    return root, run, node


def said(root: Any, name: str) -> list[Any]:
    """What stands in elements of a name, anywhere below but in the extensions of primitives."""
    if isinstance(root, list):
        return [x for part in root for x in said(part, name)]
    if not isinstance(root, dict):
        return []
    here = root.get(name, [])
    return [
        *(here if isinstance(here, list) else [here]),
        *(x for k, v in root.items() if k[0] != "_" for x in said(v, name)),
    ]


def test_there_are_rows_with_required_bindings():
    """The elements that point 6 names, and many more."""
    targets = {rule.target.text.rpartition(".")[2] for rule in ROWS.values()}
    assert {
        "gender",
        "status",
        "clinicalStatus",
        "verificationStatus",
        "category",
        "criticality",
        "use",
        "system",
    } <= targets
    assert len(PLAIN) > 50


@pytest.mark.parametrize("name", CODED)
def test_a_row_translates_by_a_table_of_allowed_codes(name):
    """No row passes a sender's code through into an element that FHIR gives codes for."""
    rule = CODED[name]
    table = _compiler.codes.get(rule.line["codes"])
    assert table is not None, "no code table"
    made = {entry.code for entry in table.entries.values() if entry.code}
    assert made
    assert made <= rule.target.codes


@pytest.mark.parametrize("name", PLAIN)
def test_an_unknown_code_leaves_the_element_empty_and_is_kept_and_told(mapper, name):
    """The element holds nothing; the code stands beside it as text of a coding or in the report, and an issue says so."""
    rule = PLAIN[name]
    root, run, leaf = applied(mapper, rule, UNKNOWN)
    assert said(root, rule.target.name) == []
    kept = f'"{UNKNOWN}"' in json.dumps(root)
    assert kept or leaf in run.reasons
    assert [issue.code for issue in run.issues] == ["code-unknown"]


@pytest.mark.parametrize("name", PLAIN)
def test_every_known_code_gives_an_allowed_code_or_none(mapper, name):
    """Each row of the code table, through the row that uses it."""
    rule = PLAIN[name]
    for code in _compiler.codes[rule.line["codes"]].entries:
        if set(code) & set("|^~\\&"):
            continue
        root, run, _ = applied(mapper, rule, code)
        assert set(said(root, rule.target.name)) <= rule.target.codes
        assert not run.issues
