"""Texts that v2 spreads over repetitions and segments: one note, one value, one document."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from engine.hl7v2.tree import NULL, Leaf, Node, Segment, leaves
from engine.mapping.convert.primitives import Converter, clean, repetition_text
from engine.mapping.naming import plain

if TYPE_CHECKING:
    from engine.mapping.run import Run


def collected(path: str) -> Converter:
    """Lines of a text that becomes one value when all segments were read; see :func:`finish_texts`.

    All repetitions of the field at once: an empty one is an empty line.
    """

    def convert(node: Node, segment: Segment, run: Run) -> dict[str, Any] | None:
        assert isinstance(node, tuple)
        texts = [
            "" if rep.__class__ is Leaf and rep.text == NULL else repetition_text(rep, segment.delimiters)
            for rep in node
        ]
        if not any(text.strip() for text in texts):
            return None
        run.use_all(node)
        assert run.current is not None
        run.current.texts.setdefault(path, []).extend(clean(text).rstrip() for text in texts)
        return {}

    return convert


def blank_line(path: str) -> Converter:
    """An empty line of a text of :func:`collected`: a segment without a value parts two paragraphs."""

    def convert(node: Node, _segment: Segment, run: Run) -> dict[str, Any]:
        run.use_all(node)
        assert run.current is not None
        run.current.texts.setdefault(path, []).append("")
        return {}

    return convert


def lines_of_field(node: Node, segment: Segment, run: Run) -> str | None:
    """All repetitions of a text field as the lines of one text (HL7 v2.5.1 §2.A.33: FT may repeat)."""
    assert isinstance(node, tuple)
    texts = [repetition_text(rep, segment.delimiters) for rep in node]
    if not any(t.strip() for t in texts):
        return None
    run.use_all(node)
    return clean("\n".join(texts)).strip("\n")


def attachment_title(node: Node, _segment: Segment, run: Run) -> dict[str, Any] | None:
    """A title of the text that :func:`finish_texts` attaches; the same one again changes nothing."""
    text = plain(node)
    if not text:
        return None
    run.use_all(node)
    assert run.current is not None
    titles = run.current.texts.setdefault("title", [])
    if text not in titles:
        titles.append(text)
    return {}


def finish_texts(resource: dict[str, Any], texts: dict[str, list[str]]) -> None:
    """Collected lines to their element: ``valueString``, ``comment``, or an attachment of a DocumentReference."""
    for name in ("valueString", "comment"):
        if text := _lines(texts.get(name)):
            resource[name] = text
    if text := _lines(texts.get("attachment")):
        data = base64.b64encode(text.encode("utf-8")).decode("ascii")
        attachment = {"contentType": "text/plain; charset=utf-8", "data": data}
        if "title" in texts:
            attachment["title"] = "; ".join(texts["title"])
        resource.setdefault("content", []).append({"attachment": attachment})


def _lines(texts: list[str] | None) -> str:
    """One text without the empty ones at its ends."""
    valued = [n for n, text in enumerate(texts or ()) if text]
    return "\n".join(texts[valued[0] : valued[-1] + 1]) if texts and valued else ""


def joined(separator: str) -> Converter:
    """All leaves as one text, e.g. an SN that is none: ``<> 5 - 10``."""

    def convert(node: Node, _segment: Segment, run: Run) -> str | None:
        parts = [leaf.text for leaf in leaves(node) if leaf.text and leaf.text != NULL]
        if not parts:
            return None
        run.use_all(node)
        return clean(separator.join(parts))

    return convert


def concept_text(node: Node, _segment: Segment, run: Run) -> str | None:
    """A coded value where only a text fits: its original text, its display or its code, and the codes in brackets."""
    if isinstance(node, Leaf):
        text = plain(node)
        if text:
            run.use_all(node)
        return clean(text) or None
    parts = [plain(part) for part in node]
    words = next((parts[n] for n in (8, 1, 4) if n < len(parts) and parts[n]), "")
    codes = [" ".join(parts[n : n + 3 : 2]).strip() for n in (0, 3) if n < len(parts) and parts[n]]
    if not words and not codes:
        return None
    for number in (1, 2, 3, 4, 5, 6, 9):
        if number <= len(node) and (number not in {2, 5} or parts[number - 1] == words):
            run.use_all(node[number - 1])
    if not words:
        return clean("; ".join(codes))
    return clean(f"{words} ({'; '.join(codes)})" if codes else words)
