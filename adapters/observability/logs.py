"""Logs: one line a unit of work, structured, without patient data.

Standard library loggers (Kafka's clients, Faust) go through the same processors. Event dictionaries may
hold counts, names, locations and codes; never a payload or a text of a message.
"""

from __future__ import annotations

import logging
import sys
import warnings
from typing import Any

import structlog

from engine.settings import Observability

_NOISY = ("aiokafka", "faust", "mode", "asyncio", "aiohttp.access")
"""Loggers whose information lines tell nothing that an operator could use."""


def configure(settings: Observability) -> None:
    """Set up logging for this process, on standard error."""
    level = logging.getLevelNamesMapping().get(settings.level.upper(), logging.INFO)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if settings.json_logs
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(level, logging.ERROR))
    warnings.simplefilter("ignore", DeprecationWarning)
