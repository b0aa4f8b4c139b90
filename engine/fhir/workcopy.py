"""The copy of a resource that repair works on: it knows where each part stood in the source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.fhir import schema
from engine.fhir.findings import Where, fhirpath
from engine.fhir.walk import root_of

Json = dict[str, Any]


class Items(list[Any]):
    """An array that knows where its items stood in the source, so that reports name the source's indexes."""

    def __init__(self, items: list[Any], origin: list[int | None] | None = None) -> None:
        super().__init__(items)
        self.origin: list[int | None] = list(range(len(items))) if origin is None else origin

    def __delitem__(self, index: Any) -> None:
        super().__delitem__(index)
        del self.origin[index]


def tracked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: tracked(inner) for key, inner in value.items()}
    return Items([tracked(inner) for inner in value]) if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


class WorkCopy:
    """A deep copy with places: :data:`engine.fhir.findings.Where` steps from its root."""

    def __init__(self, resource: Json) -> None:
        self.root = root_of(resource)
        self.tree: Json = tracked(resource)

    def plain(self) -> Json:
        """The resource as ordinary dicts and lists."""
        copied: Json = _plain(self.tree)
        return copied

    def at(self, place: Where) -> Any:
        node: Any = self.tree
        for step in place:
            node = node[step]
        return node

    def put(self, place: Where, value: Any) -> None:
        self.at(place[:-1])[place[-1]] = value

    def element_at(self, place: Where) -> schema.Element | None:
        """The element that stands at a place; None for what R4 does not know."""
        node: Any = self.tree
        content, found = self.root, None
        for step in place:
            if isinstance(step, str):
                try:
                    found = schema.elements(content)[step.removeprefix("_")]
                except KeyError:
                    return None
                content = found.content
            node = node[step]
            if content == "Resource" and isinstance(node, dict):
                content = str(node.get("resourceType"))
        return found

    def source_path(self, place: Where) -> str:
        return fhirpath(self.root, tuple(self._source_steps(place)))

    def _source_steps(self, place: Where) -> Iterator[str | int]:
        node: Any = self.tree
        for step in place:
            if isinstance(step, int) and isinstance(node, Items):
                origin = node.origin[step] if step < len(node) else step
                if origin is not None:
                    yield origin
            else:
                yield step
            try:
                node = node[step]
            except (KeyError, IndexError, TypeError):
                node = None

    def remove(self, place: Where) -> None:
        """Take out what stands at a place, and what is left empty by that."""
        holder, last = self.at(place[:-1]), place[-1]
        if isinstance(last, int):
            self._remove_item(place[:-1], holder, last)
        else:
            del holder[last]
        if not holder:
            self._prune(place[:-1])

    def _remove_item(self, place: Where, items: Items, index: int) -> None:
        """An item of an array of primitives goes together with its twin; an extension there keeps a null."""
        name = str(place[-1])
        other = name[1:] if name.startswith("_") else f"_{name}"
        twins = self.at(place[:-1]).get(other)
        if isinstance(twins, Items) and index < len(twins):
            if twins[index] is not None:
                items[index] = None
                return
            del twins[index]
            if not twins:
                del self.at(place[:-1])[other]
        del items[index]

    def _prune(self, place: Where) -> None:
        """Take out what a removal left empty."""
        while place and not self.at(place):
            holder = self.at(place[:-1])
            del holder[place[-1]]
            place = place[:-1]
