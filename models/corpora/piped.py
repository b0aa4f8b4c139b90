"""ShARe/CLEF 2013 and 2014, SemEval 2014 and 2015: texts, and files of lines that are parted by ``|``.

2013: ``x.txt||Disease_Disorder||C0008031||4||14``, more pairs of offsets for a span in pieces. Later:
``x.txt|4-14,20-25|C0008031|...``; all of these are disorders. A span in pieces becomes one, as brat's do.
"""

from __future__ import annotations

import re
from pathlib import Path

from models.corpora.document import Document, Gold, Notices, read_exactly
from models.corpora.files import read_pairs
from models.corpora.names import LabelMap

_OLD = re.compile(r"(?P<text>[^|]+)\|\|(?P<name>[^|]+)\|\|[^|]*(?P<places>(?:\|\|\d+\|\|\d+)+)\s*$")
_NEW = re.compile(r"(?P<text>[^|]+)\|(?P<places>\d+-\d+(?:,\d+-\d+)*)\|(?:C\d+|CUI-less)\|")
_ENDINGS = (".pipe", ".pipe.txt", ".pipe.text")
_DISORDER = "disorder"


def pairs_in(folder: Path) -> dict[Path, Path]:
    """Each file of lines and its text: ``x.txt`` or ``x.text`` in any folder; those without a text are left out."""
    piped = {
        path: stem for path in sorted(folder.rglob("*.pipe*")) if (stem := _stem(path)) and path.is_file()
    }
    texts = {
        path.stem: path
        for ending in ("*.text", "*.txt")
        for path in (folder.rglob(ending) if piped else ())
        if path not in piped
    }
    return {path: texts[stem] for path, stem in piped.items() if stem in texts}


def _stem(path: Path) -> str:
    return next((path.name.removesuffix(end) for end in _ENDINGS if path.name.endswith(end)), "")


def read_piped(folder: Path, names: LabelMap, notices: Notices) -> list[Document]:
    """All pairs under a folder. What its annotators looked for is what occurs in any of them.

    Raises:
        SettingsError: a file is no text.
    """
    return read_pairs(pairs_in(folder), _gold, names, notices)


def _gold(lines: Path, text: str, names: LabelMap, notices: Notices) -> list[Gold]:
    gold = []
    for number, line in enumerate(read_exactly(lines, notices).splitlines(), 1):
        if not line.strip():
            continue
        match = _OLD.match(line) or _NEW.match(line)
        if match is None:
            notices.faults.append(f"{lines.name} line {number}: no annotation")
            continue
        places = [int(place) for place in re.findall(r"\d+", match["places"])]
        label = notices.label(match.groupdict().get("name") or _DISORDER, names)
        if not min(places) < max(places) <= len(text):
            notices.faults.append(f"{lines.name} line {number}: offsets outside of its text")
        elif label is not None:
            gold.append(Gold(min(places), max(places), label))
    return gold
