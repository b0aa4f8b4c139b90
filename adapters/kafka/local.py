"""A durable Apache Kafka on this machine: one KRaft node from its jars, for ``make kafka`` and for tests.

Needs Java 17 or newer and Maven, which fetches the jars once. Works in a checkout of the project, whose
``tests/kafka/pom.xml`` names them; elsewhere use docker compose.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from adapters.kafka.errors import UnreachableError
from engine.errors import SettingsError

ROOT: Final = Path(__file__).resolve().parents[2]
POM: Final = ROOT / "tests" / "kafka" / "pom.xml"
CACHE: Final = ROOT / ".cache" / "kafka"

_HEAP: Final = "-Xmx512m"
_RESOLVE_TIMEOUT: Final = 600
"""Seconds for Maven to fetch some 100 MB over a slow line."""
_START_TIMEOUT: Final = 60
_STOP_TIMEOUT: Final = 20
_CLUSTER_ID: Final = "d2FyZHN0cmVhbS1sb2NhbA"
"""Any 16 bytes in URL-safe base64; it only has to stay the same for one data folder."""


def can_run() -> str:
    """Why a local Kafka can't run here, or "" if it can."""
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            return f"there is no {program} on the PATH"
    return "" if POM.is_file() else f"there is no {POM}"


def resolve_jars() -> str:
    """The class path of the broker, fetched by Maven the first time.

    Raises:
        SettingsError: Java, Maven or the jars can't be had.
    """
    missing = can_run()
    if missing:
        raise SettingsError(
            f"A local Kafka can't run: {missing}",
            action="Install Java 17 and Maven, or use docker compose up kafka, or --embedded.",
        )
    kept = CACHE / f"classpath-{hashlib.sha256(POM.read_bytes()).hexdigest()[:16]}.txt"
    if kept.is_file():
        path = kept.read_text().strip()
        if all(Path(jar).is_file() for jar in path.split(os.pathsep)):
            return path
    CACHE.mkdir(parents=True, exist_ok=True)
    command = ["mvn", "-B", "-q", "-f", str(POM), "dependency:build-classpath", f"-Dmdep.outputFile={kept}"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=_RESOLVE_TIMEOUT, check=False)  # noqa: S603
    if result.returncode:
        raise SettingsError(
            f"Maven could not resolve Kafka's jars: {_first_error(result.stdout)}",
            action=f"Run: {' '.join(command)}",
        )
    return kept.read_text().strip()


def _first_error(output: str) -> str:
    return next((line for line in output.splitlines() if "ERROR" in line), "no reason given")[:300]


class LocalKafka:
    """One broker and controller in one JVM on 127.0.0.1. It can be killed and started again on the same data.

    Attributes:
        address: ``host:port`` of the broker.
    """

    def __init__(self, data: Path, port: int = 0, *, log_to: Path | None = None) -> None:
        """Prepare a node that keeps its data in ``data``; port 0 picks a free one. It logs to ``log_to``."""
        self._data = data
        self._port = port or _free_port()
        self._controller_port = _free_port()
        self._log_to = log_to
        self._process: subprocess.Popen[bytes] | None = None
        self.address = f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            SettingsError: Java, Maven or the jars can't be had.
            UnreachableError: it ended or did not answer in time.
        """
        class_path = resolve_jars()
        self._data.mkdir(parents=True, exist_ok=True)
        properties = self._data / "server.properties"
        properties.write_text(self._properties())
        if not (self._data / "log" / "meta.properties").exists():
            self._java(
                class_path, "kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(properties)
            ).wait()
        self._process = self._java(class_path, "kafka.Kafka", str(properties))
        self._wait_until_ready()

    def stop(self) -> None:
        """Stop it in order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it as a power cut would; what it had confirmed is in its log (and, here, the page cache)."""
        self._end(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, SIGSTOP for example: a broker that stands still is not one that is gone."""
        if self._process is not None:
            self._process.send_signal(number)

    def wait(self) -> int:
        """Wait until the process ends; its exit code."""
        return self._process.wait() if self._process else 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(number)
        try:
            process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _java(self, class_path: str, *arguments: str) -> subprocess.Popen[bytes]:
        options = [
            _HEAP,
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        ]
        output: IO[bytes] | int = self._log_to.open("ab") if self._log_to else subprocess.DEVNULL
        try:
            # A group of its own: Ctrl-C must reach the engine first, the broker is stopped after it.
            return subprocess.Popen(  # noqa: S603
                ["java", *options, "-cp", class_path, *arguments],  # noqa: S607
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        finally:
            if not isinstance(output, int):
                output.close()

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        give_up = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < give_up:
            if self._process.poll() is not None:
                break
            if _answers(self.address):
                return
            time.sleep(0.2)
        self.kill()
        raise UnreachableError(
            f"Kafka at {self.address} did not start within {_START_TIMEOUT} s",
            action=f"See its log: {self._log_to}."
            if self._log_to
            else "Start it with a log file to see why.",
        )

    def _properties(self) -> str:
        """One node that is broker and controller (KIP-500), fit for large messages and for a single copy."""
        return "\n".join(
            (
                "process.roles=broker,controller",
                "node.id=1",
                f"controller.quorum.voters=1@127.0.0.1:{self._controller_port}",
                f"listeners=PLAINTEXT://127.0.0.1:{self._port},CONTROLLER://127.0.0.1:{self._controller_port}",
                f"advertised.listeners=PLAINTEXT://127.0.0.1:{self._port}",
                "controller.listener.names=CONTROLLER",
                "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
                f"log.dirs={self._data / 'log'}",
                "auto.create.topics.enable=false",
                "offsets.topic.replication.factor=1",
                "offsets.topic.num.partitions=4",
                "transaction.state.log.replication.factor=1",
                "transaction.state.log.min.isr=1",
                "group.initial.rebalance.delay.ms=200",
                "log.retention.check.interval.ms=1000",
                "",
            )
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(address: str) -> bool:
    """Whether a broker lists its topics there; an open port alone comes too early."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    try:
        found = AdminClient({"bootstrap.servers": address, "log_level": 0}).list_topics(timeout=2)
    except KafkaException:
        return False
    return bool(found.brokers)


def main() -> None:
    """Run a durable Kafka on 127.0.0.1:9092 in the foreground, its data in ``.cache/kafka``."""
    node = LocalKafka(CACHE / "data", 9092, log_to=CACHE / "server.log")
    try:
        sys.stderr.write("Starting Apache Kafka (the first time Maven fetches its jars) ...\n")
        node.start()
        sys.stderr.write(
            f"Kafka runs at {node.address}. Data and log: {CACHE}. End it with Ctrl-C.\n"
            f"Use it: WARDSTREAM_KAFKA__BROKERS={node.address} wardstream run\n"
        )
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        sys.exit(node.wait())
    except KeyboardInterrupt:
        sys.stderr.write("Stopping ...\n")
    except (SettingsError, UnreachableError) as error:
        sys.exit(str(error))
    finally:
        node.stop()


if __name__ == "__main__":
    main()
