"""The transaction Bundle that Wardstream emits for one message (FHIR R4 §2.36, §3.1.0.11).

Why entries look as they do. Every resource is written with PUT under a deterministic id, so that a replay
changes nothing. References inside are ``Type/id``: with ids that the client assigns, that is already the
reference the server will hold, and every server takes it. R4's rule for resolving such a reference within
a Bundle (§2.36.4.1) needs the entry's fullUrl to be RESTful, so fullUrl is ``<base>Type/id`` and not a
``urn:uuid``: a server must rewrite ``urn:uuid`` references for POST only, and after a PUT some leave them
dangling. The base is a name under which nothing can be fetched; receivers (HAPI FHIR among them) use
it for nothing but to compare.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from engine.fhir.writer import dumps, ready
from engine.keys import content_id

Json = dict[str, Any]

BASE = "https://wardstream.invalid/fhir/"
"""``.invalid`` is reserved to never resolve (RFC 2606 §2)."""

_RANKS = {
    kind: rank
    for rank, kinds in enumerate(
        (
            ("MessageHeader",),
            ("Organization", "Location", "Endpoint", "HealthcareService"),
            ("Practitioner", "PractitionerRole", "Device"),
            ("Patient",),
            ("RelatedPerson", "Coverage", "Account", "CareTeam", "EpisodeOfCare"),
            ("Encounter", "Appointment", "Schedule", "Slot"),
            ("ServiceRequest", "MedicationRequest", "Specimen"),
        )
    )
    for kind in kinds
}
"""What others refer to comes first: servers that check references while they write find them there."""
_LATE = {"Provenance": 98, "AuditEvent": 99}
_MIDDLE = 50


def transaction(
    resources: Iterable[Json], *, source: str = "", identifier: Json | None = None, base: str = BASE
) -> Json:
    """One transaction of PUTs.

    Args:
        resources: each with resourceType and id. Equal copies of one resource become one entry.
        source: becomes ``meta.source`` of each resource that has none.
        identifier: of the Bundle, e.g. of the source message.
        base: root of fullUrls.

    Returns:
        The Bundle. Entries are in a stable order: what others refer to first, then by type and id. Its id
        follows from its content. The resources given are not changed.

    Raises:
        ValueError: two different resources have the same type and id; a transaction can't write both.
    """
    return from_entries(put_entries(resources, source, base), identifier=identifier)[0]


def put_entries(resources: Iterable[Json], source: str = "", base: str = BASE) -> list[Json]:
    """The entries of :func:`transaction`."""
    entries: dict[tuple[int, str, str], Json] = {}
    for resource in resources:
        key = order((resource["resourceType"], resource["id"]))
        stated = with_source(resource, source) if source else resource
        if key in entries and entries[key]["resource"] != stated:
            raise ValueError(f"Two different resources {key[1]}/{key[2]} in one transaction")
        entries[key] = put_entry(stated, base)
    return [entries[key] for key in sorted(entries)]


def from_entries(
    entries: Sequence[Json], *, identifier: Json | None = None, timestamp: str = ""
) -> tuple[Json, bytes]:
    """A transaction of ready entries, in the order given, and its JSON as UTF-8."""
    written = dumps(entries)
    bundle: Json = {"resourceType": "Bundle", "id": content_id("Bundle", written)}
    if identifier:
        bundle["identifier"] = identifier
    bundle["type"] = "transaction"
    if timestamp:
        bundle["timestamp"] = timestamp
    if not entries:
        return bundle, dumps(bundle)
    # The entries are most of it, and their JSON is there.
    return {**bundle, "entry": list(entries)}, dumps({**bundle, "entry": ready(written)})


def put_entry(resource: Json, base: str = BASE) -> Json:
    """An entry that writes the resource under its own id."""
    url = f"{resource['resourceType']}/{resource['id']}"
    return {"fullUrl": base + url, "resource": resource, "request": {"method": "PUT", "url": url}}


def with_source(resource: Json, source: str) -> Json:
    """The resource with ``meta.source`` (FHIR R4 §2.27.3.0.4), where it has none."""
    meta = resource.get("meta", {})
    if not source or "source" in meta:
        return resource
    named = {
        "resourceType": resource["resourceType"],
        "id": resource["id"],
        "meta": {**meta, "source": source},
    }
    return {**named, **{k: v for k, v in resource.items() if k not in named}}


def order(key: tuple[str, str]) -> tuple[int, str, str]:
    """Sort key of an entry by its (type, id)."""
    kind, resource = key
    return _LATE.get(kind) or _RANKS.get(kind, _MIDDLE), kind, resource
