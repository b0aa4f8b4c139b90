"""The sender against receivers that are late, wrong, mute, or gone; no answer ever goes to the wrong message."""

import asyncio
import contextlib
import socket

import pytest
from mllp_support import Accepting, acknowledgement, control_id_of, frame, limits, message, serving

from adapters.mllp.errors import AckTimeoutError, ConnectError, LinkLostError
from adapters.mllp.sender import MllpSender
from engine.errors import FramingError
from engine.hl7v2.mllp import FrameReader

FAST = {"send_ack_timeout": 30.0, "send_backoff": 0.01, "send_backoff_max": 0.02, "write_timeout": 0.5}


@contextlib.asynccontextmanager
async def sending_to(answer_to, **settings):
    """A sender, and a receiver that writes what ``answer_to(payload, nth connection)`` yields: bytes or seconds."""
    connections = 0
    handlers = set()

    async def serve(stream, writer):
        nonlocal connections
        connections += 1
        handlers.add(asyncio.current_task())
        mine, frames = connections, FrameReader()
        with contextlib.suppress(ConnectionError):
            while data := await stream.read(65536):
                frames.feed(data)
                for event in iter(frames.next_event, None):
                    for step in answer_to(event.payload, mine):
                        if step is None:
                            writer.close()
                        elif isinstance(step, bytes):
                            writer.write(step)
                        else:
                            await asyncio.sleep(step)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with MllpSender("127.0.0.1", port, settings=limits(**(FAST | settings))) as sender:
        yield sender
    server.close()
    await asyncio.gather(*handlers)


def accept(payload, nth=1):
    yield frame(acknowledgement(control_id_of(payload)))


@pytest.mark.parametrize("code", ["AA", "AE", "AR", "CA", "CE", "CR"])
async def test_the_answer_is_returned_as_it_is(code):
    """Acknowledgements of both modes, also the negative ones, are results."""

    def answer(payload, nth):
        yield frame(acknowledgement(control_id_of(payload), code, "because"))

    async with sending_to(answer) as sender:
        ack = await sender.send(message("A1"))
    assert (ack.code, ack.control_id, ack.text) == (code, "A1", "because")
    assert ack.accepted is (code in {"AA", "CA"})
    assert ack.raw == acknowledgement("A1", code, "because")


async def test_late_answer_is_never_taken_for_the_next_message():
    """After a time-out the connection is reopened: the late answer has nowhere to arrive, the next gets its own."""

    def late_then_prompt(payload, nth):
        if control_id_of(payload) == "slow":
            yield 1.5
        yield frame(acknowledgement(control_id_of(payload), "AE" if nth == 1 else "AA"))

    async with sending_to(late_then_prompt, send_ack_timeout=1.0) as sender:
        with pytest.raises(AckTimeoutError) as caught:
            await sender.send(message("slow"))
        assert caught.value.retryable
        acks = [await sender.send(message(n)) for n in range(3)]
        assert [(ack.code, ack.control_id) for ack in acks] == [("AA", "0"), ("AA", "1"), ("AA", "2")]
        assert sender.stats["connects"] == 2


async def test_same_message_again_after_a_time_out():
    """A message sent again gets the answer of its second try, not the late one of the first."""

    def late_once(payload, nth):
        if nth == 1:
            yield 1.5
        yield frame(acknowledgement(control_id_of(payload), "AE" if nth == 1 else "AA"))

    async with sending_to(late_once, send_ack_timeout=1.0) as sender:
        with pytest.raises(AckTimeoutError):
            await sender.send(message("M"))
        await asyncio.sleep(0.7)
        assert (await sender.send(message("M"))).code == "AA"


async def test_foreign_answers_are_passed_over():
    """Answers to other messages, and frames that answer nothing, are counted and not believed."""

    def noise_first(payload, nth):
        yield frame(acknowledgement("SOMEONE-ELSE", "AR"))
        yield frame(b"MSH|^~\\&|X|Y|||20260102||ADT^A01|9|P|2.5\rPID|1\r")
        yield frame(acknowledgement("", "AR"))
        yield from accept(payload)

    async with sending_to(noise_first) as sender:
        assert (await sender.send(message("mine"))).code == "AA"
        assert sender.stats["strays"] == 3


async def test_answer_that_comes_twice():
    """The second copy of an answer is no answer to the next message."""

    def twice(payload, nth):
        yield from accept(payload)
        yield frame(acknowledgement(control_id_of(payload), "AR"))

    async with sending_to(twice) as sender:
        assert [(await sender.send(message(n))).code for n in range(3)] == ["AA"] * 3


async def test_window_matches_answers_in_any_order():
    """With several messages on the way each gets the answer that names it, in whatever order they come."""
    waiting = []

    def backwards(payload, nth):
        waiting.append(control_id_of(payload))
        if len(waiting) == 5:
            yield b"".join(frame(acknowledgement(i, text=f"for {i}")) for i in reversed(waiting))

    async with sending_to(backwards, send_window=5) as sender:
        acks = await asyncio.gather(*(sender.send(message(n)) for n in range(5)))
    assert [(ack.control_id, ack.text) for ack in acks] == [(str(n), f"for {n}") for n in range(5)]


async def test_no_more_on_the_way_than_the_window():
    """The sender waits with the next message until one in the window has been answered."""
    seen = []

    def hold(payload, nth):
        seen.append(control_id_of(payload))
        if len(seen) == 3:
            yield 0.1
            assert seen == ["0", "1", "2"]
            yield b"".join(frame(acknowledgement(i)) for i in seen)
        elif len(seen) > 3:
            yield from accept(payload)

    async with sending_to(hold, send_window=3) as sender:
        await asyncio.gather(*(sender.send(message(n)) for n in range(6)))
    assert seen == [str(n) for n in range(6)]


async def test_same_control_id_twice_in_a_window():
    """Two messages with one control id are not on the way together, so that neither gets the other's answer."""
    order = []

    def numbered(payload, nth):
        order.append(payload)
        yield 0.05
        yield frame(acknowledgement(control_id_of(payload), text=str(len(order))))

    async with sending_to(numbered, send_window=5) as sender:
        first, second = await asyncio.gather(sender.send(message("D", "1")), sender.send(message("D", "2")))
    assert (first.text, second.text) == ("1", "2")
    assert order == [message("D", "1"), message("D", "2")]


async def test_message_without_control_id_travels_alone():
    """An answer that names nothing can belong only to a message that has no control id and no company."""

    class Slow(Accepting):
        async def make_safe(self, payload):
            await asyncio.sleep(0.05)

    receiver, settings = Slow(), limits(send_window=5)
    async with serving(receiver) as server, MllpSender("127.0.0.1", server.port, settings=settings) as sender:
        acks = await asyncio.gather(
            sender.send(message("A")), sender.send(b"junk"), sender.send(message("B"))
        )
    assert [ack.control_id for ack in acks] == ["A", "", "B"]
    assert receiver.most_under_way == 1


async def test_time_out_of_one_message_fails_its_companions():
    """A connection that is given up takes all that is on it: each hears that it may or may not have arrived."""

    def never(payload, nth):
        yield from ()

    async with sending_to(never, send_window=3, send_ack_timeout=0.3) as sender:
        results = await asyncio.gather(*(sender.send(message(n)) for n in range(3)), return_exceptions=True)
    kinds = {type(result) for result in results}
    assert AckTimeoutError in kinds
    assert kinds <= {AckTimeoutError, LinkLostError}
    assert all("may or may not" in result.action for result in results)


async def test_receiver_that_hangs_up_instead_of_answering():
    """A connection closed without an answer fails the message at once, and the next send opens a new one."""

    def hang_up_once(payload, nth):
        if nth == 1:
            yield None
        else:
            yield from accept(payload)

    async with sending_to(hang_up_once) as sender:
        with pytest.raises(LinkLostError):
            await sender.send(message(1))
        assert (await sender.send(message(2))).accepted


async def test_receiver_that_hangs_up_between_messages():
    """A receiver that closes after each answer, as some do, costs a reconnect and no message."""

    def answer_and_close(payload, nth):
        yield from accept(payload)
        yield None

    async with sending_to(answer_and_close) as sender:
        for n in range(3):
            assert (await sender.send(message(n))).accepted
            await asyncio.sleep(0.02)
        assert sender.stats["connects"] == 3


async def test_caller_that_gives_up():
    """A send that its caller cancels leaves no answer behind that the next one could get."""

    def slow_first(payload, nth):
        yield 0.2 if nth == 1 else 0
        yield frame(acknowledgement(control_id_of(payload), "AE" if nth == 1 else "AA"))

    async with sending_to(slow_first) as sender:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await sender.send(message("M"))
        await asyncio.sleep(0.2)
        assert (await sender.send(message("M"))).code == "AA"


async def test_answer_in_broken_framing():
    """A receiver that answers without framing is told apart from one that is silent, and at once."""

    def unframed(payload, nth):
        yield acknowledgement(control_id_of(payload)) + b"\x1c\r"

    async with sending_to(unframed) as sender:
        with pytest.raises(LinkLostError):
            await sender.send(message(1))


async def test_answer_whose_end_block_lacks_the_cr():
    """A receiver that leaves out the last CR is understood."""

    def no_cr(payload, nth):
        yield frame(acknowledgement(control_id_of(payload)))[:-1]

    async with sending_to(no_cr) as sender:
        assert (await sender.send(message(1))).accepted


async def test_release_2_commit_is_not_the_answer():
    """A commit acknowledgement says stored, not processed: the sender waits for the real one."""

    def commit_first(payload, nth):
        yield b"\x0b\x06\x1c\r"
        yield 0.05
        yield frame(acknowledgement(control_id_of(payload), "AE"))

    async with sending_to(commit_first) as sender:
        assert (await sender.send(message(1))).code == "AE"


async def test_release_2_negative_commit():
    """A negative commit means that the message is not stored: that is a failure, without waiting."""

    def refuse(payload, nth):
        yield b"\x0b\x15\x1c\r"

    async with sending_to(refuse) as sender:
        with pytest.raises(LinkLostError):
            await sender.send(message(1))


async def test_message_that_wants_no_answer():
    """A message with MSH-15 NE is sent without waiting, and its result says that nothing was confirmed."""
    quiet = message("Q").replace(b"|2.5.1\r", b"|2.5.1|||NE\r")
    async with (
        serving(Accepting()) as server,
        MllpSender("127.0.0.1", server.port, settings=limits()) as sender,
    ):
        ack = await sender.send(quiet)
        assert (ack.code, ack.control_id, ack.accepted) == ("", "Q", False)


async def test_nobody_listens():
    """A receiver that is not there is tried a bounded number of times; the error says so and what to check."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with MllpSender("127.0.0.1", port, settings=limits(**FAST, send_attempts=3)) as sender:
        with pytest.raises(ConnectError) as caught:
            await sender.send(message(1))
        assert sender.stats["connect_failures"] == 3
    assert "3 tries" in caught.value.message


async def test_receiver_that_comes_up_late():
    """A receiver that starts while the sender tries gets the message on that same send."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with MllpSender("127.0.0.1", port, settings=limits(**FAST | {"send_attempts": 2000})) as sender:
        sending = asyncio.create_task(sender.send(message(1)))
        await asyncio.sleep(0.1)
        async with serving(Accepting(), port=port):
            assert (await sending).accepted


async def test_receiver_that_does_not_read():
    """A receiver that takes nothing off the wire fails the send after write_timeout."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        sender = MllpSender("127.0.0.1", deaf.getsockname()[1], settings=limits(**FAST))
        with pytest.raises(LinkLostError):
            await sender.send(message(1, "x" * 20_000_000))
        await sender.close()


async def test_message_that_can_not_be_framed():
    """A message that would break its frame is refused before anything is sent."""
    async with MllpSender("127.0.0.1", 1) as sender:
        with pytest.raises(FramingError):
            await sender.send(b"MSH|\x1c\r")


async def test_close_fails_what_still_waits():
    """Closing the sender leaves no one waiting for an answer."""

    def never(payload, nth):
        yield from ()

    async with sending_to(never) as sender:
        waiting = asyncio.create_task(sender.send(message(1)))
        await asyncio.sleep(0.05)
        await sender.close()
        with pytest.raises(LinkLostError):
            await waiting


async def test_hundred_messages_through_server_and_sender():
    """Both sides together, pipelined: every message arrives once, in order, and gets its own answer."""
    receiver = Accepting()
    settings = limits(send_window=16)
    async with serving(receiver) as server, MllpSender("127.0.0.1", server.port, settings=settings) as sender:
        acks = await asyncio.gather(*(sender.send(message(n)) for n in range(100)))
    assert [ack.control_id for ack in acks] == [str(n) for n in range(100)]
    assert receiver.payloads == [message(n) for n in range(100)]
