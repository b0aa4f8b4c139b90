"""The delimiters of a message."""

from __future__ import annotations

from typing import NamedTuple

HEADERS = frozenset({"MSH", "FHS", "BHS"})
"""Segments whose first field is the field separator itself."""


class Delimiters(NamedTuple):
    """MSH-1 and MSH-2. A character the sender left out is "", and never found in a value."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"
    truncation: str = ""

    @property
    def encoding_characters(self) -> str:
        return self.component + self.repetition + self.escape + self.subcomponent + self.truncation
