"""Values that are placed into many resources: what is kept never changes, every resource gets one of its own.

A template makes a value over and over. It may have holes, into which texts are filled; one without holes makes copies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Pieces = Callable[[str], Sequence[str]]


class Template:
    """Makes a JSON value; its texts and numbers are shared by all that it makes, objects and arrays are not."""

    def fill(self, holes: Sequence[str]) -> Any:
        """The value with these texts in its holes, by number."""
        raise NotImplementedError


class _Constant(Template):
    def __init__(self, value: Any) -> None:
        self.value = value

    def fill(self, holes: Sequence[str]) -> Any:  # noqa: ARG002 - it has none
        return self.value


class _Hole(Template):
    def __init__(self, number: int) -> None:
        self.number = number

    def fill(self, holes: Sequence[str]) -> Any:
        return holes[self.number]


class _Joined(Template):
    """Texts and holes in a row."""

    def __init__(self, parts: list[Template]) -> None:
        self.parts = parts

    def fill(self, holes: Sequence[str]) -> Any:
        return "".join([part.fill(holes) for part in self.parts])


class _Object(Template):
    def __init__(self, value: dict[str, Any], inner: list[tuple[str, Template]]) -> None:
        self.value = value
        self.inner = inner

    def fill(self, holes: Sequence[str]) -> Any:
        made = self.value.copy()
        for name, part in self.inner:
            made[name] = part.fill(holes)
        return made


class _Array(Template):
    def __init__(self, items: list[Template]) -> None:
        self.items = items

    def fill(self, holes: Sequence[str]) -> Any:
        return [item.fill(holes) for item in self.items]


def template(value: Any, words: Mapping[str, int] | None = None, pieces: Pieces | None = None) -> Template:
    """The template of a JSON value.

    Args:
        value: dicts with str keys, lists, and what can't be changed.
        words: what stands in the value for each hole, with its number.
        pieces: cuts a text into words and what is between them.
    """
    if isinstance(value, dict):
        parts = {name: template(part, words, pieces) for name, part in value.items()}
        inner = [(name, part) for name, part in parts.items() if not isinstance(part, _Constant)]
        return _Object(dict(value), inner)
    if isinstance(value, list):
        return _Array([template(item, words, pieces) for item in value])
    if words and pieces is not None and isinstance(value, str):
        texts = [_Hole(words[t]) if t in words else _Constant(t) for t in pieces(value) if t]
        if len(texts) == 1:
            return texts[0]
        if texts:
            return _Joined(list(texts))
    return _Constant(value)
