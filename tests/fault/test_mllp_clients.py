"""The listener against slow, silent, flooding and rude clients, while a well-behaved neighbour goes on."""

import asyncio
import contextlib
import random

import pytest
from mllp_support import Accepting, connected, message, neighbour, serving, until

from engine.hl7v2.mllp import frame


async def test_half_a_frame_then_close():
    """A message cut off by its sender is handed over as broken, with its bytes, and never accepted."""
    receiver = Accepting()
    async with serving(receiver) as server, neighbour(server):
        async with connected(server) as client:
            await client.send(b"\x0b" + message("H"))
            client.writer.write_eof()
            assert await client.answer() == ("AR", "H")
        assert receiver.broken == [("cut-off", message("H"))]


async def test_one_answer_for_each_end_block():
    """A sender that restarts a frame waits for one answer; a second one would go to its next message, and so on."""
    receiver = Accepting()
    async with serving(receiver) as server, connected(server) as client:
        await client.send(b"\x0b" + message(1)[:30] + frame(message(1)) + b"junk" + frame(message(2)))
        assert [await client.answer() for _ in range(2)] == [("AA", "1"), ("AA", "2")]
        client.writer.write_eof()
        assert await client.answer() is None
    assert receiver.broken == [("restarted", message(1)[:30]), ("outside-frame", b"junk")]


async def test_reset_in_the_middle_of_a_frame():
    """A client that vanishes with an RST leaves its half message as broken and hurts nobody."""
    receiver = Accepting()
    async with serving(receiver) as server, neighbour(server):
        async with connected(server) as client:
            await client.send(b"\x0b" + message("R"))
            await until(lambda: server.stats["bytes_held"] > 0)
            client.reset()
            await until(lambda: receiver.broken)
        await until(lambda: server.stats["ended_peer_lost"] == 1)
        assert receiver.broken == [("cut-off", message("R"))]


async def test_sender_that_closes_without_waiting_for_its_answers():
    """Whole messages of a client that sends and leaves are still handed over, every one."""
    receiver = Accepting()
    async with serving(receiver) as server, neighbour(server):
        async with connected(server) as client:
            await client.send(b"".join(frame(message(f"L{n}")) for n in range(50)))
            client.writer.close()
        await until(lambda: sum(b"|L" in payload for payload in receiver.payloads) == 50)


async def test_a_thousand_connections_over_the_limit():
    """Every connection beyond the limit is closed at once and counted; those within go on."""
    limit = 4
    async with serving(Accepting(), max_connections=limit) as server, neighbour(server):
        async with connected(server), connected(server), connected(server) as last:
            await until(lambda: server.stats["connections_open"] == limit)
            for _ in range(20):
                refused = await asyncio.gather(*(is_closed_at_once(server) for _ in range(50)))
                assert all(refused)
            await last.send(frame(message("still here")))
            assert await last.answer() == ("AA", "still here")
        assert server.stats["connections_refused"] == 1000
        await until(lambda: server.stats["connections_open"] == 1)
        async with connected(server) as again:
            await again.send(frame(message("room again")))
            assert await again.answer() == ("AA", "room again")


async def is_closed_at_once(server):
    async with connected(server) as client:
        return await client.answer() is None


async def test_client_that_never_reads_its_answers():
    """A client that only writes is cut off after write_timeout; what it makes us hold stays bounded."""

    class Wordy(Accepting):
        async def receive(self, payload, *, peer, connection):
            answer = await super().receive(payload, peer=peer, connection=connection)
            return answer + b"ERR|" + b"x" * 200_000 if b"|W" in payload else answer

    held = []
    async with serving(Wordy(), write_timeout=0.3, pipeline=4) as server, neighbour(server):
        async with connected(server) as client:
            client.stream._transport.pause_reading()
            with contextlib.suppress(ConnectionError):
                while server.stats["ended_write_timeout"] == 0:
                    await client.send(frame(message("W", "y" * 5000)))
                    held.append(server.stats["bytes_held"])
        await until(lambda: server.stats["ended_write_timeout"] == 1)
        assert max(held) < 1_000_000


async def test_frame_of_20_mb_over_the_limit():
    """A frame far over the limit is refused by name, its bytes are not kept, and the next one is accepted."""
    receiver = Accepting()
    held = []
    async with serving(receiver, max_frame_bytes=1_000_000) as server, neighbour(server):
        async with connected(server) as client:
            await client.send(b"\x0b" + message("BIG"))
            for _ in range(200):
                await client.send(b"x" * 100_000)
                held.append(server.stats["bytes_held"])
            await client.send(b"\x1c\r" + frame(message("next")))
            assert await client.answer() == ("AR", "BIG")
            assert await client.answer() == ("AA", "next")
        (reason, kept), *others = receiver.broken
        assert (reason, kept[: len(message("BIG"))], others) == ("too-large", message("BIG"), [])
        assert max(held) < 2_000_000
        assert server.stats["bytes_received"] > 20_000_000


async def test_flood_of_random_bytes():
    """Five megabytes of noise end in broken pieces, never in a crash, and leave the neighbour alone."""
    noise = random.Random(20260102).randbytes(5_000_000)
    receiver = Accepting()
    async with serving(receiver) as server, neighbour(server):
        async with connected(server) as client:
            reading = asyncio.create_task(client.stream.read(-1))
            try:
                await client.send(noise)
                client.writer.write_eof()
                await reading
            except ConnectionError:
                await asyncio.wait((reading,))
        await until(lambda: server.stats["connections_open"] == 1)
        noisy = [payload for payload in receiver.payloads if not payload.startswith(b"MSH|")]
        assert noisy or receiver.broken
        assert server.stats["under_way"] <= 1


async def test_flood_of_empty_frames():
    """The smallest frames there are come in order and no faster than they are answered."""
    receiver = Accepting()
    async with serving(receiver, pipeline=8) as server, neighbour(server):
        async with connected(server) as client:
            client.write(frame(b"") * 20_000)
            client.writer.write_eof()
            for _ in range(20_000):
                assert await client.answer() == ("AA", "")
            assert await client.answer() is None
        assert receiver.most_under_way <= 8 + 1  # and the neighbour


async def test_client_that_speaks_no_mllp():
    """Sixteen broken pieces in a row are a client that will never speak MLLP: each is kept, then it is sent away."""
    receiver = Accepting()
    async with serving(receiver) as server, neighbour(server):
        async with connected(server) as client:
            await client.send(b"GET / HTTP/1.1\x1c\r" * 40)
            answers = []
            while (answer := await client.answer()) is not None:
                answers.append(answer)
        assert answers == [("AR", "")] * 16
        assert receiver.broken == [("outside-frame", b"GET / HTTP/1.1")] * 16
        await until(lambda: server.stats["ended_faults"] == 1)


async def test_last_answer_reaches_a_client_that_still_sends():
    """A client sent away in mid-sentence can read why: closing over its unread bytes would destroy the answer."""
    async with serving(Accepting(), max_faults=1, linger_timeout=3.0) as server, connected(server) as client:
        await client.send(b"junk\x1c\r" + b"x" * 30_000_000)  # a reset would fail it
        client.writer.write_eof()
        assert await client.answer() == ("AR", "")
        assert await client.answer() is None


async def test_a_good_frame_forgives_faults():
    """A sloppy sender whose messages are whole is never sent away."""
    async with serving(Accepting(), max_faults=2) as server, connected(server) as client:
        for n in range(10):
            await client.send(b"junk\x1c\r" + frame(message(n)))
            assert await client.answer() == ("AR", "")
            assert await client.answer() == ("AA", str(n))


async def test_slow_loris():
    """A frame that trickles past its time limit is handed over as broken and its client sent away."""
    receiver = Accepting()
    async with serving(receiver, frame_timeout=0.3) as server, neighbour(server):
        async with connected(server) as client:
            client.write(b"\x0b")
            sent = b""
            while not receiver.broken:
                client.write(b"x")
                sent += b"x"
                await asyncio.sleep(0.02)
            assert await client.answer() == ("AR", "")
            assert await client.answer() is None
        ((reason, payload),) = receiver.broken
        assert reason == "timed-out"
        assert sent.startswith(payload)
        await until(lambda: server.stats["ended_frame_timeout"] == 1)


async def test_silent_client():
    """A client that says nothing, or only blanks, gives its place back after the idle time."""
    async with serving(Accepting(), idle_timeout=1.0) as server, neighbour(server):
        async with connected(server) as silent, connected(server) as blank:
            await blank.send(b"\r\n")
            assert await silent.answer() is None
            assert await blank.answer() is None
        await until(lambda: server.stats["ended_idle"] == 2)


async def test_byte_at_a_time():
    """A frame that comes in single bytes is a frame like any other."""
    async with serving(Accepting()) as server, connected(server) as client:
        for byte in frame(message("slow")):
            await client.send(bytes([byte]))
            await asyncio.sleep(0)
        assert await client.answer() == ("AA", "slow")


async def test_several_frames_in_one_packet():
    """Frames that arrive together are answered one by one, in their order."""
    async with serving(Accepting()) as server, connected(server) as client:
        await client.send(b"".join(frame(message(n)) for n in range(5)))
        assert [await client.answer() for _ in range(5)] == [("AA", str(n)) for n in range(5)]


async def test_end_block_without_cr():
    """A client that leaves out the last CR and waits gets its answer after a short pause, not never."""
    async with serving(Accepting()) as server, connected(server) as client:
        await client.send(b"\x0b" + message("no CR") + b"\x1c")
        assert await client.answer() == ("AA", "no CR")


async def test_unframed_message_from_a_lenient_listener():
    """Where the site allows it, HL7 piped in without framing is taken at the end of the stream, and counted."""
    async with serving(Accepting(), lenient=True) as server:
        async with connected(server) as client:
            await client.send(message("raw"))
            client.writer.write_eof()
            assert await client.answer() == ("AA", "raw")
        assert server.stats["frames_unframed"] == 1


@pytest.mark.parametrize("unit", [b"\x06", b"\x0b", b"\x0bx", b"\x0b\x1cx", b"\r"])
async def test_flood_of_framing_bytes(unit):
    """A flood of what costs the reader most per byte leaves the other clients their turns, to its end."""
    size = 210_000
    async with serving(Accepting()) as server, neighbour(server, slowest=1.0), connected(server) as client:
        client.write(unit * (size // len(unit)))
        client.writer.write_eof()
        await until(lambda: server.stats["ended_peer_closed"] or server.stats["ended_faults"])


async def test_commit_bytes_of_release_2_are_tolerated():
    """A Release 2 client that commits our answer gets no answer to that, and its next message is accepted."""
    async with serving(Accepting()) as server:
        async with connected(server) as client:
            await client.send(frame(message(1)) + b"\x0b\x06\x1c\r" + frame(message(2)))
            assert [await client.answer(), await client.answer()] == [("AA", "1"), ("AA", "2")]
        assert server.stats["commits"] == 1
