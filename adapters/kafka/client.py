"""What every Kafka client of ours has in common: where the brokers are, and that it keeps its mouth shut."""

from __future__ import annotations

import logging
from typing import Any, Final

from engine.errors import SettingsError
from engine.settings import Kafka

CHATTY: Final = ("aiokafka", "faust", "mode", "adapters.kafka.app")
"""Libraries (and what we derive from theirs) whose debug lines print keys and values: patients' data."""


def connection(kafka: Kafka) -> dict[str, Any]:
    """Keyword arguments of any aiokafka client.

    Raises:
        SettingsError: no broker is configured, or one is not ``host:port``.
    """
    hush()
    return {"bootstrap_servers": bootstrap(kafka), "client_id": "wardstream"}


def bootstrap(kafka: Kafka) -> list[str]:
    """The configured brokers as a list of ``host:port``."""
    brokers = [broker.strip() for broker in kafka.brokers.split(",") if broker.strip()]
    if not brokers:
        raise SettingsError(
            "No Kafka broker is configured (kafka.brokers is empty)",
            action="Set WARDSTREAM_KAFKA__BROKERS=host:port, or use --embedded to try things out.",
        )
    for broker in brokers:
        host, colon, port = broker.rpartition(":")
        if not (colon and host and port.isdigit() and 0 < int(port) < 65536):
            raise SettingsError(
                f"kafka.brokers holds {broker!r}, which is not host:port",
                action="Write each broker as host:port, separated by commas.",
            )
    return brokers


def hush() -> None:
    """Keep the libraries' debug lines out of any log; their chatter too, unless a site asks for it."""
    for name in CHATTY:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.WARNING)
        elif logger.level < logging.INFO:
            logger.setLevel(logging.INFO)
