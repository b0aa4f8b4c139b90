"""A converter followed by a code table: what the ``codes`` column does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.hl7v2.tree import Node, Segment, child
from engine.mapping.convert.primitives import Converter
from engine.mapping.naming import plain
from engine.records import Severity

if TYPE_CHECKING:
    from engine.mapping.codes import CodeTable
    from engine.mapping.run import Run


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
                run.unknown_code(table.name, text, leaf, f"The code is not in table {table.name}", _ADD_CODE)
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
        run.saw_code(table.name, text, known=found is not None or not table.entries)
        mark = len(run.trail)
        original: dict[str, Any] | None = inner(node, segment, run)
        if found is not None and found.code:
            coding = found.coding()
            sent = original.get("display") if original else None
            if sent and coding.setdefault("display", sent) != sent:
                run.undo(mark)
                run.use_all(child(node, 1))
                run.use_all(child(node, 3))
                run.refuse(child(node, 2), "the FHIR code has a display of its own")
            return coding
        if found is None and original is not None:
            _keep_local(original, table, text, node, run)
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
        run.saw_code(table.name, text, known=found is not None or not table.entries)
        codings = concept.setdefault("coding", [])
        original = codings[0] if codings else {}
        if found is None:
            _keep_local(original, table, text, node, run)
            return concept
        if table.source_system and "system" not in original:
            original["system"] = table.system_of(found.code if table.identity else text) or _local(table, run)
        if found.code and found.system == original.get("system"):
            if len(text) > len(found.code):
                original.setdefault("display", text)
            # The same code, written another way: 1 for 01, mr for MR, MRN for MR.
            original["code"] = found.code
        elif found.code:
            codings.insert(0, found.coding())
        return concept

    return convert


def _keep_local(coding: dict[str, Any], table: CodeTable, code: str, node: Node, run: Run) -> None:
    """A code that the table does not know belongs to the sender: HL7 lets sites fill the user-defined tables themselves.

    Where the table only names codes nothing is lost; where it gives them another meaning, the meaning is.
    """
    if "code" in coding and coding.get("system", table.source_system) == table.source_system:
        coding["system"] = _local(table, run)
    if not table.entries:
        return  # a table that HL7 left empty: what is in it the site says
    run.unknown_code(
        table.name,
        code,
        node,
        f"The code is not in table {table.name}; it was kept as sent",
        _ADD_CODE,
        Severity.INFORMATION if table.identity else Severity.WARNING,
    )


def _local(table: CodeTable, run: Run) -> str:
    """URL of the sender's own codes for a table."""
    return run.systems.local(table.source_system.rpartition("/")[2] or table.name, run.facility)


_ADD_CODE = "Add the code to the table in the site's overlay, or ask the sender what it means."
