"""Which components of a value a row looks at, by the tables: what the others say makes no difference to what is made.

A row without ``using`` passes a text on to a string. Every other row looks at what it is given, unless it is said here
to look at some components only; so does every condition, but for ``valued``, which asks whether there is anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.mapping.convert import READS
from engine.mapping.expressions import PLACEHOLDER, URNS, asked_of, parse_ref

if TYPE_CHECKING:
    from engine.mapping.rules import DatatypeTable, Rule

_CODED = frozenset({"code", "Coding", "CodeableConcept"})
"""What is coded comes again as a whole: it is known by all of its text."""
Path = tuple[int, ...]


class _AllOfItError(Exception):
    """The whole value is looked at."""


def inspected(rule: Rule, datatypes: dict[str, DatatypeTable]) -> frozenset[int] | None:
    """Indexes (from 0) of the components that a row of a segment table looks at; None if it is all that it is given."""
    if rule.target.type in _CODED:
        return None
    seen: set[int] = set()
    try:
        _look(rule, (), datatypes, seen, ())
    except _AllOfItError:
        return None
    return None if rule.parts and rule.parts[0] - 1 in seen else frozenset(seen)


def _look(
    rule: Rule, above: Path, datatypes: dict[str, DatatypeTable], seen: set[int], within: tuple[str, ...]
) -> None:
    """Add what a row looks at in the part ``above`` of the value, of which its table is."""
    line, path = rule.line, (*above, *rule.parts)
    using = line["using"].partition("(")[0].strip()
    if line["value"]:
        _look_into_template(line["value"], above, seen)
    elif line["codes"] or " from " in line["using"]:
        _add(path, seen)
    elif not using:
        if rule.target.type != "string" or not path:
            _add(path, seen)
    elif using.startswith("sender-system:"):
        pass  # the system is of the sender, whatever the number is
    elif using in READS:
        for number in READS[using]:
            _add((*path, number), seen)
    elif using in datatypes and using not in within:
        _look_into_table(datatypes[using], path, datatypes, seen, (*within, using))
    else:
        _add(path, seen)


def _look_into_table(
    table: DatatypeTable,
    path: Path,
    datatypes: dict[str, DatatypeTable],
    seen: set[int],
    within: tuple[str, ...],
) -> None:
    for row in table.rules:
        for asked in asked_of(row.line["when"]) if row.line["when"] else ():
            if asked is None:
                raise _AllOfItError
            _add((*path, *asked), seen)
        _look(row, path, datatypes, seen, within)


def _look_into_template(template: str, above: Path, seen: set[int]) -> None:
    """A template passes texts on, unless it makes a URN, which is checked."""
    for ref in map(parse_ref, PLACEHOLDER.findall(template)):
        if ref.segment:
            raise _AllOfItError
        if template.startswith(URNS):
            _add((*above, *ref.parts), seen)


def _add(path: Path, seen: set[int]) -> None:
    if not path:
        raise _AllOfItError
    seen.add(path[0] - 1)
