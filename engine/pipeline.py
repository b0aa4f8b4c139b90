"""The whole story of one message, from bytes to its one outcome.

1. read: bytes to text to tree, or a refusal with place and action;
2. map: tree to FHIR resources by the tables, with a report of what reached no element;
3. complete: what FHIR requires and the source leaves open is marked as unknown;
4. validate: what is broken is taken out by a stated rule and reported, never emitted;
5. bundle: one transaction, deterministic ids, the same bytes for the same message;
6. notes: the free text in it, to be read by a model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from engine.drift.required import REQUIRED_FIELDS
from engine.errors import ConformanceError, InternalError, WardstreamError
from engine.feeds import FeedProfile
from engine.fhir.bundle import from_entries, put_entries
from engine.fhir.dangling import without_dangling
from engine.fhir.inbound import process_fhir
from engine.fhir.notes import notes_of
from engine.fhir.sure import surely_valid
from engine.fhir.validate import repaired
from engine.hl7v2 import conformance, er7
from engine.hl7v2.ack import read_header
from engine.hl7v2.tree import Message
from engine.keys import patient_key
from engine.mapping.canonical import canonical
from engine.mapping.complete import fill_required
from engine.mapping.mapper import Mapped, Mapper
from engine.mapping.provenance import Maker, assembler
from engine.mapping.writing import as_written
from engine.records import Envelope, Issue, Kind, Note, Outcome, Severity, Unmapped
from engine.settings import Settings


class Pipeline:
    """Turns envelopes into outcomes. Pure: the same envelope gives the same outcome.

    Args:
        settings: limits and switches.
        mapper: the compiled tables.
        profile_of: profile of a feed by its name.
        version: of this software, for Provenance.
    """

    def __init__(
        self, settings: Settings, mapper: Mapper, profile_of: Callable[[str], FeedProfile], version: str
    ) -> None:
        self._settings = settings
        self._mapper = mapper
        self._profile_of = profile_of
        self._provenance = Maker(
            assembler(version), settings.mapping.provenance, mapper.rules_version, settings.mapping.base_uri
        )

    def process(self, envelope: Envelope) -> list[Outcome]:
        """Outcomes of what one envelope holds: one for HL7 v2, one a document for FHIR.

        Never raises for what the bytes hold.
        """
        try:
            if envelope.kind is Kind.FHIR:
                return process_fhir(envelope, self._settings, self._canonical(envelope.feed))
            return [self._hl7v2(envelope)]
        except WardstreamError as error:
            return [rejected(envelope, error)]
        except Exception as error:  # noqa: BLE001 - a fault of ours must not take the neighbours along
            return [rejected(envelope, InternalError.of(error))]

    def _canonical(self, feed: str) -> Callable[[dict[str, Any]], dict[str, Any]] | None:
        """What brings FHIR input to the names that HL7 v2 gets, if the site asked for it."""
        if not self._settings.mapping.canonical_fhir:
            return None
        naming, systems = self._mapper.names_for(self._profile_of(feed))
        return partial(canonical, naming=naming, systems=systems)

    def _hl7v2(self, envelope: Envelope) -> Outcome:
        profile = self._profile_of(envelope.feed)
        message = er7.read(
            envelope.payload,
            fallback=profile.fallback_charset,
            policy=profile.charset_policy,
            declared=envelope.charset,
            max_segments=self._settings.read.max_segments,
        )
        checked = self._check(message, profile)
        mapped = self._mapper.map(message, profile)
        completed = self._completed(mapped, message)
        resources, issues, lost = self._valid(completed)
        if len(resources) < len(completed):
            emitted = {_name(resource) for resource in resources}
            gone = {_name(resource) for resource, _, _ in completed} - emitted
            resources, more = without_dangling(resources, gone)
            issues += more
        entries, unwritten = as_written(put_entries(resources), message, profile, mapped)
        bundle, written = from_entries(entries)
        if lost or len(resources) < len(mapped.resources):
            lost += _vanished(message, mapped, bundle)
        named = mapped.patient if profile.patient_key == "patient" else None
        return Outcome(
            accepted=True,
            message_type=message.message_type,
            control_id=message.control_id,
            charset=message.charset,
            patient_key=patient_key(*named) if named else "",
            bundle=bundle,
            bundle_json=written,
            issues=(*envelope.issues, *checked, *mapped.issues, *issues, *unwritten),
            unmapped=(*mapped.unmapped, *lost),
            cleared=mapped.cleared,
            notes=self._notes(bundle, envelope, message, mapped),
            leaves=mapped.leaves,
            codes=mapped.codes,
            unknown_codes=mapped.unknown_codes,
            empty_required=_empty_required(message),
        )

    @staticmethod
    def _check(message: Message, profile: FeedProfile) -> list[Issue]:
        """What the feed's profile wants looked at: who sent it, and how well it keeps to the definitions."""
        issues = [*er7.escape_issues(message), *er7.control_issues(message)]
        sender = f"{message.msh.text(3)}|{message.msh.text(4)}"
        if profile.expected_sender and sender != profile.expected_sender:
            issues.append(
                Issue(
                    Severity.WARNING,
                    "sender-unexpected",
                    "MSH[1]-3",
                    "The message is not from the sender that this feed expects",
                    "Check who is connected to this port, or correct expected_sender in the feed's profile.",
                )
            )
        if profile.strictness == "off":
            return issues
        findings = conformance.check(message, profile.definitions)
        issues += [f.as_issue() for f in findings]
        first = next((f for f in findings if f.severity == "E"), None)
        if profile.strictness == "strict" and first is not None:
            raise ConformanceError(
                f"{first.message} ({sum(f.severity == 'E' for f in findings)} errors against the definition)",
                location=first.location,
                action="Ask the sender to correct the message, or set strictness: lenient in the feed's profile.",
                issues=tuple(issues),
            )
        return issues

    def _completed(self, mapped: Mapped, message: Message) -> list[tuple[dict[str, Any], str, list[Issue]]]:
        """(resource, location of the segment that made it, issues), Provenance last."""
        completed = []
        for resource in self._provenance.complete(list(mapped.resources), mapped.sources, message):
            location = mapped.sources.get(f"{resource['resourceType']}/{resource['id']}", "")
            completed.append((resource, location, fill_required(resource, location)))
        return completed

    @staticmethod
    def _valid(
        completed: list[tuple[dict[str, Any], str, list[Issue]]],
    ) -> tuple[list[dict[str, Any]], list[Issue], list[Unmapped]]:
        resources: list[dict[str, Any]] = []
        issues: list[Issue] = []
        lost: list[Unmapped] = []
        for resource, location, found in completed:
            issues += found
            if surely_valid(resource):
                resources.append(resource)
                continue
            mended = repaired(resource)
            issues += [
                dataclasses.replace(i, location=location or i.location, message=f"{i.location}: {i.message}")
                for i in mended.issues
            ]
            lost += [Unmapped(location, f"{path}: {reason}") for path, reason in mended.lost]
            if mended.resource is not None:
                resources.append(mended.resource)
            elif not mended.lost:
                lost.append(Unmapped(location, f"no valid {resource['resourceType']} could be made"))
        return resources, issues, lost

    def _notes(
        self, bundle: dict[str, Any], envelope: Envelope, message: Message, mapped: Mapped
    ) -> tuple[Note, ...]:
        found = notes_of(bundle, self._settings)
        return tuple(
            dataclasses.replace(
                note,
                source_location=mapped.sources.get(note.document, ""),
                feed=envelope.feed,
                message_id=envelope.message_id,
                control_id=message.control_id,
            )
            for note in found
        )


def _name(resource: dict[str, Any]) -> str:
    return f"{resource['resourceType']}/{resource['id']}"


def rejected(envelope: Envelope, error: WardstreamError) -> Outcome:
    """The outcome of a message that can't be processed, with what is known of it."""
    header = read_header(envelope.payload) if envelope.kind is Kind.HL7V2 else None
    segment = header.segment if header else None
    message_type = "^".join(segment.text(9, n) for n in (1, 2, 3)).rstrip("^") if segment else ""
    issue = Issue(Severity.ERROR, error.code, error.location, error.message, error.action)
    return Outcome(
        accepted=False,
        message_type=message_type,
        control_id=segment.text(10) if segment else "",
        issues=(*envelope.issues, *(error.issues if isinstance(error, ConformanceError) else ()), issue),
        error_code=error.code,
        error_action=error.action,
        retryable=error.retryable,
    )


def _vanished(message: Message, mapped: Mapped, bundle: dict[str, Any]) -> list[Unmapped]:
    """Leaves whose text was mapped and went with a part that could not be emitted."""
    texts, kept = (set(_strings(part)) for part in (list(mapped.resources), bundle))
    # Only what stands in a string that is no longer there can be gone: with few of them the search is short.
    gone, after = "\0".join(texts - kept), "\0".join(kept)
    return [
        Unmapped(location, "invalid: what it was mapped to could not be emitted")
        for location, leaf in message.located_leaves()
        if leaf.used and leaf.text in gone and leaf.text not in after
    ]


def _strings(node: Any) -> Iterator[str]:
    """Every value of a JSON tree as text."""
    if isinstance(node, dict):
        for value in node.values():
            yield from _strings(value)
    elif isinstance(node, list):
        for value in node:
            yield from _strings(value)
    else:
        yield node if isinstance(node, str) else str(node)


def _empty_required(message: Message) -> tuple[str, ...]:
    """Fields of :data:`REQUIRED_FIELDS` whose segment is there and that came empty."""
    empty = []
    for name in REQUIRED_FIELDS:
        segment_id, _, number = name.partition("-")
        segment = message.first(segment_id)
        if segment is not None and not segment.text(int(number)).strip('" '):
            empty.append(name)
    return tuple(empty)
