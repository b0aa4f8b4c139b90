"""The embedded broker: librdkafka's mock cluster in a process of its own, for demo and tests only.

It speaks the real Kafka protocol over TCP, so the engine runs against it unchanged. It keeps everything in
memory, and of each partition only the last 5 MiB, read or not: see :mod:`adapters.kafka.holdback`.

``python -m adapters.kafka.embedded`` runs it in the foreground. Like every embedded broker it ends when its
standard input is closed, so that it can't outlive the process that started it.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import logging
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from adapters.kafka.errors import UnreachableError
from adapters.kafka.topics import TOPICS, physical
from engine.settings import Kafka

log = logging.getLogger(__name__)

WARNING: Final = (
    "EMBEDDED BROKER: nothing on it is durable. All messages are gone when it stops, "
    "and an acknowledgement only means that they are in memory. For demo and tests only."
)
_GROUP_DELAY_MS: Final = 300
"""How long a new group waits for further members before it hands out partitions; librdkafka says 3 s."""

_WATCH_EVERY: Final = 0.5


class EmbeddedBroker:
    """Starts the broker and stops it: ``with EmbeddedBroker(kafka) as broker: run(broker.settings)``.

    Attributes:
        address: ``host:port``, once started.
        settings: the Kafka settings given, changed to point at this broker, once started.
    """

    def __init__(self, kafka: Kafka, extra_topics: Mapping[str, int] | None = None) -> None:
        """Make a broker with all topics of the engine, and ``extra_topics``: physical name to partitions."""
        self._kafka = kafka
        self._topics = {
            physical(kafka, topic.name): topic.wanted_partitions(kafka) for topic in TOPICS.values()
        } | dict(extra_topics or {})
        self._process: subprocess.Popen[str] | None = None
        self.address = ""

    @property
    def settings(self) -> Kafka:
        return self._kafka.model_copy(
            update={"brokers": self.address, "embedded": True, "replication": 1, "min_insync": 1}
        )

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> str:
        """Start the process and return its address.

        Raises:
            UnreachableError: it gave no address within ``kafka.embedded_start_timeout``.
        """
        log.warning(WARNING)
        command = [sys.executable, "-m", "adapters.kafka.embedded", json.dumps(self._topics)]
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_import_root()
        )
        self.address = self._read_address(self._process)
        if not self.address:
            self.stop()
            raise UnreachableError(
                f"The embedded broker did not start within {self._kafka.embedded_start_timeout:g} s",
                action="Run `python -m adapters.kafka.embedded` to see why.",
            )
        return self.address

    def _read_address(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], self._kafka.embedded_start_timeout)
        return process.stdout.readline().strip() if ready else ""

    async def watch(self) -> None:
        """A job for a run (:class:`adapters.kafka.run.Run`): fails when the process ends by itself.

        Raises:
            UnreachableError: it has ended.
        """
        while self.alive:  # noqa: ASYNC110 - a process has no event to wait for
            await asyncio.sleep(_WATCH_EVERY)
        raise UnreachableError(
            f"The embedded broker at {self.address} has ended, with all that was on it",
            action="Start again and send the messages again; a real Kafka keeps them.",
        )

    def stop(self) -> None:
        """End the process. All that it held is gone."""
        process, self._process = self._process, None
        if process is None:
            return
        with process, suppress(subprocess.TimeoutExpired, BrokenPipeError):
            assert process.stdin is not None
            process.stdin.close()
            process.wait(timeout=2)
            return
        process.kill()
        process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _import_root() -> str:
    return str(Path(__file__).resolve().parents[2])


def _serve(topics: Mapping[str, int]) -> None:
    """Run the mock cluster until standard input ends."""
    # Ctrl-C reaches the whole process group; the engine must be able to finish its work before we go.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cluster = _MockCluster()
    for name, partitions in topics.items():
        cluster.create_topic(name, partitions)
    sys.stdout.write(cluster.address + "\n")
    sys.stdout.flush()
    while os.read(sys.stdin.fileno(), 4096):
        pass


class _MockCluster:
    """rdkafka_mock.h through ctypes: Python's wheel carries the C library but wraps only a part of it.

    What the wheel does wrap (``test.mock.num.brokers``) creates every topic with 4 partitions and lets a new
    group wait for 3 s.
    """

    def __init__(self) -> None:
        self._library = library = ctypes.CDLL(str(_library_path()))
        for name, result, arguments in _SIGNATURES:
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        problem = ctypes.create_string_buffer(512)
        configuration = library.rd_kafka_conf_new()
        library.rd_kafka_conf_set(configuration, b"log_level", b"0", problem, len(problem))
        client = library.rd_kafka_new(0, configuration, problem, len(problem))
        if not client:
            raise OSError(f"librdkafka: {problem.value.decode()}")
        self._cluster = library.rd_kafka_mock_cluster_new(client, 1)
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, _GROUP_DELAY_MS)
        self.address: str = library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def create_topic(self, name: str, partitions: int) -> None:
        code = self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1)
        if code:
            raise OSError(f"librdkafka: topic {name} could not be created, error {code}")


_SIGNATURES: Final[tuple[tuple[str, Any, list[Any]], ...]] = (
    ("rd_kafka_conf_new", ctypes.c_void_p, []),
    (
        "rd_kafka_conf_set",
        ctypes.c_int,
        [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t],
    ),
    (
        "rd_kafka_new",
        ctypes.c_void_p,
        [ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t],
    ),
    ("rd_kafka_mock_cluster_new", ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_int]),
    ("rd_kafka_mock_cluster_bootstraps", ctypes.c_char_p, [ctypes.c_void_p]),
    ("rd_kafka_mock_group_initial_rebalance_delay_ms", None, [ctypes.c_void_p, ctypes.c_int32]),
    (
        "rd_kafka_mock_topic_create",
        ctypes.c_int,
        [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int],
    ),
)


def _library_path() -> Path:
    """The librdkafka that the confluent-kafka wheel brings (Linux: ``confluent_kafka.libs``, macOS: ``.dylibs``)."""
    import confluent_kafka

    package = Path(confluent_kafka.__file__).parent
    for pattern in ("../confluent_kafka.libs/librdkafka*", ".dylibs/librdkafka*"):
        for path in sorted(package.glob(pattern)):
            return path
    raise OSError(
        "The confluent-kafka package here carries no librdkafka: install it from its wheel, "
        "or run a real Kafka (make kafka, docker compose)"
    )


def main() -> None:
    """Serve the topics named in the first argument (JSON: name to partitions), or all of the engine's."""
    if len(sys.argv) > 1:
        _serve(json.loads(sys.argv[1]))
    else:
        kafka = Kafka()
        sys.stderr.write(WARNING + "\nEnd it with Ctrl-D. Its address:\n")
        _serve({physical(kafka, topic.name): topic.wanted_partitions(kafka) for topic in TOPICS.values()})


if __name__ == "__main__":
    main()
