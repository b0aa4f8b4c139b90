"""Framing over real messages."""

from pathlib import Path

import pytest

from engine.hl7v2.mllp import Frame, FrameReader, frame

CORPORA = Path(__file__).parents[3] / "shared" / "corpora" / "hl7"
PACKET = 1460
"""What one TCP segment over Ethernet carries."""


@pytest.mark.corpora
def test_real_messages_survive_framing():
    """Every HL7 file of the corpora, framed and cut into packets, comes back to the byte."""
    if not CORPORA.is_dir():
        pytest.skip("the development corpora are not beside the project")
    payloads = [path.read_bytes() for path in sorted(CORPORA.rglob("*.hl7"))]
    payloads = [payload for payload in payloads if b"\x0b" not in payload and b"\x1c" not in payload]
    assert len(payloads) > 100
    wire = b"".join(frame(payload) for payload in payloads)
    reader, received = FrameReader(), []
    for at in range(0, len(wire), PACKET):
        reader.feed(wire[at : at + PACKET])
        received += iter(reader.next_event, None)
    assert received == [Frame(payload) for payload in payloads]
