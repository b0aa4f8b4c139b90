"""Feed profiles from ``feeds/*.yaml``: one file a feed. Every fault names file and line and what is allowed."""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import ValidationError

from adapters.configuration import content_of
from engine.errors import SettingsError
from engine.feeds import FeedProfile
from engine.hl7v2.message_profile import MessageProfile, read_profile

_BOOLEAN = re.compile("true|false")


class _Loader(yaml.SafeLoader):
    """YAML 1.2's booleans: true and false alone. ``strictness: off`` is a word, not False."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, _BOOLEAN if tag == "tag:yaml.org,2002:bool" else pattern) for tag, pattern in resolvers]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}

_ALLOWED = {
    "authorities": "a name and an absolute URI a line, as '  KGH: https://kgh.example/mrn' below 'authorities:'",
    "coding_systems": "a name and an absolute URI a line, as '  LOCAL: https://kgh.example/codes' below "
    "'coding_systems:'",
    "timezone": "a name of the IANA database, such as Asia/Singapore, Europe/London or UTC",
    "fallback_charset": "a name of HL7 table 0211, such as 8859/1, UNICODE UTF-8 or GB 18030-2000",
    "expected_sender": "MSH-3|MSH-4 as text, such as 'LIS|KGH'",
    "message_profile": "the name of a file beside the profile",
    "name": "a text that is not empty",
}
"""What each setting takes, in words, where the type does not say it."""
_WORDS = {
    "string_type": "a text was expected",
    "dict_type": "names were expected, each with a text",
    "string_too_short": "it is empty",
}
_QUOTES = " Numbers, dates and null are text only in quotes."


def load_profiles(folder: Path, timezone: str | None = None) -> dict[str, FeedProfile]:
    """Profiles by feed name; the name is the file's unless the file says otherwise.

    Args:
        folder: of the files.
        timezone: the site's, for profiles that name none.

    Raises:
        SettingsError: a file is wrong, or two are of one feed.
    """
    found: dict[str, FeedProfile] = {}
    files: dict[str, Path] = {}
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        profile = load_profile(path, timezone)
        if profile.name in found:
            raise SettingsError(
                f"Two profiles are named {profile.name!r}; the other is {files[profile.name]}",
                location=str(path),
                action="Give each feed one file, or each file a 'name:' of its own.",
            )
        found[profile.name], files[profile.name] = profile, path
    return found


def load_profile(path: Path, timezone: str | None = None) -> FeedProfile:
    """One profile. Raises SettingsError."""
    node = _compose(path)
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
    if timezone is not None:
        values.setdefault("timezone", timezone)
    try:
        profile = FeedProfile(**values)
    except ValidationError as error:
        raise _explain(error, path, lines) from None
    if not profile.name.strip():
        place = f"{path}:{lines.get('name', 1)}"
        raise SettingsError(
            "The name of the feed is empty", location=place, action=f"Allowed: {_allowed('name')}"
        )
    if not profile.message_profile:
        return profile
    place = f"{path}:{lines.get('message_profile', 1)}"
    return profile.with_definitions(load_message_profile(path.parent / profile.message_profile, place))


def load_message_profile(path: Path, location: str = "") -> MessageProfile:
    """A message profile from its file.

    Args:
        path: of the file.
        location: where the file is named, for the error; the file itself by default.

    Raises:
        SettingsError: it can't be read, or is none.
    """
    try:
        return read_profile(path.read_bytes())
    except OSError as error:
        why = error.strerror or type(error).__name__
    except (ValueError, RecursionError) as error:
        why = str(error)
    raise SettingsError(
        f"The message profile {path} can't be used: {why}",
        location=location,
        action="Name a message profile: the XML of one (HL7v2xConformanceProfile), or what hl7apy_profile_parser made "
        "of it.",
    )


def _compose(path: Path) -> yaml.Node | None:
    """The YAML of a file, with marks of its lines."""
    content = content_of(path, "The profile", "Make it a file that this user may read.")
    try:
        return yaml.compose(content.decode("utf-8-sig"), Loader=_Loader)
    except UnicodeDecodeError as error:
        line, why, what = content.count(b"\n", 0, error.start) + 1, "not UTF-8", "Save the file as UTF-8."
    except yaml.reader.ReaderError as error:
        line, why = content.decode("utf-8-sig").count("\n", 0, error.position) + 1, "a control character"
        what = "Take the character out."
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line, why = (mark.line + 1 if mark else 1), str(getattr(error, "problem", error))
        what = "Correct the syntax at that line or the one before it."
        if "'\\t'" in why:
            why, what = (
                "a tab stands at the beginning of a line",
                "Indent with blanks; YAML allows no tabs there.",
            )
    raise SettingsError(f"The profile is no YAML: {why}", location=f"{path}:{line}", action=what)


def _read(node: yaml.MappingNode, path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """Values, and the line of each name; names within a name have a dot between them."""
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    _note_lines(node, path, "", lines)
    constructor = _Loader("")
    for key_node, value_node in node.value:
        try:
            values[str(key_node.value)] = constructor.construct_object(value_node, deep=True)
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            mark = getattr(error, "problem_mark", None) or value_node.start_mark
            raise SettingsError(
                f"The value of {key_node.value} can't be read",
                location=f"{path}:{mark.line + 1}",
                action=f"Allowed: {_allowed(str(key_node.value))}",
            ) from None
    return values, lines


def _note_lines(node: yaml.MappingNode, path: Path, above: str, lines: dict[str, int]) -> None:
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise SettingsError(
                "The name of a setting is a word",
                location=f"{path}:{line}",
                action=f"Use one of: {_names()}.",
            )
        name = f"{above}{key_node.value}"
        if name in lines:
            raise SettingsError(
                f"{name} stands twice",
                location=f"{path}:{line}",
                action=f"Keep one; the first is in line {lines[name]}.",
            )
        lines[name] = line
        if isinstance(value_node, yaml.MappingNode) and not above:
            _note_lines(value_node, path, f"{name}.", lines)


def _names() -> str:
    return ", ".join(FeedProfile.model_fields)


def _explain(error: ValidationError, path: Path, lines: dict[str, int]) -> SettingsError:
    """The first fault, in the order of the file."""
    faults = [(_line(fault["loc"], lines), fault) for fault in error.errors()]
    line, first = min(faults, key=lambda found: found[0])
    name = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        near = get_close_matches(name.lower(), FeedProfile.model_fields, n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        return SettingsError(
            f"There is no setting {name!r}",
            location=f"{path}:{line}",
            action=f"{hint}Use one of: {_names()}.",
        )
    inside = ".".join(str(part) for part in first["loc"] if part != "[key]")
    why = _WORDS.get(first["type"]) or first["msg"].removeprefix("Value error, ")
    return SettingsError(
        f"The setting {inside} is wrong: {why}",
        location=f"{path}:{line}",
        action=f"Allowed: {_allowed(name)}",
    )


def _line(place: tuple[int | str, ...], lines: dict[str, int]) -> int:
    for depth in (2, 1):
        found = lines.get(".".join(map(str, place[:depth])))
        if found is not None:
            return found
    return 1


def _allowed(name: str) -> str:
    field = FeedProfile.model_fields.get(name)
    if field is None:
        return f"one of {_names()}."
    kind = field.annotation
    if get_origin(kind) is Literal:
        return " or ".join(str(value) for value in get_args(kind)) + "."
    return f"{_ALLOWED.get(name) or field.description}.{_QUOTES}"
