"""The listener when its receiver is slow, fails or hangs, when memory runs short, and when it is stopped."""

import asyncio
import contextlib
import errno
import random
import time

import pytest
from mllp_support import Accepting, Held, connected, frame, limits, message, neighbour, serving, until
from structlog.testing import capture_logs

from adapters.mllp.server import MllpServer
from engine.errors import PublishError, SettingsError


class Failing(Accepting):
    """Accepts until a message says ``fail``; the text of what it raises names a patient."""

    error = ValueError("TAN MEI LING")

    async def make_safe(self, payload):
        if b"fail" in payload:
            raise self.error


async def test_answers_leave_in_the_order_of_the_frames():
    """Receivers finish in any order; acknowledgements of one connection never overtake each other."""

    class Uneven(Accepting):
        async def make_safe(self, payload):
            await asyncio.sleep(random.Random(payload).random() / 50)

    receiver = Uneven()
    async with serving(receiver) as server, connected(server) as client:
        await client.send(b"".join(frame(message(n)) for n in range(100)))
        assert [await client.answer() for _ in range(100)] == [("AA", str(n)) for n in range(100)]
    assert receiver.payloads == [message(n) for n in range(100)]
    assert receiver.most_under_way > 1


async def test_a_message_that_is_not_safe_is_not_acknowledged():
    """When the receiver raises, what came before is answered, nothing after it, and the connection closes."""
    async with serving(Failing()) as server, neighbour(server), connected(server) as client:
        await client.send(
            b"".join(frame(message(n, text)) for n, text in enumerate(["", "", "fail", "", ""]))
        )
        assert [await client.answer() for _ in range(3)] == [("AA", "0"), ("AA", "1"), None]
        await until(lambda: server.stats["ended_receiver_failed"] == 1)
        assert server.stats["not_answered"] == 3


async def test_a_broken_piece_that_is_not_kept_is_not_answered():
    """When not even the dead letter could be written, the sender hears nothing that sounds like an answer."""

    class NoDeadLetters(Accepting):
        async def receive_broken(self, payload, *, peer, reason):
            raise PublishError("Kafka did not confirm", action="Wait.")

    async with serving(NoDeadLetters()) as server, connected(server) as client:
        await client.send(b"junk\x1c\r" + frame(message(1)))
        assert await client.answer() is None


async def test_logs_hold_no_patient_data():
    """Neither messages nor the texts of exceptions reach the log; where it was raised and its kind do."""
    with capture_logs() as logs:
        async with serving(Failing()) as server, connected(server) as client:
            await client.send(frame(message(7, "fail TAN MEI LING")))
            assert await client.answer() is None
    assert "TAN" not in str(logs)
    (failure,) = (line for line in logs if line["event"] == "mllp message not acknowledged")
    assert failure["error"] == "ValueError"
    assert failure["raised_at"].startswith("test_mllp_receiver.py:")


async def test_one_log_line_for_each_connection():
    """However much happens on a connection, its end is one line with the counts that matter."""
    with capture_logs() as logs:
        async with serving(Accepting()) as server:
            async with connected(server) as client:
                await client.send(b"junk" + frame(message(1)) + frame(message(2)))
                assert [await client.answer() for _ in range(2)] == [("AA", "1"), ("AA", "2")]
            await until(lambda: server.stats["connections_open"] == 0)
    (end,) = (line for line in logs if line["event"] == "mllp connection ended")
    assert (end["frames"], end["broken"], end["answered"], end["not_answered"]) == (2, 1, 2, 0)


async def test_receiver_that_hangs():
    """A verdict that does not come in time is no verdict: no acknowledgement, the connection closes."""
    async with serving(Held(), answer_timeout=0.2) as server, connected(server) as client:
        await client.send(frame(message(1)))
        assert await client.answer() is None
        await until(lambda: server.stats["ended_receiver_timeout"] == 1)


async def test_receiver_whose_call_is_cancelled():
    """A call that someone else cancels is a failed call, not a hanging connection."""

    class Cancelled(Accepting):
        async def make_safe(self, payload):
            asyncio.current_task().cancel()
            await asyncio.sleep(1)

    async with serving(Cancelled()) as server, connected(server) as client:
        await client.send(frame(message(1)))
        assert await client.answer() is None
        await until(lambda: server.stats["ended_receiver_failed"] == 1)


async def test_no_acknowledgement_when_none_is_wanted():
    """A receiver that answers None leaves the wire silent and the order of the other answers right."""

    class Silent(Accepting):
        async def receive(self, payload, *, peer, connection):
            answer = await super().receive(payload, peer=peer, connection=connection)
            return None if b"quiet" in payload else answer

    async with serving(Silent()) as server, connected(server) as client:
        await client.send(frame(message(1, "quiet")) + frame(message(2)))
        assert await client.answer() == ("AA", "2")


async def test_answer_that_would_break_its_frame():
    """An answer that can't be framed is never sent in pieces: the connection closes instead."""

    class Odd(Accepting):
        async def receive(self, payload, *, peer, connection):
            return b"MSH|\x1c\rMSA|AA|1\r"

    async with serving(Odd()) as server, connected(server) as client:
        await client.send(frame(message(1)))
        assert await client.answer() is None


async def test_no_more_frames_under_way_than_the_pipeline():
    """A flood on one connection waits in the network, not in our memory, until answers have left."""
    receiver = Held()
    async with serving(receiver, pipeline=4) as server, connected(server) as client:
        for n in range(100):
            client.write(frame(message(n)))
        await until(lambda: receiver.under_way == 4)
        await asyncio.sleep(0.1)
        assert receiver.most_under_way == 4
        receiver.release.set()
        assert [await client.answer() for _ in range(100)] == [("AA", str(n)) for n in range(100)]
        assert receiver.most_under_way == 4


async def test_no_more_bytes_held_than_the_limit():
    """Many connections with large messages can't together exceed the memory set aside for them."""
    receiver = Held()
    size, clients = 400_000, 12
    settings = {"max_held_bytes": 1_000_000, "max_frame_bytes": 500_000}
    async with serving(receiver, **settings) as server, contextlib.AsyncExitStack() as stack:
        everyone = [await stack.enter_async_context(connected(server)) for _ in range(clients)]
        for n, client in enumerate(everyone):
            client.write(frame(message(n, "x" * size)))
        await until(lambda: server.stats["bytes_held"] >= 1_000_000)
        await asyncio.sleep(0.2)
        assert server.stats["bytes_held"] < 1_000_000 + size + clients * 64 * 1024
        receiver.release.set()
        assert [await client.answer() for client in everyone] == [("AA", str(n)) for n in range(clients)]
        assert server.stats["bytes_held"] == 0


async def test_full_memory_of_half_frames_frees_itself():
    """Clients that fill the memory with frames they never finish are sent away, and others get their turn."""
    settings = {"max_held_bytes": 300_000, "max_frame_bytes": 300_000, "frame_timeout": 1.5}
    receiver = Accepting()
    async with serving(receiver, **settings) as server, contextlib.AsyncExitStack() as stack:
        for _ in range(4):
            hog = await stack.enter_async_context(connected(server))
            hog.write(b"\x0b" + b"x" * 200_000)
        await until(lambda: server.stats["bytes_held"] >= 300_000)
        honest = await stack.enter_async_context(connected(server))
        honest.write(frame(message("honest")))
        assert await honest.answer() == ("AA", "honest")


async def test_waiting_for_us_is_not_idle():
    """A client is not sent away as idle while it waits for an answer that we owe it; nor do we spin meanwhile."""
    receiver = Held()
    async with serving(receiver, idle_timeout=0.6) as server, connected(server) as client:
        await client.send(frame(message(1)))
        begun = time.process_time()
        await asyncio.sleep(1.5)
        assert time.process_time() - begun < 0.5
        receiver.release.set()
        assert await client.answer() == ("AA", "1")
        assert await client.answer() is None


async def test_stop_finishes_the_frames_under_way():
    """A stop answers what has arrived, also in frames that are still arriving, then closes; no one new gets in."""
    receiver = Held()
    async with serving(receiver) as server, connected(server) as waiting, connected(server) as sending:
        await waiting.send(frame(message("waits")))
        await sending.send(b"\x0b" + message("half")[:20])
        await until(lambda: receiver.under_way == 1 and server.stats["bytes_held"] > len(message("waits")))
        stopping = asyncio.create_task(server.stop())
        await asyncio.sleep(0.05)
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", server.port)
        await sending.send(message("half")[20:] + b"\x1c\r")
        receiver.release.set()
        assert await waiting.answer() == ("AA", "waits")
        assert await sending.answer() == ("AA", "half")
        assert (await waiting.answer(), await sending.answer()) == (None, None)
        assert await stopping == 0


async def test_stop_does_not_wait_for_a_frame_that_never_ends():
    """Half a frame at the stop is handed over as broken when half of the time is over."""
    receiver = Accepting()
    async with serving(receiver) as server, connected(server) as client:
        await client.send(b"\x0b" + message("half"))
        await until(lambda: server.stats["bytes_held"] > 0)
        assert await server.stop(3.0) == 0
        assert receiver.broken == [("stopped", message("half"))]


async def test_stop_cuts_off_what_does_not_end_in_time():
    """A receiver that hangs can't hang the stop: its message stays unacknowledged and the call is cancelled."""
    receiver = Held()
    async with serving(receiver) as server, connected(server) as client:
        await client.send(frame(message(1)))
        await until(lambda: receiver.under_way == 1)
        assert await server.stop(0.2) == 1
        assert await client.answer() is None
        assert receiver.under_way == 0
        assert (server.stats["under_way"], server.stats["bytes_held"]) == (0, 0)


async def test_port_in_use():
    """A port that can't be had stops the start with an error that names it and says what to do."""
    async with serving(Accepting()) as server:
        with pytest.raises(SettingsError) as caught:
            await MllpServer(limits(port=server.port), Accepting()).start()
        assert f"127.0.0.1:{server.port}" in caught.value.message
        assert "mllp.port" in caught.value.action


async def test_accept_that_fails_for_a_while(monkeypatch):
    """Running out of file handles costs the newcomers a pause, not the listener its life."""
    loop = asyncio.get_running_loop()
    accept, failures = loop.sock_accept, [OSError(errno.EMFILE, "Too many open files")] * 2

    async def sometimes(sock):
        if failures:
            raise failures.pop()
        return await accept(sock)

    monkeypatch.setattr(loop, "sock_accept", sometimes)
    async with serving(Accepting(), accept_pause=0.05) as server, connected(server) as client:
        await client.send(frame(message(1)))
        assert await client.answer() == ("AA", "1")
        assert server.stats["accept_errors"] == 2
