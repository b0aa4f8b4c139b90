"""Write the golden files anew: what `wardstream convert` makes of each fixture under fixtures/hl7v2 and fixtures/fhir.

    python tools/write_golden.py [FIXTURE ...]

One file a fixture in fixtures/golden, one JSON object a line, so that a change of one resource is a change of
one line: first what became of a message, then every Bundle entry, every issue, every unmapped place. A test
fails while the files and the code differ (tests/unit/test_golden.py). Read the difference before you commit it.
"""
# ruff: noqa: INP001  a folder of scripts is no package

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adapters.composition import make_pipeline
from adapters.replay.convert import convert
from adapters.replay.sources import Format
from engine.fhir.writer import dumps
from engine.pipeline import Pipeline
from engine.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "fixtures" / "golden"
RULES = re.compile(rb'("policy":\["urn:wardstream:maps:)[0-9a-f]+"')
"""Digest of the tables: it changes with every row of any table, and says nothing about a fixture."""


def fixtures() -> list[Path]:
    """Every fixture that is a message."""
    folders = (ROOT / "fixtures" / "hl7v2", ROOT / "fixtures" / "fhir")
    return sorted(
        path
        for folder in folders
        for path in folder.iterdir()
        if path.suffix not in {".md", ".py", ".csv", ""}
    )


def golden_file(fixture: Path) -> Path:
    return GOLDEN / fixture.parent.name / f"{fixture.name}.ndjson"


def golden(fixture: Path, pipeline: Pipeline) -> bytes:
    """What the golden file of a fixture holds."""
    settings = Settings()
    return b"".join(
        RULES.sub(rb'\1..."', dumps(line)) + b"\n"
        for report, _ in convert([fixture], Format.AUTO, pipeline, settings)
        for line in _lines(report)
    )


def _lines(report: dict[str, Any]) -> Iterator[dict[str, Any]]:
    bundle = report.pop("bundle")
    issues, unmapped = report.pop("issues"), report.pop("unmapped")
    yield report
    for entry in bundle["entry"] if bundle else ():
        yield {name: part for name, part in entry.items() if name != "fullUrl"}
    yield from ({"issue": issue} for issue in issues)
    yield from ({"unmapped": part} for part in unmapped)


def main() -> None:
    pipeline = make_pipeline(Settings())
    chosen = [Path(name).resolve() for name in sys.argv[1:]] or fixtures()
    for fixture in chosen:
        file = golden_file(fixture)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(golden(fixture, pipeline))
    if not sys.argv[1:]:
        wanted = {golden_file(fixture) for fixture in chosen}
        for file in GOLDEN.rglob("*.ndjson"):
            if file not in wanted:
                file.unlink()


if __name__ == "__main__":
    main()
