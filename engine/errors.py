"""The one error tree. Every error says what happened, where, and what to do; and whether to retry.

::

    WardstreamError
    ├── ReadError                 bytes that can't be read as a message
    │   ├── FramingError          MLLP framing broken                         (Transport Spec. Rel. 1 §MLLP)
    │   ├── CharsetError          bytes and character set don't agree         (HL7 v2.5.1 §2.15.9.18)
    │   ├── NotHl7Error           no usable MSH                               (HL7 v2.5.1 §2.15.9)
    │   ├── NotFhirError          no JSON, or no FHIR resource
    │   ├── FhirVersionError      FHIR of a version that can't be read without losing what it is about
    │   └── TooLargeError         over a named limit
    ├── MapTableError             a mapping table or overlay is wrong: file and line are named
    ├── ConformanceError          read, but refused by the feed's own strictness
    ├── SettingsError             a setting or feed profile is wrong
    ├── GateRefusedError          a model that is not good enough to be promoted
    ├── PublishError              Kafka did not confirm (retryable)
    │   └── TooLargeToPublishError  Kafka will never take it (not retryable)
    ├── SendError                 an MLLP receiver did not answer              (adapters.mllp.errors)
    ├── ExtractorError            the note reader failed
    │   └── OverloadedError       its queue is full (retryable)
    │       └── SlowExtractorError  a note took longer than nlp.timeout (retryable)
    └── InternalError             a fault of ours: any other exception, caught at the border

Any other exception is a bug: it is caught at the border, counted, and the message goes to
``dead.letters`` under the code ``internal``.
"""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from engine.records import Issue


class WardstreamError(Exception):
    """Base of all errors of this project.

    Attributes:
        code: short stable name, fit for a metric label and a dead letter's header.
        retryable: whether the same bytes may succeed later without a change of bytes or settings.
        location: where in the message, as ``SEG[n]-f[r].c.s`` or a FHIRPath; "" when the whole is meant.
        action: what the reader of the error should do.
    """

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, action: str, location: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.action = action
        self.location = location

    def __str__(self) -> str:
        where = f" at {self.location}" if self.location else ""
        return f"{self.message}{where}. {self.action}"


class ReadError(WardstreamError):
    code = "unreadable"


class FramingError(ReadError):
    code = "framing"


class CharsetError(ReadError):
    code = "charset"


class NotHl7Error(ReadError):
    code = "not-hl7"


class NotFhirError(ReadError):
    code = "not-fhir"


class FhirVersionError(ReadError):
    code = "fhir-version"


class TooLargeError(ReadError):
    code = "too-large"


class MapTableError(WardstreamError):
    code = "map-table"


class ConformanceError(WardstreamError):
    """``issues`` are all findings, the first error among them."""

    code = "conformance"

    def __init__(
        self, message: str, *, action: str, location: str = "", issues: tuple[Issue, ...] = ()
    ) -> None:
        super().__init__(message, action=action, location=location)
        self.issues = issues


class SettingsError(WardstreamError):
    code = "settings"


class GateRefusedError(WardstreamError):
    code = "gate"


class PublishError(WardstreamError):
    code = "publish"
    retryable = True


class TooLargeToPublishError(PublishError):
    code = "too-large-to-publish"
    retryable = False


class ExtractorError(WardstreamError):
    code = "extractor"


class OverloadedError(ExtractorError):
    code = "overloaded"
    retryable = True


class SlowExtractorError(OverloadedError):
    code = "note-timeout"


class InternalError(WardstreamError):
    """A fault of ours, told by type and place in the code: the text of an exception may quote the message."""

    code = "internal"

    @classmethod
    def of(cls, error: BaseException) -> InternalError:
        return cls(
            f"unexpected {type(error).__name__} in {place_in_code(error)}",
            action=(
                "This is a fault of Wardstream, not of the message. Keep the letter, report the code, and replay it "
                "with 'wardstream dlq replay' after the update."
            ),
        )


def place_in_code(error: BaseException) -> str:
    """File and line an exception comes from."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "-"
