"""Brokers for tests: the embedded one, and a real Apache Kafka where there is one or one can be started.

A test module asks for it with ``pytest_plugins = ("kafka.plugin",)``.
"""

import os

import pytest

from adapters.kafka import local
from adapters.kafka.embedded import EmbeddedBroker
from engine.errors import SettingsError
from kafka.support import settings

REQUIRED = os.environ.get("WARDSTREAM_REQUIRE_KAFKA") == "1"
GIVEN = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "")
NO_KAFKA = "no real Kafka"


@pytest.fixture
def embedded():
    """An embedded broker of the test's own, as Kafka settings."""
    with EmbeddedBroker(settings()) as broker:
        yield broker.settings


@pytest.fixture(scope="session")
def real_node(tmp_path_factory):
    """The address of a real Kafka shared by all tests."""
    if GIVEN:
        yield GIVEN
        return
    _need_local_kafka()
    with local.LocalKafka(tmp_path_factory.mktemp("kafka")) as node:
        yield node.address


@pytest.fixture
def real_kafka(real_node):
    """Settings for a real Kafka, with topics of the test's own."""
    return settings(brokers=real_node)


@pytest.fixture
def killable_kafka(tmp_path):
    """A real Kafka that the test may kill: the node and its settings."""
    _need_local_kafka()
    with local.LocalKafka(tmp_path / "data", log_to=tmp_path / "server.log") as node:
        yield node, settings(brokers=node.address)


def _need_local_kafka():
    try:
        local.resolve_jars()
    except SettingsError as error:
        if REQUIRED:
            pytest.fail(f"WARDSTREAM_REQUIRE_KAFKA=1, but {error}")
        pytest.skip(f"{NO_KAFKA}: {error.message}")


def pytest_terminal_summary(terminalreporter):
    """Say loudly what was not proven."""
    skipped = [
        report for report in terminalreporter.stats.get("skipped", []) if NO_KAFKA in str(report.longrepr)
    ]
    if skipped:
        terminalreporter.section("NOT TESTED AGAINST A REAL KAFKA", sep="!", red=True, bold=True)
        terminalreporter.line(
            f"{len(skipped)} test(s) of durability were skipped: {skipped[0].longrepr[2]}. "
            "Install Java 17 and Maven, or set KAFKA_BOOTSTRAP_SERVERS."
        )
