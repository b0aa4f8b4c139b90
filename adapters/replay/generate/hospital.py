"""The invented hospital: its wards and doctors, and the charts that keep a patient's story straight."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from adapters.replay.generate.chance import Chance
from adapters.replay.generate.conditions import PRESENTATIONS, Presentation
from adapters.replay.generate.people import Person
from adapters.replay.generate.rates import Rates
from adapters.replay.generate.senders import Sender

_WARDS = ("W41", "W42", "W51", "W52", "W61", "CCU", "ICU")
_CLINICS = ("SOC1", "SOC2", "SOC3", "DMC")
_SERVICES = ("MED", "CAR", "SUR", "ORT", "PUL")
DOCTORS = (
    "M00001A^Ong^Wei Lin^^^Dr^^^SMC-TEST",
    "M00002B^Pillai^Anand^^^Dr^^^SMC-TEST",
    "M00003C^Yusof^Hafiz^^^Dr^^^SMC-TEST",
    "M00004D^Fernandez^Ruth^^^Dr^^^SMC-TEST",
    "M00006F^Subramaniam^Devi^^^Dr^^^SMC-TEST",
    "M00007G^Chua^Zhi Hao^^^Dr^^^SMC-TEST",
)
_NOVEL_CODES = tuple(f"NX{n:03}" for n in range(400))
"""Codes that no table holds; enough of them that new ones keep coming after the shift."""


@dataclass(slots=True)
class Visit:
    """A stay or an outpatient visit."""

    number: str
    patient_class: str
    location: str
    service: str
    doctor: str
    since: datetime
    presentation: Presentation


@dataclass(slots=True)
class Order:
    """A laboratory order on its way: its placer number and panel (a key of :data:`.laboratory.PANELS`)."""

    placer: str
    panel: str


@dataclass(slots=True)
class Chart:
    """What the hospital knows of a patient between two messages.

    Attributes:
        state: ``new``, ``known``, ``in`` or ``out``; moved by :mod:`.adt`.
        visit: the present one, or the last.
        previous_location: bed before a transfer.
        orders: those without result yet, oldest first.
        document: unique number of the last document, "" if there is none.
    """

    person: Person
    state: str = "new"
    visit: Visit | None = None
    previous_location: str = ""
    orders: list[Order] = field(default_factory=list)
    document: str = ""


@dataclass(slots=True)
class Turn:
    """All that a builder needs for one message.

    Attributes:
        tag: eight characters that tell this stream's numbers from another's.
        serial: of the message in the stream, from 0.
    """

    chance: Chance
    chart: Chart
    sender: Sender
    rates: Rates
    at: datetime
    tag: str
    serial: int

    @property
    def number(self) -> str:
        """Unique to this message, 18 characters: MSH-10 holds 20 up to v2.5.1. Other numbers put a letter before it."""
        return f"{self.tag}{self.serial:010}"

    @property
    def time(self) -> str:
        return self.sender.time(self.at)

    def code(self, usual: str) -> str:
        """A code, or one never seen in its place."""
        return self.chance.one(_NOVEL_CODES) if self.chance.happens(self.rates.novel) else usual

    def visit(self) -> Visit:
        """The patient's visit; whoever has none is seen as an outpatient now."""
        if self.chart.visit is None:
            self.open_visit("O")
        assert self.chart.visit is not None
        return self.chart.visit

    def open_visit(self, patient_class: str) -> None:
        chance = self.chance
        self.chart.previous_location = ""
        self.chart.visit = Visit(
            number=f"V{self.number}",
            patient_class=patient_class,
            location=bed(chance) if patient_class == "I" else f"{chance.one(_CLINICS)}^^^KGH",
            service=chance.one(_SERVICES),
            doctor=chance.one(DOCTORS),
            since=self.at,
            presentation=chance.one(PRESENTATIONS),
        )


def bed(chance: Chance) -> str:
    """PL of a bed."""
    return f"{chance.one(_WARDS)}^{chance.between(1, 20):02}^{chance.between(1, 4):02}^KGH"
