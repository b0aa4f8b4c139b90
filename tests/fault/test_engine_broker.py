"""The whole engine while a real Kafka is frozen and killed under it: no false AA, nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import signal

import pytest
from kafka.processes import Process, kafka_variables, outcomes
from kafka.support import until

from adapters.mllp.sender import MllpSender
from adapters.replay.generate import generate
from adapters.replay.player import generated, play
from adapters.replay.sinks import Fate
from engine.hl7v2.ack import read_header
from engine.settings import Mllp

pytest_plugins = ("kafka.plugin",)
pytestmark = [pytest.mark.kafka, pytest.mark.slow]

STREAM = [m.payload for m in generated(generate(["adt", "oru"], 200, 3), "generated")]
PATIENT_SENDER = Mllp(send_ack_timeout=120.0)
RESTARTED_BY_SUPERVISOR = 75
"""ExitCode.TRY_AGAIN, written out: it is a promise to whoever supervises the process."""


def name_of(payload: bytes) -> str:
    header = read_header(payload)
    assert header is not None
    return header.control_id


async def accepted(sender: MllpSender, payload: bytes) -> None:
    """Send it as a feed does: again after an AE, which a busy machine may give too."""
    async with asyncio.timeout(120):
        while (ack := await sender.send(payload)).code != "AA":
            assert ack.code == "AE"


async def all_have_outcomes(kafka, names: set[str]) -> None:
    """Wait until everything that was acknowledged has come out."""
    for _ in range(300):
        missing = names - {told["source"]["control_id"] for told in await outcomes(kafka)}
        if not missing:
            return
        await asyncio.sleep(0.5)
    pytest.fail(f"{len(missing)} acknowledged messages have no outcome")


async def test_a_frozen_broker_costs_feeds_an_ae_and_nothing_else(killable_kafka):
    """Kafka stands still for longer than a publication may take: AE says why, and when it goes on so does all else."""
    node, kafka = killable_kafka
    variables = kafka_variables(kafka, publish_timeout=3, stall_timeout=120, session_timeout=30)
    async with (
        Process(**variables) as engine,
        MllpSender("127.0.0.1", engine.mllp_port, settings=PATIENT_SENDER) as sender,
    ):
        for payload in STREAM[:20]:
            await accepted(sender, payload)
        node.send(signal.SIGSTOP)
        try:
            refused = [await sender.send(payload) for payload in STREAM[20:22]]
        finally:
            node.send(signal.SIGCONT)
        # The publisher finds its way back by itself.
        for payload in STREAM[22:40]:
            await accepted(sender, payload)
        assert {ack.code for ack in refused} == {"AE"}
        assert all(ack.text for ack in refused), "an AE must say what to do"
        safe = {name_of(payload) for payload in (*STREAM[:20], *STREAM[22:40])}
        await all_have_outcomes(kafka, safe)
        assert engine.alive
        assert await engine.end(signal.SIGTERM) == 0, engine.errors.decode()


async def test_a_killed_broker_loses_nothing_that_was_acknowledged(killable_kafka):
    """SIGKILL to Kafka in mid-stream, then a start on its data: feeds are told no meanwhile, and no AA was false."""
    node, kafka = killable_kafka
    variables = kafka_variables(kafka, publish_timeout=4, stall_timeout=150)
    safe: set[str] = set()
    told_no = 0

    def on_answer(message, answer):
        nonlocal told_no
        if answer.fate is Fate.ACKNOWLEDGED:
            safe.add(name_of(message.payload))
        else:
            told_no += 1

    stream = list(generated(STREAM, "generated"))
    async with Process(**variables) as engine:
        sink = engine.sender()
        playing = asyncio.create_task(play(stream[:120], sink, rate=40, on_answer=on_answer))
        await until(lambda: len(safe) >= 40)
        await asyncio.to_thread(node.kill)
        await until(lambda: told_no > 0)
        await asyncio.to_thread(node.start)
        await playing
        await sink.close()
        if not engine.alive:
            # It may give up, if it says why and leaves by the code that has it restarted.
            assert await engine.end(signal.SIGTERM) == RESTARTED_BY_SUPERVISOR
            assert b"kafka" in engine.errors.lower()
    assert told_no > 0
    async with Process(**variables) as again:
        sink = again.sender()
        left = [m for m in stream if name_of(m.payload) not in safe]
        await play(left, sink, on_answer=on_answer)
        await sink.close()
        assert safe == {name_of(m.payload) for m in stream}
        await all_have_outcomes(kafka, safe)
        assert await again.end(signal.SIGTERM) == 0, again.errors.decode()
    assert {told["outcome"] for told in await outcomes(kafka)} == {"accepted"}
