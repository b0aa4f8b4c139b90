"""The MLLP listener: accepts clients up to a limit, gives each a :class:`Connection`, stops in good order."""

from __future__ import annotations

import asyncio
import socket
import ssl
from types import TracebackType
from typing import Self

import structlog

from adapters.mllp.calls import raised_at
from adapters.mllp.connection import READ_BYTES, Connection
from adapters.mllp.memory import MemoryGate
from adapters.mllp.receiver import Receiver, new_stats
from adapters.mllp.tls import server_context
from engine.errors import SettingsError
from engine.settings import Mllp

_log = structlog.get_logger("wardstream.mllp")


class MllpServer:
    """Listens on ``mllp.host`` and ``mllp.port`` and hands what arrives to a :class:`Receiver`.

    Attributes:
        port: where it listens; the one it has picked, once started, if the setting is 0.
        stats: counters by name, see :mod:`adapters.mllp.receiver`; read them at any time.

    Clients are accepted here, not by asyncio's own server, so that the limit on connections holds before
    a TLS handshake and not only after it.
    """

    def __init__(self, settings: Mllp, receiver: Receiver) -> None:
        self._settings = settings
        self._receiver = receiver
        self._tls: ssl.SSLContext | None = None
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._clients: dict[asyncio.Task[None], Connection | None] = {}
        self._gate = MemoryGate(settings.max_held_bytes)
        self.stats = new_stats()
        self.port = settings.port

    async def start(self) -> None:
        """Listen.

        Raises:
            SettingsError: the address can't be listened on, or the TLS files can't be used.
        """
        self._tls = server_context(self._settings)
        self._listener = await self._listen()
        self.port = int(self._listener.getsockname()[1])
        self._accepting = asyncio.create_task(self._accept_all(self._listener))
        _log.info("mllp listening", host=self._settings.host, port=self.port, tls=self._tls is not None)

    async def stop(self, timeout: float | None = None) -> int:  # noqa: ASYNC109 - one deadline for several waits
        """Accept no one any more, finish the frames under way, close.

        Frames that are being received may take half of the time, answers the rest. What is not done by
        then is cut off unacknowledged.

        Args:
            timeout: seconds, ``mllp.stop_timeout`` if None. Calls that must be cancelled then get
                ``mllp.linger_timeout`` on top to end.

        Returns:
            How many connections had to be cut off.
        """
        if self._accepting is None or self._listener is None:
            return 0
        self._accepting.cancel()
        await asyncio.wait((self._accepting,))
        self._accepting = None
        self._listener.close()
        limit = self._settings.stop_timeout if timeout is None else timeout
        read_until = asyncio.get_running_loop().time() + limit / 2
        for task, connection in self._clients.items():
            if connection is None:
                task.cancel()  # in its TLS handshake: nothing has been said yet
            else:
                connection.wind_down(read_until)
        late = (await asyncio.wait(self._clients, timeout=limit))[1] if self._clients else set()
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        _log.info("mllp stopped", cut_off=len(late), frames=self.stats["frames"])
        return len(late)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _listen(self) -> socket.socket:
        host, port = self._settings.host, self._settings.port
        loop = asyncio.get_running_loop()
        try:
            infos = await loop.getaddrinfo(
                host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            family, _, _, _, address = infos[0]
            listener = socket.create_server(address, family=family, backlog=self._settings.backlog)
        except OSError as error:
            raise SettingsError(
                f"The MLLP listener can't use {host}:{port}: {error.strerror or error}",
                action="Free the port, or set mllp.host and mllp.port to an address of this machine.",
            ) from error
        listener.setblocking(False)
        return listener

    async def _accept_all(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        number = 0
        while True:
            try:
                client, address = await loop.sock_accept(listener)
            except OSError as error:
                self.stats["accept_errors"] += 1
                _log.error(
                    "mllp can't accept clients",
                    reason=error.strerror,
                    action="If file handles ran out, raise the process's limit or lower mllp.max_connections.",
                )
                await asyncio.sleep(self._settings.accept_pause)
                continue
            peer = f"{address[0]}:{address[1]}"
            if len(self._clients) >= self._settings.max_connections:
                client.close()
                self.stats["connections_refused"] += 1
                _log.warning(
                    "mllp connection refused",
                    peer=peer,
                    limit=self._settings.max_connections,
                    action="Find out who opens so many connections, or raise mllp.max_connections.",
                )
                continue
            number += 1
            self.stats["connections_accepted"] += 1
            task = loop.create_task(self._serve(client, peer, str(number)), name=f"mllp-{number}")
            self._clients[task] = None
            self.stats["connections_open"] = len(self._clients)
            task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._clients[task]
        self.stats["connections_open"] = len(self._clients)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error(
                "mllp connection failed", raised_at=raised_at(error), action="This is a bug: report it."
            )

    async def _serve(self, client: socket.socket, peer: str, number: str) -> None:
        try:
            stream, writer = await self._open(client)
        except OSError as error:
            client.close()
            self.stats["handshakes_failed"] += 1
            _log.warning(
                "mllp connection not opened",
                peer=peer,
                reason=getattr(error, "reason", None) or error.strerror or type(error).__name__,
                action="Check that the client speaks TLS 1.2 or later and, if asked for, shows a certificate.",
            )
            return
        connection = Connection(
            stream,
            writer,
            peer=peer,
            number=number,
            settings=self._settings,
            receiver=self._receiver,
            gate=self._gate,
            stats=self.stats,
        )
        task = asyncio.current_task()
        assert task is not None, "this is a coroutine of a task"
        self._clients[task] = connection
        await connection.run()

    async def _open(self, client: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Streams over an accepted socket, after the TLS handshake if there is one."""
        loop = asyncio.get_running_loop()
        stream = asyncio.StreamReader(limit=READ_BYTES, loop=loop)
        protocol = asyncio.StreamReaderProtocol(stream, loop=loop)
        client.setblocking(False)
        if self._tls is None:
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, client)
        else:
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol,
                client,
                ssl=self._tls,
                ssl_handshake_timeout=self._settings.tls_handshake_timeout,
                ssl_shutdown_timeout=self._settings.write_timeout,
            )
        return stream, asyncio.StreamWriter(transport, protocol, stream, loop)
