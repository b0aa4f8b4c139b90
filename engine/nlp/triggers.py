"""The words that tell how a finding is meant: what they mean and how far they reach.

The words are in tables/triggers.txt. A longer phrase wins over a shorter one at the same place, which is how
pseudo-triggers work: "no increase" is found before "no" and means nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum, auto
from importlib import resources

from engine.nlp.phrases import PhraseTable
from engine.records import Label


class Meaning(StrEnum):
    """What a trigger says of the findings it reaches."""

    NEGATED = auto()
    POSSIBLE = auto()
    HYPOTHETICAL = auto()
    HISTORICAL = auto()
    FAMILY = auto()
    ALLERGY = auto()
    STOP = auto()  # ends the reach of others: "no fever but cough"
    VERB = (
        auto()
    )  # ends the reach of "no" and "possible", but not of a relative who "has" it, nor of "if he has"
    PATIENT = auto()  # ends the reach of a relative: "mother has DM, patient has HTN"
    NOTHING = auto()  # a pseudo-trigger: looks like one of the above and is not


class Reach(StrEnum):
    """Where the findings stand that a trigger speaks of."""

    CLAUSE = auto()  # after it, to the end of the clause
    NEAR = auto()  # after it, a few words, not past a comma
    NEXT = auto()  # after it, at once or past one word
    ITEM = auto()  # before it, back to the last comma
    LIST = auto()  # before it, back to the start of the clause: "PE, DVT and MI were ruled out"
    TOUCHING = auto()  # before it, at once, at most a bracket between: "DVT prophylaxis", "DM (mother)"
    EITHER = auto()  # CLAUSE if a word follows at once, else ITEM: "nil SOB", "SOB nil"
    MARK = auto()  # a question mark: of what it is written against, "?PE", "PE?"
    BESIDE = auto()  # NEXT if a finding follows at once and none stands at once before it, else ITEM: "neg Murphy's sign", "HIV neg"
    PHRASE = auto()  # after it, to the next comma; ITEM if nothing follows: "无发热、咳嗽", "发热无"
    AROUND = auto()  # ITEM if a finding stands at once before it, else CLAUSE: "PE unlikely", "unlikely PE"


@dataclass(frozen=True, slots=True)
class Trigger:
    """One row of the table, for one phrase.

    Attributes:
        meaning, reach: see there.
        labels: the labels it can be said of; empty: all.
        kin: HL7 v3-RoleCode of the relative, for FAMILY.
    """

    meaning: Meaning
    reach: Reach = Reach.CLAUSE
    labels: frozenset[Label] = frozenset()
    kin: str = ""


# A relative who tells, brings or lives with the patient has no disease by that.
_TELLS = (
    "reports", "reported", "says", "said", "states", "stated", "noticed", "noted", "notes", "observed", "denies", "denied", "claims",
    "claimed", "describes", "brought", "thinks", "feels", "felt", "concerned", "worried", "gave", "gives", "found", "called",
    "informed", "updated", "saw", "present", "at bedside", "is caregiver", "as caregiver", "helps", "accompanied", "mentions",
)  # fmt: skip
_TELLS_MALAY = ("kata", "cakap", "beritahu", "bawa", "hantar", "jaga", "tolong", "risau", "perasan", "dimaklumkan", "datang", "dia kata", "beliau kata")  # fmt: skip
_TELLS_HAN = (
    "说",
    "讲",
    "表示",
    "告知",
    "告诉",
    "代诉",
    "陪",
    "照顾",
    "带",
    "陪同",
    "发现",
    "担心",
    "同意",
    "翻译",
)
_TELLS_TAMIL = ("சொன்னார்", "கூறினார்", "சொல்கிறார்", "அழைத்து")
_WITH_KIN = (
    "lives with", "living with", "stays with", "staying with", "brought in by", "accompanied by", "informed", "spoke to",
    "spoke with", "discussed with", "updated", "history from", "history taken from", "history obtained from", "collateral from", "collateral history from", "as reported by", "according to", "per", "as per", "bib",
    "main caregiver", "nok", "next of kin", "by", "contact", "called", "care of",
)  # fmt: skip
_POSSESSIVE = ("", "his ", "her ", "the ", "patient's ", "pt's ")


_ENGLISH, _OTHERS = "triggers.txt", "triggers_other.txt"
_KIN = "kin="
_NOTHING = Trigger(Meaning.NOTHING)

# "MI in 2009" is history; "diagnosed in 2009" is how long a disease has been there.
_YEARS = range(1940, 2050)


def trigger_table() -> PhraseTable[tuple[Trigger, ...]]:
    """The tables above, ready to search. A phrase that stands in several rows has them all."""
    rows: dict[str, list[Trigger]] = {}
    for phrase, trigger in _listed():
        rows.setdefault(phrase, []).append(trigger)
    for kin, words in _relatives():
        for word in words.split("|"):
            _add_relative(rows, kin, word)
    for year in _YEARS:
        rows[f"in {year}"] = [
            Trigger(Meaning.HISTORICAL, Reach.ITEM, frozenset((Label.PROBLEM, Label.PROCEDURE)))
        ]
        rows[f"diagnosed in {year}"] = [Trigger(Meaning.NOTHING)]
        # "CABG 2010"
        rows[f"{year}"] = [Trigger(Meaning.HISTORICAL, Reach.TOUCHING, frozenset((Label.PROCEDURE,)))]
    return PhraseTable((phrase, tuple(triggers)) for phrase, triggers in rows.items())


def _add_relative(rows: dict[str, list[Trigger]], kin: str, word: str) -> None:
    nothing = [Trigger(Meaning.NOTHING)]
    rows[word] = [
        Trigger(Meaning.FAMILY, Reach.CLAUSE, kin=kin),
        Trigger(Meaning.FAMILY, Reach.TOUCHING, kin=kin),
    ]
    for owner in _POSSESSIVE:
        rows[f"in {owner}{word}"] = [Trigger(Meaning.FAMILY, Reach.ITEM, kin=kin)]
        rows.update({f"{phrase} {owner}{word}": nothing for phrase in _WITH_KIN})
    rows.update({f"{word} {verb}": nothing for verb in _TELLS})


def _listed() -> Iterator[tuple[str, Trigger]]:
    """Phrases of the tables. Raises ValueError naming the line of a heading that is wrong."""
    for table in (_ENGLISH, _OTHERS):
        trigger: Trigger | None = None
        for number, line in enumerate(_table(table), 1):
            if line.startswith("["):
                meaning, reach, *labels = line.strip("[]").split()
                kin = "".join(name.removeprefix(_KIN) for name in labels if name.startswith(_KIN))
                named = frozenset(Label(name.upper()) for name in labels if not name.startswith(_KIN))
                trigger = Trigger(Meaning(meaning), Reach(reach), named, kin)
            elif line and not line.startswith("#"):
                if trigger is None:
                    raise ValueError(f"{table} line {number}: a phrase before the first heading")
                yield line, trigger
                if trigger.kin:
                    yield from ((f"{line} {verb}", _NOTHING) for verb in _tells(line))


def _tells(word: str) -> tuple[str, ...]:
    """What a relative does that has no disease by that, in the language of the word for the relative."""
    return (
        _TELLS_MALAY
        if word.isascii()
        else _TELLS_TAMIL
        if word > "\u0b80" and word < "\u0c00"
        else _TELLS_HAN
    )


def words_for_relatives() -> tuple[str, ...]:
    """All the words for relatives, English first."""
    others = (phrase for phrase, trigger in _listed() if trigger.meaning is Meaning.FAMILY and trigger.kin)
    return (*(word for _, words in _relatives() for word in words.split("|")), *others)


def _relatives() -> Iterator[tuple[str, str]]:
    for line in _table("relatives.csv")[2:]:
        code, _, words = line.partition(",")
        yield code, words


def _table(name: str) -> list[str]:
    return resources.files(__package__).joinpath(f"tables/{name}").read_text(encoding="utf-8").splitlines()
