"""A FHIR server's part in a FHIRPath Patch (FHIR R4 §3.1.0.9.2): as much of it as Wardstream's patches use.

A delete takes all that its path selects, as HAPI FHIR does.
"""

import copy
import re

from engine.fhir import schema


def apply(patch, resource):
    """The resource after a Parameters patch."""
    made = copy.deepcopy(resource)
    for operation in patch["parameter"]:
        parts = {part["name"]: part for part in operation["part"]}
        path = parts["path"]["valueString"]
        if parts["type"]["valueCode"] == "delete":
            _delete(made, path)
        else:
            node, kind = made, made["resourceType"]
            for step in path.split(".")[1:]:
                if step != "last()":
                    node, kind = node[step], schema.elements(kind)[step].content or "Extension"
                else:
                    node = node[-1]
            _put(node, kind, {**parts["value"], "name": parts["name"]["valueString"]})
    return _without_empty(made)


def _split(text, separator):
    """Parts of a text between separators that stand outside quotes and parentheses."""
    parts, depth, quoted, begin, at = [], 0, False, 0, 0
    while at < len(text):
        char = text[at]
        if quoted and char == "\\":
            at += 1
        elif char == "'":
            quoted = not quoted
        elif not quoted and char in "()":
            depth += 1 if char == "(" else -1
        elif not quoted and depth == 0 and text.startswith(separator, at):
            parts.append(text[begin:at])
            begin = at + len(separator)
            at = begin - 1
        at += 1
    return [*parts, text[begin:]]


class Place:
    """Where a value stands: under a key of an object, or at an index of the array there; with its primitive twin."""

    def __init__(self, holder, key, index=None):
        self.holder, self.key, self.index = holder, key, index

    @property
    def value(self):
        inner = self.holder[self.key]
        return inner if self.index is None else inner[self.index]

    def delete(self):
        if self.index is not None:
            self.holder[self.key][self.index] = None
        else:
            self.holder.pop(self.key)


def _below(place, name):
    """Places of an element below one; a choice stands under the name of its type, extensions of primitives in twins."""
    node = place.value
    if not isinstance(node, dict):
        twin = place.holder.get(f"_{place.key}") if place.index is None else None
        node = twin if name == "extension" and isinstance(twin, dict) else {}
    for key in list(node):
        bare = key.removeprefix("_")
        choice = re.fullmatch(rf"{name}([A-Z]\w*)", bare)
        is_choice = choice and name not in node and any(f"{name}{choice[1]}" in known for known in _CHOICES)
        if bare != name and not is_choice:
            continue
        inner = node[key]
        if not isinstance(inner, list):
            yield Place(node, key)
        else:
            yield from (Place(node, key, i) for i, item in enumerate(inner) if item is not None)


_CHOICES = [
    {e.name for e in schema.elements(kind).values() if e.choice}
    for kind in ("Patient", "Encounter", "Condition", "AllergyIntolerance", "Observation", "Extension")
]


def _select(places, steps):
    for step in steps:
        if step.startswith("where("):
            places = [p for p in places if all(_holds(p, test) for test in _split(step[6:-1], " and "))]
        else:
            places = [found for place in places for found in _below(place, step)]
    return places


def _holds(place, test):
    if (order := re.fullmatch(r"reference ([<>]) '(.*)'", test)) is not None:
        found = [p.value for p in _select([place], ["reference"])]
        return bool(found) and (found[0] > order[2] if order[1] == ">" else found[0] < order[2])
    same = " != " not in test
    left, right = (_union(place, side) for side in _split(test, " = " if same else " != "))
    return bool(left and right) and (left == right) is same


def _union(place, side):
    """Values of paths and texts that are joined by "|", each once."""
    return list(dict.fromkeys(value for term in _split(side, " | ") for value in _term(place, term)))


def _term(place, term):
    if term.startswith("'"):
        text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), term[1:-1])
        return [text.replace("\\'", "'").replace("\\\\", "\\")]
    path, *joined = _split(term, " & ")
    first = path.replace("[0]", "")
    found = [value.value for value in _select([place], _split(first, "."))]
    return (found[:1] or [""]) if joined else found


def _delete(resource, path):
    kind, *steps = _split(path, ".")
    assert kind == resource["resourceType"]
    for place in _select([Place({"": resource}, "")], steps):
        place.delete()


def _put(node, kind, part):
    """Put a value part into an object of a type; backbone elements come as parts of their own."""
    elements = schema.elements(kind)
    key, content, extras = part["name"], None, None
    if "part" in part:
        element = elements[key]
        content = {}
        for inner in part["part"]:
            _put(content, element.content, inner)
    else:
        for name, value in part.items():
            if name.startswith("value"):
                key, content = (key if key in elements else f"{key}{name[5:]}"), value
            elif name.startswith("_value"):
                key, extras = (key if key in elements else f"{key}{name[6:]}"), value
        element = elements[key]
    many = element.max is None or element.max > 1
    if content is not None:
        node.setdefault(key, []).append(content) if many else node.__setitem__(key, content)
    if extras is not None:
        assert not many
        node[f"_{key}"] = extras


def _without_empty(node):
    if isinstance(node, dict):
        cleaned = {k: _without_empty(v) for k, v in node.items()}
        return {k: v for k, v in cleaned.items() if v not in ({}, [], None)}
    if isinstance(node, list):
        return [c for item in node if (c := _without_empty(item)) not in ({}, [], None)]
    return node


def comparable(node):
    """The content of a resource, whatever the order of its arrays."""
    if isinstance(node, dict):
        return sorted((k, comparable(v)) for k, v in node.items())
    if isinstance(node, list):
        return sorted((comparable(item) for item in node), key=repr)
    return node
