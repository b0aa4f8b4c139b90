"""What readers of several corpora share: XML files, and texts with their annotations in a file beside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

from engine.errors import SettingsError
from models.corpora.document import Document, Gold, Notices, read_exactly, without_overlaps
from models.corpora.names import LabelMap


def read_xml(path: Path, notices: Notices, action: str) -> ET.Element:
    """The root of a file.

    Raises:
        SettingsError: it is no well-formed XML; ``action`` says what to do about it.
    """
    try:
        return ET.fromstring(read_exactly(path, notices))  # noqa: S314 - a file of the caller's; expat bounds entities
    except ET.ParseError as error:
        raise SettingsError(
            f"It is no well-formed XML: line {error.position[0]}", location=path.name, action=action
        ) from error


def read_pairs(
    pairs: Mapping[Path, Path],
    gold_of: Callable[[Path, str, LabelMap, Notices], list[Gold]],
    names: LabelMap,
    notices: Notices,
) -> list[Document]:
    """Texts by the file of their annotations; what the annotators looked for is what occurs in any of them.

    Raises:
        SettingsError: a file is no text.
    """
    found = []
    for annotated_in, file in pairs.items():
        text = read_exactly(file, notices)
        found.append((file.stem, text, without_overlaps(gold_of(annotated_in, text, names, notices))))
    annotated = frozenset(item.label for _, _, gold in found for item in gold)
    return [Document(name, text, gold, annotated, name) for name, text, gold in found]
