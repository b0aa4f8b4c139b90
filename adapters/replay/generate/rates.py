"""How often things go wrong at a sender, before and after its behaviour shifts.

The shift imitates what a careless upgrade of a sending system does: required demographics come empty, codes
change to ones that were never seen, notes are written in a shorthand that the reader is less sure of, and
some messages arrive broken.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rates:
    """Probabilities, 0..1.

    Attributes:
        empty: of date of birth and of sex to be absent, each by itself.
        novel: of a code to be replaced by one that was never seen.
        broken: of a message to be damaged beyond reading.
        shorthand: of a note to be written as telegraphic ward shorthand.
    """

    empty: float
    novel: float
    broken: float
    shorthand: float


USUAL = Rates(empty=0.02, novel=0.0, broken=0.0, shorthand=0.05)
"""Some patients are unknown and some doctors terse at any hospital: a detector must live with that."""

SHIFTED = Rates(empty=0.6, novel=0.7, broken=0.15, shorthand=0.85)
