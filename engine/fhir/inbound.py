"""FHIR in: any bytes a feed sends, as outcomes with transaction Bundles (FHIR R4).

Each document of a payload (a resource, a Bundle, an item of an array, a line of NDJSON) gets one outcome. It is
read, repaired by stated rules and given an id that follows from it; what R4 has no place for is reported
with its FHIRPath. Extensions, profiles, narratives and contained resources leave as they came.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

from engine.errors import FhirVersionError, ReadError
from engine.fhir import bundle as bundles
from engine.fhir.ids import best_identifier, with_id
from engine.fhir.inbound_bundle import NOT_STORED, Unbundled, dangling_issue, unbundle
from engine.fhir.linking import Links
from engine.fhir.notes import find_notes
from engine.fhir.outcome import operation_outcome
from engine.fhir.r5 import r5_place
from engine.fhir.reader import Document, read_documents
from engine.fhir.ready import make_ready, without_indexes
from engine.fhir.references import parse_reference
from engine.fhir.schema import is_resource
from engine.fhir.stu3 import document_from_stu3
from engine.keys import patient_key
from engine.records import Envelope, Issue, Outcome, Severity, Unmapped
from engine.settings import Settings

__all__ = ["operation_outcome", "process_fhir"]

Json = dict[str, Any]

INVALID = "invalid-resource"
"""Code of a rejection: JSON, but nothing in it can be made a valid R4 resource."""


def process_fhir(
    envelope: Envelope, settings: Settings, canonical: Callable[[Json], Json] | None = None
) -> list[Outcome]:
    """Outcomes of the documents in an envelope, in order; at least one. Never raises for what the bytes hold.

    Args:
        envelope: the bytes.
        settings: limits.
        canonical: brings a resource or Bundle to the site's own code systems and identifiers; None leaves it.
    """
    return list(_outcomes(envelope, settings, canonical))


def _outcomes(
    envelope: Envelope, settings: Settings, canonical: Callable[[Json], Json] | None
) -> Iterator[Outcome]:
    try:
        for document in read_documents(envelope.payload, settings.read, charset=envelope.charset):
            yield _outcome(_as_r4(document, canonical, envelope.fhir_version), envelope, settings)
    except ReadError as error:
        yield _unread(error, envelope)


def _unread(
    error: ReadError, envelope: Envelope, charset: str = "", issues: tuple[Issue, ...] = ()
) -> Outcome:
    issue = Issue(Severity.ERROR, error.code, error.location, error.message, error.action)
    return Outcome(
        accepted=False,
        charset=charset,
        issues=(*envelope.issues, *issues, issue),
        error_code=error.code,
        error_action=error.action,
        retryable=error.retryable,
    )


def _as_r4(document: Document, canonical: Callable[[Json], Json] | None, declared: str) -> Document:
    """A document of STU3 as R4, and in canonical form where that is asked for."""
    if document.error is not None:
        return document
    if place := r5_place(document.resource):
        error = FhirVersionError(
            "The document is FHIR R5, which can't be read here without losing what it is about",
            location=place,
            action="Send FHIR R4 (4.0.1), R4B or STU3.",
        )
        return dataclasses.replace(document, error=error)
    resource, issues = document_from_stu3(document.resource, declared)
    if canonical is not None:
        resource = canonical(resource)
    return dataclasses.replace(document, resource=resource, issues=(*document.issues, *issues))


def _outcome(document: Document, envelope: Envelope, settings: Settings) -> Outcome:
    if document.error is not None:
        return _unread(document.error, envelope, document.charset, document.issues)
    kind = document.resource.get("resourceType")
    known = kind if isinstance(kind, str) and is_resource(kind) else ""
    out = unbundle(document.resource) if known == "Bundle" else _single(document.resource)
    rooted = _rooted(document, known)
    base = Outcome(
        accepted=True,
        message_type=known,
        charset=document.charset,
        issues=(*envelope.issues, *rooted.issues, *out.issues),
        unmapped=(*rooted.unmapped, *out.unmapped),
        leaves=document.leaves,
        empty_required=_missing(out.issues),
    )
    return (
        _rejected(base, out)
        if out.refused and not out.entries
        else _accepted(base, out, document, envelope, settings)
    )


def _single(resource: Json) -> Unbundled:
    if resource.get("resourceType") in NOT_STORED:
        return Unbundled(issues=[_NOT_WRITABLE], refused=1)
    ready = make_ready(resource)
    out = Unbundled(issues=list(ready.issues), unmapped=list(ready.unmapped))
    if ready.resource is None:
        out.refused = 1
    else:
        linked, dangling = Links().rewrite(ready.resource, None)
        out.issues += [dangling_issue(ready.kind)] * len(dangling)
        resource = with_id(linked)
        out.entries.append(bundles.put_entry(resource))
        out.places[f"{ready.kind}/{resource['id']}"] = ready.kind
    return out


_NOT_WRITABLE = Issue(
    Severity.ERROR,
    "not-supported",
    "",
    "Resources of this type tell a server's answer or a call's arguments; no server stores them",
    "Send clinical or administrative resources.",
)


def _rooted(document: Document, kind: str) -> Document:
    """Reading names places from ``Resource``; here their root's type is known."""
    root = kind or "Resource"
    return dataclasses.replace(
        document,
        issues=tuple(dataclasses.replace(i, location=_renamed(i.location, root)) for i in document.issues),
        unmapped=tuple(Unmapped(_renamed(u.location, root), u.reason) for u in document.unmapped),
    )


def _renamed(location: str, root: str) -> str:
    return root + location.removeprefix("Resource") if location.startswith("Resource") else location


def _rejected(base: Outcome, out: Unbundled) -> Outcome:
    reason = next((issue for issue in reversed(out.issues) if issue.severity is Severity.ERROR), None)
    action = reason.action if reason else "Send FHIR R4 resources."
    issues = base.issues
    if reason is None or issues[-1] is not reason:
        message = reason.message if reason else "Nothing in it is a resource that can be written"
        last = Issue(
            Severity.ERROR, INVALID, reason.location if reason else base.message_type, message, action
        )
        issues = (*issues, last)
    return dataclasses.replace(base, accepted=False, issues=issues, error_code=INVALID, error_action=action)


def _accepted(
    base: Outcome, out: Unbundled, document: Document, envelope: Envelope, settings: Settings
) -> Outcome:
    source = document.resource
    identifier = out.header.get("identifier")
    bundle, written = bundles.from_entries(
        out.entries, identifier=identifier, timestamp=out.header.get("timestamp", "")
    )
    control_id = str((identifier or {}).get("value") or _text(source.get("id")))
    notes, issues = find_notes(bundle, settings, out.places)
    if not out.entries:
        issues.append(
            Issue(Severity.INFORMATION, "nothing-to-write", base.message_type, "It holds nothing to write")
        )
    notes = [
        dataclasses.replace(n, feed=envelope.feed, message_id=envelope.message_id, control_id=control_id)
        for n in notes
    ]
    return dataclasses.replace(
        base,
        control_id=control_id,
        patient_key=key_of(out.entries),
        bundle=bundle,
        bundle_json=written,
        issues=(*base.issues, *issues),
        notes=tuple(notes),
        codes=_codes(out.entries),
    )


def key_of(entries: list[Json]) -> str:
    """Kafka key of the patient that the entries are about.

    The id that the first Patient has or will have; else what the first subject or patient refers to; ""
    when nothing names a patient. So a Patient and an Observation sent alone, that refers to them, have one key.
    """
    resources = [entry["resource"] for entry in entries if isinstance(entry.get("resource"), dict)]
    for patient in (r for r in resources if r.get("resourceType") == "Patient"):
        if isinstance(patient.get("id"), str):
            return f"Patient/{patient['id']}"
        best = best_identifier(patient.get("identifier"))
        return patient_key(*best) if best else ""
    for resource in resources:
        for name in ("subject", "patient", "beneficiary"):
            key = _key_of_reference(resource.get(name))
            if key:
                return key
    return ""


_SEARCH = re.compile(r"Patient\?identifier=([^|&]+)\|([^|&]+)")


def _key_of_reference(reference: Any) -> str:
    if not isinstance(reference, dict):
        return ""
    text = _text(reference.get("reference"))
    target = parse_reference(text)
    if target.type == "Patient" and target.id:
        return f"Patient/{target.id}"
    searched = _SEARCH.fullmatch(text)
    if searched:
        return patient_key(*(unquote(part) for part in searched.groups()))
    best = best_identifier([reference.get("identifier")])
    return patient_key(*best) if best and reference.get("type", "Patient") == "Patient" else ""


def _codes(entries: list[Json]) -> tuple[tuple[str, str], ...]:
    """(system, code) of every coding, once each, for drift watching."""
    found: dict[tuple[str, str], None] = {}
    pending: list[Any] = [entry.get("resource") for entry in entries]
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending += node
        elif isinstance(node, dict):
            pending += [value for value in node.values() if isinstance(value, dict | list)]
            for coding in node["coding"] if isinstance(node.get("coding"), list) else ():
                if "system" in coding and "code" in coding:
                    found[coding["system"], coding["code"]] = None
    return tuple(sorted(found))


def _missing(issues: list[Issue]) -> tuple[str, ...]:
    return tuple(sorted({without_indexes(issue.location) for issue in issues if issue.code == "missing"}))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
