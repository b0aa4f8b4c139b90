"""Frames per second through the MLLP listener and sender on loopback, with a receiver that only answers.

    python bench/bench_mllp.py [--seconds 5] [--bytes 900]

The listener runs in a process of its own, so the figures are those of one core a side. The last lines
measure the frame reader alone, without a socket.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import multiprocessing
import time
from multiprocessing.connection import Connection

import structlog

from adapters.mllp.sender import MllpSender
from adapters.mllp.server import MllpServer
from engine.hl7v2.mllp import FrameReader, frame
from engine.settings import Mllp

RUNS = [(1, 1), (8, 1), (32, 1), (1, 8), (32, 8)]
"""Window of each connection, and connections."""


def message(number: int, size: int) -> bytes:
    head = f"MSH|^~\\&|LAB|SGH|WS|SGH|20260102||ORU^R01|{number}|P|2.5.1\rNTE|1||".encode()
    return head + b"x" * max(size - len(head) - 1, 0) + b"\r"


class Answering:
    async def receive(self, payload: bytes, **_where: str) -> bytes:
        number = payload.split(b"|", 10)[9]
        return b"MSH|^~\\&|WS|SGH|LAB|SGH|20260102||ACK|1|P|2.5.1\rMSA|AA|" + number + b"\r"

    async def receive_broken(self, _payload: bytes, **_where: str) -> None:
        raise AssertionError("the bench sends no broken frames")


def serve(pipe: Connection) -> None:
    quiet()

    async def main() -> None:
        async with MllpServer(Mllp(port=0), Answering()) as server:
            pipe.send(server.port)
            await asyncio.get_running_loop().run_in_executor(None, pipe.recv)

    asyncio.run(main())


async def measure(port: int, window: int, connections: int, seconds: float, size: int) -> tuple[int, float]:
    settings = Mllp(send_window=window)
    senders = [MllpSender("127.0.0.1", port, settings=settings) for _ in range(connections)]
    begun = time.perf_counter()
    end = begun + seconds
    sent = 0

    async def keep_sending(sender: MllpSender, lane: int) -> None:
        nonlocal sent
        number = lane
        while time.perf_counter() < end:
            ack = await sender.send(message(number, size))
            assert ack.accepted
            assert ack.control_id == str(number)
            number += window
            sent += 1

    await asyncio.gather(*(keep_sending(s, lane) for s in senders for lane in range(window)))
    took = time.perf_counter() - begun
    for sender in senders:
        await sender.close()
    return sent, took


def measure_reader(size: int, chunk: int, total: int) -> float:
    """Megabytes per second of the frame reader alone."""
    one = frame(message(1, size))
    wire = one * max(total // len(one), 1)
    reader = FrameReader(max_frame_bytes=len(one))
    begun = time.perf_counter()
    for at in range(0, len(wire), chunk):
        reader.feed(wire[at : at + chunk])
        while reader.next_event() is not None:
            pass
    return len(wire) / 1e6 / (time.perf_counter() - begun)


def quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--bytes", type=int, default=900)
    options = parser.parse_args()
    quiet()
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    listener = context.Process(target=serve, args=(theirs,))
    listener.start()
    port = ours.recv()
    print(f"{options.bytes}-byte messages")
    print("window  connections  messages/s  ms/message")
    for window, connections in RUNS:
        sent, took = asyncio.run(measure(port, window, connections, options.seconds, options.bytes))
        delay = took * window * connections / sent * 1000
        print(f"{window:6}  {connections:11}  {sent / took:10.0f}  {delay:10.2f}")
    ours.send("stop")
    listener.join()
    for name, size, chunk, total in [
        ("900 bytes, 64 KiB reads", 900, 65536, 30_000_000),
        ("15 MB frame, 64 KiB reads", 15_000_000, 65536, 60_000_000),
        ("2 MB frame, byte at a time", 2_000_000, 1, 2_000_000),
    ]:
        print(f"frame reader, {name}: {measure_reader(size, chunk, total):.1f} MB/s")


if __name__ == "__main__":
    main()
