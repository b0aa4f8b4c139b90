"""Data types that no table can hold: authorities, encoded data, and places within places."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

from engine.hl7v2.tree import Node, Segment, child
from engine.mapping.codes import V2_SYSTEM, v2_codes
from engine.mapping.convert.primitives import Converter, value_text
from engine.mapping.naming import AMBIGUOUS_TYPES, plain

if TYPE_CHECKING:
    from engine.mapping.run import Run


_PHYSICAL_TYPE = "http://terminology.hl7.org/CodeSystem/location-physical-type"
_PL_LEVELS = (
    (4, "si", "Site"),
    (7, "bu", "Building"),
    (8, "lvl", "Level"),
    (1, "wa", "Ward"),
    (2, "ro", "Room"),
    (3, "bd", "Bed"),
)


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


def cx_system(what: str = "") -> Converter:
    """System of a CX, as :meth:`Naming.cx` has it: what makes the id of a resource stands in its identifier."""

    def convert(node: Node, _segment: Segment, run: Run) -> str | None:
        kind = plain(child(node, 5))
        value = plain(child(node, 1))
        if not value:
            return _authority(child(node, 4), (1, 2, 3), run)
        if kind.upper() in AMBIGUOUS_TYPES:
            run.unlike_others()
        known = run.naming.of_type(kind, value)
        if known:
            return known
        told = _authority(child(node, 4), (1, 2, 3), run)
        return told or run.naming.sender_system(run.facility, what or kind or "id")

    return convert


def sender_system(what: str) -> Converter:
    """System of a number without authority: the sender's own. The node is the number itself and is not used up."""

    def convert(_node: Node, _segment: Segment, run: Run) -> str:
        return run.naming.sender_system(run.facility, what)

    return convert


def ei_system(node: Node, _segment: Segment, run: Run) -> str | None:
    """System of an EI: EI.2 to EI.4 name its authority as an HD does."""
    return _authority(node, (2, 3, 4), run)


def system_of(first: int) -> Converter:
    """System of an authority whose three parts begin at component ``first`` (CNN.9 to CNN.11)."""

    def convert(node: Node, _segment: Segment, run: Run) -> str | None:
        return _authority(node, (first, first + 1, first + 2), run)

    return convert


_MAIN_TYPES = {
    "ap": "application", "application": "application", "au": "audio", "audio": "audio", "ft": "text",
    "im": "image", "image": "image", "multipart": "multipart", "text": "text", "tx": "text", "video": "video",
}  # fmt: skip
_TEXTS = frozenset({"text", "tx", "ft"})
_SUBTYPES = {
    "pdf": "application/pdf", "rtf": "application/rtf", "msword": "application/msword", "zip": "application/zip",
    "json": "application/json", "octet-stream": "application/octet-stream", "dicom": "application/dicom",
    "html": "text/html", "plain": "text/plain", "txt": "text/plain", "text": "text/plain", "csv": "text/csv",
    "jpeg": "image/jpeg", "jpg": "image/jpeg", "png": "image/png", "gif": "image/gif", "tiff": "image/tiff",
    "bmp": "image/bmp", "basic": "audio/basic",
}  # fmt: skip
"""What senders write in ED.3 (tables 0191 and 0291, and file endings) -> RFC 6838."""


def media_type(first: int) -> Converter:
    """Media type as MIME writes it, of type and subtype (ED.2, ED.3; RP.3, RP.4; HL7 v2.5.1 §2.A.24, §2.A.65).

    Args:
        first: the component of the type; the subtype stands behind it.
    """

    def convert(node: Node, _segment: Segment, run: Run) -> str | None:
        main, sub = plain(child(node, first)).lower(), plain(child(node, first + 1)).lower()
        if not sub and ("/" in main or main in _SUBTYPES):
            main, sub = "", main  # such as ^PDF^^Base64
        if "/" in sub:
            found = sub
        elif sub in _SUBTYPES:
            found = _SUBTYPES[sub]
        elif re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", sub):
            found = f"{_MAIN_TYPES.get(main, 'application')}/{sub}"
        elif main in _TEXTS:
            found = "text/plain"
        elif main and not sub:
            found = "application/octet-stream"
        else:
            return None
        # What the media type does not show was not used: it is told as unmapped.
        if not main or main == sub or main in _MAIN_TYPES or main in _TEXTS or found.startswith(f"{main}/"):
            run.use_all(child(node, first))
        if sub in _SUBTYPES or sub in found:
            run.use_all(child(node, first + 1))
        return found

    return convert


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
        name = plain(child(part, 1)) or plain(child(part, 2))
        if not name:
            continue
        key += [kind, name]
        resource = _place(part, name, run.naming.sender_system(facility, f"location-{kind}"), run)
        resource["physicalType"] = {"coding": [{"system": _PHYSICAL_TYPE, "code": kind, "display": display}]}
        if parent:
            resource["partOf"] = {"reference": parent}
        parent, whole = run.make(resource, *key)
        if not whole:
            run.refuse(part, "the message says something else about the same Location elsewhere")
    described = plain(child(node, 9))
    if not parent and described:  # a place that is told in words alone
        told = {"resourceType": "Location", "name": described, "mode": "instance", "identifier": []}
        parent, _ = run.make(told, *key, "described", described)
    if parent:
        place = run.made[parent]
        _place_details(node, place, run)
        if not place["identifier"]:
            del place["identifier"]
    return parent or None


def own_place(node: Node, segment: Segment, run: Run) -> dict[str, Any] | None:
    """PL of a segment that tells of the place itself (NPU-1, LOC-1): its content; the resource at hand becomes it."""
    reference = location_chain(node, segment, run)
    if reference is None:
        return None
    assert run.current is not None
    run.current.id = reference.partition("/")[2]
    return {
        name: value for name, value in run.made.pop(reference).items() if name not in {"resourceType", "id"}
    }


def _place(part: Node, name: str, system: str, run: Run) -> dict[str, Any]:
    run.use_all(child(part, 1))
    identifiers = [{"system": system, "value": name}]
    universal = hd_universal(part, run)
    if universal:
        identifiers.append(universal)
    return {"resourceType": "Location", "identifier": identifiers, "name": name, "mode": "instance"}


def _place_details(node: Node, place: dict[str, Any], run: Run) -> None:
    """PL.9 description, PL.5 status, PL.6 type and PL.10 identifier belong to the innermost place."""
    description, status, kind, number = (child(node, n) for n in (9, 5, 6, 10))
    if plain(description):
        place.setdefault("description", plain(description))
        run.use_all(description)
    if plain(status):
        place.setdefault("operationalStatus", {"code": plain(status)})
        run.use_all(status)
    if plain(kind):
        coding = {"system": f"{V2_SYSTEM}0305", "code": plain(kind)}
        if plain(kind) not in v2_codes("0305"):
            del coding["system"]
        place.setdefault("type", [{"coding": [coding]}])
        run.use_all(child(kind, 1))
    found = run.naming.ei(number, run.facility, "location")
    if found:
        identifier: dict[str, Any] = {"system": found[0], "value": found[1]}
        if plain(child(number, 2)):
            identifier["assigner"] = {"display": plain(child(number, 2))}
            run.use_all(child(number, 2))
        if identifier not in place["identifier"]:
            place["identifier"].append(identifier)
        run.use_all(child(number, 1))
        _authority(number, (2, 3, 4), run)


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
        return {"system": "urn:ietf:rfc:3986", "value": run.naming.urn(prefix + text)}
    found: dict[str, Any] = {"value": text}
    if kind:
        found["type"] = {"text": kind}
    return found
