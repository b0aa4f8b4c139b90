"""``wardstream validate``: HL7 v2 files against their version's definitions."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adapters.composition import Profiles
from adapters.configuration import load_settings
from adapters.feed_profiles import load_message_profile
from adapters.replay.sources import STANDARD_OUTPUT, Format, SourceMessage, messages
from engine.errors import NotHl7Error, ReadError, SettingsError
from engine.feeds import FeedProfile
from engine.hl7v2 import conformance, er7
from engine.hl7v2.finding import OTHER, Finding
from engine.records import Kind, Severity
from engine.settings import Read

_LETTERS = {Severity.ERROR: "E", Severity.WARNING: "W", Severity.INFORMATION: "I"}
UNREADABLE = "207"
"""Table 0357: application internal error; what can't be read gets no further."""


def validate_command(paths: list[Path], profile: Path | None, feed: str, *, as_json: bool) -> int:
    """Print every finding; returns 0 if none is an error, 1 if one is, whatever the warnings.

    Args:
        paths: files and folders.
        profile: a message profile to check against.
        feed: whose profile says how to read them; "" reads them by the defaults.
        as_json: one object a finding instead of a line.

    Raises:
        SettingsError: a path is not there, a profile can't be used.
    """
    settings = load_settings()
    profiles = Profiles(settings)
    if feed and feed not in profiles.names:
        raise SettingsError(
            f"There is no profile of a feed {feed!r}",
            location="--feed",
            action=f"Name one of those in {settings.feeds}: {', '.join(sorted(profiles.names)) or 'there is none'}.",
        )
    known = profiles(feed)
    if profile is not None:
        known = known.with_definitions(load_message_profile(profile))
    counts: Counter[str] = Counter()
    limit = settings.read.max_message_bytes
    for source in messages(paths, Format.AUTO, limit=limit, besides=STANDARD_OUTPUT):
        counts["messages"] += 1
        for finding in _findings(source, known, settings.read):
            counts[finding["severity"]] += 1
            _tell(source, finding, as_json=as_json)
    sys.stdout.flush()
    sys.stderr.write(
        f"{counts['messages']} messages: {counts['E']} errors, {counts['W']} warnings, {counts['I']} remarks\n"
    )
    return 1 if counts["E"] else 0


def _findings(source: SourceMessage, profile: FeedProfile, limits: Read) -> Iterator[dict[str, Any]]:
    """What is wrong with one message: its file, its bytes, its content."""
    for issue in source.issues:
        yield _body(issue.location, OTHER, _LETTERS[issue.severity], f"{issue.message}. {issue.action}")
    try:
        if source.failure is not None:
            raise source.failure
        if source.kind is Kind.FHIR:
            raise NotHl7Error(
                "This is no HL7 v2", action="wardstream convert checks FHIR; validate reads HL7 v2 alone."
            )
        message = er7.read(
            source.payload,
            fallback=profile.fallback_charset,
            policy=profile.charset_policy,
            max_segments=limits.max_segments,
        )
    except ReadError as error:
        yield _body(error.location, UNREADABLE, "E", f"{error.message}. {error.action}")
        return
    for issue in (*message.issues, *er7.escape_issues(message), *er7.control_issues(message)):
        yield _body(issue.location, OTHER, _LETTERS[issue.severity], f"{issue.message}. {issue.action}")
    for found in conformance.check(message, profile.definitions):
        yield _of(found)


def _of(found: Finding) -> dict[str, Any]:
    return {
        "segment": found.segment,
        "sequence": found.sequence,
        "field": found.field,
        "location": found.location,
        "code": found.code,
        "severity": found.severity,
        "message": found.message,
    }


def _body(location: str, code: str, severity: str, message: str) -> dict[str, Any]:
    """A finding of the reader; ``location`` may name no segment."""
    head, _, rest = location.partition("-")
    segment, _, occurrence = head.rstrip("]").partition("[")
    number = "".join(c for c in rest.split(".")[0].split("[")[0] if c.isdigit())
    return {
        "segment": segment,
        "sequence": int(occurrence) if occurrence.isdigit() else 0,
        "field": int(number or 0),
        "location": location,
        "code": code,
        "severity": severity,
        "message": message,
    }


def _tell(source: SourceMessage, finding: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        line = json.dumps({"source": {"path": source.path, "index": source.index}, **finding})
    else:
        where = f" {finding['location']}" if finding["location"] else ""
        line = f"{source.path}[{source.index}] {finding['severity']} {finding['code']}{where}: {finding['message']}"
    sys.stdout.write(line + "\n")
