"""Write the table of settings in docs/operations.md anew, from engine/settings.py.

    python tools/write_settings_table.py

A test fails while the table and the code differ (tests/contract/test_docs.py).
"""
# ruff: noqa: INP001  a folder of scripts is no package

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from adapters.configuration import CONFIG_VARIABLE, DEFAULT_FILE, variables
from engine.settings import MIB, Settings

PAGE = Path(__file__).resolve().parents[1] / "docs" / "operations.md"
BEGIN = "<!-- settings: written by tools/write_settings_table.py -->"
END = "<!-- end of settings -->"


def table() -> str:
    """All variables as Markdown: one table for each section, in the order of the code."""
    reasons = {name: text.replace("|", r"\|") for name, text in variables().items()}
    lines: list[str] = []
    for title, rows in _sections():
        lines += [f"#### {title}", "", "| variable | default | meaning and reason |", "|---|---|---|"]
        lines += [f"| `{name}` | {_shown(name, value)} | {reasons[name]} |" for name, value in rows]
        lines.append("")
    return "\n".join(lines)


def _sections() -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """(title, (variable, default) of each setting)."""
    general: list[tuple[str, Any]] = [(CONFIG_VARIABLE, DEFAULT_FILE)]
    for name, value in Settings():
        if isinstance(value, BaseModel):
            title = (type(value).__doc__ or "").split(".")[0].split("\n")[0]
            yield f"`{name}`: {title}", [(f"WARDSTREAM_{name}__{n}".upper(), v) for n, v in value]
        else:
            general.append((f"WARDSTREAM_{name}".upper(), value))
    yield "General", general


def _shown(name: str, value: Any) -> str:
    if name.endswith("_BYTES") and value >= 1024:
        unit, divisor = ("MiB", MIB) if value % MIB == 0 else ("KiB", 1024)
        return f"`{value}` ({value // divisor} {unit})"
    if value in ("", {}, []):
        return "empty"
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`"


def with_table(page: str) -> str:
    """The page with its table replaced."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
