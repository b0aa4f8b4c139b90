"""Invented patients: names of Singapore's communities, with identifiers and addresses that cannot exist.

The identifiers look like an NRIC but end in X, which is no check letter of the S and T series; telephone
numbers begin with 0000 and postal codes with 000, which are not given out.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from adapters.replay.generate.chance import Chance
from adapters.replay.generate.conditions import CHRONIC, Condition

# Romanised, simplified, traditional. 許 功 育 in Big5 and 瑋 in GB 18030 end in a backslash or bar.
_SURNAMES = tuple(
    row.split()
    for row in (
        "Tan 陈 陳", "Lim 林 林", "Lee 李 李", "Ng 黄 黃", "Wang 王 王", "Goh 吴 吳", "Chua 蔡 蔡", "Koh 许 許",
        "Teo 张 張", "Yeo 杨 楊", "Sim 沈 沈", "Foo 符 符", "Toh 卓 卓", "Low 刘 劉", "Ho 何 何",
    )
)  # fmt: skip
_SYLLABLES = tuple(
    row.split()
    for row in (
        "Wei 伟 偉", "Ming 明 明", "Hui 慧 慧", "Min 敏 敏", "Jia 佳 佳", "En 恩 恩", "Jun 俊 俊", "Jie 杰 傑", "Xin 欣 欣",
        "Yi 怡 怡", "Kang 康 康", "Hao 豪 豪", "Ling 玲 玲", "Zhi 志 志", "Kung 功 功", "Yuk 育 育", "Wai 瑋 瑋",
    )
)  # fmt: skip
_MALAY = {
    "M": ("Muhammad Hafiz", "Ahmad Farid", "Syafiq", "Ismail"),
    "F": ("Nur Aisyah", "Siti Aminah", "Farah", "Rohana"),
}
_MALAY_FATHERS = ("Rahman", "Abdullah", "Yusof", "Osman", "Salleh")
_INDIAN = {"M": ("Kumaravel", "Anand", "Prakash", "Selvam"), "F": ("Devi", "Priya", "Lakshmi", "Meena")}
_INDIAN_FATHERS = ("Rajendran", "Subramaniam", "Pillai", "Nair", "Govindasamy")
_EURASIAN = {"M": ("José", "Noël", "André", "Joseph"), "F": ("Zoë", "Renée", "Chloé", "Maria")}
_EURASIAN_FAMILIES = ("de Souza", "Gonçalves", "Müller", "D'Almeida", "Peña")
_COMMUNITIES = ("CH",) * 12 + ("MA",) * 4 + ("IN",) * 3 + ("EU",)
_LANGUAGES = {"CH": ("zh", "en"), "MA": ("ms", "en"), "IN": ("ta", "en"), "EU": ("en",)}
_RELIGIONS = {"CH": ("BUD", "CHR", "NOE"), "MA": ("MOS",), "IN": ("HIN", "CHR"), "EU": ("CHR", "CAT")}
_STREETS = (
    "Example Street",
    "Example Avenue",
    "Example Drive",
    "Sample Road",
    "Sample Lane",
    "Specimen Walk & Mews",
)
_RELATIONS = (("SPO", "Spouse"), ("CHD", "Child"), ("PAR", "Parent"), ("SIB", "Sibling"), ("FND", "Friend"))


@dataclass(frozen=True, slots=True)
class Name:
    """A name in Latin letters, and in Chinese characters where there is one."""

    family: str
    given: str
    prefix: str
    simplified: tuple[str, str] | None = None
    traditional: tuple[str, str] | None = None

    def ascii(self) -> Name:
        """The same for a system that knows no accents."""
        return Name(_fold(self.family), _fold(self.given), self.prefix)


@dataclass(frozen=True, slots=True)
class Person:
    """One patient; all texts plain, without HL7 escapes.

    Attributes:
        mrn: medical record number, unique in a stream.
        birth: ``YYYYMMDD``.
        sex: M or F.
        next_of_kin: (name, relationship code of table 0063, its name, telephone).
        conditions: long-standing diagnoses, which notes and DG1 agree on.
        allergies: (code, name, severity of table 0128, reaction).
    """

    mrn: str
    national_id: str
    name: Name
    birth: str
    sex: str
    race: str
    language: str
    religion: str
    marital: str
    street: str
    unit: str
    postal_code: str
    mobile: str
    home_phone: str
    email: str
    next_of_kin: tuple[tuple[Name, str, str, str], ...]
    conditions: tuple[Condition, ...]
    allergies: tuple[tuple[str, str, str, str], ...]


_ALLERGIES = (
    ("PCN", "Penicillin", "SV", "Anaphylaxis"),
    ("SULPHA", "Sulpha drugs", "MO", "Rash"),
    ("NSAID", "Non-steroidal anti-inflammatory drugs", "MO", "Periorbital swelling"),
    ("CONTRAST", "Iodinated contrast", "MI", "Urticaria"),
    ("TRAM", "Tramadol", "MI", "Vomiting"),
)


def make_person(chance: Chance, number: int) -> Person:
    """The patient with a number below ten million; the same chance and number make the same patient."""
    sex = "M" if chance.happens(0.5) else "F"
    community = chance.one(_COMMUNITIES)
    year = chance.between(1932, 2007)
    relatives = tuple(
        (_name(chance, community, chance.one("MF")), *chance.one(_RELATIONS), _phone(chance))
        for _ in range(chance.below(3))
    )
    return Person(
        mrn=f"{number:07}",
        national_id=f"{'T' if year >= 2000 else 'S'}{number:07}X",
        name=_name(chance, community, sex),
        birth=f"{year}{chance.between(1, 12):02}{chance.between(1, 28):02}",
        sex=sex,
        race=community,
        language=chance.one(_LANGUAGES[community]),
        religion=chance.one(_RELIGIONS[community]),
        marital=chance.one("SMMMWD"),
        street=f"Blk {chance.between(1, 999)} {chance.one(_STREETS)}",
        unit=f"#{chance.between(1, 30):02}-{chance.between(1, 99):02}",
        postal_code=f"000{chance.below(1000):03}",
        mobile=_phone(chance),
        home_phone=_phone(chance),
        email=f"patient{number}@example.org" if chance.happens(0.4) else "",
        next_of_kin=relatives,
        conditions=tuple(chance.some(CHRONIC, chance.below(4))),
        allergies=tuple(chance.some(_ALLERGIES, max(0, chance.between(-2, 2)))),
    )


def _name(chance: Chance, community: str, sex: str) -> Name:
    prefix = "Mr" if sex == "M" else chance.one(("Ms", "Mdm"))
    match community:
        case "CH":
            surname, first, second = chance.one(_SURNAMES), *chance.some(_SYLLABLES, 2)
            return Name(
                surname[0],
                f"{first[0]} {second[0]}",
                prefix,
                (surname[1], first[1] + second[1]),
                (surname[2], first[2] + second[2]),
            )
        case "MA":
            link = "Bin" if sex == "M" else "Binte"
            return Name(f"{link} {chance.one(_MALAY_FATHERS)}", chance.one(_MALAY[sex]), prefix)
        case "IN":
            link = "S/O" if sex == "M" else "D/O"
            return Name(f"{link} {chance.one(_INDIAN_FATHERS)}", chance.one(_INDIAN[sex]), prefix)
        case _:
            return Name(chance.one(_EURASIAN_FAMILIES), chance.one(_EURASIAN[sex]), prefix)


def _phone(chance: Chance) -> str:
    return f"0000{chance.below(10_000):04}"


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
