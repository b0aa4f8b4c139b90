"""Messages with bad values in them, for tests: any value anywhere, segments lost, doubled or in the wrong place.

Everything is drawn from the random source given, so that a seed (or Hypothesis) gives the same message again.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.hl7v2.batch import split

_TIMES = (
    "20231301", "20230230", "00000000", "99999999", "2023", "202306", "2023060112", "20230601250000",
    "20230601120000+9900", "20230601120000.123456+0530", "20230326023000", "yesterday", "2023-06-01", "19000101",
    "20230601120000-0000", "23:61", "2400", "1215",
)  # fmt: skip
_NUMBERS = (
    "1e5", "1.", "-.5", "+7", "+", "NaN", "00012", "1,5", "<5", ">=7.40", "9" * 25, "0.10", "-0", "1-2", "5 mg", "1:2",
    "2147483648", "-1", "0",
)  # fmt: skip
_CODES = (
    "ZZ", "?", "F", "M", "X", "O", "I", "A", "P", "C", "D", "N", "Y", "NW", "CA", "SC", "RE", "W", "U", "entered-in-error",
    "two  blanks", "a\tb", "unknown",
)  # fmt: skip
_NAMES = (
    "A B&1.2.bad oid&ISO", "AUTH&1.2.840.99&ISO", "&&ISO", "X&not a uri&URI", "X&http://exa mple/{}&URI", "X&1..2&ISO",
    "X&urn:oid:&ISO", "&3f2504e0-4f89-11d3-9a0c-0305e82c3301&UUID", "&3F2504E0-4F89-11D3-9A0C-0305E82C3301&GUID",
    "X&zz&UUID", "host name&a b.c&DNS", "http://x y/z", "mailto:", "a b@c", "urn:oid:2.999.1", "#frag", "../up",
)  # fmt: skip
_TEXTS = (
    "", '""', " ", "\\X00\\", "\\X01\\x\\X1F\\", "\\X0D\\", "\\.br\\", "\\E\\\\F\\\\T\\", "\u00e9\u6f22\U0001f600", "\u200b", "\ufffe",
    "x" * 3000, "&", "^", "~", "^^^", "~~", "&&", "a&b", "a^b", "a~b", "^a", "~a", "<b>&amp;</b>", "{\\rtf1 x}", "====", "QUJD",
    "QUJ", "Q U J D", "QQ", "text/plain", "application", "ABC^DEF^GHI^JKL^MNO^PQR^STU^VWX^YZ^10^11^12^13^14^15",
    "1^2^3^4^5^6^7^8^9^10^11^12", "^^^^^^^^^^^^^^^20230601", "a~b~c~a", "K&L&M^N&O&P^Q&R&S^T&1.2.3&ISO^MR",
)  # fmt: skip
BAD = (*_TIMES, *_NUMBERS, *_CODES, *_NAMES, *_TEXTS)
"""Values in the wire's own form: delimiters in them take effect."""

_TYPES = (
    "NM", "SN", "CE", "CWE", "CNE", "ST", "FT", "TX", "DT", "TM", "TS", "DTM", "ED", "RP", "NA", "NR", "MA", "CF", "IS",
    "ID", "XPN", "XAD", "XTN", "XCN", "XON", "CX", "EI", "DR", "CP", "MO", "TN", "AD", "PN", "CK", "CN", "QIP",
)  # fmt: skip
_JSON: tuple[Any, ...] = (
    None, "", " ", [], {}, [None], [[]], [{}], "x", "2023-02-30", "2023-1-1", "1e400", "a b", "http://a b", "unknown", "final",
    0, -1, 1.5, 10**30, True, "true", "5", "urn:uuid:x", "Patient/a b", "#none", "Patient/1", {"reference": "Patient/1"},
    {"reference": "#x"}, {"coding": []}, {"coding": [{}]}, {"coding": [{"code": "zz"}]}, {"text": "t"}, {"value": 5}, "\x00", "\ud800",
    "x" * 70, {"extension": []}, {"extension": [{"url": "u"}]}, {"resourceType": "Patient"}, {"id": "a b"},
)  # fmt: skip


def mutants(folder: Path, count: int, seed: int) -> Iterator[bytes]:
    """Fixtures below a folder with bad values, ``count`` of them."""
    chance = random.Random(seed)
    messages = originals(folder)
    for _ in range(count):
        yield mutate(chance.choice(messages), chance)


def originals(folder: Path) -> list[bytes]:
    """The single messages of all fixture files, in order of name."""
    found: list[bytes] = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix in {".hl7", ".json"}):
        content = path.read_bytes()
        found += [content] if path.suffix == ".json" else [piece.payload for piece in split(content)]
    return [message for message in found if message[:4] in {b"MSH|", b"MSH^"} or message[:1] == b"{"]


def mutate(message: bytes, chance: random.Random) -> bytes:
    """The message with one to eight things made bad."""
    times = chance.randint(1, 8)
    if message.startswith(b"MSH"):
        return _hl7(message, chance, times)
    try:
        document = json.loads(message)
    except ValueError:
        return message
    for _ in range(times):
        _json(document, chance)
    return json.dumps(document, ensure_ascii=True).encode()


# -- HL7 v2 ------------------------------------------------------------------------------------------


def _hl7(message: bytes, chance: random.Random, times: int) -> bytes:
    header, *lines = [line for line in message.decode("latin-1").split("\r") if line]
    for _ in range(times if lines else 0):
        chance.choice(_WAYS)(lines, chance)
    # Bad values go in as UTF-8; the character set of the header may say otherwise, which is one more bad value.
    return "\r".join([header, *lines, ""]).encode("utf-8", "surrogatepass")


def _field(lines: list[str], chance: random.Random) -> None:
    """A bad value in the place of a field, of one that is there or of an empty one."""
    index = chance.randrange(len(lines))
    fields = lines[index].split("|")
    number = chance.randint(1, max(len(fields) - 1, 1) + (3 if chance.random() < 0.3 else 0))
    fields += [""] * (number + 1 - len(fields))
    fields[number] = _bad(chance)
    lines[index] = "|".join(fields)


def _component(lines: list[str], chance: random.Random) -> None:
    """A bad value in the place of one component."""
    index = chance.randrange(len(lines))
    fields = lines[index].split("|")
    valued = [n for n, text in enumerate(fields) if n and text]
    if valued:
        number = chance.choice(valued)
        parts = fields[number].split("^")
        place = chance.randint(0, len(parts))
        parts[place : place + 1] = [_bad(chance)]
        fields[number] = "^".join(parts)
        lines[index] = "|".join(fields)


def _result(lines: list[str], chance: random.Random) -> None:
    """Another type of OBX-5 than the value has, and a bad value in it."""
    found = [n for n, line in enumerate(lines) if line.startswith("OBX|")]
    if found:
        index = chance.choice(found)
        fields = (lines[index] + "||||||").split("|")
        fields[2] = chance.choice(_TYPES)
        fields[5] = chance.choice(
            (_bad(chance), fields[5], f"^{_bad(chance)}^-^{_bad(chance)}", f"x^y^z^Base64^{_bad(chance)}")
        )
        lines[index] = "|".join(fields)


def _lost(lines: list[str], chance: random.Random) -> None:
    lines.pop(chance.randrange(len(lines)))
    if not lines:
        lines.append("PID|1")


def _emptied(lines: list[str], chance: random.Random) -> None:
    """A field that is not there, required or not."""
    index = chance.randrange(len(lines))
    fields = lines[index].split("|")
    if len(fields) > 1:
        fields[chance.randrange(1, len(fields))] = ""
        lines[index] = "|".join(fields)


def _doubled(lines: list[str], chance: random.Random) -> None:
    lines.insert(chance.randint(0, len(lines)), chance.choice(lines))


def _moved(lines: list[str], chance: random.Random) -> None:
    lines.insert(chance.randint(0, len(lines) - 1), lines.pop(chance.randrange(len(lines))))


def _repeated(lines: list[str], chance: random.Random) -> None:
    """A field that is there once more, or beside something bad."""
    index = chance.randrange(len(lines))
    fields = lines[index].split("|")
    number = chance.randrange(len(fields))
    if number:
        fields[number] += "~" + chance.choice((fields[number], _bad(chance)))
        lines[index] = "|".join(fields)


_WAYS = (
    _field,
    _field,
    _field,
    _component,
    _component,
    _component,
    _result,
    _lost,
    _emptied,
    _doubled,
    _moved,
    _repeated,
)


def _bad(chance: random.Random) -> str:
    return chance.choice(BAD)


# -- FHIR --------------------------------------------------------------------------------------------


def _json(document: Any, chance: random.Random) -> None:
    """One value somewhere replaced, taken out, put into an array or under a wrong name."""
    holders = [node for node in _holders(document) if node]
    if not holders:
        return
    holder = chance.choice(holders)
    key = chance.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    way = chance.random()
    if key == "resourceType":
        return
    if way < 0.6:
        holder[key] = json.loads(json.dumps(chance.choice(_JSON)))
    elif way < 0.8:
        del holder[key]
    elif way < 0.9:
        holder[key] = [holder[key]]
    elif isinstance(holder, dict):
        holder[chance.choice(("status", "_" + key, "value", "x", "extension", "id", "reference", "code"))] = (
            holder.pop(key)
        )


def _holders(node: Any) -> Iterator[Any]:
    if isinstance(node, dict | list):
        yield node
        for item in node.values() if isinstance(node, dict) else node:
            yield from _holders(item)
