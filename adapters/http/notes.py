"""``POST /annotate``: one note in, its entities out, for callers on site. Each reading leaves an audit line.

A body of ``text/plain`` is the note; ``application/json`` has it under ``text``, with ``language``, ``kind``,
``author_role`` and ``note_id`` if known. Offsets in the answer index that text in Unicode code points. Who asks may say so
in the header ``X-User``: it goes to the audit line as claimed. Errors are OperationOutcomes, as on the other routes.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import structlog
from aiohttp import web

from adapters.http.answers import answer, failure
from adapters.http.bodies import Refused, refuse, text_of, user_of
from engine.errors import (
    ExtractorError,
    OverloadedError,
    PublishError,
    SettingsError,
    SlowExtractorError,
    TooLargeError,
)
from engine.fhir.writer import dumps
from engine.nlp.audit import AUDIT, Occasion, audit_line
from engine.nlp.readers import Readers
from engine.nlp.reading import Reading
from engine.ports import Clock, Publisher
from engine.records import Issue, Note, Publication, Severity
from engine.settings import Settings

log = structlog.get_logger(__name__)

_OPTIONAL = frozenset({"note_id", "language", "kind", "author_role"})


class NoteRoute:
    """Answers ``POST /annotate``.

    Args:
        settings: limits.
        readers: gives the process's note readers; the first call may load them.
        publisher: takes the audit lines; an answer is only given once its line is safe.
        clock: for the time in them.
        audit_key: of the hash that stands there for the text.
    """

    def __init__(
        self,
        settings: Settings,
        readers: Callable[[], Awaitable[Readers]],
        publisher: Publisher,
        clock: Clock,
        audit_key: bytes,
    ) -> None:
        self._settings = settings
        self._readers = readers
        self._publisher = publisher
        self._clock = clock
        self._audit_key = audit_key
        self._slots = asyncio.Semaphore(settings.http.max_requests)
        self.stats = {"read": 0, "refused": 0, "turned_away": 0, "failed": 0}

    async def answer(self, request: web.Request) -> web.Response:
        if self._slots.locked():
            self.stats["turned_away"] += 1
            return answer(429, "overloaded", "Too many notes are under way", "Send it again later.")
        async with self._slots:
            return await self._answer(request)

    async def _answer(self, request: web.Request) -> web.Response:
        try:
            note, issues = await self._note(request)
            reading, seconds = await self._read(note)
            await self._tell(reading, seconds, request)
        except Refused as refusal:
            self.stats["refused"] += 1
            return refusal.response
        except TooLargeError as error:
            self.stats["refused"] += 1
            return failure(413, error)
        except (SlowExtractorError, TimeoutError):
            self.stats["turned_away"] += 1
            seconds = self._settings.nlp.timeout
            return answer(
                504, "note-timeout", f"The note was not read within {seconds:g} s", "Send it again later."
            )
        except OverloadedError as error:
            self.stats["turned_away"] += 1
            return failure(429, error)
        except (ExtractorError, SettingsError, PublishError) as error:
            self.stats["failed"] += 1
            log.error("a note could not be read", code=error.code, reason=error.message)  # noqa: TRY400
            return failure(500 if isinstance(error, ExtractorError) else 503, error)
        self.stats["read"] += 1
        aside = (await self._readers()).aside
        body = await aside.run(len(note.text), lambda: _body(reading, issues))
        headers = {"Content-Type": "application/json", "X-Message-Id": note.message_id}
        return web.Response(body=body, headers=headers)

    async def _read(self, note: Note) -> tuple[Reading, float]:
        readers = await self._readers()
        started = time.perf_counter()
        async with asyncio.timeout(self._settings.nlp.timeout):
            reading = await readers.read(note, however_short=True)
        return reading, time.perf_counter() - started

    async def _tell(self, reading: Reading, seconds: float, request: web.Request) -> None:
        line = audit_line(
            reading,
            Occasion(self._clock.now(), self._settings.http.feed, reading.note.message_id, user_of(request)),
            key=self._audit_key,
            outcome="annotated" if reading.entities else "nothing-found",
            latency=seconds,
        )
        log.info("inference", **line)
        headers = {"feed": self._settings.http.feed, "content-type": "application/json"}
        publication = Publication(
            AUDIT, line["text_hash"].encode(), json.dumps(line).encode("utf-8"), headers
        )
        await self._publisher.publish([publication])

    async def _note(self, request: web.Request) -> tuple[Note, list[Issue]]:
        kind = request.content_type if "Content-Type" in request.headers else ""
        if kind not in {"text/plain", "application/json"}:
            refuse(
                415, "content-type", "The content type is not usable", "Send text/plain or application/json."
            )
        text = await text_of(
            request,
            "utf-8" if kind == "application/json" else request.charset or "utf-8",
            self._settings.http,
        )
        fields: dict[str, Any] = {"text": text} if kind == "text/plain" else _fields(text)
        unknown = [
            Issue(
                Severity.WARNING,
                "unknown-field",
                "",
                "A field was not used",
                f"Known are text, {', '.join(sorted(_OPTIONAL))}.",
            )
            for _ in range(len(fields.keys() - _OPTIONAL - {"text"}))
        ]
        known = {name: value for name, value in fields.items() if name in _OPTIONAL}
        message_id = str(uuid.uuid4())
        known.setdefault("note_id", message_id)
        return Note(
            text=fields["text"], feed=self._settings.http.feed, message_id=message_id, **known
        ), unknown


def _fields(text: str) -> dict[str, Any]:
    action = 'Send {"text": "..."}; note_id, language, kind and author_role are optional texts.'
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        refuse(400, "not-json", "The body is no JSON", action)
    if not isinstance(found, dict) or not isinstance(found.get("text"), str):
        refuse(400, "no-text", "The body has no text", action)
    if any(not isinstance(found[name], str) for name in _OPTIONAL & found.keys()):
        refuse(400, "wrong-type", "A field is no text", action)
    return found


def _body(reading: Reading, issues: list[Issue]) -> bytes:
    body = reading.as_json()
    body["issues"] += [issue.as_json() for issue in issues]
    return dumps(body)
