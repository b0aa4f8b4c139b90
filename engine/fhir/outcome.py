"""OperationOutcome: how FHIR tells a sender what was found (FHIR R4 §2.29)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from engine.records import Issue

_TYPES = {
    "unknown-element": "structure",
    "wrong-type": "structure",
    "array-expected": "structure",
    "single-expected": "structure",
    "misaligned": "structure",
    "choice": "structure",
    "duplicate-name": "structure",
    "not-fhir": "structure",
    "fhir-version": "not-supported",
    "resource-type": "structure",
    "missing": "required",
    "format": "value",
    "empty": "value",
    "null": "value",
    "reference-format": "value",
    "target": "value",
    "code": "code-invalid",
    "charset": "value",
    "too-large": "too-long",
    "ref-unresolved": "not-found",
    "duplicate-resource": "duplicate",
    "not-supported": "not-supported",
    "overloaded": "throttled",
    "note-timeout": "timeout",
    "publish": "transient",
    "internal": "exception",
}
"""Our codes to http://hl7.org/fhir/ValueSet/issue-type; keys of invariants become ``invariant``."""
_INVARIANT = re.compile(r"[a-z]{2,4}-\d{1,2}")
_FHIRPATH = re.compile(r"[A-Za-z][\w.\[\]`?]*")


def operation_outcome(issues: Iterable[Issue]) -> dict[str, Any]:
    """An OperationOutcome with the issues in their order; with none, one that says that all is well."""
    found = [_issue(issue) for issue in issues]
    fine = {"severity": "information", "code": "informational", "details": {"text": "No issues were found"}}
    return {"resourceType": "OperationOutcome", "issue": found or [fine]}


def _issue(issue: Issue) -> dict[str, Any]:
    default = "invariant" if _INVARIANT.fullmatch(issue.code) else "processing"
    made: dict[str, Any] = {
        "severity": issue.severity.value,
        "code": _TYPES.get(issue.code, default),
        "details": {"text": f"{issue.code}: {issue.message}"},
    }
    if issue.action:
        made["diagnostics"] = issue.action
    if _FHIRPATH.fullmatch(issue.location):
        made["expression"] = [issue.location]
    elif issue.location:
        made["details"]["text"] += f" (at {issue.location})"
    return made
