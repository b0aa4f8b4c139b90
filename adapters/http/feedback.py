"""``POST /feedback``: a clinician's flag on one finding, kept on the topic feedback.flags.

The body is ``application/json``: :func:`engine.nlp.flags.flag_of` has its fields. Who flags is the header ``X-User``, which a
reverse proxy with a login sets, else ``user`` in the body. 202 means that Kafka has confirmed the flag. Nothing of a flag is logged.
"""

from __future__ import annotations

import asyncio

import orjson
from aiohttp import web

from adapters.http.answers import answer, failure, respond
from adapters.http.bodies import Refused, refuse, text_of, user_of
from engine.errors import PublishError, ReadError
from engine.fhir.outcome import operation_outcome
from engine.nlp.flags import Flag, flag_of
from engine.ports import Clock, Publisher
from engine.records import Issue, Severity
from engine.settings import Settings


class FlagRoute:
    """Answers ``POST /feedback``.

    Args:
        settings: limits (``http``).
        publisher: takes the flags; an answer is only given once they are safe.
        clock: for the time in them.
    """

    def __init__(self, settings: Settings, publisher: Publisher, clock: Clock) -> None:
        self._http = settings.http
        self._publisher = publisher
        self._clock = clock
        self._slots = asyncio.Semaphore(settings.http.max_requests)
        self.stats = {"kept": 0, "refused": 0, "not_safe": 0, "turned_away": 0}

    async def answer(self, request: web.Request) -> web.Response:
        """202 with the flag's id, or an OperationOutcome that names the field that is wrong."""
        if self._slots.locked():
            self.stats["turned_away"] += 1
            return answer(429, "throttled", "Too many flags are under way", "Send it again later.")
        async with self._slots:
            try:
                flag = await self._flag(request)
                await self._publisher.publish(flag.to_publications())
            except Refused as refusal:
                self.stats["refused"] += 1
                return refusal.response
            except ReadError as error:
                self.stats["refused"] += 1
                return failure(400, error)
            except PublishError as error:
                self.stats["not_safe"] += 1
                return failure(503, error)
        self.stats["kept"] += 1
        note = Issue(Severity.INFORMATION, "safe", "", f"The flag is safe as {flag.flag_id}")
        return respond(202, operation_outcome([note]), {"X-Flag-Id": flag.flag_id})

    async def _flag(self, request: web.Request) -> Flag:
        # A page of another site can't make a browser send this type without asking first.
        if request.content_type != "application/json":
            refuse(415, "content-type", "The content type is not usable", "Send application/json.")
        try:
            asked = orjson.loads(await text_of(request, "utf-8", self._http))
        except orjson.JSONDecodeError:
            refuse(400, "not-json", "The body is no JSON", "Send one flag as a JSON object.")
        if not isinstance(asked, dict):
            refuse(400, "not-json", "The body is no JSON object", "Send one flag as a JSON object.")
        return flag_of(asked, user=user_of(request), time=self._clock.now())
