"""Frozen records that cross borders: between engine, adapters and models, and over Kafka."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple


class Kind(StrEnum):
    """What a feed sends."""

    HL7V2 = "hl7v2"
    FHIR = "fhir"


class Severity(StrEnum):
    """FHIR issue-severity, the part of it we use (http://hl7.org/fhir/ValueSet/issue-severity)."""

    ERROR = "error"
    WARNING = "warning"
    INFORMATION = "information"


@dataclass(frozen=True, slots=True)
class Issue:
    """Something a person should know about one message.

    Attributes:
        severity: error, warning or information.
        code: short stable name, e.g. ``charset-repaired``.
        location: ``SEG[n]-f[r].c.s`` in v2 input, FHIRPath in FHIR input, "" for the whole message.
        message: what was found. Never a patient's data: location and kind only.
        action: what to do about it.
    """

    severity: Severity
    code: str
    location: str
    message: str
    action: str = ""

    def as_json(self) -> dict[str, str]:
        return {
            "severity": self.severity.value,
            "code": self.code,
            "location": self.location,
            "message": self.message,
            "action": self.action,
        }


STRUCTURE = "structure: "
"""What the reason begins with where a value has done its work in the reading of others."""


class Unmapped(NamedTuple):
    """A valued part of the source that reached no element of the output, and why."""

    location: str
    reason: str

    @property
    def is_structure(self) -> bool:
        """Whether it was used to read the rest (set ids, value types, units, actions): nothing is lost with it."""
        return self.reason.startswith(STRUCTURE)

    @property
    def is_leaf(self) -> bool:
        """Whether it names a place within a segment (``PID[1]-8``) or resource, not the whole of one."""
        return "-" in self.location or "." in self.location

    def as_json(self) -> dict[str, str]:
        return {"location": self.location, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message as it came in, before anyone tried to understand it.

    Attributes:
        payload: the bytes as received, without transport framing.
        kind: hl7v2 or fhir.
        feed: name of the feed; selects the feed's profile and is the Kafka key when no patient is known.
        message_id: our own id of this arrival (UUID text); a replay of the same bytes gets a new one.
        received_at: aware, UTC.
        charset: character set declared outside of the message (HTTP header), if any.
        trace: W3C traceparent, if any.
        source: where it came from, free of patient data: peer address or file name.
        index: position in the file or batch it came in, from 0.
        issues: what was noticed before reading, such as a wrong batch count.
        fhir_version: version declared outside of the document (fhirVersion of Content-Type), as ``4.0``; "" if none.
    """

    payload: bytes
    kind: Kind
    feed: str
    message_id: str
    received_at: datetime
    charset: str | None = None
    trace: str | None = None
    source: str = ""
    index: int = 0
    issues: tuple[Issue, ...] = ()
    fhir_version: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """A piece of clinical free text found in a message.

    Attributes:
        note_id: deterministic: UUIDv5 of where it stands (resource and element) and of its text.
        text: the text; offsets of entities index it in Unicode code points.
        kind: LOINC code or local code of the document type, "" if unknown.
        title: human name of the kind, "" if unknown.
        language: BCP 47 tag if the source says so, else "".
        author_role: role of the author if the source says so, else "".
        patient: reference such as ``Patient/<id>``, "" if unknown.
        encounter: reference or "".
        document: reference to the resource the text stands in.
        element: FHIRPath of the element the text was taken from.
        source_location: location in the v2 message, "" for FHIR input.
        feed: name of the feed.
        message_id: id of the arrival it came from.
        control_id: MSH-10 or Bundle identifier of that message.
        written_at: FHIR dateTime of the note, "" if unknown.
    """

    note_id: str
    text: str
    kind: str = ""
    title: str = ""
    language: str = ""
    author_role: str = ""
    patient: str = ""
    encounter: str = ""
    document: str = ""
    element: str = ""
    source_location: str = ""
    feed: str = ""
    message_id: str = ""
    control_id: str = ""
    written_at: str = ""


class Label(StrEnum):
    """The labels a note reader gives. The set is closed; data sets map to it by table."""

    PROBLEM = "PROBLEM"
    MEDICATION = "MEDICATION"
    DOSAGE = "DOSAGE"
    TEST = "TEST"
    TEST_VALUE = "TEST_VALUE"
    PROCEDURE = "PROCEDURE"
    ANATOMY = "ANATOMY"


class Assertion(StrEnum):
    """Whether the text says that the thing is so (ConText, Harkema et al. 2009; i2b2 2010)."""

    PRESENT = "present"
    NEGATED = "negated"
    POSSIBLE = "possible"
    HYPOTHETICAL = "hypothetical"
    HISTORICAL = "historical"
    FAMILY = "family"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Names the thing that read a note, for Provenance, the Device resource and the audit line.

    Attributes:
        model_id: stable name, e.g. ``wardstream-rules``.
        version: version or digest; changes whenever its answers may change.
        provider: what computes: ``rules``, ``CPUExecutionProvider``, ``CUDAExecutionProvider``.
    """

    model_id: str
    version: str
    provider: str

    @property
    def name(self) -> str:
        """``id@version``, as headers, audit lines and flags name it."""
        return f"{self.model_id}@{self.version}"


@dataclass(frozen=True, slots=True)
class Span:
    """What a note reader finds: a label on ``text[start:end]`` with a score in 0..1.

    ``by`` names who found it, if that is not the reader's own ``info``. ``language`` (BCP 47) and ``english``, what it means, are those of
    words in a language that the reader knows words of but does not read; else "".
    """

    start: int
    end: int
    label: Label
    score: float
    by: ModelInfo | None = None
    language: str = ""
    english: str = ""


@dataclass(frozen=True, slots=True)
class Entity:
    """A span with what the rules of :mod:`engine.nlp` make of it.

    Attributes:
        start, end: offsets into the note's text, in Unicode code points, end exclusive.
        text: ``note.text[start:end]``.
        score: calibrated confidence, 0..1.
        assertion: see :class:`Assertion`.
        section: name of the section it stands in, "" if none was recognised.
        related: indexes (into the note's entity list) of the entities that belong to it: the dosage of
            a medication, the value of a test.
        language: BCP 47 primary tag of its words, "" where they are in the language of its reader.
        english: what they mean in English, where they are not.
    """

    start: int
    end: int
    text: str
    label: Label
    score: float
    assertion: Assertion = Assertion.PRESENT
    section: str = ""
    related: tuple[int, ...] = ()
    language: str = ""
    english: str = ""

    @property
    def term(self) -> str:
        """What it is looked up by in a table of codes."""
        return self.english or self.text

    def as_json(self) -> dict[str, Any]:
        return {
            "start": self.start,
            "end": self.end,
            "text": self.text,
            "label": self.label.value,
            "score": round(self.score, 4),
            "assertion": self.assertion.value,
            "section": self.section,
            "related": list(self.related),
            **({"language": self.language} if self.language else {}),
            **({"english": self.english} if self.english else {}),
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """The one outcome of one message: accepted with a Bundle, or rejected with a reason.

    Attributes:
        accepted: whether ``bundle`` may be emitted.
        message_type: ``ADT^A01^ADT_A01``, or a FHIR resourceType; "" if unknown.
        control_id: MSH-10, or the Bundle's identifier or id; "" if unknown.
        charset: the character set used to decode, by its IANA name; "" if none worked.
        patient_key: Kafka key of the patient, "" if no patient could be told.
        bundle: the transaction Bundle, or None when rejected.
        bundle_json: the same as it is emitted, JSON in UTF-8.
        issues, unmapped, cleared: see DESIGN; ``cleared`` holds locations of explicit nulls.
        notes: free text to be read.
        leaves: how many valued leaves the source has; with ``unmapped`` this gives the coverage.
        codes: (table, code) pairs that were looked up; known to drift watching as code usage.
        unknown_codes: the part of ``codes`` no table knew.
        empty_required: locations (without occurrence) of required fields that came empty.
        error_code, error_action, retryable: of the rejection; "" when accepted.
    """

    accepted: bool
    message_type: str = ""
    control_id: str = ""
    charset: str = ""
    patient_key: str = ""
    bundle: dict[str, Any] | None = None
    bundle_json: bytes = b""
    issues: tuple[Issue, ...] = ()
    unmapped: tuple[Unmapped, ...] = ()
    cleared: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    leaves: int = 0
    codes: tuple[tuple[str, str], ...] = ()
    unknown_codes: tuple[tuple[str, str], ...] = ()
    empty_required: tuple[str, ...] = ()
    error_code: str = ""
    error_action: str = ""
    retryable: bool = False

    @property
    def status(self) -> str:
        return "accepted" if self.accepted else "rejected"

    @property
    def mapped_leaves(self) -> int:
        """How many of ``leaves`` reached an element or were structure. Whole segments in ``unmapped`` are no leaves."""
        if not self.accepted:
            return 0
        return max(
            0, self.leaves - len({p.location for p in self.unmapped if p.is_leaf and not p.is_structure})
        )

    @property
    def coverage(self) -> float | None:
        """Share of the valued leaves that reached an element, 0..1; None when there were none or nothing came out."""
        return round(self.mapped_leaves / self.leaves, 4) if self.accepted and self.leaves else None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not be processed, with all that is needed to understand and retry it."""

    payload: bytes
    reason: str
    stage: str
    code: str
    action: str
    retryable: bool
    attempts: int
    topic: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DriftEvent:
    """Something watched has shifted.

    Attributes:
        monitor: name of the monitor, e.g. ``rejected-rate``.
        feed: the feed it watches.
        detector: name of the detector that fired, e.g. ``ADWIN``.
        before, after: the watched figure before and after the shift.
        window: sequence number of the telemetry window in which it fired.
        samples: how many observations the detector had seen.
        at: end of that window, aware UTC.
        detail: further figures, never patient data.
    """

    monitor: str
    feed: str
    detector: str
    before: float
    after: float
    window: int
    samples: int
    at: datetime
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """One record read from a topic. ``topic`` is the logical name, without the configured prefix."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    headers: Mapping[str, str]
    timestamp: datetime


@dataclass(frozen=True, slots=True)
class Publication:
    """One record to be written. ``topic`` is the logical name, without the configured prefix."""

    topic: str
    key: bytes
    value: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
