"""``wardstream run`` as a process of its own, for tests that stop, kill or starve it."""

import asyncio
import json
import os
import signal
import socket
import sys
from typing import Self

from adapters.kafka.reader import read_topic
from adapters.replay.sinks import MllpSink
from engine.settings import Mllp
from kafka.support import until


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """``wardstream run`` in a process of its own."""

    def __init__(self, *arguments: str, **settings: object) -> None:
        self.mllp_port, self.http_port = free_port(), free_port()
        self._arguments = arguments
        self._env = {
            **os.environ,
            "WARDSTREAM_MLLP__PORT": str(self.mllp_port),
            "WARDSTREAM_HTTP__PORT": str(self.http_port),
            "WARDSTREAM_MLLP__FEED": "wards",
            "WARDSTREAM_OBSERVABILITY__AUDIT_KEY": "test",
            **{name: str(value) for name, value in settings.items()},
        }
        self.errors = b""

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "from adapters.cli import main; main()",
            "run",
            *self._arguments,
            env=self._env,
            stderr=asyncio.subprocess.PIPE,
        )
        self._reading = asyncio.create_task(self._read())
        await until(lambda: b"console and POST" in self.errors or self._process.returncode is not None)
        assert self._process.returncode is None, self.errors.decode()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end(signal.SIGTERM)

    async def _read(self) -> None:
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            self.errors += line

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def end(self, number: int) -> int:
        if self._process.returncode is None:
            self._process.send_signal(number)
        code = await asyncio.wait_for(self._process.wait(), 120)
        await self._reading
        return code

    def sender(self) -> MllpSink:
        return MllpSink("127.0.0.1", self.mllp_port, Mllp(send_attempts=1))


def kafka_variables(kafka, **changed: object) -> dict[str, object]:
    """Environment of an engine on this broker, quick to notice what a hospital would give more time."""
    quick = {"commit_interval": 0.3, "session_timeout": 6, "rebalance_drain": 2, "shutdown_timeout": 10}
    chosen = {"brokers": kafka.brokers, "prefix": kafka.prefix, "partitions": 4, **quick, **changed}
    return {f"WARDSTREAM_KAFKA__{name.upper()}": value for name, value in chosen.items()}


async def outcomes(kafka) -> list[dict]:
    return [json.loads(r.value) for r in await read_topic(kafka, "outcomes")]
