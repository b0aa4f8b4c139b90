"""Values of HL7 v2 data types to FHIR values: what the ``using`` column names beside the data type tables.

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

from engine.fhir import schema
from engine.hl7v2.datetimes import Moment, parse_clock, parse_moment
from engine.hl7v2.tree import NULL, Leaf, Node, Segment, child, leaves
from engine.mapping.naming import plain

if TYPE_CHECKING:
    from engine.mapping.codes import CodeTable
    from engine.mapping.run import Run

Converter = Callable[[Node, Segment, "Run"], Any]

NUMBER = re.compile(r"[+-]?\d{1,20}(?:\.\d{1,20})?|[+-]?\.\d{1,20}")
"""HL7 NM (v2.5.1 §2.A.47). More digits than 20 are no measurement."""
_COMPARATORS = {"<": "<", "<=": "<=", "=<": "<=", ">": ">", ">=": ">=", "=>": ">="}


def value_text(node: Node, joint: str = "&") -> str:
    """Text of a primitive value. Subcomponents where none belong are put together again: it was an ``&`` in a text."""
    if isinstance(node, Leaf):
        return "" if node.text == NULL else node.text
    return joint.join("" if leaf.text == NULL else leaf.text for leaf in leaves(node))


def string(node: Node, segment: Segment, run: Run) -> str | None:
    text = value_text(node, segment.delimiters.subcomponent or "&").strip()
    if not text:
        return None
    run.use_all(node)
    return clean(text)


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


# -- texts over several segments ---------------------------------------------------------------------


def collected(path: str) -> Converter:
    """A line of a text that becomes one value when all segments were read; see :func:`finish_texts`."""

    def convert(node: Node, segment: Segment, run: Run) -> dict[str, Any] | None:
        text = value_text(node, segment.delimiters.subcomponent or "&")
        if not text.strip():
            return None
        run.use_all(node)
        assert run.current is not None
        run.current.texts.setdefault(path, []).append(clean(text).rstrip())
        return {}

    return convert


def lines_of_field(node: Node, segment: Segment, run: Run) -> str | None:
    """All repetitions of a text field as the lines of one text (HL7 v2.5.1 §2.A.33: FT may repeat)."""
    assert isinstance(node, list)
    texts = [value_text(rep, segment.delimiters.subcomponent or "&") for rep in node]
    if not any(t.strip() for t in texts):
        return None
    run.use_all(node)
    return clean("\n".join(texts)).strip("\n")


def attachment_title(node: Node, _segment: Segment, run: Run) -> dict[str, Any] | None:
    """A title of the text that :func:`finish_texts` attaches; the same one again changes nothing."""
    text = plain(node)
    if not text:
        return None
    run.use_all(node)
    assert run.current is not None
    titles = run.current.texts.setdefault("title", [])
    if text not in titles:
        titles.append(text)
    return {}


def finish_texts(resource: dict[str, Any], texts: dict[str, list[str]]) -> None:
    """Collected lines to their element: ``valueString``, or an attachment of a DocumentReference."""
    if "valueString" in texts:
        resource["valueString"] = "\n".join(texts["valueString"])
    if "attachment" in texts:
        data = base64.b64encode("\n".join(texts["attachment"]).encode("utf-8")).decode("ascii")
        attachment = {"contentType": "text/plain; charset=utf-8", "data": data}
        if "title" in texts:
            attachment["title"] = "; ".join(texts["title"])
        resource.setdefault("content", []).append({"attachment": attachment})


# -- data types that no table can hold ---------------------------------------------------------------


def hd_system(node: Node, _segment: Segment, run: Run) -> str | None:
    """HD to the URI of identifier.system: all three parts name one authority."""
    return _authority(node, (1, 2, 3), run)


def _authority(node: Node, parts: tuple[int, int, int], run: Run) -> str | None:
    """System of the authority whose name, universal id and its type stand in ``parts``."""
    system, told = run.naming.told(*(plain(child(node, n)) for n in parts))
    if not system:
        return None
    for number in told:
        run.use_all(child(node, parts[number - 1]))
    return system


def sender_system(what: str) -> Converter:
    """System of a number without authority: the sender's own. The node is the number itself and is not used up."""

    def convert(_node: Node, _segment: Segment, run: Run) -> str:
        return run.naming.sender_system(run.facility, what)

    return convert


def ei_system(node: Node, _segment: Segment, run: Run) -> str | None:
    """System of an EI: EI.2 to EI.4 name its authority as an HD does."""
    return _authority(node, (2, 3, 4), run)


def plain_data(node: Node, segment: Segment, run: Run) -> str | None:
    """ED data without encoding (ED.4 = A): the text's own bytes in base64."""
    text = value_text(node, segment.delimiters.subcomponent or "&")
    if not text.strip():
        return None
    run.use_all(node)
    return base64.b64encode(text.encode("utf-8")).decode("ascii")


def hex_data(node: Node, _segment: Segment, run: Run) -> str | None:
    """ED data in hexadecimal (ED.4 = Hex)."""
    text = re.sub(r"\s+", "", value_text(node))
    if not text:
        return None
    try:
        data = bytes.fromhex(text)
    except ValueError:
        run.refuse(node, "invalid: no hexadecimal")
        return None
    run.use_all(node)
    return base64.b64encode(data).decode("ascii")


def coding_system(node: Node, _segment: Segment, run: Run) -> str | None:
    name = plain(node)
    if not name:
        return None
    run.use_all(node)
    return run.systems.url(name, run.facility)


def number_or_comparator(node: Node, _segment: Segment, run: Run) -> dict[str, Any] | None:
    """NM to Quantity; ``<5`` and ``>=10`` are no NM but are what laboratories send."""
    text = value_text(node).strip()
    match = re.fullmatch(r"([<>]=?|=[<>])?\s*(\S+)", text)
    if not match or not NUMBER.fullmatch(match[2]):
        if text:
            run.refuse(node, "invalid: no number")
        return None
    run.use_all(node)
    found: dict[str, Any] = {"value": to_decimal(match[2])}
    if match[1]:
        found["comparator"] = _COMPARATORS[match[1]]
    return found


def structured_numeric(node: Node, _segment: Segment, run: Run) -> dict[str, Any] | None:
    """SN to the FHIR type that its separator means: Quantity, Range or Ratio, under ``value[x]`` names."""
    comparator, first, separator, second = (plain(child(node, n)) for n in range(1, 5))
    numbers = [n for n in (first, second) if n]
    if comparator and comparator not in {*_COMPARATORS, "="}:
        return None
    if not numbers or not all(NUMBER.fullmatch(n) for n in numbers):
        return None
    low: dict[str, Any] = {"value": to_decimal(first)} if first else {}
    high: dict[str, Any] = {"value": to_decimal(second)} if second else {}
    if comparator in _COMPARATORS and low:
        low["comparator"] = _COMPARATORS[comparator]
    if not separator and not second:
        run.use_all(node)
        return {"valueQuantity": low}
    if separator == "-" and low and high and comparator in {"", "="}:
        if Decimal(first) > Decimal(second):
            return None  # rng-2: low must not be above high
        run.use_all(node)
        return {"valueRange": {"low": low, "high": high}}
    if separator in {":", "/"} and low and high:
        run.use_all(node)
        return {"valueRatio": {"numerator": low, "denominator": high}}
    return None


def joined(separator: str) -> Converter:
    """All leaves as one text, e.g. an SN that is none: ``<> 5 - 10``."""

    def convert(node: Node, _segment: Segment, run: Run) -> str | None:
        parts = [leaf.text for leaf in leaves(node) if leaf.text and leaf.text != NULL]
        if not parts:
            return None
        run.use_all(node)
        return clean(separator.join(parts))

    return convert


def address_lines(node: Node, segment: Segment, run: Run) -> str | None:
    return string(node, segment, run)


def location_chain(node: Node, _segment: Segment, run: Run) -> str | None:
    """PL to Location resources, the outer holding the inner; returns the reference of the innermost.

    Facility, building, floor, point of care, room, bed (HL7 v2.5.1 §2.A.53), each identified within what
    is around it.
    """
    facility = plain(child(child(node, 4), 1)) or run.facility
    key: list[str] = [run.naming.hd_system(child(node, 4)) or facility]
    parent = ""
    for number, kind, display in _PL_LEVELS:
        part = child(node, number)
        name = plain(part)
        if not name:
            continue
        key += [kind, name]
        system = run.naming.sender_system(facility, f"location-{kind}")
        resource: dict[str, Any] = {
            "resourceType": "Location",
            "identifier": [{"system": system, "value": name}],
            "name": name,
            "mode": "instance",
            "physicalType": {
                "coding": [{"system": _PHYSICAL_TYPE, "code": kind, "display": display}],
            },
        }
        if parent:
            resource["partOf"] = {"reference": parent}
        mark = len(run.trail)
        run.use_all(child(part, 1))
        universal = hd_universal(part, run)
        if universal:
            resource["identifier"].append(universal)
        parent, whole = run.make(resource, *key)
        if not whole:
            run.undo(mark)
            run.refuse(part, "the message says something else about the same Location elsewhere")
    if not parent:
        return None
    description = child(node, 9)
    if plain(description):
        run.made[parent].setdefault("description", plain(description))
        run.use_all(description)
    return parent


def hd_universal(node: Node, run: Run) -> dict[str, Any] | None:
    """The universal id of an HD (HD.2 and HD.3) as an Identifier; OID and UUID are URIs (RFC 3986)."""
    universal, kind = child(node, 2), plain(child(node, 3))
    text = plain(universal)
    if not text:
        return None
    run.use_all(universal)
    run.use_all(child(node, 3))
    prefix = {"ISO": "urn:oid:", "UUID": "urn:uuid:", "GUID": "urn:uuid:"}.get(kind.upper())
    if prefix:
        return {"system": "urn:ietf:rfc:3986", "value": prefix + text}
    found: dict[str, Any] = {"value": text}
    if kind:
        found["type"] = {"text": kind}
    return found


_PHYSICAL_TYPE = "http://terminology.hl7.org/CodeSystem/location-physical-type"
_PL_LEVELS = (
    (4, "si", "Site"),
    (7, "bu", "Building"),
    (8, "lvl", "Level"),
    (1, "wa", "Ward"),
    (2, "ro", "Room"),
    (3, "bd", "Bed"),
)

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

FUNCTIONS: dict[str, Converter] = {
    "HD-system": hd_system,
    "EI-system": ei_system,
    "plain-data": plain_data,
    "hex-data": hex_data,
    "lines": lines_of_field,
    "attachment-title": attachment_title,
    "coding-system": coding_system,
    "NM-Quantity": number_or_comparator,
    "SN-value": structured_numeric,
    "text-line:valueString": collected("valueString"),
    "text-line:attachment": collected("attachment"),
    "joined-text": joined(" "),
    "joined-range": joined("-"),
    "PL-Location": location_chain,
}


def translated(inner: Converter, table: CodeTable, kind: str) -> Converter:
    """A converter followed by a code table.

    ``code``: the FHIR code or nothing. ``Coding``: the FHIR coding, else the original one.
    ``CodeableConcept``: the FHIR coding first, the original one after it.
    """
    if kind in {"code", "string", "uri"}:
        return _to_code(table)
    if kind == "Coding":
        return _to_coding(inner, table)
    return _to_concept(inner, table)


def _to_code(table: CodeTable) -> Converter:
    def convert(node: Node, _segment: Segment, run: Run) -> str | None:
        leaf = child(node, 1)
        text = plain(leaf)
        if not text:
            return None
        found = table.lookup(text)
        run.saw_code(table.name, text, known=found is not None)
        if found is None or not found.code:
            why = "has no equivalent" if found is not None else "is not known"
            run.refuse(leaf, f"invalid: the code {why} in table {table.name}")
            if found is None:
                run.warn("code-unknown", leaf, f"The code is not in table {table.name}", _ADD_CODE)
            return None
        run.use_all(leaf)
        return found.code

    return convert


def _to_coding(inner: Converter, table: CodeTable) -> Converter:
    def convert(node: Node, segment: Segment, run: Run) -> dict[str, Any] | None:
        text = plain(child(node, 1))
        if not text:
            return None
        found = table.lookup(text)
        run.saw_code(table.name, text, known=found is not None)
        original: dict[str, Any] | None = inner(node, segment, run)
        if found is not None and found.code:
            coding = found.coding()
            if original and "display" in original:
                coding.setdefault("display", original["display"])
            return coding
        if found is None:
            run.warn(
                "code-unknown", node, f"The code is not in table {table.name}; it was kept as sent", _ADD_CODE
            )
        return original

    return convert


def _to_concept(inner: Converter, table: CodeTable) -> Converter:
    def convert(node: Node, segment: Segment, run: Run) -> dict[str, Any] | None:
        concept: dict[str, Any] | None = inner(node, segment, run)
        text = plain(child(node, 1))
        if concept is None or not text:
            return concept
        named = plain(child(node, 3)).upper()
        if named and not named.startswith("HL7") and named not in {"L", "LOCAL"}:
            return concept  # a code of another system: the table does not speak of it
        found = table.lookup(text)
        run.saw_code(table.name, text, known=found is not None)
        codings = concept.setdefault("coding", [])
        original = codings[0] if codings else {}
        if found is None:
            run.warn(
                "code-unknown", node, f"The code is not in table {table.name}; it was kept as sent", _ADD_CODE
            )
            if table.source_system and original.get("system") == table.source_system:
                del original["system"]  # not one of that table's codes, whatever the sender says
            return concept
        if table.source_system and "system" not in original:
            original["system"] = table.source_system
        if found.code and (found.system, found.code) != (original.get("system"), original.get("code")):
            codings.insert(0, found.coding())
        return concept

    return convert


_ADD_CODE = "Add the code to the table in the site's overlay, or ask the sender what it means."


def known_type(name: str) -> bool:
    """Whether FHIR R4 has a primitive of that name."""
    return name in schema.PRIMITIVES
