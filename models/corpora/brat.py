"""brat standoff: a ``.txt`` and an ``.ann`` of the same name (brat manual, "Standoff format").

Only text-bound annotations (``T``) are read. A span in several fragments becomes one from its first character to
its last: the runtime knows whole spans alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from engine.errors import SettingsError
from engine.records import Label
from models.corpora.document import Document, Gold, read_exactly, without_overlaps
from models.corpora.names import LabelMap, normal


def read_brat(folder: Path, names: LabelMap, unknown: set[str]) -> list[Document]:
    """Every pair of files under ``folder``. What one folder's annotators looked for is what occurs in it.

    Args:
        folder: searched through its sub-folders.
        names: label names to ours.
        unknown: names that the map does not know are added to it.

    Raises:
        SettingsError: a line can't be read, or an offset is outside of its text.
    """
    pairs = sorted(path for path in folder.rglob("*.ann") if path.with_suffix(".txt").is_file())
    read = [(path, read_exactly(path.with_suffix(".txt"))) for path in pairs]
    gold = {path: list(_entities(path, text, names, unknown)) for path, text in read}
    annotated = {
        parent: frozenset(g.label for path in pairs if path.parent == parent for g in gold[path])
        for parent in {path.parent for path in pairs}
    }
    return [
        Document(
            document_id=str(path.relative_to(folder).with_suffix("")),
            text=text,
            gold=without_overlaps(gold[path]),
            annotated=annotated[path.parent],
            group=path.stem,
        )
        for path, text in read
    ]


def _entities(path: Path, text: str, names: LabelMap, unknown: set[str]) -> Iterator[Gold]:
    for number, line in enumerate(read_exactly(path).split("\n"), 1):
        if not line.startswith("T"):
            continue
        try:
            name, *offsets = line.split("\t")[1].replace(";", " ").split()
            start, end = int(offsets[0]), int(offsets[-1])
        except (IndexError, ValueError):
            raise _bad(path, number, "is no text-bound annotation") from None
        if not 0 <= start < end <= len(text):
            raise _bad(path, number, f"has offsets outside of its text of {len(text)} characters")
        if normal(name) not in names:
            unknown.add(name)
        label: Label | None = names.get(normal(name))
        if label is not None:
            yield Gold(start, end, label)


def _bad(path: Path, number: int, what: str) -> SettingsError:
    return SettingsError(
        f"Line {number} {what}",
        location=path.name,
        action="Correct it: T1<tab>Label start end<tab>text, offsets in code points of the .txt file.",
    )
