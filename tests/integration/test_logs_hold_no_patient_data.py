"""The whole engine on the embedded broker, logging all it can: no word of a message is in its logs, metrics or status."""

from __future__ import annotations

import asyncio
import json
import re
import signal

import aiohttp
from kafka.processes import Process
from kafka.support import until

from adapters.mllp.sender import MllpSender
from adapters.replay.sources import Format, messages
from engine.settings import Mllp

MARK = "ZQXMARKED"
"""Stands in every place where a patient could be named or described; made of letters that no code of ours uses."""
SHAPE = "ZQXSHAPE"
"""Stands where a message is said to be of a kind: the console shows that (types, names of elements), the log does not."""

MARKED_FIELDS = {
    "PID": (5, 6, 9, 11, 13, 19),
    "NK1": (2, 4, 5),
    "PV1": (7,),
    "OBX": (5,),
    "NTE": (3,),
    "DG1": (4,),
    "AL1": (3, 5),
}
MARKED_ELEMENTS = {
    "family",
    "given",
    "text",
    "line",
    "city",
    "valueString",
    "div",
    "description",
    "display",
    "note",
    "birthDate",
}


def marked_er7(payload: bytes) -> bytes:
    """The message with a mark in what tells of a person. Works on bytes: what is broken stays broken."""
    lines = []
    for line in payload.split(b"\r"):
        fields = line.split(b"|")
        for number in MARKED_FIELDS.get(fields[0].decode("latin-1"), ()):
            if len(fields) > number and fields[number]:
                fields[number] = MARK.encode() + b"^" + fields[number]
        lines.append(b"|".join(fields))
    return b"\r".join(lines)


def marked_json(value: object) -> object:
    if isinstance(value, dict):
        return {
            name: MARK if name in MARKED_ELEMENTS and isinstance(part, str) else marked_json(part)
            for name, part in value.items()
        }
    if isinstance(value, list):
        return [MARK if isinstance(part, str) else marked_json(part) for part in value]
    return value


def hl7(root) -> list[bytes]:
    """The fixtures with marks, and what is broken in ways that tempt an error to quote it."""
    found = [
        marked_er7(m.payload) for m in messages([root / "fixtures" / "hl7v2"], Format.AUTO, limit=1 << 24)
    ]
    head = b"MSH|^~\\&|A|B|C|D|%s||%s|%s|P|2.5.1|||||||%s\rPID|1||S1^^^KGH^MR||%s\r"
    mark = MARK.encode()
    found += [
        head % (mark, b"ADT^A01", b"H1", b"", mark),
        head % (b"20260105", SHAPE.encode() + b"^A01", b"H2", b"", mark),
        head % (b"20260105", b"ADT^A01", b"H3", mark, mark),
        head % (b"20260105", b"ADT^A01", b"H4", b"UNICODE UTF-8", mark + b"\xff\xfe"),
        head % (b"20260105", b"ADT^A01", b"H5", b"", mark + b"\\X" + mark + b"\\"),
        head % (b"20260105", b"ORU^R01", b"H6", b"", b"x")
        + b"OBX|1|%s|%s|%s|%s|%s|%s|%s|||%s\r" % ((mark,) * 8),
        head % (b"20260105", b"ADT^A01", b"H7", b"", b"x") + mark + b"|" + mark + b"\r",
        mark,
        b"PID|1||" + mark,
    ]
    return found


def fhir(root) -> list[bytes]:
    found = [json.dumps({"resourceType": "Patient", SHAPE: MARK, "gender": MARK, "birthDate": MARK}).encode()]
    found.append(json.dumps({"resourceType": MARK}).encode())
    for message in messages([root / "fixtures" / "fhir"], Format.FHIR, limit=1 << 24):
        try:
            body = json.loads(message.payload)
        except ValueError:
            continue
        whole = json.dumps(marked_json(body)).encode()
        found += [whole, whole[: len(whole) * 2 // 3]]
    return found


async def test_no_word_of_a_message_is_in_the_logs(root):
    """At level debug, for good and bad messages of both kinds, through mapping, note reading and drift."""
    variables = {"WARDSTREAM_OBSERVABILITY__LEVEL": "debug", "WARDSTREAM_DRIFT__WINDOW_MESSAGES": "20"}
    marked = hl7(root)
    assert sum(MARK.encode() in payload for payload in marked) > 90
    async with Process("--embedded", **variables) as engine:
        sender = MllpSender("127.0.0.1", engine.mllp_port, settings=Mllp(send_ack_timeout=60, send_window=8))
        answers = await asyncio.gather(*(sender.send(payload) for payload in marked))
        await sender.close()
        assert {"AA", "AR"} <= {ack.code for ack in answers}
        async with aiohttp.ClientSession(f"http://127.0.0.1:{engine.http_port}") as session:
            for payload in fhir(root):
                async with session.post("/fhir", data=payload) as reply:
                    assert reply.status in {202, 400}

            async def status():
                async with session.get("/api/status") as reply:
                    return await reply.text()

            done = 0
            for _ in range(300):
                counts = json.loads(await status())["counts"]
                now = counts.get("accepted", 0) + counts.get("rejected", 0)
                if now == done > 100:
                    break
                done = now
                await asyncio.sleep(1)
            assert done > 100
            told = await status()
            async with session.get("/metrics") as reply:
                told += await reply.text()
        assert await engine.end(signal.SIGTERM) == 0
    await until(lambda: engine.errors)
    log = engine.errors.decode()
    assert "message refused" in log, "too little was logged to prove anything"
    assert not [line for line in log.splitlines() if MARK in line.upper() or SHAPE in line.upper()]
    at = [told[max(0, found.start() - 150) : found.end() + 50] for found in re.finditer(MARK, told)]
    assert not at
