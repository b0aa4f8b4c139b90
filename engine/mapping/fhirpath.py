"""Pieces of FHIRPath for the paths of patches (FHIR R4 §3.1.0.9.2).

HAPI FHIR 7 takes the last parenthesis of a path for the one of its ``where``: there must be none inside.
"""

from __future__ import annotations

_QUOTE = str.maketrans({"\\": "\\\\", "'": "\\'", "(": "\\u0028", ")": "\\u0029"})


def has(path: str, text: str) -> str:
    """A test that some value of a path is a text, ``exists()`` in other words."""
    return f"{path} | '' | '{quoted(text)}' = {path} | ''"


def lacks(path: str, text: str) -> str:
    """A test that no value of a path is a text."""
    return f"{path} | '' != {path} | '' | '{quoted(text)}'"


def refers_to(kind: str) -> str:
    """A test that a reference begins with a type and a slash; the character behind the slash is "0"."""
    return f"reference > '{kind}/' and reference < '{kind}0'"


def quoted(text: str) -> str:
    """A text as it stands between quotation marks."""
    return text.translate(_QUOTE)
