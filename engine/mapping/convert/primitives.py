"""HL7 v2 values to FHIR primitives: what a row without ``using`` does, by the type of its target.

A converter takes a node and returns a FHIR value, or None when there is none; it marks what it used, and
says why when it could not use what was there.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from engine.hl7v2.datetimes import Moment, parse_clock, parse_moment
from engine.hl7v2.delimiters import Delimiters
from engine.hl7v2.tree import NULL, Leaf, Node, Segment, leaves

if TYPE_CHECKING:
    from engine.mapping.run import Run

Converter = Callable[[Node, Segment, "Run"], Any]

NUMBER = re.compile(r"[+-]?\d{1,20}(?:\.\d{1,20})?|[+-]?\.\d{1,20}")
"""HL7 NM (v2.5.1 §2.A.47). More digits than 20 are no measurement."""


def value_text(node: Node, joint: str = "&") -> str:
    """Text of a primitive value. Subcomponents where none belong are put together again: it was an ``&`` in a text."""
    if isinstance(node, Leaf):
        return "" if node.text == NULL else node.text
    return joint.join("" if leaf.text == NULL else leaf.text for leaf in leaves(node))


def repetition_text(node: Node, delimiters: Delimiters) -> str:
    """A repetition of a type without components as its sender meant it: its delimiters are text that was not escaped."""
    if isinstance(node, Leaf):
        return value_text(node)
    return delimiters.component.join(value_text(part, delimiters.subcomponent or "&") for part in node)


def string(node: Node, segment: Segment, run: Run) -> str | None:
    if isinstance(node, Leaf):  # nearly always, and this is what most rules do
        if node.text == NULL or not (text := node.text.strip()):
            return None
        run.use(node)
    else:
        text = value_text(node, segment.delimiters.subcomponent or "&").strip()
        if not text:
            return None
        run.use_all(node)
    return text if text.isprintable() else clean(text)


def clean(text: str) -> str:
    """A FHIR string holds no control characters but tab, CR and LF (FHIR R4 §2.24.0.1)."""
    if text.isprintable():
        return text
    return "".join(c for c in text if c >= " " or c in "\t\r\n")


def markdown(node: Node, segment: Segment, run: Run) -> str | None:
    """As string, with inner blanks and line ends kept."""
    text = value_text(node, segment.delimiters.subcomponent or "&")
    if not text.strip():
        return None
    run.use_all(node)
    return clean(text)


def code(node: Node, segment: Segment, run: Run) -> str | None:
    """A code as it is, blanks within made one (FHIR code has no double blanks)."""
    text = string(node, segment, run)
    return " ".join(text.split()) if text else None


def _moment(node: Node, run: Run) -> Moment | None:
    text = value_text(node).strip()
    if not text:
        return None
    moment = parse_moment(text, run.zone)
    if moment is None:
        run.refuse(node, "invalid: no date or time that exists")
        run.warn(
            "invalid-time", node, "The value is no date or time that exists", "Ask the sender to correct it."
        )
        return None
    if moment.doubt in {"gap", "overlap"}:
        run.warn(
            "time-doubtful",
            node,
            f"The local time stands in a daylight saving {moment.doubt}",
            "Send the offset.",
        )
    run.use_all(node)
    return moment


def date_time(node: Node, _segment: Segment, run: Run) -> str | None:
    moment = _moment(node, run)
    return moment.fhir if moment else None


def date(node: Node, _segment: Segment, run: Run) -> str | None:
    moment = _moment(node, run)
    return moment.date if moment else None


def instant(node: Node, _segment: Segment, run: Run) -> str | None:
    """A full time. One without a time of day can't be an instant: it is refused, not filled with zeros."""
    mark = len(run.trail)
    moment = _moment(node, run)
    if moment is None:
        return None
    if not moment.has_time:
        run.undo(mark)
        run.refuse(node, "invalid: an instant needs a time of day")
        return None
    return moment.fhir


def time(node: Node, _segment: Segment, run: Run) -> str | None:
    text = value_text(node).strip()
    if not text:
        return None
    parsed = parse_clock(text)
    if parsed is None:
        run.refuse(node, "invalid: no time of day")
        run.warn("invalid-time", node, "The value is no time of day", "Ask the sender to correct it.")
        return None
    run.use_all(node)
    return parsed


def decimal(node: Node, _segment: Segment, run: Run) -> Decimal | None:
    """Digits are kept as sent: 1.50 stays 1.50."""
    text = value_text(node).strip()
    if not text:
        return None
    if not NUMBER.fullmatch(text):
        run.refuse(node, "invalid: no number")
        return None
    run.use_all(node)
    return to_decimal(text)


def to_decimal(text: str) -> Decimal:
    """``+5`` and ``.5`` are HL7 numbers and no JSON numbers: Decimal writes them as 5 and 0.5."""
    return Decimal(text)


def _whole(node: Node, run: Run, least: int) -> int | None:
    text = value_text(node).strip()
    if not text:
        return None
    if not re.fullmatch(r"\+?\d{1,9}(?:\.0+)?", text) or int(Decimal(text)) < least:
        run.refuse(node, "invalid: no whole number in range")
        return None
    run.use_all(node)
    return int(Decimal(text))


def unsigned_int(node: Node, _segment: Segment, run: Run) -> int | None:
    return _whole(node, run, 0)


def positive_int(node: Node, _segment: Segment, run: Run) -> int | None:
    return _whole(node, run, 1)


def boolean(node: Node, _segment: Segment, run: Run) -> bool | None:
    """Table 0136: Y and N; what else is seen for them."""
    text = value_text(node).strip().upper()
    if not text:
        return None
    if text in {"Y", "YES", "T", "TRUE", "1"}:
        run.use_all(node)
        return True
    if text in {"N", "NO", "F", "FALSE", "0"}:
        run.use_all(node)
        return False
    run.refuse(node, "invalid: neither Y nor N")
    return None


def uri(node: Node, segment: Segment, run: Run) -> str | None:
    text = string(node, segment, run)
    return re.sub(r"\s+", "%20", text) if text else None


def base64_text(node: Node, segment: Segment, run: Run) -> str | None:
    """Base64 as sent, checked; white space and line breaks taken out."""
    text = re.sub(r"\s+", "", value_text(node, segment.delimiters.subcomponent or "&"))
    if not text:
        return None
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        run.refuse(node, "invalid: no base64")
        run.warn("invalid-base64", node, "The value is no base64", "Ask the sender to correct its encoder.")
        return None
    run.use_all(node)
    return text


PRIMITIVES: dict[str, Converter] = {
    "string": string,
    "markdown": markdown,
    "code": code,
    "id": code,
    "uri": uri,
    "url": uri,
    "canonical": uri,
    "oid": uri,
    "uuid": uri,
    "dateTime": date_time,
    "date": date,
    "instant": instant,
    "time": time,
    "decimal": decimal,
    "integer": unsigned_int,
    "unsignedInt": unsigned_int,
    "positiveInt": positive_int,
    "boolean": boolean,
    "base64Binary": base64_text,
}
