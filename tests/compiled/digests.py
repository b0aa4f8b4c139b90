"""What becomes of many messages, a digest each, as JSON: for the test beside it, which runs this twice.

    python tests/compiled/digests.py [--mutants N]

With ``build/compiled`` on PYTHONPATH the hot path is native code.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests"))

from full_messages import TYPES, Full  # noqa: E402 - the path above comes first
from mutations import mutants, originals  # noqa: E402

import engine.mapping.run  # noqa: E402
from adapters.composition import make_pipeline  # noqa: E402
from adapters.replay.generate import KINDS, generate, oru_with  # noqa: E402
from engine.records import Envelope, Kind  # noqa: E402
from engine.settings import Settings  # noqa: E402

AT = datetime(2026, 1, 1, tzinfo=UTC)


def messages(mutated: int) -> Iterator[tuple[str, bytes]]:
    for number, message in enumerate(originals(ROOT / "fixtures")):
        yield f"fixture {number}", message
    for number, message in enumerate(generate(sorted(KINDS), 300, seed=11)):
        yield f"generated {number}", message
    yield "200 OBX", oru_with(200, 1)
    writer = Full(random.Random(12))
    for structure in sorted(TYPES):
        for number in range(3):
            yield f"full {structure} {number}", writer.message(structure)
    for number, message in enumerate(mutants(ROOT / "fixtures", mutated, seed=13)):
        yield f"mutant {number}", message


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mutants", type=int, default=1500)
    pipeline = make_pipeline(Settings())
    found = {}
    for name, message in messages(parser.parse_args().mutants):
        kind = Kind.HL7V2 if message.startswith(b"MSH") else Kind.FHIR
        outcomes = pipeline.process(Envelope(message, kind, "feed", "id", AT))
        found[name] = hashlib.sha256(repr(outcomes).encode("utf-8", "surrogatepass")).hexdigest()
    native = not str(engine.mapping.run.__file__).endswith(".py")
    print(json.dumps({"native": native, "outcomes": found}))


if __name__ == "__main__":
    main()
