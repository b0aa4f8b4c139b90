"""What happens to bytes at the edge, before they are safe in the log: split, recognise, key. No more.

The edge does as little as it can, so that an acknowledgement comes soon and nothing but the log can fail:
it splits batches, finds the header that an answer needs, and the patient that decides the order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from engine.errors import NotFhirError, ReadError, WardstreamError
from engine.feeds import FeedProfile
from engine.fhir.inbound import key_of
from engine.fhir.reader import read_documents
from engine.hl7v2 import er7
from engine.hl7v2.ack import Header, read_header
from engine.hl7v2.batch import split
from engine.keys import patient_key
from engine.mapping.naming import Naming, choose_patient_identifier, sender_of
from engine.records import Issue
from engine.settings import Read


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message at the edge.

    Attributes:
        payload: its bytes.
        key: Kafka key: the patient's, else the feed's name.
        header: its MSH, for the acknowledgement; None when there is none.
        refusal: why it can't be HL7 v2 at all; None when it may be.
        issues: what its batch had wrong.
    """

    payload: bytes
    key: str
    header: Header | None
    refusal: WardstreamError | None = None
    issues: tuple[Issue, ...] = ()


class Intake:
    """Recognises HL7 v2 messages for one site.

    Args:
        naming_of: assigning authorities of a feed; the same that the mapper uses.
        profile_of: profile of a feed by its name.
    """

    def __init__(
        self, naming_of: Callable[[FeedProfile], Naming], profile_of: Callable[[str], FeedProfile]
    ) -> None:
        self._naming_of = naming_of
        self._profile_of = profile_of

    def profile(self, feed: str) -> FeedProfile:
        """What is known of a feed."""
        return self._profile_of(feed)

    def hl7v2(self, content: bytes, feed: str) -> Iterator[Arrival]:
        """Messages of a frame or file, in order; at least one."""
        for piece in split(content):
            yield self._arrival(piece.payload, tuple(piece.issues), feed)

    def _arrival(self, payload: bytes, issues: tuple[Issue, ...], feed: str) -> Arrival:
        header = read_header(payload)
        if header is None:
            return Arrival(payload, feed, None, _why_not_hl7(payload), issues)
        return Arrival(payload, self.key(payload, feed), header, None, issues)

    def key(self, payload: bytes, feed: str) -> str:
        """Key of the patient in PID-3, else PID-2, PID-4 (older versions), else the feed.

        A message that can't be decoded is keyed by its feed: it will be a dead letter, and dead letters
        need no order.
        """
        profile = self._profile_of(feed)
        if profile.patient_key == "feed":
            return feed
        try:
            message = er7.read(payload, fallback=profile.fallback_charset, policy=profile.charset_policy)
        except ReadError:
            return feed
        pid = message.first("PID")
        if pid is None:
            return feed
        facility = sender_of(message, profile.name)
        for number in (3, 2, 4):
            node = choose_patient_identifier(pid.repetitions(number))
            if node is not None:
                found = self._naming_of(profile).cx(node, facility)
                if found is not None:
                    return patient_key(*found)
        return feed


def fhir_key(payload: bytes, charset: str | None, limits: Read) -> str:
    """Key of the one resource or Bundle in a payload; "" when it names no patient.

    Raises:
        ReadError: it is no FHIR, or more than one document.
    """
    documents = list(islice(read_documents(payload, limits, charset=charset), 2))
    if len(documents) > 1:
        raise NotFhirError(
            "The body holds more than one resource",
            location="",
            action="Send one resource or one Bundle a request; replay files of many with 'wardstream replay'.",
        )
    document = documents[0]
    if document.error is not None:
        raise document.error
    return resource_key(document.resource)


def resource_key(resource: dict[str, Any]) -> str:
    """Key of the patient a resource or Bundle is about: the id its Patient will have, or that it refers to."""
    entries = resource.get("entry")
    if resource.get("resourceType") != "Bundle" or not isinstance(entries, list):
        return key_of([{"resource": resource}])
    return key_of([_without_placeholder_id(e) for e in entries if isinstance(e, dict)])


def _without_placeholder_id(entry: dict[str, Any]) -> dict[str, Any]:
    """A POST ignores the id that a resource came with (FHIR R4 §3.1.0.8)."""
    request, resource = entry.get("request"), entry.get("resource")
    if isinstance(request, dict) and request.get("method") == "POST" and isinstance(resource, dict):
        return {"resource": {k: v for k, v in resource.items() if k != "id"}}
    return entry


def _why_not_hl7(payload: bytes) -> WardstreamError:
    """The reader's own words on a payload without a usable MSH."""
    try:
        er7.parse(payload.decode("latin-1"))
    except WardstreamError as error:
        return error
    return ReadError(
        "The message header can't be read",
        location="MSH[1]",
        action="MSH must begin as 'MSH|^~\\&|' (HL7 v2.5.1 §2.15.9).",
    )
