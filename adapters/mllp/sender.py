"""The MLLP client that replays and relays use: send a message, get the acknowledgement that names it."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from types import TracebackType
from typing import Self

from adapters.mllp.errors import ConnectError
from adapters.mllp.link import Link
from adapters.mllp.peek import Ack, read_sent
from engine.hl7v2.mllp import ended, frame
from engine.settings import Mllp

_STATS = ("connects", "connect_failures", "links_lost", "sent", "acks", "timeouts", "strays", "commits")


class MllpSender:
    """Sends messages over one connection, opened when first needed and reopened after a failure.

    :meth:`send` may be called from several tasks; frames leave in the order of the calls. Up to
    ``mllp.send_window`` of them are on the way at one time.

    Args:
        host, port: of the receiver.
        settings: limits, all those named ``send_*``, ``write_timeout`` and ``trailer_timeout``.
        tls: see :func:`adapters.mllp.tls.client_context`; None for plain TCP.
        server_hostname: name that the receiver's certificate must bear, ``host`` if None.

    Attributes:
        stats: counters by name; they only grow.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        settings: Mllp | None = None,
        tls: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._settings = settings or Mllp()
        self._tls = tls
        self._server_hostname = server_hostname
        self._turn = asyncio.Lock()
        self._link: Link | None = None
        self.stats: Counter[str] = Counter(dict.fromkeys(_STATS, 0))

    async def send(self, payload: bytes) -> Ack:
        """Send one message and wait for the acknowledgement that names it.

        A message is never sent twice by one call. A negative acknowledgement is a result, not an error.

        Args:
            payload: the message, without framing.

        Returns:
            The first acknowledgement whose MSA-2 is the message's MSH-10; one with code "" if the message
            itself says that none is wanted, or wants errors alone and none came within ``mllp.send_silence``.

        Raises:
            FramingError: the payload can't be framed; nothing was sent.
            ConnectError: no connection; nothing was sent.
            AckTimeoutError, LinkLostError: sent, but not acknowledged. The connection is reopened before
                anything else is sent.
        """
        wire = frame(ended(payload))
        sent = read_sent(payload)
        async with self._turn:
            link = await self._link_with_room(sent.control_id)
            answer = link.expect(sent.control_id) if sent.expects_ack else None
            try:
                await link.write(wire)
            except BaseException:
                link.forget(sent.control_id)
                link.give_up("a message was sent in part")
                raise
            self.stats["sent"] += 1
        if answer is None:
            return Ack("", sent.control_id.decode("latin-1"))
        try:
            return await link.wait_for(sent.control_id, answer, errors_only=sent.errors_only)
        except BaseException:
            link.give_up("a message was not acknowledged, and its answer may still come")
            raise

    async def close(self) -> None:
        """End the connection. Messages that still wait get a LinkLostError."""
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _link_with_room(self, control_id: bytes) -> Link:
        while True:
            if self._link is None or self._link.lost:
                self._link = await self._connect()
            link = self._link
            await link.room_for(control_id)
            if not link.lost:
                return link

    async def _connect(self) -> Link:
        s = self._settings
        pause = s.send_backoff
        for attempt in range(1, s.send_attempts + 1):
            try:
                async with asyncio.timeout(s.send_connect_timeout):
                    stream, writer = await asyncio.open_connection(
                        self._host,
                        self._port,
                        ssl=self._tls,
                        server_hostname=(self._server_hostname or self._host) if self._tls else None,
                    )
            except OSError as error:
                self.stats["connect_failures"] += 1
                if attempt == s.send_attempts or isinstance(error, ssl.SSLError):
                    raise self._connect_error(attempt, error) from error
                await asyncio.sleep(pause)
                pause = min(pause * 2, s.send_backoff_max)
            else:
                self.stats["connects"] += 1
                return Link(stream, writer, settings=s, stats=self.stats, peer=f"{self._host}:{self._port}")
        raise AssertionError("send_attempts is at least 1")

    def _connect_error(self, attempts: int, error: OSError) -> ConnectError:
        why = getattr(error, "reason", None) or error.strerror or type(error).__name__
        return ConnectError(
            f"No connection to {self._host}:{self._port} after {attempts} tries: {why}",
            action="Check that the receiver runs and listens there, and that both sides agree on TLS.",
        )
