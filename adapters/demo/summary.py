"""The account at the end of the demo, and whether it is even."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from adapters.demo.collector import Collector, percentile
from adapters.replay.sinks import Fate

if TYPE_CHECKING:
    from adapters.demo.command import Feed


def print_summary(
    console: Console, feeds: list[Feed], collector: Collector, out: Path, seconds: float
) -> int:
    """Print it; returns 0 if in = accepted + rejected and every answer matches an outcome, else 1."""
    _feeds(console, feeds, collector)
    _made(console, collector)
    console.print(
        f"latency, reception to outcome: p50 {percentile(collector.latencies, 0.5) * 1000:.0f} ms, "
        f"p99 {percentile(collector.latencies, 0.99) * 1000:.0f} ms; the whole demo took {seconds:.0f} s"
    )
    faults = _faults(feeds, collector)
    for fault in faults:
        console.print(f"[red]{fault}[/red]")
    if not faults:
        console.print("[green]Every message is accounted for, and every answer matches an outcome.[/green]")
    example = next((i for f in ("wards",) for i in collector.control_ids[f]), "CONTROL-ID")
    console.print(
        f"\nEverything that came out is under {out}/ as NDJSON. To look at one message's journey:\n"
        f"    .venv/bin/wardstream trace {example}"
    )
    return 1 if faults else 0


def _feeds(console: Console, feeds: list[Feed], collector: Collector) -> None:
    table = Table(title="What went in", title_justify="left")
    for column in ("feed", "sent", "acknowledged", "refused", "no answer", "accepted", "rejected"):
        table.add_column(column, justify="left" if column == "feed" else "right")
    for feed in feeds:
        told = collector.by_feed[feed.name]
        table.add_row(
            feed.label,
            str(feed.sent),
            *(str(feed.fates[f]) for f in (Fate.ACKNOWLEDGED, Fate.REJECTED, Fate.FAILED)),
            str(told["accepted"]),
            str(told["rejected"]),
        )
    console.print(table)


def _made(console: Console, collector: Collector) -> None:
    table = Table(title="What came out", title_justify="left", show_header=False)
    table.add_row("FHIR resources", _counts(collector.resources))
    table.add_row("read in notes, marked as inferred", _counts(collector.inferred))
    table.add_row("notes read", str(collector.seen["inference.audit"]))
    table.add_row("entities", _counts(collector.labels))
    table.add_row("dead letters", _counts(collector.dead_codes))
    table.add_row("values that no rule maps", f"{collector.unmapped} (each with its place and reason)")
    table.add_row("drift events", str(len(collector.drift)))
    for event in collector.drift[:6]:
        data = event["data"]
        table.add_row(
            "", f"{data['feed']}: {data['monitor']} went from {data['before']:.2f} to {data['after']:.2f}"
        )
    console.print(table)


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{n} {name}" for name, n in counter.most_common()) or "none"


def _faults(feeds: list[Feed], collector: Collector) -> list[str]:
    """What does not add up."""
    faults = []
    for feed in feeds:
        told = collector.by_feed[feed.name]
        if sum(told.values()) != feed.sent:
            faults.append(f"{feed.label}: {feed.sent} sent, {sum(told.values())} outcomes")
        faults += [f"{feed.label}: {failure}" for failure in feed.failures[:5]]
        if feed.fates[Fate.REJECTED] != collector.edge_refusals[feed.name]:
            faults.append(
                f"{feed.label}: {feed.fates[Fate.REJECTED]} refusals answered, "
                f"{collector.edge_refusals[feed.name]} kept as dead letters"
            )
        if feed.message_ids:
            missing = [i for i in feed.message_ids if not collector.message_ids[i]]
            if missing:
                faults.append(f"{feed.label}: {len(missing)} acknowledged messages have no outcome")
        elif feed.acknowledged_ids != collector.control_ids[feed.name]:
            faults.append(f"{feed.label}: the control ids acknowledged and those with an outcome differ")
    return faults
