"""Acknowledgements over real sockets: what a sender of each version, mode and character set gets from the listener."""

import asyncio
from datetime import UTC, datetime

import pytest
from mllp_support import connected, frame, limits, serving

from adapters.composition import make_intake
from adapters.mllp.sender import MllpSender
from adapters.reception import Reception
from engine.errors import PublishError
from engine.feeds import FeedProfile
from engine.hl7v2.mllp import FrameReader
from engine.intake import Intake
from engine.settings import Settings


class Clock:
    def now(self):
        return datetime(2026, 1, 1, tzinfo=UTC)


class Log:
    def __init__(self):
        self.published = 0
        self.away = False

    async def publish(self, publications):
        if self.away:
            raise PublishError("Kafka is away", action="Send it again.")
        self.published += len(publications)


@pytest.fixture(scope="module")
def intake():
    return make_intake(Settings())


async def read_all(client, within=0.5):
    """Every answer that comes before the line has been quiet for a while."""
    frames, found = FrameReader(), []
    while True:
        try:
            data = await asyncio.wait_for(client.stream.read(65536), within)
        except TimeoutError:
            return found
        if not data:
            return found
        frames.feed(data)
        found += [event.payload for event in iter(frames.next_event, None)]


ADT = "MSH|^~\\&|EMR|KGH|WS|SITE|2026||ADT^A08|{number}|P|{version}|||{accept}|{application}{rest}\rPID|1||7^^^H^MR\r"


async def test_each_message_on_one_line_gets_what_its_own_msh_asks_for(intake):
    """Modes are a matter of each message; one that wants silence must not shift its neighbours' answers."""
    asked = [(a, b) for a in ("", "AL", "NE", "ER", "SU") for b in ("", "AL", "NE", "ER", "SU")]
    for away, silent in ((False, {"NE-", "NE-NE", "NE-ER", "ER-", "ER-NE", "ER-ER"}), (True, set())):
        log = Log()
        log.away = away
        receiver = Reception(intake, log, Clock(), "emr", Settings().drift)
        async with serving(receiver) as server, connected(server) as client:
            for n, (accept, application) in enumerate(asked):
                text = ADT.format(
                    number=f"N{n}", version="2.5.1", accept=accept, application=application, rest=""
                )
                await client.send(frame(text.encode()))
            answers = await read_all(client)
        found = {a.split(b"\rMSA|")[1].split(b"|")[1].split(b"\r")[0].decode(): a for a in answers}
        quiet = {"-".join(asked[n]) for n in range(len(asked)) if f"N{n}" not in found}
        if away:
            assert quiet == {"NE-", "NE-NE", "NE-SU", "SU-", "SU-NE", "SU-SU"}
        else:
            assert quiet == silent
        own = [a.split(b"|")[9] for a in answers]
        assert len(set(own)) == len(own), "every answer has a control id of its own"


@pytest.mark.parametrize(
    ("codec", "declared"),
    [
        ("utf-8", "UNICODE UTF-8"),
        ("latin-1", "8859/1"),
        ("big5", "BIG-5"),
        ("shift-jis", "ISO IR87"),
        ("utf-16", "UNICODE UTF-16"),
    ],
)
async def test_our_own_sender_knows_the_answer_in_every_character_set(intake, codec, declared):
    """MSA-2 comes back in the bytes of MSH-10: the sender finds its message by them."""
    number = {"latin-1": "é7", "big5": "7A", "shift-jis": "7A"}.get(codec, "表7")
    receiver = Reception(intake, Log(), Clock(), "emr", Settings().drift)
    text = ADT.format(number=number, version="2.5.1", accept="", application="", rest=f"||{declared}")
    async with (
        serving(receiver) as server,
        MllpSender("127.0.0.1", server.port, settings=limits(send_ack_timeout=5.0)) as sender,
    ):
        ack = await sender.send(text.encode(codec))
        assert ack.code == "AA"
        assert sender.stats["strays"] == 0


async def test_a_message_without_control_id_is_kept_and_answered(intake):
    """MSH-10 is required, but a message that lacks it is a patient's message all the same."""
    log = Log()
    receiver = Reception(intake, log, Clock(), "emr", Settings().drift)
    text = ADT.format(number="", version="2.3", accept="", application="", rest="")
    async with serving(receiver) as server, MllpSender("127.0.0.1", server.port, settings=limits()) as sender:
        ack = await sender.send(text.encode())
    assert (ack.code, ack.control_id, log.published) == ("AA", "", 1)


async def test_reasons_reach_a_sender_of_a_version_without_msa3(intake):
    """MSA-3 is gone since v2.7; the words are in ERR-8, and our own sender finds them there."""
    log = Log()
    log.away = True
    receiver = Reception(intake, log, Clock(), "emr", Settings().drift)
    for version in ("2.2", "2.5", "2.8"):
        text = ADT.format(number="7", version=version, accept="", application="", rest="")
        async with (
            serving(receiver) as server,
            MllpSender("127.0.0.1", server.port, settings=limits()) as sender,
        ):
            ack = await sender.send(text.encode())
        assert ack.code == "AE"
        assert "Kafka is away" in ack.text


async def test_a_message_that_wants_errors_alone_is_sent_without_a_time_out(intake):
    """Our listener is silent when it is safe, as asked; our sender takes that for what it is, and hears an error."""
    log = Log()
    receiver = Reception(intake, log, Clock(), "emr", Settings().drift)
    text = ADT.format(number="7", version="2.5.1", accept="ER", application="NE", rest="").encode()
    async with (
        serving(receiver) as server,
        MllpSender("127.0.0.1", server.port, settings=limits(send_silence=0.3)) as sender,
    ):
        assert (await sender.send(text)).code == ""
        log.away = True
        assert (await sender.send(text)).code == "CE"
        assert sender.stats["connects"] == 1


async def test_a_feed_that_takes_both_gets_the_application_acknowledgement_behind_the_other(intake):
    """MSH-15 and MSH-16 AL: CA at once and AA in a frame of its own, each with its own MSH-10 (HL7 v2.5.1 §2.9.3)."""
    log = Log()
    both = Intake(intake._naming_of, lambda _feed: FeedProfile(acknowledgements="both"))
    receiver = Reception(both, log, Clock(), "emr", Settings().drift)
    asked = [("AL", "AL"), ("AL", "ER"), ("", ""), ("ER", "AL"), ("NE", "NE"), ("AL", "AL")]
    for away, expected in (
        (False, ["CA N0", "AA N0", "CA N1", "AA N2", "AA N3", "CA N5", "AA N5"]),
        (True, ["CE N0", "AE N0", "CE N1", "AE N1", "AE N2", "CE N3", "AE N3", "CE N5", "AE N5"]),
    ):
        log.away = away
        async with serving(receiver) as server, connected(server) as client:
            for n, (accept, application) in enumerate(asked):
                text = ADT.format(
                    number=f"N{n}", version="2.5.1", accept=accept, application=application, rest=""
                )
                await client.send(frame(text.encode()))
            answers = [a.decode() for a in await read_all(client)]
        msa = [a.split("\rMSA|")[1].rstrip("\r").split("|")[:2] for a in answers]
        assert [" ".join(fields) for fields in msa] == expected
        own = [a.split("|")[9] for a in answers]
        assert len(set(own)) == len(own)


async def test_a_batch_gets_its_application_acknowledgements_together(intake):
    both = Intake(intake._naming_of, lambda _feed: FeedProfile(acknowledgements="both"))
    receiver = Reception(both, Log(), Clock(), "emr", Settings().drift)
    texts = [
        ADT.format(number=f"N{n}", version="2.5.1", accept="AL", application="AL", rest="") for n in (0, 1)
    ]
    async with serving(receiver) as server, connected(server) as client:
        await client.send(frame("".join(texts).encode()))
        accept, application = [a.decode() for a in await read_all(client)]
    assert accept.count("MSA|CA|") == application.count("MSA|AA|") == 2


async def test_our_own_sender_gives_no_second_acknowledgement_to_another_message(intake):
    """The application acknowledgement that comes behind is told as a stray, and the next message gets its own."""
    both = Intake(intake._naming_of, lambda _feed: FeedProfile(acknowledgements="both"))
    receiver = Reception(both, Log(), Clock(), "emr", Settings().drift)
    async with serving(receiver) as server, MllpSender("127.0.0.1", server.port, settings=limits()) as sender:
        for n in range(5):
            text = ADT.format(number=f"N{n}", version="2.5.1", accept="AL", application="AL", rest="")
            ack = await sender.send(text.encode())
            assert (ack.code, ack.control_id) == ("CA", f"N{n}")
        assert sender.stats["connects"] == 1
