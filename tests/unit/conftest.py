"""What tests of maps share: messages to Bundles through the whole pipeline, and how to look into one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from engine.feeds import FeedProfile
from engine.mapping.mapper import Mapper
from engine.pipeline import Pipeline
from engine.records import Envelope, Kind, Outcome
from engine.settings import Settings

RECEIVED = datetime(2026, 1, 1, tzinfo=UTC)


class Result:
    """An outcome, with its Bundle by resource type."""

    def __init__(self, outcome: Outcome) -> None:
        assert outcome.accepted, outcome.issues
        self.outcome = outcome
        self.resources: list[dict[str, Any]] = [e["resource"] for e in outcome.bundle["entry"]]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [r for r in self.resources if r["resourceType"] == kind]

    def one(self, kind: str) -> dict[str, Any]:
        (found,) = self.of(kind)
        return found

    def coded(self, kind: str, code: str) -> dict[str, Any]:
        """The only resource of a kind whose code (or vaccineCode, or description) is this."""
        (found,) = (r for r in self.of(kind) if code in codes(r))
        return found

    def numbered(self, kind: str, value: str) -> dict[str, Any]:
        """The only resource of a kind that bears this number."""
        (found,) = (r for r in self.of(kind) if value in [i.get("value") for i in r.get("identifier", ())])
        return found

    def get(self, reference: dict[str, Any]) -> dict[str, Any]:
        """What a reference means; it must be in the Bundle."""
        (found,) = (r for r in self.resources if f"{r['resourceType']}/{r['id']}" == reference["reference"])
        return found

    def unmapped(self) -> dict[str, str]:
        return {u.location: u.reason for u in self.outcome.unmapped}


def codes(resource: dict[str, Any]) -> list[str]:
    concept = next((resource[n] for n in ("code", "vaccineCode", "description") if n in resource), {})
    return [c["code"] for c in concept.get("coding", ()) if "code" in c]


@pytest.fixture(scope="session")
def pipeline() -> Pipeline:
    return Pipeline(Settings(), Mapper(), lambda _feed: FeedProfile(), "1")


@pytest.fixture(scope="session")
def process(pipeline):
    """Bytes, or the name of an HL7 v2 fixture, to a Result."""

    def run(payload: bytes) -> Result:
        (outcome,) = pipeline.process(Envelope(payload, Kind.HL7V2, "feed", "id", RECEIVED))
        return Result(outcome)

    return run


@pytest.fixture(scope="session")
def fixture(process, root):
    return lambda name: process((root / "fixtures" / "hl7v2" / f"{name}.hl7").read_bytes())


@pytest.fixture(scope="session")
def message(process):
    """A message of the given kind from its segments."""

    def run(kind: str, *segments: str, version: str = "2.5.1", sender: str = "EMR|KGH") -> Result:
        head = f"MSH|^~\\&|{sender}|WS|SITE|20260101120000||{kind}|C1|P|{version}"
        return process("\r".join((head, *segments)).encode())

    return run
