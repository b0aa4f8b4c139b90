"""Is a text a unit of UCUM? Its grammar (ucum.org, §2.2 "Syntax") over its atoms, case sensitive.

The atoms are those of the specification's tables that medicine uses; ``tables/ucum-atoms.txt`` lists them, metric ones
(which take a prefix) apart from the others. ``tables/units.csv`` tells which unit is meant by what senders write instead.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

from engine.remembering import remembered

_PREFIXES = frozenset(
    [
        "Y",
        "Z",
        "E",
        "P",
        "T",
        "G",
        "M",
        "k",
        "h",
        "da",
        "d",
        "c",
        "m",
        "u",
        "n",
        "p",
        "f",
        "a",
        "z",
        "y",
        "Ki",
        "Mi",
        "Gi",
        "Ti",
    ]
)
_ANNOTATION = re.compile(r"\{[\x21-\x7a\x7c\x7e]*\}")
_EXPONENT = re.compile(r"(?<=[^\d+\-.])[+-]?\d+$")
_FACTOR = re.compile(r"[1-9]\d*")
_MICRO = str.maketrans({"µ": "u", "μ": "u"})
_RAISED = re.compile(r"(?<=\d)[⁰¹²³⁴-⁹]+")
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
_POWER = re.compile(r"x?10(?:\^|\*\*?|e\+?)?\(?(\d{1,2})\)?(?=/|$)")
_MARKED = re.compile(r"x|\^|\*|e|\(")
_TWO_MEANINGS = frozenset({"G/L", "MU/L", "MU/ML"})
"""Grams or giga, milli or mega: senders of capitals alone mean the one, others the other."""
_LONGEST = 64
"""No real unit is longer; it bounds the work for texts that are none."""


@cache
def _atoms() -> tuple[frozenset[str], frozenset[str]]:
    """(metric, others)."""
    text = resources.files("engine.mapping").joinpath("tables/ucum-atoms.txt").read_text(encoding="utf-8")
    metric: set[str] = set()
    others: set[str] = set()
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, symbols = line.partition(":")
            (metric if name == "metric" else others).update(symbols.split())
    return frozenset(metric), frozenset(others)


@cache
def _written() -> dict[str, str]:
    """What senders write, folded, and the unit that they mean."""
    text = resources.files("engine.mapping").joinpath("tables/units.csv").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for line in text.splitlines()[1:]:
        if line and not line.startswith(("#", "code,")):
            code, _, forms = line.partition(",")
            for form in (code, *forms.split(";")):
                found[form if len(form) == 1 else _folded(form)] = code
    found.pop("", None)
    return found


def _folded(text: str) -> str:
    """Lower case, no blanks, one way of writing micro and powers of ten."""
    text = _RAISED.sub(lambda match: "^" + match[0].translate(_SUPERSCRIPTS), text)
    text = "".join(text.translate(_MICRO).lower().split())
    power = _POWER.match(text)
    if power and _MARKED.search(power[0]):
        return f"10*{int(power[1])}{text[power.end() :]}"
    return text.replace("²", "2")


@remembered(4096)
def unit_meant(text: str) -> str:
    """UCUM's code of a unit as senders write it: ``x10^9/L``, ``mcg``, ``IU/L``, ``mmHg``; "" for what no table tells."""
    text = text.strip()
    if not text or len(text) > _LONGEST or text in _TWO_MEANINGS:
        return ""
    return _written().get(text if len(text) == 1 else _folded(text), "")


@remembered(4096)
def is_ucum(text: str) -> bool:
    """Whether a text is a valid UCUM expression: ``mmol/L``, ``10*9/L``, ``mm[Hg]``, ``{INR}``."""
    if not text or len(text) > _LONGEST or not text.isascii() or " " in text:
        return False
    bare = _ANNOTATION.sub("\x00", text)
    if "{" in bare or "}" in bare:
        return False
    return _term(bare.removeprefix("/"))


def _term(text: str) -> bool:
    """Components joined with ``.`` and ``/``; parentheses hold a term."""
    depth, start = 0, 0
    parts: list[str] = []
    for position, character in enumerate(text):
        if character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
            if depth < 0:
                return False
        elif character in "./" and depth == 0 and not _inside_brackets(text, position):
            parts.append(text[start:position])
            start = position + 1
    parts.append(text[start:])
    return depth == 0 and all(_component(part) for part in parts)


def _inside_brackets(text: str, position: int) -> bool:
    return text.rfind("[", 0, position) > text.rfind("]", 0, position)


def _component(text: str) -> bool:
    if text.startswith("("):
        return text.endswith(")") and _term(text[1:-1])
    bare = text.replace("\x00", "", 1)
    if "\x00" in bare or (bare != text and not text.endswith("\x00")):
        return False
    if not bare:
        return bare != text  # an annotation alone is the unit 1
    if _FACTOR.fullmatch(bare):
        return True
    metric, others = _atoms()
    for symbol in (bare, _EXPONENT.sub("", bare)):
        if symbol in metric or symbol in others:
            return True
        if any(symbol[:n] in _PREFIXES and symbol[n:] in metric for n in (1, 2)):
            return True
    return False
