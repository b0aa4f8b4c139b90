"""Write the tables of settings in docs/operations.md anew, from engine/settings.py and engine/feeds.py.

    python tools/write_settings_table.py

A test fails while the tables and the code differ (tests/contract/test_docs.py).
"""
# ruff: noqa: INP001  a folder of scripts is no package

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from adapters.configuration import CONFIG_VARIABLE, DEFAULT_FILE, variables
from engine.feeds import FeedProfile
from engine.settings import MIB, Settings

PAGE = Path(__file__).resolve().parents[1] / "docs" / "operations.md"
MARK = "<!-- {}: written by tools/write_settings_table.py -->"
END = "<!-- end of {} -->"


def settings_tables() -> str:
    """All variables as Markdown: one table for each section, in the order of the code."""
    reasons = variables()
    parts = []
    for title, rows in _sections():
        cells = [(name, _shown(name, value), reasons[name]) for name, value in rows]
        parts += [f"#### {title}", _table(("variable", "default", "meaning and reason"), cells)]
    return "\n\n".join(parts)


def profile_table() -> str:
    """All settings of a feed profile as one Markdown table."""
    rows = [
        (name, _shown(name, field.get_default(call_default_factory=True)), field.description or "")
        for name, field in FeedProfile.model_fields.items()
    ]
    return _table(("setting", "default", "meaning"), rows)


def _table(titles: Sequence[str], rows: Iterable[tuple[str, str, str]]) -> str:
    head = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    escaped = ([cell.replace("|", r"\|") for cell in row] for row in rows)
    return "\n".join([*head, *(f"| `{name}` | {default} | {why} |" for name, default, why in escaped)])


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
    if value in ("", {}, [], None):
        return "empty"
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`"


def with_tables(page: str) -> str:
    """The page with its tables replaced."""
    for name, text in (("settings", settings_tables()), ("feed profile", profile_table())):
        begin, end = MARK.format(name), END.format(name)
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = f"{before}{begin}\n\n{text}\n\n{end}{after}"
    return page


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
