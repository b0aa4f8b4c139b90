"""Narrative XHTML: whether it is allowed, and what it says as plain text (FHIR R4 §2.4)."""

from __future__ import annotations

import re
from html import escape
from html.parser import HTMLParser
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
_CELLS = frozenset({"td", "th"})
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


class _Reader(HTMLParser):
    """Collects the text that a person would see; blocks and ``br`` break lines, cells are parted by tabs."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.unread = 0
        self.preformatted = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002  base's signature
        if tag == "br" or tag in _BLOCKS:
            self.parts.append("\n")
        elif tag in _CELLS:
            self.parts.append("\t")
        self.unread += tag in _UNREAD
        self.preformatted += tag == "pre"

    def handle_endtag(self, tag: str) -> None:
        if tag in _BLOCKS:
            self.parts.append("\n")
        self.unread = max(0, self.unread - (tag in _UNREAD))
        self.preformatted = max(0, self.preformatted - (tag == "pre"))

    def handle_data(self, data: str) -> None:
        if not self.unread:
            self.parts.append(data if self.preformatted else re.sub(r"[ \t\r\n\f]+", " ", data))


def html_to_text(markup: str) -> str:
    """What HTML or XHTML says, as plain text: entities resolved, line breaks of blocks and ``br`` kept.

    Broken markup is read as a browser would. Scripts, styles and titles say nothing to a reader.
    """
    reader = _Reader()
    reader.feed(markup)
    reader.close()
    text = "".join(reader.parts).replace("\r\n", "\n").replace("\r", "\n")
    lines = (line.strip() for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def text_to_narrative(text: str) -> str:
    """Plain text as the ``div`` of a Narrative, line breaks kept."""
    lines = "<br/>".join(escape(line, quote=False) for line in text.split("\n"))
    return f'<div xmlns="{_NAMESPACE}">{lines}</div>'
