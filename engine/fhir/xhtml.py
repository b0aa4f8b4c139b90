"""Narrative XHTML: whether it is allowed, and what it says as plain text (FHIR R4 §2.4)."""

from __future__ import annotations

import re
from html import escape, unescape
from typing import Any
from xml.parsers import expat

_NAMESPACE = "http://www.w3.org/1999/xhtml"
_ALLOWED = re.compile(
    "a|abbr|acronym|address|area|b|bdo|big|blockquote|br|caption|cite|code|col|colgroup|dd|dfn|div|dl|dt|em|h[1-6]|hr|i|img"
    "|kbd|li|map|ol|p|pre|q|samp|small|span|strong|sub|sup|table|tbody|td|tfoot|th|thead|tr|tt|ul|var"
)
"""HTML 4.0 chapters 7-11 and 15 without what is deprecated there, links and images (txt-1)."""
_SCRIPT = re.compile(r"\s*(?:javascript|vbscript):", re.IGNORECASE)

_BLOCKS = frozenset(
    {
        "address",
        "blockquote",
        "caption",
        "dd",
        "div",
        "dl",
        "dt",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "li",
    }
    | {
        "ol",
        "p",
        "pre",
        "section",
        "article",
        "header",
        "footer",
        "table",
        "tbody",
        "tfoot",
        "thead",
        "tr",
        "ul",
    }
)
_BREAKS = {**dict.fromkeys(_BLOCKS, "\n"), "br": "\n", "td": "\t", "th": "\t"}
_UNREAD = frozenset({"script", "style", "head", "title", "template", "noscript"})


class _Refused(Exception):  # noqa: N818  a signal out of expat's callbacks, never seen outside
    pass


class _Checker:
    """Callbacks of expat: refuses what a narrative may not hold, remembers whether it says anything."""

    def __init__(self) -> None:
        self.says_something = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        space, _, local = name.rpartition(" ")
        if space != _NAMESPACE or not _ALLOWED.fullmatch(local):
            raise _Refused
        if any(a.startswith("on") or _SCRIPT.match(v) for a, v in attributes.items()):
            raise _Refused
        self.says_something |= local == "img"

    def text(self, data: str) -> None:
        if not self.says_something and data.strip():
            self.says_something = True

    def entity(self, *_: Any) -> None:
        self.says_something = True

    def refuse(self, *_: Any) -> None:
        raise _Refused


def is_narrative(value: Any) -> bool:
    """Whether ``value`` is a well-formed ``div`` of basic HTML with something in it (txt-1, txt-2)."""
    if not isinstance(value, str) or not value.lstrip().startswith("<div"):
        return False
    checker = _Checker()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.UseForeignDTD(True)  # HTML's named entities are no fault
    parser.StartDoctypeDeclHandler = checker.refuse
    parser.StartElementHandler = checker.start
    parser.CharacterDataHandler = checker.text
    parser.SkippedEntityHandler = checker.entity
    try:
        parser.Parse(value, True)
    except (_Refused, expat.ExpatError, UnicodeEncodeError):
        return False
    return checker.says_something


_TOKEN = re.compile(
    r"""<!--(?P<comment>)|<[!?][^<>]*>|<(?P<end>/?)(?P<tag>[A-Za-z][A-Za-z0-9]*)(?:[^<>"']|"[^"<]*"|'[^'<]*')*+>"""
)
"""A tag, declaration or begin of a comment. No part reaches over a ``<``, so reading takes linear time on any
input; the standard library's parser takes quadratic time on unfinished tags."""
_BLANKS = re.compile(r"[ \t\r\n\f]+")


def html_to_text(markup: str) -> str:
    """What HTML or XHTML says, as plain text: entities resolved, line breaks of blocks and ``br`` kept.

    Cells of a table are parted by tabs. Scripts, styles and titles say nothing to a reader. What only looks
    like markup (``<5``) is text.
    """
    parts: list[str] = []
    position = preformatted = 0
    last_comment_end = markup.rfind("-->")
    while True:
        token = _TOKEN.search(markup, position)
        text = unescape(markup[position : token.start() if token else len(markup)])
        parts.append(text if preformatted else _BLANKS.sub(" ", text))
        if token is None:
            break
        position = _after(markup, token, last_comment_end)
        tag = (token["tag"] or "").lower()
        if tag == "pre":
            preformatted = max(0, preformatted + (-1 if token["end"] else 1))
        if not token["end"] or tag in _BLOCKS:
            parts.append(_BREAKS.get(tag, ""))
    lines = (line.strip() for line in "".join(parts).replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _after(markup: str, token: re.Match[str], last_comment_end: int) -> int:
    """Where reading goes on: behind a comment, behind an unread element; an unfinished comment is text."""
    tag = (token["tag"] or "").lower()
    if token["comment"] is not None:
        return markup.index("-->", token.end()) + 3 if token.end() <= last_comment_end else token.end()
    if tag in _UNREAD and not token["end"] and not token[0].endswith("/>"):
        closing = re.compile(rf"</{tag}\b", re.IGNORECASE).search(markup, token.end())
        return closing.start() if closing else len(markup)
    return token.end()


def text_to_narrative(text: str) -> str:
    """Plain text as the ``div`` of a Narrative, line breaks kept."""
    lines = "<br/>".join(escape(line, quote=False) for line in text.split("\n"))
    return f'<div xmlns="{_NAMESPACE}">{lines}</div>'
