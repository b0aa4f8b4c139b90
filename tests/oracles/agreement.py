"""How far the Bundles agree with what other converters expect of the same messages, by segment and field.

    python tests/oracles/agreement.py [CORPORA] [--all]

The oracles are the expected outputs beside the messages in the development corpora: cdc-reportstream and
ms-fhir-converter. Each value of an expected resource is looked for in our resources of the same type, at the same
path. Ids, references and narrative are left out, as are expected values that were not in the message and are no
code: they are the other converter's own. A value is put down to the field of the message that alone holds it; codes
made by a table have no such field and are told by their path. ``reasons.csv`` explains what differs, a class a line.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from adapters.composition import make_pipeline
from engine.hl7v2 import er7
from engine.hl7v2.batch import split
from engine.pipeline import Pipeline
from engine.records import Envelope, Kind
from engine.settings import Settings

HERE = Path(__file__).resolve().parent
CORPORA = HERE.parents[2] / "shared" / "corpora" / "hl7"
SHOWN = 60
"""Classes of unexplained disagreement that are printed."""
_NOT_COMPARED = re.compile(
    r"(?:^|\.)(?:id|reference|fullUrl|div|lastUpdated|versionId|data|url)$|^(?:Bundle|Provenance)\.|^\w+\.(?:meta|text)\b|\.extension\b"
)
_NOTHING = re.compile(r"(?!)")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d.*")

Leaf = tuple[str, str]
"""(type and path, normalised value)."""


@dataclass(slots=True)
class Agreement:
    """What was counted.

    Attributes:
        fields: of each field (or path of a code): values that agree, stand elsewhere in our Bundle, or nowhere.
        differ: by (corpus, path, place), the message and value of what does not agree.
        messages: compared.
    """

    fields: dict[str, Counter[str]] = field(default_factory=dict)
    differ: dict[tuple[str, str, str], list[tuple[str, str]]] = field(default_factory=dict)
    messages: Counter[str] = field(default_factory=Counter)


def pairs(corpora: Path) -> Iterator[tuple[str, Path, Path]]:
    """(corpus, message, expected Bundle)."""
    for expected in sorted((corpora / "cdc-reportstream").rglob("*.fhir")):
        message = expected.with_suffix(".hl7")
        # What was made the other way round, HL7 v2 from FHIR, tells nothing of this one.
        if message.is_file() and "FHIR_to_HL7" not in expected.parts:
            yield "cdc-reportstream", message, expected
    samples = {path.stem: path for path in (corpora / "ms-fhir-converter" / "data").rglob("*.hl7")}
    for expected in sorted((corpora / "ms-fhir-converter" / "expected").rglob("*-expected.json")):
        found = samples.get(expected.stem.removesuffix("-expected"))
        if found:
            yield "ms-fhir-converter", found, expected


def leaves(node: Any, path: str, left_out: re.Pattern[str] = _NOT_COMPARED) -> Iterator[Leaf]:
    """Every plain value that is compared, with its path without indexes."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name not in {"resourceType", "contained"}:
                yield from leaves(value, f"{path}.{name}", left_out)
    elif isinstance(node, list):
        for item in node:
            yield from leaves(item, path, left_out)
    elif node is not None and not left_out.search(path):
        yield path, normal(node)


def normal(value: Any) -> str:
    """One spelling for equal values: times as UTC, numbers without trailing zeros, blanks single."""
    if isinstance(value, bool):
        return str(value).lower()
    text = " ".join(str(value).split())
    if _TIME.fullmatch(text):
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return text
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    if isinstance(value, int | float | Decimal):
        try:
            return f"{Decimal(text).normalize():f}"
        except InvalidOperation:
            return text
    return text


def bundle_leaves(bundle: dict[str, Any], left_out: re.Pattern[str] = _NOT_COMPARED) -> Counter[Leaf]:
    found: Counter[Leaf] = Counter()
    for entry in bundle.get("entry", []):
        resource = entry.get("resource") or {}
        found.update(leaves(resource, str(resource.get("resourceType")), left_out))
    return found


def sources(payload: bytes) -> dict[str, set[str]]:
    """For each value in the message, the fields that hold it."""
    found: dict[str, set[str]] = {}
    for location, leaf in er7.read(payload).located_leaves():
        name = re.sub(r"\[\d+\]", "", location)
        place = re.match(r"\w+-\d+", name)
        for text in {normal(leaf.text), _as_date(leaf.text)} - {""}:
            found.setdefault(text, set()).add(place[0] if place else name)
    return found


def _as_date(text: str) -> str:
    """An HL7 date as FHIR writes it, times to the day: enough to know the field by."""
    match = re.match(r"(\d{4})(\d\d)?(\d\d)?", text)
    return "-".join(p for p in match.groups() if p) if match and len(text) >= 8 else ""


def oracle_pipeline() -> Pipeline:
    """As the oracles were made: both take a time without an offset for UTC, which is a setting here."""
    return make_pipeline(Settings(timezone="UTC"))


def compare(pipeline: Pipeline, corpora: Path) -> Agreement:
    """Convert every message that has an expected Bundle, and count."""
    done = Agreement()
    for corpus, path, expected_path in pairs(corpora):
        try:
            expected = json.loads(expected_path.read_text(), parse_float=Decimal)
        except ValueError:
            continue
        payload = next(split(path.read_bytes())).payload
        (outcome,) = pipeline.process(
            Envelope(payload, Kind.HL7V2, corpus, "id", datetime(2026, 1, 1, tzinfo=UTC))
        )
        if outcome.bundle is None or not isinstance(expected, dict):
            continue
        done.messages[corpus] += 1
        ours = bundle_leaves(outcome.bundle)
        anywhere = {value for _, value in bundle_leaves(outcome.bundle, _NOTHING)}
        known = sources(payload)
        for (where, value), count in bundle_leaves(expected).items():
            held = known.get(value) or known.get(value[:10] if value[4:5] == "-" else value)
            if not held and not where.endswith(
                (".code", ".status", ".gender", ".use", ".system", ".type", ".mode")
            ):
                continue
            place = (
                next(iter(held))
                if held and len(held) == 1
                else f"code {where}"
                if not held
                else "several fields"
            )
            counts = done.fields.setdefault(place, Counter())
            agreed = min(count, ours[where, value]) or int(bool(ours[where, value]))
            counts["agree"] += agreed
            rest = count - agreed
            # The same value once where they repeat it says the same.
            if rest and agreed:
                counts["agree"] += rest
            elif rest:
                state = "elsewhere" if value in anywhere else "nowhere"
                counts[state] += rest
                done.differ.setdefault((corpus, where, place), []).append((path.name, value))
    return done


class Reasons:
    """``reasons.csv``: patterns of corpus, path, field and value (an empty one fits all) and why we differ there."""

    def __init__(self) -> None:
        with (HERE / "reasons.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        self.rows = [
            ([re.compile(r[c] or ".*") for c in ("corpus", "path", "field", "value")], r["reason"])
            for r in rows
        ]

    def why(self, *difference: str) -> str:
        """The reason for a (corpus, path, field, value), "" if none is known; what no field tells is ``code PATH``."""
        for patterns, reason in self.rows:
            if all(p.fullmatch(text) for p, text in zip(patterns, difference, strict=True)):
                return reason
        return ""


def report(done: Agreement, *, everything: bool) -> str:
    """The tables that are printed."""
    lines = [f"messages compared: {', '.join(f'{n} of {c}' for c, n in sorted(done.messages.items()))}", ""]
    lines.append(f"{'field':34}{'agree':>8}{'elsewhere':>11}{'nowhere':>9}")
    total: Counter[str] = Counter()
    for place, counts in sorted(done.fields.items()):
        total.update(counts)
        if everything or not place.startswith("code "):
            lines.append(f"{place[:33]:34}{counts['agree']:8}{counts['elsewhere']:11}{counts['nowhere']:9}")
    lines.append(f"{'all':34}{total['agree']:8}{total['elsewhere']:11}{total['nowhere']:9}")
    explained: Counter[str] = Counter()
    open_classes: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    known = Reasons()
    for (corpus, path, place), examples in done.differ.items():
        for name, value in examples:
            reason = known.why(corpus, path, place, value)
            if reason:
                explained[f"{corpus}: {reason}"] += 1
            else:
                open_classes.setdefault((corpus, path, place), []).append((name, value))
    lines += ["", "differences with a reason:"]
    lines += [f"{count:6}  {reason}" for reason, count in explained.most_common()]
    lines += ["", f"differences without a reason: {sum(map(len, open_classes.values()))}"]
    ordered = sorted(open_classes.items(), key=lambda item: -len(item[1]))
    for (corpus, path, place), examples in ordered if everything else ordered[:SHOWN]:
        lines.append(
            f"{len(examples):6}  {corpus} {path} ({place}), as in {examples[0][0]}: {examples[0][1][:60]}"
        )
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    paths = [Path(a) for a in arguments if not a.startswith("--")]
    corpora = paths[0] if paths else CORPORA
    if not corpora.is_dir():
        print(f"The corpora are not at {corpora}", file=sys.stderr)
        return 2
    print(report(compare(oracle_pipeline(), corpora), everything="--all" in arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
