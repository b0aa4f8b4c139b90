"""Target paths of the mapping tables: where in a resource a value goes.

::

    path   = "$this" | step { "." step }
    step   = element [ "[" label [ "*" ] "]" ] | "extension(" url ")"

The schema of FHIR R4 says which elements repeat. A last step that repeats appends. A step before the
last that repeats means one item, shared by all rules of the table that write the same path and label;
with ``*`` one item for each repetition of the source field. ``extension(url)`` makes an item for each
repetition; a url without a scheme is under ``http://hl7.org/fhir/StructureDefinition/``, except inside
another extension, where it is the plain name of a part. An extension on a primitive goes to its
``_name`` twin (FHIR R4 §2.6.2.3).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from engine.fhir import schema

EXTENSION_ROOT = "http://hl7.org/fhir/StructureDefinition/"

_STEP = re.compile(
    r"(?:extension\((?P<url>[^()]+)\)|(?P<name>[A-Za-z][A-Za-z0-9]*)(?:\[(?P<label>[a-zA-Z0-9_-]+)(?P<each>\*?)\])?)(?:\.|$)"
)

Items = dict[tuple[int, str, int], dict[str, Any]]
"""Items made by one run of a table: (length of path so far, path with labels, repetition) -> item."""


class PathError(ValueError):
    """The path can't be read or FHIR R4 has no such element."""


class _Step(NamedTuple):
    name: str  # JSON name, with the underscore of a primitive's twin
    many: bool
    key: str  # path so far with labels, "" when not shared
    each: bool  # one item a repetition
    url: str  # of an extension step
    primitive_twin: bool


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """A compiled path.

    Attributes:
        text: as written.
        type: FHIR type of the last element; "" for ``$this``.
        many: whether the last element repeats.
        codes: the codes a required binding allows, if any.
        siblings: names of the other types of the same choice element ([x], FHIR R4 §2.6.1.4).
    """

    text: str
    type: str
    many: bool
    codes: frozenset[str] | None
    steps: tuple[_Step, ...]
    siblings: frozenset[str] = frozenset()
    inner: tuple[_Step, ...] = field(init=False)
    """The steps before the last."""
    name: str = field(init=False)
    """JSON name of the last step."""
    depth: int = field(init=False)
    """How many steps come before the last, if that is a labelled item; else -1."""

    def __post_init__(self) -> None:
        key = self.steps[-1].key if self.steps else ""
        object.__setattr__(self, "depth", _depth(key) if "[" in key.rsplit(".", 1)[-1] else -1)
        object.__setattr__(self, "inner", self.steps[:-1])
        object.__setattr__(self, "name", self.steps[-1].name if self.steps else "")

    def taken(self, root: dict[str, Any], items: Items, rep: int) -> bool:
        """Whether a plain value already stands there, so that a second one would have no place."""
        if self.many or not self.steps:
            return False
        holder = self._holder(root, items, rep, create=False) if self.inner else root
        if holder is None:
            return False
        if self.name in holder:
            return not isinstance(holder[self.name], dict)
        return not self.siblings.isdisjoint(holder)

    def filled(self, root: dict[str, Any], items: Items, rep: int) -> bool:
        """Whether anything stands there."""
        if not self.inner:
            return self.name in root
        holder = self._holder(root, items, rep, create=False)
        return holder is not None and self.name in holder

    def place(self, root: dict[str, Any], items: Items, value: Any, rep: int, *, create: bool = True) -> bool:
        """Put a value there. False when another value stands there, or (not create) its item is missing."""
        if not self.steps:
            return merge(root, value)
        holder = self._holder(root, items, rep, create=create) if self.inner else root
        if holder is None:
            return False
        if self.many:
            return _append(holder, self.steps[-1], self.depth, items, value, rep)
        name = self.name
        if name not in holder:
            if self.siblings and not self.siblings.isdisjoint(holder):
                return False
            holder[name] = value
            return True
        present = holder[name]
        if isinstance(present, dict) and isinstance(value, dict):
            return merge(present, value)
        return bool(present == value)

    def _holder(self, root: dict[str, Any], items: Items, rep: int, *, create: bool) -> dict[str, Any] | None:
        holder = root
        for depth, step in enumerate(self.inner):
            if not step.many:
                below = holder.get(step.name)
                if below is None:
                    if not create and depth == 0 and len(self.steps) > 1 and step.key:
                        return None
                    below = holder[step.name] = {}
                if not isinstance(below, dict):
                    return None
                holder = below
                continue
            key = (depth, step.key, rep if step.each else 0)
            item = items.get(key)
            if item is None:
                if not create:
                    return None
                item = {"url": step.url} if step.url else {}
                holder.setdefault(step.name, []).append(item)
                items[key] = item
            # What is below an item that is there may be made: a fixed extension of a labelled item.
            create = create or "[" in step.key
            holder = item
        return holder


class Place:
    """Where a value goes: :meth:`Target.place` for a first repetition, the usual paths in few steps."""

    def __init__(self, target: Target) -> None:
        self.target = target

    def put(self, root: dict[str, Any], items: Items, value: Any) -> bool:
        """Put a value there. False when another value stands there."""
        return self.target.place(root, items, value, 1)


class _Own(Place):
    """In an element of the resource itself."""

    def put(self, root: dict[str, Any], items: Items, value: Any) -> bool:
        name = self.target.name
        if name in root:
            return self.target.place(root, items, value, 1)
        root[name] = value
        return True


class _InPart(Place):
    """In an object of the resource."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.over = target.inner[0].name

    def put(self, root: dict[str, Any], items: Items, value: Any) -> bool:
        name = self.target.name
        part = root.get(self.over)
        if part is None:
            root[self.over] = {name: value}
            return True
        if not isinstance(part, dict) or name in part:
            return self.target.place(root, items, value, 1)
        part[name] = value
        return True


class _InItem(Place):
    """In an item of an array of the resource."""

    def __init__(self, target: Target) -> None:
        above = target.inner[0]
        self.target = target
        self.over = above.name
        self.url = above.url
        self.key = (0, above.key, 1 if above.each else 0)

    def put(self, root: dict[str, Any], items: Items, value: Any) -> bool:
        name = self.target.name
        item = items.get(self.key)
        if item is None:
            item = items[self.key] = {"url": self.url} if self.url else {}
            array = root.get(self.over)
            if array is None:
                root[self.over] = [item]
            else:
                array.append(item)
        elif name in item:
            return self.target.place(root, items, value, 1)
        item[name] = value
        return True


def placing(target: Target) -> Place:
    """How values of a row are placed."""
    if not target.steps or target.many or target.siblings or len(target.inner) > 1:
        return Place(target)
    if not target.inner:
        return _Own(target)
    return _InItem(target) if target.inner[0].many else _InPart(target)


def compile_target(root: str, text: str) -> Target:
    """Compile a path below a resource or data type. Raises PathError."""
    if text == "$this":
        return Target(text, "", many=False, codes=None, steps=())
    steps: list[_Step] = []
    type_name, position, in_extension = root, 0, False
    element: schema.Element | None = None
    owner = root
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            raise PathError(f"{text[position:]!r} can't be read as a path")
        so_far = text[: match.end()].rstrip(".")
        position = match.end()
        if match["url"]:
            steps += _extension_step(match["url"], so_far, type_name, steps, inside=in_extension)
            element, type_name, in_extension = None, "Extension", True
            continue
        owner, element = type_name, _element(type_name, match["name"])
        many = element.max is None or element.max > 1
        steps.append(_Step(element.name, many, so_far, bool(match["each"]), "", primitive_twin=False))
        type_name = _type_below(type_name, element)
    if element is None:
        raise PathError(f"{text!r} ends with an extension; add its value, such as .valueString")
    last = steps[-1]
    siblings = frozenset(
        other.name
        for other in schema.elements(owner).values()
        if element.choice and other.choice == element.choice and other.name != element.name
    )
    return Target(text, element.types[0], last.many, element.codes, tuple(steps), siblings)


def _extension_step(
    url: str, so_far: str, type_name: str, steps: list[_Step], *, inside: bool
) -> list[_Step]:
    full = url if inside or ":" in url else EXTENSION_ROOT + url
    step = _Step("extension", many=True, key=so_far, each=True, url=full, primitive_twin=False)
    if type_name not in schema.PRIMITIVES or not steps:
        return [step]
    last = steps.pop()
    if last.many:
        raise PathError("an extension on a repeating primitive element can't be placed by a table")
    return [_Step(f"_{last.name}", many=False, key="", each=False, url="", primitive_twin=True), step]


def _element(type_name: str, name: str) -> schema.Element:
    try:
        found = schema.elements(type_name)
    except KeyError:
        raise PathError(f"FHIR R4 has no type {type_name!r}") from None
    if name not in found:
        known = ", ".join(sorted(found))
        raise PathError(f"FHIR R4 has no element {name!r} in {type_name}; it has: {known}")
    return found[name]


def _type_below(type_name: str, element: schema.Element) -> str:
    kind = element.types[0]
    if kind in {"BackboneElement", "Element"}:
        return f"{type_name}.{element.name}"
    return kind


def _append(holder: dict[str, Any], last: _Step, depth: int, items: Items, value: Any, rep: int) -> bool:
    array = holder.setdefault(last.name, [])
    if depth >= 0 and isinstance(value, dict):
        key = (-1, last.key, rep if last.each else 0)
        # A path that goes on below this item knows it under its own depth.
        below = (depth, last.key, rep if last.each else 0)
        item = items.get(key) or items.get(below)
        if item is not None:
            return merge(item, value)
        items[key] = items[below] = value
    elif value in array:
        return True
    array.append(value)
    return True


def _depth(path: str) -> int:
    """How many steps come before the last; dots inside extension(url) do not count."""
    return sum(1 for _ in _STEP.finditer(path)) - 1


def merge(into: dict[str, Any], value: dict[str, Any]) -> bool:
    """Fill what is missing, append to lists. False if a plain value stood in the way; the rest is kept."""
    whole = True
    for name, part in value.items():
        present = into.get(name)
        if present is None:
            into[name] = part
        elif isinstance(present, dict) and isinstance(part, dict):
            whole = merge(present, part) and whole
        elif isinstance(present, list) and isinstance(part, list):
            for item in part:
                _add(present, item)
        elif present != part:
            whole = False
    return whole


def _add(present: list[Any], item: Any) -> None:
    """Append what is not there yet; an item that tells more of one that is there completes it."""
    for known in present:
        if known == item:
            return
        if isinstance(known, dict) and isinstance(item, dict):
            if _within(item, known):
                return
            if _within(known, item):
                known.update(item)
                return
    present.append(item)


def _within(part: dict[str, Any], whole: dict[str, Any]) -> bool:
    return all(name in whole and whole[name] == value for name, value in part.items())
