"""What is known of one feed: the profile that reading and mapping follow."""

from __future__ import annotations

from functools import cached_property
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

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
    timezone: str = Field("Asia/Singapore", description="zone of times that have no offset")
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

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)
