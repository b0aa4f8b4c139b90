"""Files and folders as a source of messages: what kind each holds, and its messages one by one."""

from __future__ import annotations

import gzip
import os
import re
import sys
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from engine.errors import ReadError, SettingsError
from engine.hl7v2.batch import split_stream
from engine.records import Issue, Kind, Severity

CHUNK_BYTES = 1024 * 1024
"""Read at a time: large enough to be fast, small enough that a stream starts at once."""

_GZIP_MAGIC = b"\x1f\x8b"
_HL7_START = re.compile(rb"[\x0b\s]*(?:MSH|FHS|BHS)[^A-Za-z0-9\s]")
_NO_MESSAGES = {".md", ".py", ".sh", ".yaml", ".yml", ".toml", ".csv"}
"""Files that stand beside messages in a folder; one that is named on the command line is read all the same."""
_LINES_SUFFIXES = {".ndjson", ".jsonl"}
_JSON_SUFFIXES = {".json", ".fhir", *_LINES_SUFFIXES}


class Format(StrEnum):
    """What ``--from`` accepts."""

    AUTO = "auto"
    HL7V2 = "hl7v2"
    FHIR = "fhir"


@dataclass(frozen=True, slots=True)
class SourceMessage:
    """One message of a file.

    Attributes:
        path: of the file, relative to what was given on the command line.
        index: its position in the file, from 0.
        kind: hl7v2 or fhir.
        payload: its bytes.
        issues: what the file around it had wrong.
        left_out: bytes over the size limit that are not in the payload.
        failure: why the file could not be read on; the payload then holds nothing.
    """

    path: str
    index: int
    kind: Kind
    payload: bytes
    issues: tuple[Issue, ...] = ()
    left_out: int = 0
    failure: ReadError | None = None


STANDARD_INPUT = "-"
_FHIR_XML = b"http://hl7.org/fhir"
"""The namespace of FHIR as XML. Other markup, such as a gateway's error page, is no message at all."""
STANDARD_OUTPUT = Path("/dev/stdout")
"""The file, if it is one, that standard output was sent to."""


def check(paths: Iterable[Path]) -> None:
    """Refuse a call that names what is not there, before anything is read or written.

    Raises:
        SettingsError: a path does not exist, or standard input is closed.
    """
    for given in paths:
        if str(given) == STANDARD_INPUT:
            require_input()
        elif not given.exists():
            broken = " (its target is gone)" if given.is_symlink() else ""
            raise SettingsError(f"There is no file or folder {given}{broken}", action="Correct the path.")


def require_input() -> None:
    """Raises SettingsError where standard input is closed: whatever is opened next would be read in its place."""
    if sys.stdin is None:
        raise SettingsError(
            "Standard input is closed", location="-", action="Name a file, or pipe something in."
        )


def files(paths: Iterable[Path], besides: Path | None = None) -> Iterator[tuple[Path, str]]:
    """(file, its path relative to what was given). Folders are walked in order of name.

    Hidden files, and those that stand beside messages, are left out of folders. What can't be listed or is a link to
    nothing is given all the same, so that reading it tells why it can't be read.

    Args:
        paths: files, folders, or ``-`` for standard input.
        besides: a file to leave out wherever it is found: the one that is being written.
    """
    for given in paths:
        if str(given) == STANDARD_INPUT:
            yield Path("/dev/stdin"), STANDARD_INPUT
        elif not given.is_dir():
            yield given, _shown(given.name)
        else:
            for path in _walk(given):
                if besides is None or not _same(path, besides):
                    yield path, _shown(path.relative_to(given).as_posix())


def _walk(folder: Path) -> list[Path]:
    """What a folder holds to be read, in order; links to folders are not followed, so that no loop is walked."""
    found: list[Path] = []

    def unlisted(error: OSError) -> None:
        found.append(Path(error.filename))

    for root, folders, names in os.walk(folder, onerror=unlisted):
        folders[:] = [name for name in folders if not name.startswith(".")]
        here = [Path(root, name) for name in names if not name.startswith(".")]
        found += [path for path in here if path.suffix.lower() not in _NO_MESSAGES and _readable_kind(path)]
    return sorted(found)


def _readable_kind(path: Path) -> bool:
    """Whether a name in a folder is worth opening: a socket or a pipe would have us wait for ever."""
    return path.is_file() or (path.is_symlink() and not path.exists())


def _same(path: Path, other: Path) -> bool:
    return path.exists() and other.exists() and path.samefile(other)


def _shown(name: str) -> str:
    """A file name as text: names are bytes, and those that are no UTF-8 get escapes for what is not."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def messages(
    paths: Iterable[Path], wanted: Format, *, limit: int, besides: Path | None = None
) -> Iterator[SourceMessage]:
    """All messages of all files, in order.

    Args:
        paths: files, folders, or ``-`` for standard input.
        wanted: how to read them; AUTO looks at the beginning of each.
        limit: bytes kept of one message.
        besides: a file to leave out: the one that is being written.

    Raises:
        SettingsError: a path does not exist.
    """
    given = list(paths)
    check(given)
    for path, shown in files(given, besides):
        yield from _file(path, shown, wanted, limit)


def _file(path: Path, shown: str, wanted: Format, limit: int) -> Iterator[SourceMessage]:
    index = 0
    kind = Kind.HL7V2
    try:
        chunks = _chunks(path)
        first = next(chunks, b"")
        kind = _kind(path, first, wanted)
        whole = _prepend(first, chunks)
        pieces = (
            split_stream(whole, limit=limit)
            if kind is Kind.HL7V2
            else _fhir_pieces(whole, limit, named_lines=bool(_suffixes(path) & _LINES_SUFFIXES))
        )
        for piece in pieces:
            payload, issues, left_out = (
                (piece.payload, tuple(piece.issues), piece.left_out)
                if not isinstance(piece, tuple)
                else piece
            )
            yield SourceMessage(shown, index, kind, payload, issues, left_out)
            index += 1
    except (OSError, EOFError, zlib.error) as error:
        failure = ReadError(
            f"The file can't be read{' on' if index else ''}: {_why(error)}",
            action="Check that the file is whole, and that this user may read it.",
        )
        yield SourceMessage(shown, index, kind, b"", failure=failure)


def _why(error: OSError | EOFError | zlib.error) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return "it is cut off" if isinstance(error, EOFError) else "its compressed data is broken"


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as raw:
        # Looked at without being taken: a pipe can't be read from its beginning again.
        if raw.peek(2)[:2] != _GZIP_MAGIC:
            while chunk := raw.read1(CHUNK_BYTES):
                yield chunk
            return
        with gzip.open(raw) as unpacked:
            while chunk := unpacked.read1(CHUNK_BYTES):
                yield chunk


def _prepend(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _kind(path: Path, head: bytes, wanted: Format) -> Kind:
    if wanted is not Format.AUTO:
        return Kind(wanted.value)
    narrow = head[:400].replace(b"\0", b"").lstrip(b"\xff\xfe\xef\xbb\xbf")
    if _HL7_START.match(narrow):
        return Kind.HL7V2
    first = narrow.lstrip()[:1]
    if first in {b"{", b"["} or (first == b"<" and _FHIR_XML in head.replace(b"\0", b"")):
        return Kind.FHIR  # of FHIR as XML the FHIR reader says that it wants JSON
    return Kind.FHIR if _suffixes(path) & _JSON_SUFFIXES else Kind.HL7V2


def _suffixes(path: Path) -> set[str]:
    return {suffix.lower() for suffix in path.suffixes}


_NDJSON_LINE = re.compile(rb"\s*\{.*\}\s*$", re.DOTALL)


def _fhir_pieces(
    chunks: Iterator[bytes], limit: int, *, named_lines: bool
) -> Iterator[tuple[bytes, tuple[Issue, ...], int]]:
    """One JSON document, or the lines of NDJSON.

    A file is NDJSON when its first line is a whole object and more follow; or when its name says so, unless the
    first line shows a document laid out over several. Lines of UTF-16 and UTF-32 can't be told by their bytes: such
    a file is one piece, whose lines the FHIR reader tells.
    """
    first = b""
    for chunk in chunks:
        first += chunk
        if b"\n" in first or len(first) > limit:
            break
    line, newline, _ = first.partition(b"\n")
    wide = b"\0" in first[:4]
    whole_object = newline and _NDJSON_LINE.match(line) and _balanced(line)
    if not wide and (whole_object or (named_lines and line.strip() not in {b"{", b"["})):
        yield from _lines(first, chunks, limit)
        return
    content = bytearray(first)
    left_out = 0
    for chunk in chunks:
        room = limit - len(content)
        content += chunk[: max(room, 0)]
        left_out += max(0, len(chunk) - max(room, 0))
    yield bytes(content[:limit]), (), left_out + max(0, len(content) - limit)


def _balanced(line: bytes) -> bool:
    """Whether a line that looks like an object ends as one: a pretty-printed file's first line does not."""
    return line.count(b"{") == line.count(b"}") or line.rstrip().endswith(b"}")


def _lines(
    first: bytes, chunks: Iterator[bytes], limit: int
) -> Iterator[tuple[bytes, tuple[Issue, ...], int]]:
    buffer = bytearray(first)
    left_out = 0
    for chunk in _prepend(b"", chunks):
        buffer += chunk
        *whole, rest = bytes(buffer).split(b"\n")
        for line in whole:
            if line.strip() or left_out:
                yield line.strip()[:limit], (), left_out + max(0, len(line) - limit)
            left_out = 0
        buffer = bytearray(rest[:limit])
        left_out += max(0, len(rest) - limit)
    if buffer.strip() or left_out:
        yield bytes(buffer).strip(), (), left_out


__all__ = ["Format", "Severity", "SourceMessage", "files", "messages"]
