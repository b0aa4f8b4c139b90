"""docker-compose.yml as docker compose would see it, as far as the checks need."""

import re
from pathlib import Path

import typer
import yaml
from typer.core import TyperGroup

from adapters.cli import app
from adapters.configuration import load_settings
from adapters.worker import Role, parse_roles

ROOT = Path(__file__).resolve().parents[2]
SECRETS = {"AUDIT_KEY": "k" * 32, "POSTGRES_PASSWORD": "p", "GRAFANA_PASSWORD": "g"}
"""What deploy/example.env asks for."""

_VARIABLE = re.compile(r"\$\{([A-Z_]+)(?:(:-|:\?)([^}]*))?\}")


def interpolated(value, variables):
    """A value with ``${NAME}``, ``${NAME:-default}`` and ``${NAME:?message}`` filled in."""
    if isinstance(value, dict):
        return {name: interpolated(each, variables) for name, each in value.items()}
    if isinstance(value, list):
        return [interpolated(each, variables) for each in value]
    if not isinstance(value, str):
        return value

    def fill(match):
        name, operator, rest = match.groups()
        if variables.get(name):
            return variables[name]
        if operator == ":-":
            return rest
        raise KeyError(f"{name}: {rest or 'is not set'}")

    return _VARIABLE.sub(fill, value)


def raw():
    """The file as it is written, merge keys resolved."""
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


def composition(**variables):
    """The file with the secrets, and further variables, set."""
    return interpolated(raw(), {**SECRETS, **variables})


def environment_of(service):
    return {name: str(value) for name, value in service.get("environment", {}).items()}


def is_engine(service):
    return service["image"].startswith("wardstream:")


def engine_services(document):
    return {name: each for name, each in document["services"].items() if is_engine(each)}


def mounts(service):
    """(source, target) of each volume; a source that begins with ``.`` is a path of the repository."""
    return [tuple(volume.split(":")[:2]) for volume in service.get("volumes", ())]


def on_host(service, path):
    """The repository's file behind a path in the container."""
    for source, target in mounts(service):
        if path == target or path.startswith(target + "/"):
            return ROOT / source / path[len(target) :].lstrip("/")
    raise AssertionError(f"{path} is not mounted")


def settings_of(service, monkeypatch):
    """What the engine in that container would run with."""
    environment = environment_of(service)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WARDSTREAM_CONFIG", str(on_host(service, environment["WARDSTREAM_CONFIG"])))
    return load_settings()


def parsed(command):
    """(name of the sub-command, its parameters) of a ``wardstream`` call. Raises what the command line would say."""
    node, names = typer.main.get_command(app), []
    context = node.make_context("wardstream", list(command))
    while isinstance(node, TyperGroup):
        rest = [*context._protected_args, *context.args]
        name, node, rest = node.resolve_command(context, rest)
        context = node.make_context(name, rest, parent=context)
        names.append(name)
    return " ".join(names), context.params


COMPOSITION = composition()
SERVICES = COMPOSITION["services"]
ENGINE = engine_services(COMPOSITION)


def roles_of(name):
    """Roles of a worker, by its command."""
    command, parameters = parsed(SERVICES[name]["command"])
    return parse_roles(parameters["roles"]) if command == "run" else (Role.HTTP,)


def container_port(published):
    return int(published.rsplit(":", 1)[1])
