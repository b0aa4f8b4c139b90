"""The text of an Attachment: base64 to bytes to plain text (FHIR R4 §2.24.0.2)."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from engine.fhir.text import MARKS
from engine.fhir.xhtml import html_to_text

Json = dict[str, Any]

_HTML = frozenset({"text/html", "application/xhtml+xml"})
_NO_PROSE = frozenset(
    {"text/rtf", "text/csv", "text/calendar", "text/vcard", "text/xml", "text/css", "text/javascript"}
)


class UnreadableAttachmentError(ValueError):
    """The attachment says that it is text, and can't be read as such. The message tells the reason."""


def is_text(attachment: Json) -> bool:
    """Whether an attachment carries text for people: its contentType says so, and its data is here."""
    kind, _ = _content_type(attachment)
    prose = kind in _HTML or (kind.startswith("text/") and kind not in _NO_PROSE)
    return prose and isinstance(attachment.get("data"), str)


def text_of(attachment: Json) -> str:
    """Plain text of an attachment for which :func:`is_text` holds; line ends are made LF.

    The character set is that of a byte order mark, else the one in contentType, else UTF-8. Markup of HTML
    is taken off; its line breaks are kept.

    Raises:
        UnreadableAttachmentError: no base64, or the bytes are not of the character set. Nothing is guessed.
    """
    kind, charset = _content_type(attachment)
    try:
        content = base64.b64decode("".join(attachment["data"].split()), validate=True)
    except (binascii.Error, ValueError):
        raise UnreadableAttachmentError("its data is no base64") from None
    mark, encoding = next(((m, e) for m, e in MARKS if content.startswith(m)), (b"", charset or "utf-8"))
    try:
        text = content[len(mark) :].decode(encoding)
    except (UnicodeDecodeError, LookupError):
        raise UnreadableAttachmentError("its bytes are not of the character set it names") from None
    if kind in _HTML:
        return html_to_text(text)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _content_type(attachment: Json) -> tuple[str, str]:
    """Media type and charset parameter of contentType, both in lower case."""
    value = attachment.get("contentType")
    kind, *parameters = value.lower().split(";") if isinstance(value, str) else ("",)
    named = (parameter.partition("=") for parameter in parameters)
    charset = next((v.strip().strip("\"'") for name, _, v in named if name.strip() == "charset"), "")
    return kind.strip(), charset
