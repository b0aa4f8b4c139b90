"""brat standoff: a ``.txt`` and an ``.ann`` of the same name (brat manual, "Standoff format").

Only text-bound annotations (``T``) are read. A span in several fragments becomes one from its first character to
its last: the runtime knows whole spans alone.

An annotation repeats its words. By them it is found out whether offsets were counted before somebody converted the
text's line ends or put a byte order mark before it, which version control and editors do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.errors import SettingsError
from engine.records import Label
from models.corpora.document import (
    ENOUGH_DOCUMENTS,
    Document,
    Gold,
    Notices,
    read_exactly,
    same_words,
    without_overlaps,
)
from models.corpora.names import LabelMap


@dataclass(frozen=True, slots=True)
class _Annotation:
    line: int
    name: str
    start: int
    end: int
    words: str
    pieces: int


def read_brat(folder: Path, names: LabelMap, notices: Notices) -> list[Document]:
    """Every pair of files under ``folder``. What one folder's annotators looked for is what occurs in it.

    Raises:
        SettingsError: a file is not UTF-8, or it can't be told which annotations of a text count.
    """
    pairs = pairs_in(folder)
    lonely = len(_annotation_files(folder)) - len(pairs)
    if lonely:
        notices.faults.append(f"{lonely} .ann file(s) without their .txt")
    texts: dict[Path, str] = {}
    gold: dict[Path, list[Gold]] = {}
    for path, file in pairs.items():
        annotations = list(_annotations(path, notices))
        texts[path] = _counted_in(read_exactly(file, notices), annotations)
        gold[path] = list(_gold(path, texts[path], annotations, names, notices))
    annotated = _annotated(folder, gold)
    return [
        Document(
            document_id=str(path.relative_to(folder).with_suffix("")),
            text=texts[path],
            gold=without_overlaps(gold[path]),
            annotated=annotated[path],
            group=path.stem,
        )
        for path in pairs
    ]


def pairs_in(folder: Path) -> dict[Path, Path]:
    """Each annotation file and its text: the one beside it, else the only one of its name in another folder (CADEC).

    Raises:
        SettingsError: several annotation files in other folders are of one text.
    """
    files = _annotation_files(folder)
    pairs = {path: text for path in files if (text := _text_beside(path)) is not None}
    apart = [path for path in files if path not in pairs]
    texts: dict[str, list[Path]] = {}
    for text in folder.rglob("*.*") if apart else ():
        if text.suffix.lower() == ".txt" and text not in pairs.values():
            texts.setdefault(text.stem, []).append(text)
    told: dict[Path, Path] = {}
    for path in apart:
        found = texts.get(path.stem, [])
        if len(found) != 1:
            continue
        other = told.setdefault(found[0], path)
        if other is not path:
            one, two = (each.relative_to(folder).as_posix() for each in (other, path))
            raise SettingsError(
                f"{one} and {two} are of one text",
                location="--data",
                action="Move all folders of annotations but one somewhere else (of CADEC keep text and original).",
            )
        pairs[path] = found[0]
    return dict(sorted(pairs.items()))


def _annotation_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.*") if path.suffix.lower() == ".ann" and path.is_file())


def _text_beside(path: Path) -> Path | None:
    """Whatever the case of its ending."""
    beside = (path.with_suffix(ending) for ending in (".txt", ".TXT", ".Txt"))
    return next((text for text in beside if text.is_file()), None)


def _annotations(path: Path, notices: Notices) -> Iterator[_Annotation]:
    for number, line in enumerate(read_exactly(path, notices).splitlines(), 1):
        if not line.startswith("T"):
            continue
        try:
            _, middle, *rest = line.split("\t")
            name, *offsets = middle.replace(";", " ").split()
            start, end = int(offsets[0]), int(offsets[-1])
        except (IndexError, ValueError):
            notices.faults.append(f"{path.name} line {number}: no text-bound annotation")
            continue
        yield _Annotation(number, name, start, end, rest[0] if rest else "", len(offsets) // 2)


def _counted_in(text: str, annotations: Iterable[_Annotation]) -> str:
    """The text as it was when its offsets were counted; as it is, if that fits as well as anything."""
    whole = [each for each in annotations if each.pieces == 1 and each.words]
    ways = [text]
    if "\r\n" in text:
        ways.append(text.replace("\r\n", "\n"))
    ways.append("\ufeff" + text)

    def fits(way: str) -> int:
        return sum(same_words(way[each.start : each.end], each.words) for each in whole)

    # max() takes the first of equals.
    return text if fits(text) == len(whole) else max(ways, key=fits)


def _gold(
    path: Path, text: str, annotations: Iterable[_Annotation], names: LabelMap, notices: Notices
) -> Iterator[Gold]:
    for each in annotations:
        if not 0 <= each.start < each.end <= len(text):
            notices.faults.append(
                f"{path.name} line {each.line}: offsets outside of its text of {len(text)} characters"
            )
            continue
        if each.pieces == 1 and each.words and not same_words(text[each.start : each.end], each.words):
            notices.faults.append(f"{path.name} line {each.line}: other words stand at its place")
            continue
        label = notices.label(each.name, names)
        if label is not None:
            yield Gold(each.start, each.end, label)


def _annotated(root: Path, gold: Mapping[Path, list[Gold]]) -> dict[Path, frozenset[Label]]:
    """What was looked for in each document: what occurs in its folder, or in the parent's if that holds only few."""
    count: dict[Path, int] = {}
    labels: dict[Path, set[Label]] = {}
    for path, found in gold.items():
        for folder in path.relative_to(root).parents:
            count[folder] = count.get(folder, 0) + 1
            labels.setdefault(folder, set()).update(item.label for item in found)
    out = {}
    for path in gold:
        folders = path.relative_to(root).parents
        folder = next((each for each in folders if count[each] >= ENOUGH_DOCUMENTS), folders[-1])
        out[path] = frozenset(labels[folder])
    return out
