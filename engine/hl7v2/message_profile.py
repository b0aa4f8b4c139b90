"""Message profiles: what one trading partner agreed on, in place of a version's definitions.

Two forms are read: the file that hl7apy's ``hl7apy_profile_parser`` makes, and the XML it makes it from
(HL7 v2.5 ch. 2.B, ``HL7v2xConformanceProfile``). hl7apy's file is a pickle; nothing but plain values is let
out of it, so that a file from elsewhere can't run code.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree import ElementTree as ET

from engine.hl7v2.structures import UNBOUNDED, Spec, compile_structure

Reference = Any
"""hl7apy's form of a definition: ``(kind, children, data type, name, table, length)``, the last four for fields only."""


class BadProfileError(ValueError):
    """It is no message profile; the message says where it is wrong."""


class MessageProfile:
    """Definitions of one or more message structures.

    Args:
        structures: name of a structure -> its definition in hl7apy's form, as :func:`read_profile` gives it.
    """

    def __init__(self, structures: Mapping[str, Reference]) -> None:
        self.specs: Mapping[str, Spec] = {
            name: compile_structure(name, reference) for name, reference in structures.items()
        }
        self._segments: dict[tuple[str, str, str], Reference] = {}
        for name, reference in structures.items():
            for group, segment, fields in _segments(name, name, reference):
                self._segments.setdefault((name, group, segment), fields)
                self._segments.setdefault((name, "", segment), fields)

    def segment(self, structure: str, group: str, segment_id: str) -> Reference | None:
        """Definition of a segment where it stands in its group, else of any of that id in the structure."""
        place = self._segments.get((structure, group, segment_id))
        return place or self._segments.get((structure, "", segment_id))


def read_profile(content: bytes) -> MessageProfile:
    """A message profile from its file's bytes.

    Raises:
        BadProfileError: it is none.
    """
    text = content.lstrip(b"\xef\xbb\xbf \t\r\n")
    structures = _from_xml(content) if text.startswith(b"<") else _from_pickle(content)
    if not structures:
        raise BadProfileError("it defines no message structure")
    for name, reference in structures.items():
        _check(reference, str(name), "GRP")
    return MessageProfile(structures)


def _segments(structure: str, group: str, reference: Reference) -> Iterator[tuple[str, str, Reference]]:
    for name, inner, _, kind in reference[1]:
        if kind == "SEG":
            yield group, name, inner
        else:
            yield from _segments(structure, name.removeprefix(f"{structure}_"), inner)


# -- hl7apy's file -----------------------------------------------------------------------------------------


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise BadProfileError(f"it holds code ({module}.{name}) where a profile has only names and numbers")


def _from_pickle(content: bytes) -> Mapping[str, Reference]:
    try:
        found = _Plain(io.BytesIO(content)).load()
    except BadProfileError:
        raise
    except Exception:  # noqa: BLE001 - pickle raises anything on bytes that are none
        raise BadProfileError("it is neither XML nor a file that hl7apy_profile_parser made") from None
    if not isinstance(found, dict):
        raise BadProfileError("it is no profile: message structures by name were expected")
    return found


def _check(reference: Reference, where: str, kind: str) -> None:
    """Refuse what has not the form that the checks rely on, before a message meets it."""
    if not isinstance(reference, tuple | list) or len(reference) < 2:
        raise BadProfileError(f"{where}: a definition was expected")
    if kind in {"FIE", "CMP"} and (len(reference) < 6 or not isinstance(reference[5], int)):
        raise BadProfileError(f"{where}: data type, name, table and length were expected")
    children = reference[1]
    if children is None and kind in {"FIE", "CMP"}:
        return
    if not isinstance(children, tuple | list):
        raise BadProfileError(f"{where}: a list of parts was expected")
    for child in children:
        if not isinstance(child, tuple | list) or len(child) != 4 or not isinstance(child[0], str):
            raise BadProfileError(f"{where}: a part is name, definition, cardinality and kind")
        name, inner, cardinality, kind_of_child = child
        _check_part(f"{where}.{name}", cardinality, kind_of_child)
        _check(inner, f"{where}.{name}", kind_of_child)


def _check_part(where: str, cardinality: Any, kind: Any) -> None:
    if not (
        isinstance(cardinality, tuple | list)
        and len(cardinality) == 2
        and all(isinstance(n, int) for n in cardinality)
    ):
        raise BadProfileError(f"{where}: the cardinality is two whole numbers")
    low, high = cardinality
    if high != UNBOUNDED and low > high:
        raise BadProfileError(f"{where}: at least {low} and at most {high} contradict each other")
    if kind not in {"GRP", "SEG", "FIE", "CMP"}:
        raise BadProfileError(f"{where}: the kind is GRP, SEG, FIE or CMP")
    if kind == "FIE" and not where.rpartition("_")[2].isdecimal():
        raise BadProfileError(f"{where}: the name of a field ends with its number")


# -- XML ---------------------------------------------------------------------------------------------------


def _from_xml(content: bytes) -> Mapping[str, Reference]:
    if b"<!ENTITY" in content.replace(b"\0", b""):
        raise BadProfileError("it declares entities, which a profile has no use for")
    try:
        root = ET.fromstring(content)  # noqa: S314 - without entities there is nothing to blow up
    except ET.ParseError as error:
        line, column = error.position
        raise BadProfileError(f"the XML is broken in line {line}, column {column + 1}") from None
    definition = root if _tag(root) == "HL7v2xStaticDef" else root.find("{*}HL7v2xStaticDef")
    if definition is None:
        raise BadProfileError("the XML holds no HL7v2xStaticDef, so it is no message profile")
    name = definition.get("MsgStructID") or "_".join(
        filter(None, (definition.get("MsgType"), definition.get("EventType")))
    )
    if not name:
        raise BadProfileError("HL7v2xStaticDef names no structure (MsgStructID)")
    return {name: ("sequence", tuple(_parts(definition, name, name)))}


def _tag(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _parts(parent: ET.Element, structure: str, where: str) -> Iterator[tuple[Any, ...]]:
    """Segments and groups of a group."""
    for element in parent:
        tag = _tag(element)
        if tag not in {"Segment", "SegGroup"}:
            continue
        name = _named(element, where)
        inside = f"{where}.{name}"
        if tag == "Segment":
            fields = (e for e in element if _tag(e) == "Field")
            parts = tuple(
                (f"{name}_{n}", _leafy(e, f"{inside}-{n}"), _cardinality(e, f"{inside}-{n}"), "FIE")
                for n, e in enumerate(fields, 1)
            )
            yield name, ("sequence", parts), _cardinality(element, inside), "SEG"
        else:
            parts = tuple(_parts(element, structure, inside))
            yield f"{structure}_{name}", ("sequence", parts), _cardinality(element, inside), "GRP"


def _leafy(element: ET.Element, where: str) -> tuple[Any, ...]:
    """A field, component or subcomponent, in hl7apy's form."""
    data_type = element.get("Datatype") or ""
    parts = tuple(
        (
            f"{data_type}_{n}",
            _leafy(e, f"{where}.{n}"),
            (1, 1) if e.get("Usage") == "R" else (0, 0) if e.get("Usage") == "X" else (0, 1),
            "CMP",
        )
        for n, e in enumerate((e for e in element if _tag(e) in {"Component", "SubComponent"}), 1)
    )
    table, length = element.get("Table") or "", element.get("Length") or "0"
    if not length.isdecimal():
        raise BadProfileError(f"{where}: the length {length!r} is no whole number")
    return (
        "sequence" if parts else "leaf",
        parts or None,
        data_type.upper() if data_type.lower() != "varies" else "varies",
        (element.get("Name") or "").upper().replace(" ", "_"),
        f"HL7{table.removeprefix('HL7')}" if table else None,
        int(length),
    )


def _named(element: ET.Element, where: str) -> str:
    name = element.get("Name")
    if not name:
        raise BadProfileError(f"{where}: a {_tag(element)} has no Name")
    return name


def _cardinality(element: ET.Element, where: str) -> tuple[int, int]:
    """Min and Max, and what Usage adds: R is required, X is not to be used."""
    low, high, usage = element.get("Min") or "0", element.get("Max") or "*", element.get("Usage")
    if not low.isdecimal() or not (high == "*" or high.isdecimal()):
        raise BadProfileError(f"{where}: Min and Max are whole numbers, Max may be *")
    if usage == "X":
        return 0, 0
    return max(int(low), 1 if usage == "R" else 0), UNBOUNDED if high == "*" else int(high)
