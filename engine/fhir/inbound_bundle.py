"""A Bundle that came in, as the transaction that goes out (FHIR R4 §2.36, §3.1.0.11).

What becomes of an entry, by its request:

==========================  ==========================================================================
none, or of a history       PUT under the resource's id
PUT ``Type/id``             kept
POST                        PUT under a deterministic id, so that a replay writes the same again
POST with ifNoneExist,      kept: the server decides what is meant, and a replay finds it again; the entry
PUT ``Type?query``          is named by a ``urn:uuid`` that references use
DELETE                      kept: it does no harm twice
PATCH                       kept, with a warning: a replay applies it again
GET, HEAD, operations       left out and reported: they ask a server, and there is none
==========================  ==========================================================================

Conditions (ifMatch, ifNoneMatch) are kept as they are. References that meant an entry by its fullUrl are
made to mean it by where it is written. Whatever does not go out is reported with its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from engine.fhir import bundle as bundles
from engine.fhir.findings import fhirpath
from engine.fhir.inbound_writes import Write, name_all
from engine.fhir.linking import Links, valid_id
from engine.fhir.ready import make_ready
from engine.fhir.references import Form, parse_reference
from engine.fhir.repair import repaired
from engine.fhir.schema import elements
from engine.records import Issue, Severity, Unmapped

Json = dict[str, Any]

_HEADER = ("identifier", "timestamp")
"""What a transaction keeps of the Bundle around its entries."""
_WHY_NOT = {
    "id": "the transaction has an id of its own",
    "link": "it pages through a search",
    "signature": "it signs the Bundle as it was sent; what goes out differs",
    "total": "it counts a search's matches",
}
_NO_PLACE = "a transaction has no place for it"
_CONDITIONS = ("ifNoneMatch", "ifModifiedSince", "ifMatch", "ifNoneExist")
_ENTRY_READ = frozenset({"fullUrl", "resource", "request"})
_REQUEST_READ = frozenset({"method", "url", *_CONDITIONS})
_ANSWERS = frozenset({"batch-response", "transaction-response", "searchset"})
"""Bundles in which an entry without a resource is what a server said of it."""
NOT_STORED = ("OperationOutcome", "Parameters")
"""Resources without an endpoint of their own (FHIR R4 §2.29, §2.27.6): a server refuses to write them."""


@dataclass(slots=True)
class Unbundled:
    """What a Bundle holds, ready to leave.

    Attributes:
        entries: of the transaction, in a stable order.
        header: identifier and timestamp of the Bundle.
        places: FHIRPath in the source of each resource written, by ``Type/id`` or URN.
        issues, unmapped: with FHIRPaths from the Bundle.
        refused: how many entries held something that could not be saved.
    """

    entries: list[Json] = field(default_factory=list)
    header: Json = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)
    unmapped: list[Unmapped] = field(default_factory=list)
    refused: int = 0


def unbundle(bundle: Json) -> Unbundled:
    """Entries of the transaction that says what a Bundle says. The Bundle is not changed."""
    out = Unbundled()
    _header(bundle, out)
    kind = _bundle_kind(bundle, out)
    writes = [
        write
        for index, entry in _entries(bundle, out)
        if (write := _entry(entry, kind, f"Bundle.entry[{index}]", out)) is not None
    ]
    links = name_all(writes)
    for write in sorted(_kept(writes, out, newest_first=kind == "history"), key=lambda w: w.order):
        out.entries.append(_linked(write, links, out))
        out.places[write.target] = f"{write.place}.resource"
    return out


def _header(bundle: Json, out: Unbundled) -> None:
    """Keep what a transaction has a place for, and report the rest."""
    for name, value in bundle.items():
        if name not in {"resourceType", "type", "entry", *_HEADER} and not is_empty(value):
            known = name.removeprefix("_") in elements("Bundle")
            if not known:
                out.issues.append(
                    _issue(
                        "unknown-element",
                        fhirpath("Bundle", (name,)),
                        "R4 has no such element here; it was left out",
                    )
                )
            out.unmapped.append(
                Unmapped(
                    fhirpath("Bundle", (name,)),
                    _WHY_NOT.get(name, _NO_PLACE) if known else "R4 has no such element here",
                )
            )
    kept = {name: bundle[name] for name in _HEADER if name in bundle}
    done = repaired({"resourceType": "Bundle", "type": "transaction", **kept})
    out.issues += done.issues
    out.unmapped += [Unmapped(path, reason) for path, reason in done.lost]
    out.header = {name: value for name, value in (done.resource or {}).items() if name in _HEADER}


def _bundle_kind(bundle: Json, out: Unbundled) -> str:
    kind = bundle.get("type")
    codes = elements("Bundle")["type"].codes or frozenset()
    if isinstance(kind, str) and kind in codes:
        return kind
    message = "No type that R4 knows; the Bundle was read as a collection"
    out.issues.append(_issue("missing" if kind is None else "code", "Bundle.type", message))
    return "collection"


def _entries(bundle: Json, out: Unbundled) -> Iterator[tuple[int, Json]]:
    entries = bundle.get("entry")
    if isinstance(entries, dict):
        out.issues.append(
            _issue(
                "array-expected", "Bundle.entry", "Expected an array, not an object; it was put into an array"
            )
        )
        entries = [entries]
    if entries is not None and not isinstance(entries, list):
        out.refused += 1
        out.issues.append(
            _issue("wrong-type", "Bundle.entry", "Expected an array of entries; it was left out")
        )
        out.unmapped.append(Unmapped("Bundle.entry", "no array"))
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        if isinstance(entry, dict):
            yield index, entry
        else:
            place = f"Bundle.entry[{index}]"
            out.refused += 1
            out.issues.append(_issue("wrong-type", place, "An entry is an object; it was left out"))
            out.unmapped.append(Unmapped(place, "no object"))


def _entry(entry: Json, kind: str, place: str, out: Unbundled) -> Write | None:
    resource = entry.get("resource")
    if _is_outcome(entry) or (kind in _ANSWERS and is_empty(resource)):
        out.unmapped.append(Unmapped(place, "a server's answer, not something to write"))
        return None
    request = _object(entry, "request")
    _report_beside(entry, _ENTRY_READ, place, out)
    _report_beside(request, _REQUEST_READ, f"{place}.request", out)
    if isinstance(resource, dict) and resource:
        return _resource_entry(resource, request, kind, entry.get("fullUrl"), place, out)
    url = request.get("url")
    if request.get("method") == "DELETE" and isinstance(url, str) and url:
        return Write(place, None, None, {"method": "DELETE", "url": url, **_conditions(request)})
    _leave_out(place, "there is nothing in it to write", out)
    return None


def _report_beside(holder: Json, read: frozenset[str], place: str, out: Unbundled) -> None:
    for name in sorted(holder.keys() - read):
        if not is_empty(holder[name]):
            out.unmapped.append(Unmapped(fhirpath(place, (name,)), _NO_PLACE))


def _is_outcome(entry: Json) -> bool:
    return _object(entry, "search").get("mode") == "outcome"


def _resource_entry(
    resource: Json, request: Json, kind: str, full_url: Any, place: str, out: Unbundled
) -> Write | None:
    method = "PUT" if kind == "history" else request.get("method", "PUT")
    url = request["url"] if isinstance(request.get("url"), str) and kind != "history" else ""
    if not _writes(method, url, resource.get("resourceType")):
        _leave_out(place, "it asks a server for something or tells its answer, and writes nothing", out)
        return None
    ready = make_ready(
        resource, f"{place}.resource", forced_id=_named_by(url, resource) if method == "PUT" else ""
    )
    out.issues += ready.issues
    out.unmapped += ready.unmapped
    if ready.resource is None:
        out.refused += 1
        out.unmapped.append(Unmapped(f"{place}.resource", "the resource can't be saved"))
        return None
    if method == "PATCH":
        out.issues.append(_issue("patch", place, "A PATCH was passed on; a replay applies it again"))
        return Write(place, full_url, ready.resource, {"method": "PATCH", "url": url, **_conditions(request)})
    made = {"method": method, "url": url, **_conditions(request)}
    return Write(place, full_url, ready.resource, made, old_id=ready.old_id)


def _writes(method: Any, url: str, kind: Any) -> bool:
    """Whether a request writes a resource, or patches one by the means of R4 (§3.1.0.7.1)."""
    if method == "PATCH":
        return kind in ("Binary", "Parameters") and parse_reference(url).form in {Form.RELATIVE, Form.SEARCH}
    return method in ("PUT", "POST") and "$" not in url and kind not in NOT_STORED


def _named_by(url: str, resource: Json) -> str:
    """The id that the url of a PUT names, as R4 allows it; "" when it names none of this type."""
    kind, slash, given = url.partition("/")
    return (
        valid_id(kind, given) if slash and kind == resource.get("resourceType") and "/" not in given else ""
    )


def _conditions(request: Json) -> Json:
    return {
        name: request[name]
        for name in _CONDITIONS
        if isinstance(request.get(name), str) and request[name].strip()
    }


def _kept(writes: list[Write], out: Unbundled, *, newest_first: bool) -> Iterable[Write]:
    """A transaction writes nothing twice (§3.1.0.11.2): the newer of two stays, and equal ones are one."""
    kept: dict[str, Write] = {}
    for write in reversed(writes) if newest_first else writes:
        other = kept.get(write.target)
        kept[write.target] = write
        if other is not None and other.resource != write.resource:
            message = "Another entry writes the same resource; the newer one was kept"
            out.issues.append(_issue("duplicate-resource", other.place, message))
            out.unmapped.append(Unmapped(f"{other.place}.resource", "another entry writes the same resource"))
    return kept.values()


def _linked(write: Write, links: Links, out: Unbundled) -> Json:
    if write.resource is None:
        return {"request": write.request}
    resource, dangling = links.rewrite(write.resource, write.full_url)
    out.issues += [dangling_issue(f"{write.place}.resource")] * len(dangling)
    if write.request["method"] == "PATCH":
        return {"resource": resource, "request": write.request}
    if write.target.startswith("urn:"):  # the server gives the id
        nameless = {k: v for k, v in resource.items() if k != "id"}
        return {"fullUrl": write.target, "resource": nameless, "request": write.request}
    return {"fullUrl": bundles.BASE + write.target, "resource": resource, "request": write.request}


def dangling_issue(place: str) -> Issue:
    """A reference by URN that nothing in the message answers to."""
    message = "A URN that no entry of the message answers to; it was kept as a logical reference"
    return _issue("ref-unresolved", place, message)


def is_empty(value: Any) -> bool:
    """Whether a JSON value says nothing."""
    return value is None or value in ("", [], {})


def _object(holder: Json, name: str) -> Json:
    value = holder.get(name)
    return value if isinstance(value, dict) else {}


def _leave_out(place: str, reason: str, out: Unbundled) -> None:
    out.issues.append(_issue("not-supported", place, f"The entry was left out: {reason}"))
    out.unmapped.append(Unmapped(place, reason))


_ACTIONS = {
    "code": "Send one of the codes of bundle-type.",
    "missing": "Send Bundle.type.",
    "duplicate-resource": "Send one entry for a resource.",
    "ref-unresolved": "Send the resource in the same Bundle, or refer to it by Type/id or identifier.",
    "not-supported": "Send resources to be written; ask the server itself for others.",
    "patch": "Send the whole resource with PUT if you can.",
}


def _issue(code: str, place: str, message: str) -> Issue:
    return Issue(Severity.WARNING, code, place, message, _ACTIONS.get(code, "Correct the Bundle."))
