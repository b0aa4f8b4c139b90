"""What is known of one feed: the profile that reading and mapping follow."""

from __future__ import annotations

from functools import cached_property
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from engine.hl7v2.charset import codec_for
from engine.settings import Section


class FeedProfile(Section):
    """Settings of one feed. A feed without a profile of its own has these defaults.

    Attributes are described by their fields; ``zone`` is ``timezone`` as an object.
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
        "", description="hl7apy message profile file to check against, beside the definitions"
    )
    coding_systems: dict[str, str] = Field(
        default_factory=dict, description="coding system name in this feed -> canonical URL, over systems.csv"
    )
    patient_key: Literal["patient", "feed"] = Field(
        "patient",
        description="what orders the feed's messages: the patient, or the whole feed one after another",
    )
    timezone: str = Field("Asia/Singapore", description="zone of times that have no offset")
    update_policy: Literal["auto", "snapshot", "merge"] = Field(
        "auto",
        description="update events: merge patches what was sent and nulled, snapshot replaces the resource, "
        "auto patches where the message holds an explicit null",
    )
    authorities: dict[str, str] = Field(
        default_factory=dict, description="assigning authority -> identifier.system, over authorities.csv"
    )

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"{value!r} is no time zone such as Asia/Singapore") from None
        return value

    @field_validator("fallback_charset")
    @classmethod
    def _charset_exists(cls, value: str | None) -> str | None:
        if value is not None and codec_for(value) is None:
            raise ValueError(
                f"{value!r} is no character set of HL7 table 0211, such as 8859/1 or UNICODE UTF-8"
            )
        return value

    @field_validator("authorities", "coding_systems")
    @classmethod
    def _are_uris(cls, value: dict[str, str]) -> dict[str, str]:
        for name, uri in value.items():
            if ":" not in uri:
                raise ValueError(f"{uri!r} of {name} is no absolute URI")
        return value

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)
