"""BioC, as JSON and as XML (Comeau et al., Database 2013): collections of documents of passages with annotations.

Offsets count the characters of the document; a passage stands at its own offset, with blanks before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from engine.errors import SettingsError
from models.corpora.document import Document, Gold, Notices, same_words, without_overlaps
from models.corpora.files import read_xml
from models.corpora.names import LabelMap

_TYPES = ("type", "label", "NE", "entity_type")
_MAX_GAP = 10_000  # blanks between two passages; more is a fault of the file


def is_bioc(value: Any) -> bool:
    """Whether a JSON value is a collection, or one document of one."""
    if not isinstance(value, dict):
        return False
    documents = value.get("documents", [value])
    return isinstance(documents, list) and bool(documents) and all(map(_is_document, documents))


def _is_document(value: Any) -> bool:
    """A text in a list is BigBio's (:mod:`models.corpora.shapes`)."""
    passages = value.get("passages") if isinstance(value, dict) else None
    return isinstance(passages, list) and not any(
        isinstance(each, dict) and isinstance(each.get("text"), list) for each in passages
    )


def looks_like_bioc_xml(lines: Sequence[str]) -> bool:
    """Whether XML begins with a collection."""
    start = "".join(lines[:20]).lstrip("\ufeff \r\n\t")
    return start.startswith("<") and "<collection" in start


def read_bioc_json(path: Path, values: Sequence[Any], names: LabelMap, notices: Notices) -> list[Document]:
    """Collections that were read from a file. What their annotators looked for is what occurs in them."""
    documents = [each for value in values for each in value.get("documents", [value])]
    return _documents(path, documents, names, notices)


def read_bioc_xml(path: Path, names: LabelMap, notices: Notices) -> list[Document]:
    """One file.

    Raises:
        SettingsError: it is no well-formed XML.
    """
    root = read_xml(path, notices, "Give a BioC collection as its tool has written it.")
    return _documents(path, [_element(each) for each in root.iter("document")], names, notices)


def _element(element: ET.Element) -> dict[str, Any]:
    """An element of XML as BioC's JSON has it."""
    found: dict[str, Any] = {
        child.tag: child.text or "" for child in element if child.tag in {"id", "offset", "text"}
    }
    found["infons"] = {child.get("key", ""): child.text or "" for child in element.findall("infon")}
    found["locations"] = [dict(child.attrib) for child in element.findall("location")]
    for plural, tag in (("passages", "passage"), ("sentences", "sentence"), ("annotations", "annotation")):
        found[plural] = [_element(child) for child in element.findall(tag)]
    return found


def _documents(
    path: Path, documents: Sequence[dict[str, Any]], names: LabelMap, notices: Notices
) -> list[Document]:
    read = []
    for number, document in enumerate(documents, 1):
        name = str(document.get("id") or f"{path.name}#{number}")
        try:
            read.append((name, *_one(document, names, notices, f"{path.name} document {number}")))
        except (TypeError, ValueError, KeyError, AttributeError):
            raise SettingsError(
                f"Document {number} is no BioC: an offset, a length or a list of it can't be read",
                location=path.name,
                action="Give a BioC collection as its tool has written it.",
            ) from None
    annotated = frozenset(item.label for _, _, gold in read for item in gold)
    return [
        Document(name, text, without_overlaps(gold), annotated, name) for name, text, gold in read if text
    ]


def _one(document: dict[str, Any], names: LabelMap, notices: Notices, where: str) -> tuple[str, list[Gold]]:
    parts = [part for passage in document["passages"] for part in _texts(passage)]
    text = ""
    for offset, words in parts:
        gap = offset - len(text)
        if not 0 <= gap <= _MAX_GAP:
            raise ValueError("passages out of order")
        text += (("\n" if text else " ") + " " * (gap - 1) if gap else "") + words
    gold = []
    for number, annotation in enumerate(_annotations(document), 1):
        places = [(int(each["offset"]), int(each["length"])) for each in annotation.get("locations") or ()]
        infons = annotation.get("infons") or {}
        kind = next((str(infons[name]) for name in _TYPES if infons.get(name)), "")
        if not places or not kind:
            notices.faults.append(f"{where} annotation {number}: no place or no type")
            continue
        label = notices.label(kind, names)
        start, end = min(at for at, _ in places), max(at + length for at, length in places)
        if not 0 <= start < end <= len(text):
            notices.faults.append(f"{where} annotation {number}: offsets outside of its text")
        elif (
            len(places) == 1
            and annotation.get("text")
            and not same_words(text[start:end], str(annotation["text"]))
        ):
            notices.faults.append(f"{where} annotation {number}: other words stand at its place")
        elif label is not None:
            gold.append(Gold(start, end, label))
    return text, gold


def _texts(passage: dict[str, Any]) -> Iterator[tuple[int, str]]:
    """Offset and text of a passage, or of its sentences."""
    if passage.get("text"):
        yield int(passage.get("offset") or 0), str(passage["text"])
        return
    for sentence in passage.get("sentences") or ():
        if sentence.get("text"):
            yield int(sentence.get("offset") or 0), str(sentence["text"])


def _annotations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from document.get("annotations") or ()
    for passage in document["passages"]:
        yield from passage.get("annotations") or ()
        for sentence in passage.get("sentences") or ():
            yield from sentence.get("annotations") or ()
