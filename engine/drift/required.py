"""Which fields a receiver counts on."""

from __future__ import annotations

REQUIRED_FIELDS = ("PID-3", "PID-5", "PID-7", "PID-8", "PV1-2", "MSH-7", "MSH-10")
"""Empty ones are counted in telemetry, and watched one by one."""
