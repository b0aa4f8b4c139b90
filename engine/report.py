"""The report of one message: one JSON object, as ``wardstream convert`` prints it and the topic outcomes keeps it."""

from __future__ import annotations

from typing import Any

from engine.records import Outcome


def report(outcome: Outcome, path: str, index: int, *, with_bundle: bool = True) -> dict[str, Any]:
    """DESIGN's report of one message, and ``coverage``: the share of its values that reached an element.

    Args:
        outcome: what became of it.
        path: where it came from: a file's path relative to what was given, or a feed's peer.
        index: its position there, from 0.
        with_bundle: leave the Bundle out where it is kept elsewhere; its resources are then listed by reference.
    """
    found: dict[str, Any] = {
        "source": {
            "path": path,
            "index": index,
            "message_type": outcome.message_type,
            "control_id": outcome.control_id,
            "charset": outcome.charset,
        },
        "outcome": outcome.status,
    }
    if with_bundle:
        found["bundle"] = outcome.bundle
    else:
        entries = (outcome.bundle or {}).get("entry", [])
        found["resources"] = [e["request"]["url"] for e in entries if "request" in e]
    found["issues"] = [issue.as_json() for issue in outcome.issues]
    found["unmapped"] = [part.as_json() for part in outcome.unmapped]
    found["cleared"] = list(outcome.cleared)
    found["coverage"] = outcome.coverage
    return found
