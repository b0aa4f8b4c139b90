"""i2b2 2012 and 2014: one XML file a note, ``<TEXT>`` with the text and ``<TAGS>`` with ``<EVENT start end text type>``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models.corpora.document import Document, Gold, Notices, same_words, without_overlaps
from models.corpora.files import read_xml
from models.corpora.names import LabelMap

#: What tools have counted as the first character's place: 0, or 1.
_FIRST = (0, 1)


def looks_like_i2b2_xml(lines: Sequence[str]) -> bool:
    """Whether XML holds a text in the place where these files have it."""
    start = "".join(lines[:20]).lstrip("\ufeff \r\n\t")
    return start.startswith("<") and "<TEXT>" in start


def read_i2b2_xml(path: Path, names: LabelMap, notices: Notices) -> list[Document]:
    """One file; what its annotators looked for is what occurs in it.

    Raises:
        SettingsError: it is no well-formed XML.
    """
    root = read_xml(
        path,
        notices,
        "i2b2's own files of 2012 hold bare & and <: use the mended release, or write &amp; and &lt;.",
    )
    text = root.findtext("TEXT") or ""
    tags = [tag for tag in root.iterfind("TAGS/*") if tag.get("start") and tag.get("end")]
    places = [
        (int(tag.get("start", "")), int(tag.get("end", "")))
        if (tag.get("start", "") + tag.get("end", "")).isdecimal()
        else (-1, -1)
        for tag in tags
    ]
    words = [tag.get("text", "") for tag in tags]

    def fits(first: int) -> int:
        return sum(
            same_words(text[start - first : end - first], said)
            for (start, end), said in zip(places, words, strict=True)
            if start >= first
        )

    first = max(_FIRST, key=fits)
    gold = []
    for tag, (start, end), said in zip(tags, places, words, strict=True):
        where = f"{path.name} {tag.tag} {tag.get('id', '')}".rstrip()
        if not first <= start < end <= len(text) + first:
            notices.faults.append(f"{where}: offsets outside of its text")
        elif said and not same_words(text[start - first : end - first], said):
            notices.faults.append(f"{where}: other words stand at its place")
        else:
            label = notices.label(tag.get("type") or tag.get("TYPE") or tag.tag, names)
            if label is not None:
                gold.append(Gold(start - first, end - first, label))
    annotated = frozenset(each.label for each in gold)
    return [Document(path.stem, text, without_overlaps(gold), annotated, path.stem)]
