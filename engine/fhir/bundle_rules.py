"""How the entries of a Bundle belong together (FHIR R4 §2.36.4, §3.1.0.11)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from engine.fhir.findings import Finding, Where, fhirpath
from engine.fhir.references import Form, parse_reference
from engine.fhir.walk import validate
from engine.records import Severity

Json = dict[str, Any]

_RESTFUL = re.compile(r"(?P<base>https?://.+/)(?P<type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9\-.]{1,64})")
_URN = re.compile(
    r"urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+"
)


def validate_bundle(bundle: Json, *, closed: bool = True) -> list[Finding]:
    """All that :func:`engine.fhir.walk.validate` finds, and how the entries agree with each other.

    Args:
        bundle: a Bundle of any type.
        closed: whether references ``Type/id`` must find their target in the Bundle, as they do in what
            Wardstream makes of one message. A FHIR feed may refer to what its server already has. A
            ``urn:uuid`` must be found in any case: nothing else can resolve it.
    """
    findings = validate(bundle)
    if bundle.get("resourceType") != "Bundle":
        return findings
    entries = [(i, e) for i, e in enumerate(_list(bundle, "entry")) if isinstance(e, dict)]
    check = _Check(findings)
    check.full_urls(entries)
    check.requests(entries)
    check.references(entries, closed=closed)
    return findings


class _Check:
    def __init__(self, findings: list[Finding]) -> None:
        self.findings = findings

    def add(self, code: str, message: str, where: Where, severity: Severity = Severity.ERROR) -> None:
        self.findings.append(Finding(fhirpath("Bundle", where), code, message, severity, where))

    def full_urls(self, entries: list[tuple[int, Json]]) -> None:
        """Each is its own, and names the resource that the entry holds."""
        seen = Counter(_versioned(entry) for _, entry in entries if isinstance(entry.get("fullUrl"), str))
        for index, entry in entries:
            url = entry.get("fullUrl")
            if not isinstance(url, str):
                continue
            where = ("entry", index, "fullUrl")
            if seen[_versioned(entry)] > 1:
                self.add("duplicate-full-url", "Another entry has the same fullUrl", where)
            restful = _RESTFUL.fullmatch(url)
            resource = _dict(entry, "resource")
            if restful and "id" in resource and (restful["type"], restful["id"]) != _name(resource):
                self.add("full-url", "fullUrl names another resource than the entry holds", where)
            if url.startswith("urn:") and not _URN.fullmatch(url):
                self.add("full-url", "A URN as fullUrl is urn:uuid: in lower case, or urn:oid:", where)
            if ":" not in url:
                self.add("full-url", "fullUrl is an absolute URL", where)

    def requests(self, entries: list[tuple[int, Json]]) -> None:
        """A PUT names the resource that it writes, and no identity is written twice (FHIR R4 §3.1.0.11.2)."""
        written: set[str] = set()
        for index, entry in entries:
            request, resource = _dict(entry, "request"), _dict(entry, "resource")
            method, url = request.get("method"), request.get("url")
            if method not in ("PUT", "POST", "DELETE", "PATCH") or not isinstance(url, str):
                continue
            where = ("entry", index, "request", "url")
            if method in ("PUT", "POST") and not resource:
                self.add("request", f"A {method} needs a resource", ("entry", index, "resource"))
            elif method == "PUT" and "?" not in url and tuple(url.split("/")) != _name(resource):
                self.add("request", "The url of a PUT names the resource by its type and id", where)
            elif method == "POST" and url != resource.get("resourceType"):
                self.add("request", "The url of a POST is the type of the resource", where)
            if method != "POST" and url in written:
                self.add("request", "Another entry writes the same resource", where)
            written.add(url)

    def references(self, entries: list[tuple[int, Json]], *, closed: bool) -> None:
        """Every reference finds its target, is absolute, or is by identifier."""
        held = {"/".join(_name(_dict(entry, "resource"))) for _, entry in entries}
        # What a PATCH changes is on the server already; its entry holds the changes, not the resource.
        held |= {
            str(request.get("url"))
            for _, entry in entries
            if (request := _dict(entry, "request")).get("method") == "PATCH"
        }
        urls = {url for _, entry in entries if isinstance(url := entry.get("fullUrl"), str)}
        for index, entry in entries:
            place: Where = ("entry", index, "resource")
            for where, text in references_of(_dict(entry, "resource"), place):
                target = parse_reference(text)
                if target.form is Form.URN and text not in urls:
                    self.add("ref-unresolved", "No entry has this URN as its fullUrl", where)
                if target.form is Form.RELATIVE and closed and f"{target.type}/{target.id}" not in held:
                    self.add("ref-unresolved", "No entry holds the resource referred to", where)


def references_of(node: Any, where: Where = ()) -> Iterator[tuple[Where, str]]:
    """Every Reference.reference below a resource, with its place."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "reference" and isinstance(value, str):
                yield (*where, key), value
            elif isinstance(value, dict | list):
                yield from references_of(value, (*where, key))
    elif isinstance(node, list):
        for index, item in enumerate(node):
            yield from references_of(item, (*where, index))


def _versioned(entry: Json) -> tuple[str, str]:
    """bdl-7: the same fullUrl may stand twice for different versions."""
    return entry["fullUrl"], str(_dict(_dict(entry, "resource"), "meta").get("versionId", ""))


def _name(resource: Json) -> tuple[str, str]:
    return str(resource.get("resourceType", "")), str(resource.get("id", ""))


def _dict(node: Json, name: str) -> Json:
    value = node.get(name)
    return value if isinstance(value, dict) else {}


def _list(node: Json, name: str) -> list[Any]:
    value = node.get(name)
    return value if isinstance(value, list) else []
