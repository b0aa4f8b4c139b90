"""``wardstream replay`` against real sockets and brokers: the pace, the rounds, the counts, and what ends it early."""

import asyncio
import re
import signal
import socket
import sys
import time
from collections import Counter

import pytest
from aiohttp import web
from kafka.support import until
from mllp_support import Accepting, acknowledgement, control_id_of, serving

from adapters.kafka.reader import read_topic
from adapters.mllp.errors import ConnectError
from adapters.replay.player import WINDOW
from adapters.replay.replaying import MAX_TOLD_FAILURES, Replay, replay
from adapters.replay.sinks import Fate
from adapters.replay.sources import Format
from engine.settings import Mllp, Settings

pytest_plugins = ("kafka.plugin",)

ADT = b"MSH|^~\\&|A|B|C|D|20260105080000+0800||ADT^A01|%d|P|2.5.1\rPID|1||S%d^^^KGH^MR\r"

IMPATIENT = Settings(mllp=Mllp(send_attempts=1))


def address(server):
    return f"mllp://127.0.0.1:{server.port}"


class Choosy(Accepting):
    """Says AR to one control id."""

    async def receive(self, payload, *, peer, connection):
        await super().receive(payload, peer=peer, connection=connection)
        name = control_id_of(payload)
        return acknowledgement(name, "AR" if name == "3" else "AA")


def asked(to, *paths, **changed):
    """A call as the command line makes it."""
    usual = {
        "paths": list(paths),
        "source": Format.AUTO,
        "feed": "replay",
        "rate": 0.0,
        "rounds": 1,
        "kinds": "",
        "count": 100,
        "seed": 1,
        "shift_at": None,
    }
    return Replay(to=to, **{**usual, **changed})


def counts(tally):
    """(sent, acknowledged, rejected, without answer)."""
    return tally.sent, *(tally.fates[fate] for fate in (Fate.ACKNOWLEDGED, Fate.REJECTED, Fate.FAILED))


@pytest.fixture
def folder(tmp_path):
    """Five messages in two files."""
    (tmp_path / "a.hl7").write_bytes(b"".join(ADT % (n, n) for n in range(1, 4)))
    (tmp_path / "b.hl7").write_bytes(b"".join(b"\x0b" + ADT % (n, n) + b"\x1c\r" for n in range(4, 6)))
    return tmp_path


async def test_what_was_sent_and_what_it_was_told_is_counted(folder):
    """Acknowledged and rejected apart; a rejection is an answer, hence no failure of the replay."""
    receiver = Choosy()
    async with serving(receiver) as server:
        tally = await replay(asked(address(server), folder), Settings())
    assert counts(tally) == (5, 4, 1, 0)
    assert str(tally) == "5 sent: 4 acknowledged, 1 rejected, 0 without answer"
    assert [control_id_of(payload) for payload in receiver.payloads] == ["1", "2", "3", "4", "5"]


async def test_files_are_played_as_often_as_said_and_at_the_rate_said(folder):
    """20 messages a second take no less than their time, however quick the receiver is."""
    receiver = Accepting()
    async with serving(receiver) as server:
        started = time.monotonic()
        tally = await replay(asked(address(server), folder, rounds=4, rate=20.0), Settings())
        took = time.monotonic() - started
    assert counts(tally) == (20, 20, 0, 0)
    assert took >= 19 / 20
    assert Counter(map(control_id_of, receiver.payloads)) == dict.fromkeys("12345", 4)


async def test_generated_rounds_are_not_the_same_messages_again():
    """Each round has a seed of its own, and the same call gives the same messages."""
    seen = []
    for _ in range(2):
        receiver = Accepting()
        async with serving(receiver) as server:
            call = asked(address(server), kinds="adt,oru", count=20, rounds=2, seed=4)
            assert counts(await replay(call, Settings())) == (40, 40, 0, 0)
        seen.append(sorted(receiver.payloads))
    assert seen[0] == seen[1]
    assert len(set(seen[0])) == 40


async def test_a_replay_without_end_tells_its_counts_when_it_is_stopped(folder):
    """--loop 0 ends with Ctrl-C; what was sent until then is told, and none of it is called acknowledged that was not."""
    receiver = Accepting()
    async with serving(receiver) as server:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from adapters.cli import main; main()"),
            *("replay", str(folder), "--to", address(server), "--loop", "0"),
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            await until(lambda: len(receiver.payloads) >= 50 or process.returncode is not None, 60)
            process.send_signal(signal.SIGINT)
            _, told = await asyncio.wait_for(process.communicate(), 60)
        finally:
            if process.returncode is None:
                process.kill()
    (found,) = re.findall(
        r"(\d+) sent: (\d+) acknowledged, (\d+) rejected, (\d+) without answer", told.decode()
    )
    sent, acknowledged, rejected, failed = map(int, found)
    under_way = re.search(rb"(\d+) under way when it was stopped", told)
    assert rejected == failed == 0
    assert sent - acknowledged == (int(under_way[1]) if under_way else 0)
    assert 50 - WINDOW <= acknowledged <= len(receiver.payloads)
    assert process.returncode == (1 if under_way else 0)


async def test_where_nobody_listens_one_attempt_is_told_instead_of_a_thousand():
    """A wrong port is told after the tries for one message, not after those for all of them."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: refused, and nobody else gets it
        call = asked(f"mllp://127.0.0.1:{taken.getsockname()[1]}", kinds="adt", count=1000)
        with pytest.raises(ConnectError) as caught:
            await replay(call, IMPATIENT)
    assert "Check that the receiver runs" in str(caught.value)


async def test_a_receiver_that_goes_away_leaves_no_message_uncounted(folder):
    """The messages that got no answer are counted and named, so that they can be sent again."""
    receiver = Accepting()
    async with serving(receiver) as server:
        playing = asyncio.create_task(
            replay(asked(address(server), folder, rounds=40, rate=100.0), IMPATIENT)
        )
        await until(lambda: len(receiver.payloads) >= 20)
        await server.stop()
        tally = await playing
    sent, acknowledged, rejected, failed = counts(tally)
    assert sent == acknowledged + failed == 200
    assert rejected == 0
    assert 0 < acknowledged <= len(receiver.payloads)
    assert len(tally.failures) == MAX_TOLD_FAILURES


async def test_fhir_goes_to_an_http_address_and_its_status_is_the_answer(tmp_path):
    """2xx is acknowledged, 4xx rejected, 503 no answer; HL7 v2 can't be posted."""
    statuses = iter([202, 400, 503])

    async def take(_request):
        return web.Response(status=next(statuses))

    app = web.Application()
    app.router.add_post("/fhir", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    (tmp_path / "a.ndjson").write_bytes(b'{"resourceType":"Patient"}\n' * 3)
    (tmp_path / "b.hl7").write_bytes(ADT % (1, 1))
    try:
        tally = await replay(asked(f"http://127.0.0.1:{runner.addresses[0][1]}/fhir", tmp_path), Settings())
    finally:
        await runner.cleanup()
    assert counts(tally) == (4, 1, 1, 2)
    assert any("HL7 v2 can't be posted" in failure for failure in tally.failures)


async def test_kafka_gets_what_a_listener_would_have_written(embedded, tmp_path):
    """Straight into the log: topics are made, good messages go inbound with their feed, the others to dead.letters."""
    (tmp_path / "a.hl7").write_bytes(ADT % (1, 1) + ADT % (2, 2))
    (tmp_path / "b.json").write_bytes(b'{"resourceType":"Patient","id":"1"}')
    (tmp_path / "c.bin").write_bytes(b"no message")
    tally = await replay(asked("kafka", tmp_path, feed="wards"), Settings(kafka=embedded))
    assert counts(tally) == (4, 3, 1, 0)
    inbound = await read_topic(embedded, "hl7v2.inbound")
    assert sorted(r.value for r in inbound) == [(ADT % (n, n)).rstrip(b"\r") for n in (1, 2)]
    assert {r.headers["feed"] for r in inbound} == {"wards"}
    assert len({r.key for r in inbound}) == 2
    assert len(await read_topic(embedded, "fhir.inbound")) == 1
    (letter,) = await read_topic(embedded, "dead.letters")
    assert letter.value == b"no message"
