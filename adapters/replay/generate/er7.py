"""Writing values and segments as ER7 text (HL7 v2.5.1 §2.5-2.7)."""

from __future__ import annotations

from collections.abc import Mapping

_ESCAPES = str.maketrans(
    {"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\", "\n": "\\.br\\"}
)


def escape(text: str) -> str:
    r"""Plain text as an HL7 value (v2.5.1 §2.7); line breaks become ``\.br\``."""
    return text.translate(_ESCAPES)


def segment(name: str, fields: Mapping[int, str]) -> str:
    """A segment from the numbers and raw values of its fields, in rising order; not for MSH."""
    parts = [name]
    for number, value in fields.items():
        if value:
            parts.extend([""] * (number - len(parts)))
            parts.append(value)
    return "|".join(parts)
