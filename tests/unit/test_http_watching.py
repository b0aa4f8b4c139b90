"""The lines of the console."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from adapters.http.watching import Watching
from engine.records import Record
from engine.settings import Kafka


def issue(severity: str, code: str, location: str) -> dict[str, Any]:
    return {"severity": severity, "code": code, "location": location, "message": "m", "action": "a"}


def test_a_line_shows_what_asks_for_attention_once():
    """A local code in every PV1 is for information: among such the one wrong date would not be seen."""
    told = {
        "source": {"message_type": "ADT^A01", "control_id": "1"},
        "outcome": "accepted",
        "unmapped": [],
        "issues": [
            issue("information", "code-unknown", "PV1[1]-10"),
            issue("warning", "code-unknown", "PV1[1]-2"),
            issue("warning", "code-unknown", "PV1[1]-2"),
            issue("error", "time-invalid", "PID[1]-7"),
        ],
    }
    watching = Watching(Kafka())
    watching._take(
        Record("outcomes", 0, 0, b"k", json.dumps(told).encode(), {}, datetime(2026, 1, 1, tzinfo=UTC))
    )
    assert watching.outcomes[0]["issues"] == ["code-unknown PV1[1]-2", "time-invalid PID[1]-7"]
