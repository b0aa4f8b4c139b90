"""Prometheus metrics from the plain counters that each part keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from adapters.kafka.agents import StageHealth


class Metrics(Collector):
    """Counters by part, and the health of stages. Reads the numbers when it is asked for them."""

    def __init__(self) -> None:
        self._parts: dict[str, Mapping[str, int]] = {}
        self._health: Callable[[], list[StageHealth]] = list
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def add(self, part: str, stats: Mapping[str, int]) -> None:
        """Show a part's counters as ``wardstream_<part>_<name>``."""
        self._parts[part] = stats

    def watch(self, health: Callable[[], list[StageHealth]]) -> None:
        self._health = health

    def text(self) -> bytes:
        """The page for Prometheus (text exposition format 0.0.4)."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        for part, stats in self._parts.items():
            for name, value in stats.items():
                yield GaugeMetricFamily(f"wardstream_{part}_{name}", f"{name} of {part}", value=value)
        in_hand = GaugeMetricFamily(
            "wardstream_stage_in_hand", "records read and not yet confirmed", labels=["stage"]
        )
        idle = GaugeMetricFamily(
            "wardstream_stage_idle_seconds", "since the stage last moved", labels=["stage"]
        )
        partitions = GaugeMetricFamily("wardstream_stage_partitions", "partitions assigned", labels=["stage"])
        for health in self._health():
            in_hand.add_metric([health.stage], health.in_hand)
            idle.add_metric([health.stage], health.idle_seconds)
            partitions.add_metric([health.stage], len(health.partitions))
        yield from (in_hand, idle, partitions)
