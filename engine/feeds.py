"""What is known of one feed: the profile that reading and mapping follow."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, PrivateAttr, field_validator

from engine.hl7v2.charset_names import codec_for
from engine.hl7v2.message_profile import MessageProfile
from engine.settings import Section, known_zone


def _uri(value: str) -> str:
    if ":" not in value:
        raise ValueError(f"{value!r} is no absolute URI, such as https://kgh.example/mrn")
    return value


Names = dict[Annotated[str, Field(min_length=1)], Annotated[str, AfterValidator(_uri)]]


class FeedProfile(Section):
    """Settings of one feed. A feed without a profile of its own has these defaults.

    Attributes are described by their fields; ``zone`` is ``timezone`` as an object, ``definitions`` what the
    file of ``message_profile`` holds, once an adapter has read it.
    """

    name: str = Field("default", description="name of the feed, as in the record headers")
    fallback_charset: str | None = Field(None, description="for bytes that declare nothing and are no UTF-8")
    charset_policy: Literal["repair", "refuse"] = Field(
        "repair", description="bytes against declaration: read what the bytes prove and report it, or refuse"
    )
    strictness: Literal["off", "lenient", "strict"] = Field(
        "off",
        description="conformance against the version's definitions: off, findings as issues, or errors refuse the message",
    )
    expected_sender: str = Field(
        "", description="MSH-3|MSH-4 that this feed comes from; another one is reported. Empty: any"
    )
    message_profile: str = Field(
        "",
        description="message profile to check against in place of the definitions: the XML, or hl7apy's file; "
        "beside this file",
    )
    coding_systems: Names = Field(
        default_factory=dict, description="coding system name in this feed -> canonical URL, over systems.csv"
    )
    patient_key: Literal["patient", "feed"] = Field(
        "patient",
        description="what orders the feed's messages: the patient, or the whole feed one after another",
    )
    timezone: str = Field(
        "Asia/Singapore",
        description="zone of times that have no offset; without it, the site's (`WARDSTREAM_TIMEZONE`)",
    )
    update_policy: Literal["auto", "snapshot", "merge"] = Field(
        "auto",
        description="update events: merge patches what was sent and nulled, snapshot replaces the resource, "
        "auto patches where the message holds an explicit null",
    )
    acknowledgements: Literal["one", "both"] = Field(
        "one",
        description="where MSH-15 and MSH-16 both want an acknowledgement: the accept acknowledgement alone, or behind it "
        "the application acknowledgement too, in a frame of its own; only for senders that do not take it for another's",
    )
    authorities: Names = Field(
        default_factory=dict, description="assigning authority -> identifier.system, over authorities.csv"
    )
    _definitions: MessageProfile | None = PrivateAttr(None)

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        return known_zone(value)

    @field_validator("fallback_charset")
    @classmethod
    def _charset_exists(cls, value: str | None) -> str | None:
        if value is not None and codec_for(value) is None:
            raise ValueError(
                f"{value!r} is no character set of HL7 table 0211, such as 8859/1 or UNICODE UTF-8"
            )
        return value

    @field_validator("expected_sender")
    @classmethod
    def _names_both(cls, value: str) -> str:
        if value and value.count("|") != 1:
            raise ValueError("write MSH-3 and MSH-4 with a bar between them, such as 'LIS|KGH' or 'LIS|'")
        return value

    @property
    def definitions(self) -> MessageProfile | None:
        return self._definitions

    def with_definitions(self, definitions: MessageProfile) -> FeedProfile:
        """This profile with its message profile read."""
        profile = self.model_copy()
        profile._definitions = definitions  # noqa: SLF001 - a copy of ours that nobody has seen yet
        return profile

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)
