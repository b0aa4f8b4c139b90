"""``wardstream validate``: HL7 v2 files against their version's definitions."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapters.configuration import load_settings
from adapters.replay.sources import Format, messages
from engine.errors import ReadError, SettingsError
from engine.hl7v2 import conformance, er7
from engine.hl7v2.conformance import Finding


def validate_command(paths: list[Path], profile: Path | None, *, as_json: bool) -> int:
    """Print every finding; returns 0 if there is no error, 1 if there is one, whatever the warnings."""
    settings = load_settings()
    reference = _profile(profile)
    errors = warnings = count = 0
    for source in messages(paths, Format.HL7V2, limit=settings.read.max_message_bytes):
        count += 1
        try:
            if source.failure is not None:
                raise source.failure
            message = er7.read(source.payload)
        except ReadError as error:
            errors += 1
            _tell(source.path, source.index, None, error, as_json=as_json)
            continue
        for finding in conformance.check(message, reference):
            errors += finding.severity == "E"
            warnings += finding.severity == "W"
            _tell(source.path, source.index, finding, None, as_json=as_json)
    sys.stderr.write(f"{count} messages: {errors} errors, {warnings} warnings\n")
    return 1 if errors else 0


def _profile(path: Path | None) -> Mapping[str, Any] | None:
    if path is None:
        return None
    try:
        return conformance.load_profile(str(path))
    except Exception as error:
        raise SettingsError(
            f"The message profile can't be loaded: {type(error).__name__}",
            location=str(path),
            action="Name a profile file that hl7apy made (hl7apy_profile_parser).",
        ) from error


def _tell(path: str, index: int, finding: Finding | None, error: ReadError | None, *, as_json: bool) -> None:
    if finding is not None:
        body: dict[str, Any] = {
            "segment": finding.segment,
            "sequence": finding.sequence,
            "field": finding.field,
            "location": finding.location,
            "code": finding.code,
            "severity": finding.severity,
            "message": finding.message,
        }
    else:
        assert error is not None
        body = {"location": error.location, "code": "207", "severity": "E", "message": str(error)}
    if as_json:
        line = json.dumps({"source": {"path": path, "index": index}, **body})
    else:
        line = f"{path}[{index}] {body['severity']} {body['code']} {body['location']}: {body['message']}"
    sys.stdout.write(line + "\n")
