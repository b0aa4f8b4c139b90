"""Making references agree with the ids under which resources leave (FHIR R4 §2.36.4.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from engine.fhir.references import Form, parse_reference
from engine.fhir.schema import PRIMITIVES, is_resource
from engine.keys import resource_id

Json = dict[str, Any]

_BASE = re.compile(r"(https?://.+/)[A-Z][A-Za-z]+/[^/]+(?:/_history/[^/]+)?")
_ODD_REFERENCE = re.compile(r"([A-Z][A-Za-z]+)/([^/?#\s]+)")
_LOGICAL = "urn:ietf:rfc:3986"
"""System of an identifier whose value is itself a URI."""


def valid_id(kind: str, given: Any) -> str:
    """The id a resource leaves under: as given if R4 allows it, else one that follows from it; "" for none."""
    if not isinstance(given, str) or not given.strip():
        return ""
    return given if PRIMITIVES["id"].fullmatch(given) else resource_id(kind, "id", given)


def with_valid_ids(resource: Json) -> tuple[Json, bool]:
    """The resource with every reference ``Type/<no valid id>`` pointing to what :func:`valid_id` makes of it.

    Returns:
        The resource, or a changed copy; and whether anything was changed.
    """
    replaced = {
        text: f"{found[1]}/{valid_id(found[1], found[2])}"
        for text in references(resource)
        if (found := _ODD_REFERENCE.fullmatch(text))
        and is_resource(found[1])
        and not PRIMITIVES["id"].fullmatch(found[2])
    }
    return (_replace(resource, replaced), True) if replaced else (resource, False)


class Links:
    """Where the entries of one Bundle are found: by fullUrl, by ``Type/id``, and by id alone for URNs."""

    def __init__(self) -> None:
        self._targets: dict[str, str] = {}
        self._by_id: dict[str, set[str]] = {}

    def add(self, full_url: Any, kind: str, old_id: Any, target: str) -> None:
        """An entry's resource leaves under ``target``: ``Type/id``, or a URN when the server chooses the id."""
        if isinstance(full_url, str) and full_url:
            self._targets.setdefault(full_url, target)
        if isinstance(old_id, str) and old_id:
            self._targets.setdefault(f"{kind}/{old_id}", target)
            self._by_id.setdefault(old_id, set()).add(target)

    def resolve(self, text: str, full_url: Any) -> str:
        """The reference to use for ``text`` within the entry of ``full_url``; "" when no entry is meant."""
        plain = text.partition("/_history/")[0]
        found = self._targets.get(text) or self._targets.get(plain)
        if not found and isinstance(full_url, str) and (base := _BASE.fullmatch(full_url)):
            found = self._targets.get(base[1] + plain)
        if not found and text.startswith("urn:uuid:"):
            named = self._by_id.get(text.removeprefix("urn:uuid:"), set())
            found = next(iter(named)) if len(named) == 1 else ""
        return found or ""

    def rewrite(self, resource: Json, full_url: Any) -> tuple[Json, list[str]]:
        """The resource with its references resolved, and the URNs that no entry answers to.

        Such a URN is kept as a logical reference (FHIR R4 §2.3.0.2): as Reference.identifier.
        """
        replaced: dict[str, str] = {}
        dangling: list[str] = []
        for text in references(resource):
            found = self.resolve(text, full_url)
            if found:
                replaced[text] = found
            elif parse_reference(text).form is Form.URN:
                dangling.append(text)
        changed = {text: target for text, target in replaced.items() if text != target}
        if not changed and not dangling:
            return resource, []
        linked = _replace(resource, changed) if changed else resource
        return (_logical(linked, frozenset(dangling)) if dangling else linked), sorted(set(dangling))


def references(node: Any) -> Iterator[str]:
    """Texts of Reference.reference and Attachment.url values: what a server rewrites in a transaction."""
    if isinstance(node, dict):
        for name, value in node.items():
            if isinstance(value, str):
                if name == "reference" or (name == "url" and value.startswith("urn:uuid:")):
                    yield value
            elif isinstance(value, dict | list):
                yield from references(value)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)


def _replace(node: Any, replaced: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {
            name: replaced[value]
            if name in ("reference", "url") and isinstance(value, str) and value in replaced
            else _replace(value, replaced)
            for name, value in node.items()
        }
    return [_replace(item, replaced) for item in node] if isinstance(node, list) else node


def _logical(node: Any, dangling: frozenset[str]) -> Any:
    if isinstance(node, list):
        return [_logical(item, dangling) for item in node]
    if not isinstance(node, dict):
        return node
    made = {name: _logical(value, dangling) for name, value in node.items()}
    text = made.get("reference")
    if isinstance(text, str) and text in dangling:
        del made["reference"]
        made.setdefault("identifier", {"system": _LOGICAL, "value": text})
    return made
