"""The audit line of a reading: who or what read which note, and how sure it was. Never text.

In the text's place stands a keyed hash: who has the key can tell whether a text was read, who has the line alone learns
nothing of it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from engine.nlp.reading import Reading
from engine.nlp.to_fhir import Annotation

AUDIT = "inference.audit"


@dataclass(frozen=True, slots=True)
class Occasion:
    """When and for whom a note was read.

    Attributes:
        time: when.
        feed: of the note, or the way it came.
        message_id: of the message it came in.
        user: who asked for it, as told by the caller; "" for a feed.
    """

    time: datetime
    feed: str
    message_id: str = ""
    user: str = ""


def audit_line(
    reading: Reading,
    occasion: Occasion,
    *,
    key: bytes,
    outcome: str,
    latency: float,
    found: Annotation | None = None,
) -> dict[str, Any]:
    """One line as JSON.

    Args:
        reading: what was read; ``reading.models`` must say by whom.
        occasion: when and for whom.
        key: of the text's hash; not empty.
        outcome: ``annotated``, ``nothing-found`` or ``too-short``.
        latency: seconds it took.
        found: what it became in FHIR; None for callers who asked for the entities alone.
    """
    note, model = reading.note, reading.models[0]
    text = note.text.encode("utf-8", "surrogatepass")
    return {
        "text_hash": hmac.new(key, text, hashlib.sha256).hexdigest(),
        "model": model.model_id,
        "version": model.version,
        "provider": model.provider,
        "further_models": [other.name for other in reading.models[1:]],
        "outcome": outcome,
        "labels": dict(sorted(Counter(entity.label.value for entity in reading.entities).items())),
        "assertions": dict(sorted(Counter(e.assertion.value for e in reading.entities).items())),
        "scores": _summary([entity.score for entity in reading.entities]),
        "withheld": dict(sorted(found.withheld.items())) if found else {},
        "resources": len(found.bundle["entry"]) if found and found.bundle else 0,
        "characters": len(note.text),
        "language": reading.language,
        "languages_not_read": sorted({text.language for text in reading.foreign}),
        "issues": [issue.code for issue in reading.issues],
        "latency_ms": round(latency * 1000, 3),
        "feed": occasion.feed,
        "user": occasion.user,
        "note_kind": note.kind,
        "message_id": occasion.message_id,
        "time": occasion.time.isoformat(),
    }


def _summary(scores: Sequence[float]) -> dict[str, Any]:
    if not scores:
        return {"count": 0}
    return {
        "count": len(scores),
        "min": round(min(scores), 4),
        "mean": round(sum(scores) / len(scores), 4),
        "max": round(max(scores), 4),
    }
