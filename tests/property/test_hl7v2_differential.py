"""The reader against python-hl7 and hl7apy, value by value, over every message of the corpora that they can read.

Where they differ, the file is listed here with the reason why ours is right by the standard.
"""

from __future__ import annotations

import re
from collections import Counter
from decimal import Decimal
from pathlib import Path

import hl7
import pytest
from hl7apy.exceptions import HL7apyException
from hl7apy.parser import parse_message

from engine.errors import ReadError
from engine.hl7v2 import er7
from engine.hl7v2.batch import split
from engine.hl7v2.escapes import unescape
from engine.hl7v2.tree import Message

pytestmark = pytest.mark.corpora

PYTHON_HL7_DIFFERS = {
    "segment-case.hl7": "segment ids in small letters: we read them as the segments they are, and say so (§2.5.1)",
    "sample_win.hl7": "a lone backslash in front of a real value: we keep it as text, they drop it (§2.7)",
    "msh-too-short.hl7": "MSH has no third field: they count the next segment's id as one",
    "malformed-mid-stream.hl7": "the same as msh-too-short.hl7",
    **dict.fromkeys(
        ("test_client-001.hl7", "test_client-003.hl7", "test_client-004.hl7"),
        "a line that is no segment: we keep it whole as text and say so, they take its first letters as an id (§2.5.1)",
    ),
}
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)")


def texts(corpora: Path):
    """(file name, message, its text with CR line ends) of every message that our reader reads."""
    for path in sorted((corpora / "hl7").rglob("*")):
        if not path.is_file() or path.suffix in {".json", ".fhir", ".ts"}:
            continue
        content = path.read_bytes()
        if b"MSH" not in content:
            continue
        for piece in split(content):
            try:
                message = er7.read(piece.payload, fallback="8859/1")
            except ReadError:
                continue
            text = piece.payload.decode(message.charset).lstrip("\ufeff")
            yield path.name, message, text.replace("\r\n", "\r").replace("\n", "\r")


def ours(message: Message) -> dict:
    found = {}
    for segment, (number, r, c, u, text) in message.values():
        if not (segment.id == "MSH" and number < 3):
            found[segment.id, segment.occurrence, number, r, c, u] = text
    return found


def by_python_hl7(text: str, message: Message) -> dict:
    """python-hl7 leaves escapes as they are: they are decoded here by the same rules."""
    found: dict = {}
    counts: Counter[str] = Counter()
    for segment in hl7.parse(text):
        name = str(segment[0])
        counts[name] += 1
        for number in range(3 if name in {"MSH", "FHS", "BHS"} else 1, len(segment)):
            for r, repetition in enumerate(segment[number], 1):
                components = [repetition] if isinstance(repetition, str) else repetition
                for c, component in enumerate(components, 1):
                    parts = [component] if isinstance(component, str) else component
                    for u, part in enumerate(parts, 1):
                        if str(part):
                            found[name, counts[name], number, r, c, u] = unescape(
                                str(part), message.delimiters
                            )
    return found


def test_python_hl7_tells_the_same(corpora):
    """Every value of every message, in the same place."""
    read, differing = 0, set()
    for name, message, text in texts(corpora):
        try:
            theirs = by_python_hl7(text, message)
        except hl7.HL7Exception:
            continue
        read += 1
        if ours(message) != theirs:
            differing.add(name)
    assert read > 900
    assert differing <= set(PYTHON_HL7_DIFFERS)


def number_or_text(text: str) -> str:
    """hl7apy writes numbers anew (`0001` as `1`, `.00` as `0.00`) and drops blanks around values."""
    text = text.strip()
    return str(Decimal(text).normalize()) if _NUMBER.fullmatch(text) else text


def by_hl7apy(text: str, message: Message) -> dict:
    """(segment, occurrence, field): its values, sorted: hl7apy moves the withdrawn components of a field."""
    found: dict = {}
    counts: Counter[str] = Counter()
    d = message.delimiters
    marks = re.compile("[" + re.escape(d.component + d.subcomponent + d.repetition) + "]")
    for segment in parse_message(text, find_groups=False).children:
        counts[segment.name] += 1
        for child in segment.children:
            number = int((child.name or "_0").rsplit("_", 1)[1])
            if number == 0 or (segment.name == "MSH" and number < 3):
                continue
            # It escapes the backslashes of escapes that it doesn't know, such as \\X21\\: hence twice.
            values = [number_or_text(unescape(unescape(v, d), d)) for v in marks.split(child.to_er7())]
            place = (segment.name, counts[segment.name], number)
            found[place] = sorted([*found.get(place, []), *filter(None, values)])
    return {place: values for place, values in found.items() if values}


@pytest.mark.slow
def test_hl7apy_tells_the_same(corpora):
    """Every field that hl7apy gives holds the same values with us; fields it drops as withdrawn we keep."""
    read = fields = kept = 0
    differing = {}
    seen = set()  # hl7apy takes 30 ms a kilobyte, and the corpora hold some messages in several folders
    for name, message, text in texts(corpora):
        if text in seen:
            continue
        seen.add(text)
        # It refuses the fifth delimiter, of v2.7.
        known = text if "\\P\\" in text else text.replace("|^~\\&#|", "|^~\\&|", 1)
        try:
            theirs = by_hl7apy(known, message)
        except (HL7apyException, ValueError, AttributeError):
            continue  # it refuses what it can't parse: letters in a number, names of no segment, unknown versions
        read += 1
        mine: dict = {}
        for (segment, occurrence, number, *_), value in ours(message).items():
            if value.strip():
                mine.setdefault((segment, occurrence, number), []).append(number_or_text(value))
        fields += len(theirs)
        kept += len(mine.keys() - theirs.keys())
        if any(sorted(mine.get(place, [])) != values for place, values in theirs.items()):
            differing[name] = {p: (mine.get(p), v) for p, v in theirs.items() if sorted(mine.get(p, [])) != v}
    assert read > 750
    assert fields > 95_000
    assert kept < fields / 50
    assert differing == {}
