"""Doubles and clients for the fault tests of MLLP: real sockets on 127.0.0.1, short limits."""

import asyncio
import contextlib
import socket
import struct
import time

from adapters.mllp.sender import MllpSender
from adapters.mllp.server import MllpServer
from engine.hl7v2.mllp import FrameReader, frame
from engine.settings import Mllp


def message(number, text=""):
    return f"MSH|^~\\&|LAB|SGH|WS|SGH|20260102||ORU^R01|{number}|P|2.5.1\rNTE|1||{text}\r".encode()


def control_id_of(payload):
    fields = payload.split(b"\r")[0].split(b"|")
    return fields[9].decode("latin-1") if payload.startswith(b"MSH|") and len(fields) > 9 else ""


def acknowledgement(control_id, code="AA", text=""):
    return f"MSH|^~\\&|WS|SGH|LAB|SGH|20260102||ACK|K{control_id}|P|2.5.1\rMSA|{code}|{control_id}|{text}\r".encode()


class Accepting:
    """A receiver that keeps what it gets in memory and says AA, or AR to what is broken."""

    def __init__(self):
        self.payloads = []
        self.broken = []
        self.under_way = 0
        self.most_under_way = 0

    async def receive(self, payload, *, peer, connection):
        self.payloads.append(payload)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self.make_safe(payload)
        finally:
            self.under_way -= 1
        return acknowledgement(control_id_of(payload))

    async def receive_broken(self, payload, *, peer, reason):
        self.broken.append((reason.value, payload))
        return acknowledgement(control_id_of(payload), "AR")

    async def make_safe(self, payload):
        """Subclasses wait or raise here."""


class Held(Accepting):
    """Answers nothing before ``release`` is set."""

    def __init__(self):
        super().__init__()
        self.release = asyncio.Event()

    async def make_safe(self, payload):
        await self.release.wait()


def limits(**changed):
    return Mllp(**{"port": 0, "trailer_timeout": 0.05, "linger_timeout": 0.2, "stop_timeout": 30.0} | changed)


@contextlib.asynccontextmanager
async def serving(receiver, **settings):
    async with MllpServer(limits(**settings), receiver) as server:
        yield server


class Client:
    """A client that does exactly what a test says."""

    def __init__(self, stream, writer):
        self.stream = stream
        self.writer = writer
        self._frames = FrameReader()

    def write(self, data):
        self.writer.write(data)

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, within=60.0):
        """MSA-1 and MSA-2 of the next answer; None when the server closed the connection."""
        async with asyncio.timeout(within):
            while (event := self._frames.next_event()) is None:
                try:
                    data = await self.stream.read(65536)
                except ConnectionError:
                    return None
                if not data:
                    return None
                self._frames.feed(data)
        msa = event.payload.split(b"\r")[1].decode("latin-1").split("|")
        return msa[1], msa[2]

    def reset(self):
        """Close with an RST instead of a FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def connected(server, **options):
    stream, writer = await asyncio.open_connection("127.0.0.1", server.port, **options)
    try:
        yield Client(stream, writer)
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def neighbour(server, slowest=2.0):
    """A well-behaved client that sends while the body runs; each of its messages must be accepted in time.

    Time is what this process computed meanwhile: it stands for all that the server did before it had a turn for the
    neighbour, and does not depend on what else the machine does.
    """
    delays = []

    async def keep_sending():
        async with MllpSender("127.0.0.1", server.port, settings=limits(send_ack_timeout=60.0)) as sender:
            while True:
                begun = time.process_time()
                ack = await sender.send(message(f"N{len(delays)}"))
                assert ack.accepted
                delays.append(time.process_time() - begun)
                await asyncio.sleep(0.01)

    task = asyncio.create_task(keep_sending())
    try:
        await until(lambda: delays or task.done())
        yield
        before = len(delays)
        await until(lambda: len(delays) > before or task.done())
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.wait((task,))
    assert max(delays) < slowest


async def until(condition, within=60.0):
    """Wait until a condition of the test holds."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - what is waited for happens elsewhere and signals nothing
            await asyncio.sleep(0.005)


__all__ = ["Accepting", "Client", "Held", "acknowledgement", "connected", "control_id_of", "frame", "limits"]
__all__ += ["message", "neighbour", "serving", "until"]
