"""Settings from the environment and a YAML file.

``WARDSTREAM_KAFKA__BROKERS=a:9092`` sets ``Settings.kafka.brokers``. The file named by
``WARDSTREAM_CONFIG`` (default ``wardstream.yaml`` in the working folder, if it is there) has the same
names nested. The environment wins over the file, the file over the defaults.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from engine.errors import SettingsError
from engine.settings import Settings

CONFIG_VARIABLE = "WARDSTREAM_CONFIG"
DEFAULT_FILE = "wardstream.yaml"


class _Environment(BaseSettings, Settings):
    """Settings with the environment as a source; unknown WARDSTREAM_ names are refused."""

    model_config = SettingsConfigDict(
        env_prefix="WARDSTREAM_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library calls with all sources by name
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings


def load_settings(path: Path | None = None) -> Settings:
    """Settings of this process. Raises SettingsError that names the setting, what is wrong and what is allowed."""
    chosen = path or Path(os.environ.get(CONFIG_VARIABLE, DEFAULT_FILE))
    from_file: dict[str, Any] = {}
    if chosen.is_file():
        from_file = _read_yaml(chosen)
    elif path is not None or CONFIG_VARIABLE in os.environ:
        raise SettingsError(
            f"There is no settings file {chosen}", action=f"Create it, or unset {CONFIG_VARIABLE}."
        )
    _refuse_unknown_variables()
    try:
        loaded = _Environment(**from_file)
    except ValidationError as error:
        raise _explain(error, chosen if from_file else None) from None
    return Settings.model_validate(loaded.model_dump())


def variables() -> dict[str, str]:
    """Every environment variable that sets something, with its description: for docs and for tests of deployments."""
    found = {}
    for name, field in Settings.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and hasattr(kind, "model_fields"):
            for inner, inner_field in kind.model_fields.items():
                found[f"WARDSTREAM_{name.upper()}__{inner.upper()}"] = inner_field.description or ""
        else:
            found[f"WARDSTREAM_{name.upper()}"] = field.description or ""
    found[CONFIG_VARIABLE] = "path of the YAML settings file"
    return found


def _refuse_unknown_variables() -> None:
    known = variables()
    demands = ("KAFKA", "JUDGES", "BROWSER", "COMPILED")  # of the test suite
    others = {f"WARDSTREAM_REQUIRE_{what}" for what in demands}
    for name in os.environ:
        if name.startswith("WARDSTREAM_") and name.upper() not in known and name not in others:
            raise SettingsError(
                f"The environment variable {name} sets nothing",
                action="Correct its name; docs/operations.md lists all of them.",
            )


def content_of(path: Path, what: str, action: str) -> bytes:
    """Content of a file that settings stand in. Raises SettingsError with ``action``: ``what`` can't be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"{what} can't be read: {error.strerror or type(error).__name__}",
            location=str(path),
            action=action,
        ) from None


def _read_yaml(path: Path) -> dict[str, Any]:
    content = content_of(path, "The settings file", "Let this user read it.")
    try:
        loaded = yaml.safe_load(content.decode("utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        why = getattr(error, "problem", "") or "it is not UTF-8, or holds control characters"
        raise SettingsError(
            f"The settings file is no YAML: {why}",
            location=f"{path}{line}",
            action="Correct the syntax at that line or the one before it.",
        ) from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise SettingsError(
            "The settings file holds no names", location=str(path), action="Write 'kafka:' and so on."
        )
    return loaded


def _explain(error: ValidationError, path: Path | None) -> SettingsError:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    source = f" ({path} or the environment)" if path else ""
    return SettingsError(
        f"The setting {where}{source} is wrong: {first['msg']}",
        location=where,
        action=f"Set WARDSTREAM_{where.upper().replace('.', '__')} to an allowed value; docs/operations.md lists them.",
    )
