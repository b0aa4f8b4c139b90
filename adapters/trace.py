"""``wardstream trace``: one message's journey: source, report, Bundle, what was read in its notes.

It looks in the files of the last demo when no broker is configured, else in the topics.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from adapters.configuration import load_settings
from adapters.kafka.reader import KafkaReader
from engine.errors import ReadError, SettingsError
from engine.hl7v2 import er7
from engine.hl7v2.ack import read_header
from engine.settings import Kafka
from engine.stages import dead

INBOUND = ("hl7v2.inbound", "fhir.inbound")
_URL_CHARS = 28
MAX_SOURCE_CHARS = 4000
"""Shown of a source; the whole is in the topic."""


@dataclass(slots=True)
class Journey:
    """What is known of one message.

    Attributes:
        report: its record of ``outcomes``; empty when the edge refused it.
        source: bytes as received; None when they are gone.
        bundle: the structured Bundle.
        inferred: Bundles made from its notes.
        letters: dead letters: headers of each.
    """

    report: dict[str, Any] = field(default_factory=dict)
    source: bytes | None = None
    bundle: dict[str, Any] | None = None
    inferred: list[dict[str, Any]] = field(default_factory=list)
    letters: list[dict[str, str]] = field(default_factory=list)


def trace_command(control_id: str, folder: Path, *, as_json: bool) -> int:
    """Show every message with this control id; returns 1 when there is none."""
    settings = load_settings()
    if settings.kafka.brokers:
        journeys = asyncio.run(_from_kafka(settings.kafka, control_id))
        where = f"the topics at {settings.kafka.brokers}"
    else:
        journeys = _from_files(folder, control_id)
        where = f"{folder}/"
    console = Console()
    if not journeys:
        console.print(f"No message with control id {control_id!r} in {where}", style="red")
        return 1
    for journey in journeys:
        if as_json:
            print(json.dumps(_as_json(journey), ensure_ascii=False))  # noqa: T201 - the command's output
        else:
            _show(console, journey)
    return 0


def _from_files(folder: Path, control_id: str) -> list[Journey]:
    if not (folder / "outcomes.ndjson").is_file():
        raise SettingsError(
            f"There is no {folder}/outcomes.ndjson, and no broker is configured",
            action="Run 'wardstream demo' first, or set WARDSTREAM_KAFKA__BROKERS.",
        )
    found = {
        o["message_id"]: Journey(report=o)
        for o in _lines(folder / "outcomes.ndjson")
        if o["source"]["control_id"] == control_id
    }
    for topic in INBOUND:
        for line in _lines(folder / f"{topic}.ndjson"):
            journey = found.get(line["headers"].get("message-id", ""))
            if journey is not None:
                journey.source = base64.b64decode(line["payload_base64"])
    for line in _lines(folder / "fhir.resources.ndjson"):
        journey = found.get(line["headers"].get("source-message-id", ""))
        if journey is not None:
            _add_bundle(journey, line["headers"], line["bundle"])
    for line in _lines(folder / "dead.letters.ndjson"):
        headers = line["headers"]
        journey = found.get(headers.get("message-id", ""))
        if journey is None and _control_id(base64.b64decode(line["payload_base64"])) == control_id:
            journey = found[headers.get("message-id", "")] = Journey()
            journey.source = base64.b64decode(line["payload_base64"])
        if journey is not None:
            journey.letters.append(headers)
    return list(found.values())


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if path.is_file():
        with path.open("rb") as stream:
            for line in stream:
                yield json.loads(line)


async def _from_kafka(kafka: Kafka, control_id: str) -> list[Journey]:
    found: dict[str, Journey] = {}
    async with KafkaReader(kafka, ("outcomes", "dead.letters")) as reader:
        async for record in reader.to_end():
            if record.topic == "outcomes" and record.headers.get("control-id") == control_id:
                report = json.loads(record.value)
                found.setdefault(report["message_id"], Journey()).report = report
            elif record.topic == "dead.letters" and _control_id(record.value) == control_id:
                journey = found.setdefault(record.headers.get("message-id", ""), Journey())
                journey.letters.append(dict(record.headers))
                journey.source = record.value
    if not found:
        return []
    async with KafkaReader(kafka, (*INBOUND, "fhir.resources")) as reader:
        async for record in reader.to_end():
            name = "message-id" if record.topic in INBOUND else "source-message-id"
            wanted = found.get(record.headers.get(name, ""))
            if wanted is None:
                continue
            if record.topic in INBOUND:
                wanted.source = record.value
            else:
                _add_bundle(wanted, record.headers, json.loads(record.value))
    return list(found.values())


def _add_bundle(journey: Journey, headers: Any, bundle: dict[str, Any]) -> None:
    if headers.get("kind") == "nlp":
        journey.inferred.append(bundle)
    else:
        journey.bundle = bundle


def _control_id(payload: bytes) -> str:
    header = read_header(payload)
    return header.control_id if header else ""


def _as_json(journey: Journey) -> dict[str, Any]:
    return {
        "report": journey.report,
        "source_base64": base64.b64encode(journey.source).decode("ascii")
        if journey.source is not None
        else None,
        "bundle": journey.bundle,
        "inferred": journey.inferred,
        "dead_letters": journey.letters,
    }


# -- showing ---------------------------------------------------------------------------------------------


def _show(console: Console, journey: Journey) -> None:
    report = journey.report
    source = report.get("source", {})
    title = f"{source.get('message_type', 'unread')} {source.get('control_id', '')}".strip()
    console.rule(Text(f"{title}: {report.get('outcome', 'rejected at the edge')}"))
    if report:
        console.print(
            f"feed {report['feed']}, message id {report['message_id']}, received {report['received_at']}, "
            f"character set {source['charset'] or 'unknown'}, from {source['path']}",
            markup=False,
        )
    if journey.source is not None:
        console.print(Panel(Text(_readable(journey.source)), title="source", title_align="left"))
    for letter in journey.letters:
        marks = {k.removeprefix(dead.PREFIX): v for k, v in letter.items() if k.startswith(dead.PREFIX)}
        lines = "\n".join(f"{k}: {v}" for k, v in marks.items())
        console.print(Panel(Text(lines), title="dead letter", title_align="left", border_style="red"))
    if report.get("issues"):
        _table(console, "issues", ("severity", "code", "location", "message"), report["issues"])
    if journey.bundle is not None:
        _resources(console, "FHIR resources", journey.bundle)
    for bundle in journey.inferred:
        _entities(console, bundle)
    if report.get("unmapped"):
        _table(console, "not mapped", ("location", "reason"), report["unmapped"])
    if report.get("cleared"):
        console.print("cleared by explicit null: " + ", ".join(report["cleared"]), markup=False)


def _readable(payload: bytes) -> str:
    """The source as a person reads it: one segment a line."""
    try:
        text = "\n".join(s.raw for s in er7.read(payload, fallback="8859/1").segments)
    except ReadError:
        text = payload.decode("utf-8", "backslashreplace").replace("\r", "\n")
    return (
        text
        if len(text) <= MAX_SOURCE_CHARS
        else f"{text[:MAX_SOURCE_CHARS]}\n… {len(text)} characters in all"
    )


def _table(console: Console, title: str, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    table = Table(title=title, title_justify="left", show_lines=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(row.get(column, ""))) for column in columns))
    console.print(table)


def _resources(console: Console, title: str, bundle: dict[str, Any]) -> None:
    table = Table(title=title, title_justify="left")
    table.add_column("write")
    table.add_column("says", overflow="fold")
    for entry in bundle["entry"]:
        request = entry.get("request", {})
        table.add_row(
            f"{request.get('method', '')} {request.get('url', '')}", Text(_gist(entry.get("resource", {})))
        )
    console.print(table)


def _gist(resource: dict[str, Any]) -> str:
    """The few elements of a resource that tell what it is."""
    parts = []
    for name in (
        "status",
        "class",
        "code",
        "type",
        "category",
        "name",
        "gender",
        "birthDate",
        "deviceName",
        "eventCoding",
        "recorded",
    ):
        value = resource.get(name)
        if value:
            parts.append(f"{name}: {_short(value)}")
    parts += [
        f"{n}: {_short(v)}" for n, v in resource.items() if n.startswith(("value", "effective", "period"))
    ]
    return "; ".join(parts)


def _short(value: Any) -> str:
    while isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, dict):
        if "value" in value and "unit" in value:
            return f"{value['value']} {value['unit']}"
        for name in ("text", "display", "code", "family", "name", "value", "start"):
            if name in value:
                return _short(value[name])
        if "coding" in value:
            return _short(value["coding"])
        return ", ".join(value)
    return str(value)[:80]


def _entities(console: Console, bundle: dict[str, Any]) -> None:
    rows = []
    for entry in bundle["entry"]:
        resource = entry["resource"]
        for extension in resource.get("extension", ()):
            parts = {
                p["url"]: next((v for k, v in p.items() if k != "url"), "")
                for p in extension.get("extension", ())
            }
            if "start" in parts and "label" in parts:
                rows.append(
                    {
                        **parts,
                        "span": f"{parts['start']}-{parts['end']}",
                        "resource": resource["resourceType"],
                    }
                )
    rows.sort(key=lambda r: r["start"])
    _table(
        console,
        "read in a note, inferred by a machine",
        ("span", "text", "label", "assertion", "score", "resource"),
        rows,
    )
