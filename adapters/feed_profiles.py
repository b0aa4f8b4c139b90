"""Feed profiles from ``feeds/*.yaml``: one file a feed. Every fault names file and line and what is allowed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from engine.errors import SettingsError
from engine.feeds import FeedProfile

_BOOLEAN = re.compile("true|false")


class _Loader(yaml.SafeLoader):
    """YAML 1.2's booleans: true and false alone. ``strictness: off`` is a word, not False."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, _BOOLEAN if tag == "tag:yaml.org,2002:bool" else pattern) for tag, pattern in resolvers]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load_profiles(folder: Path) -> dict[str, FeedProfile]:
    """Profiles by feed name; the name is the file's unless the file says otherwise.

    Raises:
        SettingsError: a file is wrong, or two are of one feed.
    """
    found: dict[str, FeedProfile] = {}
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        profile = load_profile(path)
        if profile.name in found:
            raise SettingsError(
                f"Two profiles are named {profile.name!r}",
                location=str(path),
                action="Give each feed one file.",
            )
        found[profile.name] = profile
    return found


def load_profile(path: Path) -> FeedProfile:
    """One profile. Raises SettingsError."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=_Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        raise SettingsError(
            f"The profile is no YAML: {getattr(error, 'problem', 'not UTF-8')}",
            location=f"{path}:{mark.line + 1}" if mark else str(path),
            action="Correct the syntax at that line.",
        ) from None
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    if node is not None:
        if not isinstance(node, yaml.MappingNode):
            raise SettingsError(
                "The profile holds no settings",
                location=f"{path}:1",
                action="Write 'timezone: Asia/Singapore' and so on.",
            )
        values, lines = _read(node, path)
    values.setdefault("name", path.stem)
    try:
        return FeedProfile(**values)
    except ValidationError as error:
        raise _explain(error, path, lines) from None


def _read(node: yaml.MappingNode, path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    constructor = _Loader("")
    for key_node, value_node in node.value:
        key, line = str(key_node.value), key_node.start_mark.line + 1
        if key in values:
            raise SettingsError(
                f"{key} stands twice",
                location=f"{path}:{line}",
                action=f"Keep one; the first is in line {lines[key]}.",
            )
        values[key], lines[key] = constructor.construct_object(value_node, deep=True), line
        if isinstance(value_node, yaml.MappingNode):
            lines |= {f"{key}.{k.value}": k.start_mark.line + 1 for k, _ in value_node.value}
    return values, lines


def _explain(error: ValidationError, path: Path, lines: dict[str, int]) -> SettingsError:
    first = error.errors()[0]
    where = ".".join(str(p) for p in first["loc"])
    line = lines.get(where) or lines.get(str(first["loc"][0]), 1) if first["loc"] else 1
    if first["type"] == "extra_forbidden":
        known = ", ".join(FeedProfile.model_fields)
        return SettingsError(
            f"There is no setting {where!r}", location=f"{path}:{line}", action=f"Use one of: {known}."
        )
    field = FeedProfile.model_fields.get(str(first["loc"][0])) if first["loc"] else None
    return SettingsError(
        f"The setting {where} is wrong: {first['msg']}",
        location=f"{path}:{line}",
        action=f"Allowed: {_allowed(field)}.",
    )


def _allowed(field: FieldInfo | None) -> str:
    if field is None:
        return "see docs/operations.md"
    kind = field.annotation
    if get_origin(kind) is Literal:
        return " or ".join(str(value) for value in get_args(kind))
    return field.description or str(kind)
