"""Whose number is it: assigning authorities to ``identifier.system``, and deterministic ids.

An identifier is only unique within its authority. The v2 HD names one by a local name (HD.1), a
universal id (HD.2) or both; some senders name none, and the sending facility stands in (HL7 v2.5.1
§2.A.36). The system of an identifier is, in this order: what ``authorities.csv`` or the feed's profile
says, the universal id as a URN, a stated URN with the local name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from engine.hl7v2.tree import NULL, Leaf, Message, Node, child, first_leaf
from engine.mapping.codes import is_oid, is_uuid, safe, well_formed
from engine.mapping.tables import Line
from engine.remembering import LONGEST

PATIENT_TYPES = ("MR", "PI", "PT", "NI", "NRIC", "FIN", "SS", "PN")
"""Identifier types (table 0203, and Singapore's) that name a patient, best first: the hospital's own before the state's."""

AMBIGUOUS_TYPES = {"FIN": re.compile(r"[A-Z]\d{7}[A-Z]"), "NPI": re.compile(r"[12]\d{9}")}
"""Types by which two countries mean two things, and the form of the numbers that are meant by ``type:`` in authorities.csv.

A FIN is Singapore's number of a foreigner, and to US hospitals the financial number of a stay. An NPI is the US
number of a provider, of ten digits; other countries have national provider identifiers, too.
"""
_TOLD = 1024
"""Authorities whose systems are remembered; a feed names few."""
_KINDS = frozenset({"", "ISO", "UUID", "GUID", "DNS", "URI", "L", "N"})
"""What a universal id may be (table 0301): a configured system says as much, and nothing of other words."""


class Naming:
    """Systems of identifiers for one site."""

    def __init__(self, lines: Iterable[Line], base: str) -> None:
        self.base = base
        self._known: dict[str, str] = {}
        self._told: dict[tuple[str, str, str], tuple[str, tuple[int, ...]]] = {}
        for line in lines:
            if not line["name"] or ":" not in line["system"]:
                raise line.fault("An assigning authority needs a name and an absolute URI")
            self._known[line["name"].upper()] = line["system"]

    def with_local(self, local: Mapping[str, str]) -> Naming:
        """The same with a feed's own authorities over it."""
        made = Naming((), self.base)
        made._known = self._known | {name.upper(): system for name, system in local.items()}
        return made

    def known(self, name: str) -> str:
        """System of a name, OID or URI that authorities.csv or the feed's profile has; "" for any other."""
        return self._known.get(name.removeprefix("urn:oid:").upper(), "") or self._known.get(name.upper(), "")

    def system(self, name: str, universal: str, kind: str) -> str:
        """System of an authority given as HD.1, HD.2, HD.3; "" when it names nothing."""
        return self.told(name, universal, kind)[0]

    def told(self, name: str, universal: str, kind: str) -> tuple[str, tuple[int, ...]]:
        """The system, and which of the three parts it tells (1 to 3)."""
        key = name, universal, kind
        found = self._told.get(key)
        if found is None:
            found = self._tell(name, universal, kind)
            if len(name) + len(universal) + len(kind) <= LONGEST:
                if len(self._told) >= _TOLD:
                    self._told.clear()
                self._told[key] = found
        return found

    def _tell(self, name: str, universal: str, kind: str) -> tuple[str, tuple[int, ...]]:
        for part, known in ((2, universal), (1, name)):
            if known and known.upper() in self._known:
                typed = (2, 3) if kind.upper() in _KINDS else (2,)
                return self._known[known.upper()], typed if part == 2 else (1,)
        if universal:
            if kind.upper() in {"ISO", ""} and is_oid(universal):
                return f"urn:oid:{universal}", (2, 3)
            if kind.upper() in {"UUID", "GUID"} and is_uuid(universal):
                return f"urn:uuid:{universal.lower()}", (2, 3)
            if uri := well_formed(universal):
                return uri, (2,)
            return f"{self.base}authority:{safe(universal)}", (2,)
        if name:
            if is_oid(name):
                return f"urn:oid:{name}", (1,)
            if uri := well_formed(name):
                return uri, (1,)
            return f"{self.base}authority:{safe(name)}", (1,)
        return "", ()

    def urn(self, text: str) -> str:
        """A URN of an OID or UUID; of what is neither, one under the site's base: receivers refuse a URN that is none."""
        return well_formed(text) or f"{self.base}authority:{safe(text.split(':', 2)[2])}"

    def hd_system(self, node: Node) -> str:
        """System of an HD value."""
        if isinstance(node, Leaf):
            return self.system(plain(node), "", "")
        return self.system(plain(child(node, 1)), plain(child(node, 2)), plain(child(node, 3)))

    def sender_system(self, facility: str, what: str) -> str:
        """System of an identifier that names no authority: the sender's own numbers of that kind."""
        return f"{self.base}sender:{safe(facility) or 'unknown'}:{safe(what)}"

    def of_type(self, kind: str, value: str) -> str:
        """System of a number that one authority alone issues, by its type (``type:NRIC``); "" for any other."""
        return self._known.get(f"TYPE:{kind.upper()}", "") if kind and _is_of(kind.upper(), value) else ""

    def cx(self, node: Node, facility: str, what: str = "") -> tuple[str, str] | None:
        """(system, value) of a CX; None when it has no value."""
        value = plain(child(node, 1))
        if not value:
            return None
        kind = plain(child(node, 5))
        system = self.of_type(kind, value) or self.hd_system(child(node, 4))
        return system or self.sender_system(facility, what or kind or "id"), value

    def ei(self, node: Node, facility: str, what: str) -> tuple[str, str] | None:
        """(system, value) of an EI: its authority stands in EI.2 to EI.4."""
        value = plain(child(node, 1))
        if not value:
            return None
        system = self.system(plain(child(node, 2)), plain(child(node, 3)), plain(child(node, 4)))
        return system or self.sender_system(facility, what), value


def sender_of(message: Message, feed: str) -> str:
    """Who numbers what names no authority: the sending facility, else the application within its feed.

    Two hospitals may send with one product's name in MSH-3 and nothing in MSH-4; their feeds tell them apart.
    """
    application = message.msh.text(3)
    if message.msh.text(4) or not application:
        return message.msh.text(4) or feed
    return application if feed == "default" else f"{feed}:{application}"


def plain(node: Node) -> str:
    """Trimmed text of a node's first leaf; "" when empty or null."""
    text = node.text if isinstance(node, Leaf) else first_leaf(node).text
    return "" if text == NULL else text.strip()


def _is_of(kind: str, value: str) -> bool:
    """Whether a number may be of the type that its sender says."""
    form = AMBIGUOUS_TYPES.get(kind)
    return form is None or form.fullmatch(value.upper()) is not None


def choose_patient_identifier(repetitions: Sequence[Node]) -> Node | None:
    """The repetition of PID-3 that names the patient: best type first, then with an authority, then the first.

    The same rule keys Kafka records and makes Patient ids, so that both always agree.
    """
    best: tuple[int, int] | None = None
    chosen: Node | None = None
    for position, node in enumerate(repetitions):
        if not plain(child(node, 1)):
            continue
        kind = plain(child(node, 5)).upper()
        names = kind in PATIENT_TYPES and _is_of(kind, plain(child(node, 1)))
        rank = PATIENT_TYPES.index(kind) if names else len(PATIENT_TYPES)
        if rank == len(PATIENT_TYPES) and not plain(child(node, 4)):
            rank += 1
        if best is None or (rank, position) < best:
            best, chosen = (rank, position), node
    return chosen
