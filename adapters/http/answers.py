"""What the HTTP side answers with: OperationOutcome resources (FHIR R4 §3.1.0.4)."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from engine.errors import WardstreamError
from engine.fhir.outcome import operation_outcome
from engine.fhir.writer import dumps
from engine.records import Issue, Severity

FHIR_JSON = "application/fhir+json"
RETRY_AFTER_SECONDS = 5
"""Told with 429, 503 and 504."""


def answer(status: int, code: str, message: str, action: str) -> web.Response:
    """One error, told in plain words."""
    return respond(status, operation_outcome([Issue(Severity.ERROR, code, "", message, action)]))


def failure(status: int, error: WardstreamError) -> web.Response:
    """An error of ours."""
    issue = Issue(Severity.ERROR, error.code, error.location, error.message, error.action)
    return respond(status, operation_outcome([issue]))


def respond(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> web.Response:
    """Any resource."""
    more = {"Retry-After": str(RETRY_AFTER_SECONDS)} if status in {429, 503, 504} else {}
    return web.Response(
        status=status, body=dumps(body), headers={"Content-Type": FHIR_JSON, **more, **(headers or {})}
    )
