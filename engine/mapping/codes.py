"""Code tables: HL7 v2 codes to FHIR codes, and names of coding systems to their canonical URLs."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

from engine.errors import MapTableError
from engine.mapping.tables import Faults, Line, Table
from engine.remembering import remembered

V2_TABLES_VERSION = "v2_8_2"
"""The v2 tables only grow, so the latest that hl7apy has knows the codes of all versions before."""

V2_SYSTEM = "http://terminology.hl7.org/CodeSystem/v2-"
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_OID = re.compile(r"[0-2](\.(0|[1-9]\d*))+")


class Coded(NamedTuple):
    """A FHIR code. ``code`` is "" when the source code is known and has no equivalent."""

    code: str
    system: str
    display: str

    def coding(self) -> dict[str, Any]:
        found = {"system": self.system, "code": self.code, "display": self.display}
        return {k: v for k, v in found.items() if v}


@dataclass(frozen=True, slots=True)
class CodeTable:
    """One code map.

    Attributes:
        name: as the ``codes`` column names it.
        entries: source code -> its FHIR code.
        source_system: canonical URL of the v2 table the source codes are from, "" if local.
    """

    name: str
    entries: dict[str, Coded]
    source_system: str

    def system_of(self, code: str) -> str:
        """Canonical URL of the v2 table if it has the code; "" for a word that senders use in its place."""
        codes = v2_codes(self.source_system[-4:]) if self.source_system else frozenset()
        forms = {code, code.upper(), code.lstrip("0")}  # hl7apy leaves the zeros before a number out
        return self.source_system if not codes or not codes.isdisjoint(forms) else ""

    @property
    def identity(self) -> bool:
        """Whether it maps an HL7 table onto itself."""
        return self.name.startswith("v2:")

    def lookup(self, code: str) -> Coded | None:
        """The FHIR code; None for a code the table does not know. Case matters only if both cases are known."""
        found = self.entries.get(code)
        return found if found is not None else self.entries.get(code.upper())


_DIGITS = {"0062": 2, "0232": 2, "0475": 2, "0496": 3}
"""Tables whose codes are numbers with zeros before them, which hl7apy leaves out."""


@cache
def v2_codes(table: str) -> frozenset[str]:
    """Codes of an HL7 v2 table by its four digits; empty when HL7 leaves the table to sites, and when there is none."""
    found = _v2_tables().get(f"HL7{table}")
    digits = _DIGITS.get(table, 0)
    listed = [code.zfill(digits) if code.isdigit() else code for code in found[1]] if found else []
    return frozenset(listed) | _later_codes().get(table, frozenset())


def is_v2_table(table: str) -> bool:
    """Whether HL7 v2 has a table of these four digits, with codes or left to sites."""
    return f"HL7{table}" in _v2_tables()


@cache
def _v2_tables() -> Mapping[str, tuple[str, tuple[str, ...]]]:
    found: Mapping[str, tuple[str, tuple[str, ...]]] = importlib.import_module(
        f"hl7apy.{V2_TABLES_VERSION}.tables"
    ).TABLES
    return found


@cache
def _later_codes() -> dict[str, frozenset[str]]:
    return {table: frozenset(codes.split()) for table, codes in _v2_rows("v2-codes.csv")}


def _v2_rows(name: str) -> Iterator[list[str]]:
    text = resources.files("engine.mapping").joinpath(f"tables/{name}").read_text(encoding="utf-8")
    return (line.split(",") for line in text.splitlines() if line[:4].isdigit())


def v2_table(table: str) -> CodeTable:
    """The map of a v2 table onto itself: ``v2:0203`` in the ``codes`` column."""
    system = V2_SYSTEM + table
    entries = {c: Coded(c, system, "") for c in v2_codes(table)}
    if table in _DIGITS:
        entries |= {c.lstrip("0"): known for c, known in entries.items() if c.isdigit()}
    entries = {c.upper(): known for c, known in entries.items()} | entries
    entries |= {word: entries[code] for of, word, code in _v2_rows("v2-words.csv") if of == table}
    return CodeTable(f"v2:{table}", entries, system)


def compile_codes(table: Table, faults: Faults | None = None) -> CodeTable:
    """A table of ``codes/``. Directive ``system`` is the target's URL, ``source`` the v2 table's digits.

    Raises:
        MapTableError: a row is wrong, unless ``faults`` collects them.
    """
    faults = faults or Faults()
    default = table.directives.get("system", "")
    source = table.directives.get("source", "")
    entries: dict[str, Coded] = {}
    for line in table.lines:
        code, to = line["code"], line["to"]
        with faults.told():
            if not code:
                raise line.fault("The row has no source code")
            if code in entries:
                raise line.fault(f"The code {code!r} stands twice in this table")
            entries[code] = Coded(to, (line["system"] or default) if to else "", line["display"])
    return CodeTable(table.name, entries, V2_SYSTEM + source if source else "")


class Systems:
    """Names of coding systems as v2 messages give them (table 0396, CWE.3) to canonical URLs."""

    def __init__(self, lines: Iterable[Line], base: str) -> None:
        self._known: dict[str, str] = {}
        for line in lines:
            if not line["name"] or not line["system"]:
                raise line.fault("A coding system needs a name and a URL")
            self._known[line["name"].upper()] = line["system"]
        self._base = base

    def with_local(self, local: Mapping[str, str]) -> Systems:
        """The same with a feed's own names over it."""
        made = Systems((), self._base)
        made._known = self._known | {name.upper(): url for name, url in local.items()}
        return made

    def known(self, name: str) -> str:
        """URL of a name or OID that systems.csv or the feed's profile has; "" for any other."""
        return self._known.get(name.removeprefix("urn:oid:").upper(), "")

    def url(self, name: str, owner: str) -> str:
        """Canonical URL of a coding system name. A local one (L, 99xxx) belongs to ``owner``, the sender."""
        name = name.strip()
        known = self._known.get(name.upper())
        if known:
            return known
        if match := re.fullmatch(r"HL7-?(\d{4})", name, re.IGNORECASE):
            return V2_SYSTEM + match[1]
        if _OID.fullmatch(name):
            return f"urn:oid:{name}"
        if uri := well_formed(name):
            return uri
        if name.upper() in {"L", "LOCAL"} or name.startswith("99"):
            return self.local(name, owner)
        return f"{self._base}codesystem:{safe(name)}"

    def local(self, name: str, owner: str) -> str:
        """URL of a code system that ``owner``, the sender, has under that name; as ``v2-0069``."""
        return f"{self._base}codesystem:{safe(owner)}:{safe(name)}"


@remembered(4096)  # the names of one site's authorities and systems
def safe(text: str) -> str:
    """A text as a part of a URN: other characters than letters, digits, - . _ become percent codes."""
    return "".join(
        c if c.isascii() and (c.isalnum() or c in "-._") else "".join(f"%{b:02X}" for b in c.encode("utf-8"))
        for c in text.strip()
    )


def well_formed(text: str) -> str:
    """A web address or URN, a UUID in lower case as R4 wants it; "" for anything else, ``urn:oid:`` of no OID too."""
    if not text.startswith(("http", "urn:")) or not re.fullmatch(r"(?:https?://|urn:)[^\s\x00-\x1f]+", text):
        return ""
    scheme, _, rest = text.rpartition(":")
    if scheme.lower() == "urn:oid":
        return f"urn:oid:{rest}" if is_oid(rest) else ""
    if scheme.lower() == "urn:uuid":
        return f"urn:uuid:{rest.lower()}" if is_uuid(rest) else ""
    return text


def is_uuid(text: str) -> bool:
    return bool(_UUID.fullmatch(text))


def is_oid(text: str) -> bool:
    return bool(_OID.fullmatch(text))


def parse_fixed_coding(text: str, line: Line, aliases: dict[str, str]) -> Coded:
    """``system|code|display`` of the ``value`` column; the system may be an alias of ``systems.csv``."""
    parts = text.split("|")
    if len(parts) not in {2, 3}:
        raise line.fault(f"{text!r} is no coding", "Write it as system|code or system|code|display.")
    system = aliases.get(parts[0].upper(), parts[0])
    if ":" not in system:
        raise MapTableError(
            f"{parts[0]!r} is neither a URL nor a name of systems.csv",
            location=f"{line.file}:{line.number}",
            action="Write the URL of the code system, or add the name to systems.csv.",
        )
    return Coded(parts[1], system, parts[2] if len(parts) == 3 else "")
