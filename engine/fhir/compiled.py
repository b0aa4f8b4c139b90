"""Types of :mod:`engine.fhir.schema` in the form that validation walks fast: made when a type is first met."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from engine.fhir import schema
from engine.fhir.invariants import ADVICE, DATA_TYPES, PROFILES
from engine.fhir.invariants_resources import RESOURCES
from engine.fhir.primitives import TESTS, Test, element_id, format_test


class Slot:
    """What one JSON name within a type may hold; the compiled form of :class:`schema.Element`."""

    __slots__ = (
        "_rule", "choice", "codes", "content", "listed", "many", "name", "profile", "system", "targets", "test", "type",
    )  # fmt: skip

    def __init__(self, element: schema.Element) -> None:
        self.name = element.name
        self.type = element.types[0]
        self.many = element.max is None or element.max > 1
        self.choice = element.choice
        self.content = element.content
        self.targets = frozenset(element.targets)
        self.codes = element.codes if element.content else None
        self.listed = None if element.content else element.codes
        """The codes of a primitive."""
        self.system = element.binding_system
        self.profile = PROFILES.get(element.profile)
        self.test = None if element.content else _primitive_test(element)
        self._rule: Rule | None = None

    @property
    def rule(self) -> Rule:
        """The rule of the content; looked up when first met, since types hold themselves."""
        if self._rule is None:
            self._rule = rule_for(self.content)
        return self._rule


def _primitive_test(element: schema.Element) -> Test:
    codes = element.codes
    if codes is not None:
        return lambda value: type(value) is str and value in codes
    if element.name == "id" and element.types[0] == "string":
        return element_id
    return format_test(element.format) if element.format else TESTS[element.types[0]]


class Rule:
    """The compiled form of a type."""

    __slots__ = ("choices", "invariants", "is_resource", "known", "required")

    def __init__(self, type_name: str) -> None:
        self.is_resource = schema.is_resource(type_name)
        members = schema.elements(type_name)
        self.known: Mapping[str, Slot] = {name: Slot(element) for name, element in members.items()}
        self.required = tuple(name for name, element in members.items() if element.min)
        self.choices = tuple(choice.name for choice in schema.choices(type_name) if choice.min)
        table = (*DATA_TYPES, *RESOURCES, *ADVICE)
        self.invariants = tuple(i for i in table if type_name in i.types)


@cache
def rule_for(type_name: str) -> Rule:
    """The rule of a type by its name in :mod:`engine.fhir.schema`. Raises KeyError when there is none."""
    return Rule(type_name)
