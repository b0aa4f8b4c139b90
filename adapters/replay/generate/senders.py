"""The systems that send: each with its own version, character set and habits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from adapters.replay.generate.people import Name, Person


@dataclass(frozen=True, slots=True)
class Sender:
    """A sending system.

    Attributes:
        charset: MSH-18; "" leaves it out.
        codec: Python codec of its bytes; everything generated for it can be encoded.
        script: which Chinese characters it can write: ``simplified``, ``traditional`` or "".
        zone: whether its times carry an offset.
        structure: whether it fills MSH-9.3.
        truncation: whether it declares the truncation character of v2.7.
    """

    application: str
    facility: str
    version: str = "2.5.1"
    charset: str = "UNICODE UTF-8"
    codec: str = "utf-8"
    script: str = "simplified"
    zone: bool = True
    structure: bool = True
    truncation: bool = False

    def message(self, event: str, control: str, at: datetime, segments: list[str]) -> bytes:
        """A whole message. ``event`` is MSH-9 with all three components."""
        kind = event if self.structure else event.rpartition("^")[0]
        header = (
            f"MSH|^~\\&{'#' if self.truncation else ''}|{self.application}|{self.facility}|WARDSTREAM|KGH|"
            f"{self.time(at)}||{kind}|{control}|P|{self.version}"
        )
        if self.charset:
            header = f"{header}||||||{self.charset}"
        return "\r".join((header, *segments, "")).encode(self.codec)

    @property
    def sub_id(self) -> str:
        """OBX-4 of a result that occurs once: filled for v2.7, whose definition in hl7apy requires it."""
        return "1" if self.version == "2.7" else ""

    def time(self, at: datetime) -> str:
        return at.strftime("%Y%m%d%H%M%S%z" if self.zone else "%Y%m%d%H%M%S")

    def names(self, name: Name) -> str:
        """XPN: the name in Latin letters and, where this system can, in Chinese characters."""
        if not self.encodes(name.family + name.given):
            name = name.ascii()
        latin = f"{name.family}^{name.given}^^^{name.prefix}^^L"
        chinese = {"simplified": name.simplified, "traditional": name.traditional}.get(self.script)
        return f"{latin}~{chinese[0]}^{chinese[1]}^^^^^L^I" if chinese else latin

    def ids(self, person: Person) -> str:
        """CX: the hospital's number always first, so that every system names the same patient."""
        return f"{person.mrn}^^^KGH^MR~{person.national_id}^^^SG-TEST^NI"

    def encodes(self, text: str) -> bool:
        try:
            text.encode(self.codec)
        except UnicodeEncodeError:
            return False
        return True


_HIS = Sender("KGH-HIS", "KGH")
_LIS = Sender("KGH-LIS", "KGH", script="")
_OLD = Sender("OLDHIS", "KGH", "2.3", "", "ascii", "", zone=False, structure=False)
_CLINIC = Sender("LZP-CLINIC", "LZP", "2.4", "8859/1", "iso8859-1", "", zone=False)
_NEW = Sender("KGH-NEXT", "KGH", "2.7", truncation=True)
_QUIET = Sender("KGH-EDGE", "KGH", charset="")
_PARTNER_GB = Sender("GZP-REFER", "GZP", charset="GB 18030-2000", codec="gb18030")
_PARTNER_BIG5 = Sender("HKP-REFER", "HKP", charset="BIG-5", codec="big5", script="traditional")

# One is drawn with equal chance: repeats make the main system the most common.
SENDERS: dict[str, tuple[Sender, ...]] = {
    "adt": (_HIS, _HIS, _HIS, _HIS, _HIS, _CLINIC, _OLD, _NEW, _QUIET, _PARTNER_GB, _PARTNER_BIG5),
    "oru": (_LIS, _LIS, _LIS, Sender("KGH-LIS2", "KGH", "2.7"), Sender("LZP-LIS", "LZP", "2.4", "", "ascii", "", zone=False)),
    "orm": (_HIS, _HIS, _CLINIC),
    "mdm": (Sender("KGH-DOCS", "KGH"), Sender("KGH-DOCS", "KGH"), _QUIET, Sender("GZP-DOCS", "GZP", charset="GB 18030-2000", codec="gb18030")),
    "fhir": (Sender("KGH-FHIR", "KGH"),),
}  # fmt: skip
MAIN = _HIS
LABORATORY = _LIS
