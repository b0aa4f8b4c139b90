"""What a request brings: its text within the limits, and the user it is said to come from."""

from __future__ import annotations

import asyncio
from typing import NoReturn

from aiohttp import web

from adapters.http.answers import answer
from engine.settings import Http

_USER_CHARS = 128
"""Longer names are cut: the header is the caller's."""


class Refused(Exception):  # noqa: N818 - an answer, not an error
    """Ends a request with this answer."""

    def __init__(self, response: web.Response) -> None:
        super().__init__()
        self.response = response


def refuse(status: int, code: str, message: str, action: str) -> NoReturn:
    """Raises :class:`Refused` with one error, told in plain words."""
    raise Refused(answer(status, code, message, action))


async def text_of(request: web.Request, charset: str, settings: Http) -> str:
    """The body as text.

    Raises:
        Refused: 408 not in time, 413 over ``http.max_body_bytes``, 400 not in that character set.
    """
    try:
        async with asyncio.timeout(settings.body_timeout):
            payload = await request.read()
    except TimeoutError:
        refuse(408, "timeout", "The body did not come in time", "Send it again.")
    except web.HTTPRequestEntityTooLarge:
        limit = settings.max_body_bytes
        refuse(413, "too-large", f"The body exceeds {limit} bytes", "Send the note without what is not text.")
    try:
        text = payload.decode(charset)
        text.encode("utf-8")  # some codecs give halves of surrogate pairs, which no answer could hold
    except (UnicodeError, LookupError):
        refuse(
            400, "charset", "The body is not in the declared character set", "Send UTF-8, or declare another."
        )
    return text


def user_of(request: web.Request) -> str:
    """Who asks, as the header ``X-User`` claims; a reverse proxy with a login sets it."""
    return "".join(filter(str.isprintable, request.headers.get("X-User", "")))[:_USER_CHARS].strip()
