"""The ``run`` command."""

from __future__ import annotations

import asyncio
import gc
import sys
from contextlib import ExitStack

from adapters.configuration import load_settings
from adapters.kafka.embedded import EmbeddedBroker
from adapters.observability.logs import configure
from adapters.worker import Engine, parse_roles
from engine.errors import SettingsError

_YOUNG_OBJECTS = 20_000
"""Objects made and not freed before young ones are looked through: some ten large messages hold as many, or 2 MB."""


def run_command(roles: str, *, embedded: bool) -> int:
    """Run the roles until SIGTERM or SIGINT; returns the exit code (see ``adapters.kafka.run.ExitCode``)."""
    chosen = parse_roles(roles)
    settings = load_settings()
    configure(settings.observability)
    with ExitStack() as stack:
        kafka = settings.kafka
        if embedded:
            if kafka.brokers:
                raise SettingsError(
                    "--embedded and configured brokers contradict each other",
                    location="kafka.brokers",
                    action="Unset WARDSTREAM_KAFKA__BROKERS, or leave --embedded out.",
                )
            kafka = stack.enter_context(EmbeddedBroker(kafka)).settings
        engine = Engine(chosen, settings)
        return asyncio.run(engine.run(kafka, on_ready=_ready))


def _ready(engine: Engine) -> None:
    settle_memory()
    _tell(engine)


def settle_memory() -> None:
    """Tables, definitions and models are there and stay: no collection of garbage goes through them again.

    Each that did (300,000 objects) held everything up for 0.1 s. What a message leaves behind is freed without a
    collector; to look for what was not, every 700 objects, took a tenth of the time of large messages.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, *gc.get_threshold()[1:])


def _tell(engine: Engine) -> None:
    """Say where things are, for the person who started it."""
    lines = [
        f"MLLP feed {feed!r} at {engine.settings.mllp.host}:{port}"
        for feed, port in engine.mllp_ports.items()
    ]
    if engine.http is not None:
        lines.append(f"console and POST /fhir at http://{engine.settings.http.host}:{engine.http.port}/")
    sys.stderr.write("".join(f"wardstream: {line}\n" for line in lines))
