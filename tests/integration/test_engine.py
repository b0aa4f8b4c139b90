"""The whole engine as a process: on the embedded broker, and on a real Apache Kafka that sees it killed."""

from __future__ import annotations

import asyncio
import re
import signal
from collections import Counter, defaultdict

import aiohttp
import pytest
from kafka.processes import Process, kafka_variables, outcomes
from kafka.support import until

from adapters.kafka.reader import read_topic
from adapters.mllp.sender import MllpSender
from adapters.replay.generate import generate
from adapters.replay.player import generated, play
from adapters.replay.sinks import Fate
from engine.hl7v2 import er7

pytest_plugins = ("kafka.plugin",)

SEED = 7


async def all_notes_read(kafka) -> bool:
    """Whether the note reader has caught up."""
    notes = await read_topic(kafka, "notes.clinical")
    return len(notes) == len(await read_topic(kafka, "inference.audit"))


@pytest.mark.kafka
@pytest.mark.slow
async def test_engine_killed_in_mid_stream_loses_nothing(real_kafka):
    """SIGKILL while messages flow: what was acknowledged has its outcome, what was not is sent again, nothing doubles in effect."""
    stream = list(generated(generate(["adt", "oru", "mdm"], 240, SEED), "generated"))
    variables = kafka_variables(real_kafka)
    acknowledged: set[int] = set()
    left = stream

    def on_answer(message, answer):
        if answer.fate is Fate.ACKNOWLEDGED:
            acknowledged.add(message.index)

    async with Process(**variables) as first:
        sink = first.sender()
        playing = asyncio.create_task(play(stream, sink, rate=120, on_answer=on_answer))
        await until(lambda: len(acknowledged) > 90)
        await first.end(signal.SIGKILL)
        await playing
        await sink.close()
    done_before_kill = len({o["source"]["control_id"] for o in await outcomes(real_kafka)})
    left = [m for m in stream if m.index not in acknowledged]
    assert left, "killed too late: the test proves nothing"

    async with Process(**variables) as second:
        sink = second.sender()
        counts = await play(left, sink, on_answer=on_answer)
        await sink.close()
        assert counts[Fate.FAILED] == 0
        wanted = {m.payload.split(b"|")[9].decode("latin-1") for m in stream}

        async def all_there() -> bool:
            return wanted <= {o["source"]["control_id"] for o in await outcomes(real_kafka)}

        for _ in range(240):
            if await all_there():
                break
            await asyncio.sleep(0.5)
        assert await all_there(), f"{done_before_kill} outcomes before the kill"
        code = await second.end(signal.SIGTERM)
    assert code == 0, second.errors.decode()

    told = await outcomes(real_kafka)
    assert {o["outcome"] for o in told} == {"accepted"}
    bundles = defaultdict(set)
    for record in await read_topic(real_kafka, "fhir.resources"):
        if record.headers["kind"] == "structured":
            bundles[record.headers["control-id"]].add(record.value)
    assert wanted <= set(bundles)
    assert all(len(found) == 1 for found in bundles.values()), "a repeated message changed its Bundle"


@pytest.mark.kafka
@pytest.mark.slow
async def test_full_path_on_a_real_broker(real_kafka):
    """MLLP and HTTP in; FHIR, notes, audit, telemetry and dead letters out; keys keep a patient together."""
    stream = list(generated(generate(["adt", "oru", "mdm"], 90, SEED), "generated"))
    variables = {**kafka_variables(real_kafka), "WARDSTREAM_DRIFT__WINDOW_MESSAGES": 20}
    async with Process(**variables) as engine:
        sink = engine.sender()
        counts = await play(stream, sink)
        await sink.close()
        assert counts == Counter({Fate.ACKNOWLEDGED: 90})
        sender = MllpSender("127.0.0.1", engine.mllp_port)
        refused = await sender.send(b"no HL7 at all")
        await sender.close()
        assert refused.code == "AR"
        async with aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{engine.http_port}"
            patient = {"resourceType": "Patient", "id": "p1", "gender": "female"}
            async with session.post(f"{url}/fhir", json=patient) as reply:
                assert reply.status == 202
            async with session.post(f"{url}/fhir", data=b"no json") as reply:
                assert reply.status == 400
                assert (await reply.json(content_type=None))["resourceType"] == "OperationOutcome"
            for _ in range(240):
                if len(await outcomes(real_kafka)) >= 91 and await all_notes_read(real_kafka):
                    break
                await asyncio.sleep(0.5)
            async with session.get(f"{url}/metrics") as reply:
                assert re.search(r"wardstream_mllp_wards_frames 91\.0", await reply.text())
            async with session.get(f"{url}/health/ready") as reply:
                assert reply.status == 200
        assert await engine.end(signal.SIGTERM) == 0, engine.errors.decode()
    counted = {
        t: len(await read_topic(real_kafka, t))
        for t in ("outcomes", "notes.clinical", "inference.audit", "telemetry", "dead.letters")
    }
    assert counted["outcomes"] == 91
    assert counted["notes.clinical"] == counted["inference.audit"] > 10
    assert counted["telemetry"] > 3
    assert counted["dead.letters"] == 2
    partitions = defaultdict(set)
    for record in await read_topic(real_kafka, "fhir.resources"):
        partitions[record.key].add(record.partition)
    assert all(len(found) == 1 for found in partitions.values())
    names = {er7.read(m.payload).get("PID-5.1").encode() for m in stream} - {b""}
    assert not [name for name in names if name in engine.errors], "a patient's name is in the log"
