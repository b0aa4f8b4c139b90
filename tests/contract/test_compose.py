"""docker-compose.yml, Dockerfile and deploy/ agree with the code: settings, commands, ports, images."""

import base64
import json
import re
import tomllib
from importlib.metadata import requires
from urllib.parse import urlsplit

import pytest
import yaml
from composition import (
    COMPOSITION,
    ENGINE,
    ROOT,
    SECRETS,
    SERVICES,
    composition,
    container_port,
    environment_of,
    mounts,
    on_host,
    roles_of,
    settings_of,
)
from packaging.requirements import Requirement

from adapters.configuration import CONFIG_VARIABLE, variables
from adapters.feed_profiles import load_profiles
from adapters.worker import Role, make_stages
from engine.mapping.mapper import Mapper
from engine.settings import Settings

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
GRACE_SECONDS = 2.0
"""What the engine itself adds to ``kafka.shutdown_timeout`` before it ends hard (adapters/kafka/run.py)."""

every_service = pytest.mark.parametrize("name", sorted(SERVICES))
every_worker = pytest.mark.parametrize("name", sorted(ENGINE))


def is_pinned(image):
    """A tag that names one release: at least major, minor and patch, or major and minor where there is no patch."""
    _, _, tag = image.partition(":")
    return bool(re.match(r"v?\d+\.\d+", tag)) and "latest" not in tag


# -- images --------------------------------------------------------------------------------------------------


@every_service
def test_every_image_is_pinned(name):
    """A tag that moves would change a hospital's software without anyone deciding so."""
    assert is_pinned(SERVICES[name]["image"])


def test_every_stage_of_the_dockerfile_starts_from_a_pinned_image_that_the_package_allows():
    """The image is built on one stated Python, and on one that pyproject.toml accepts."""
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(bases) == 2
    assert all(re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base) for base in bases)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lowest = tuple(int(n) for n in project["requires-python"].removeprefix(">=").split("."))
    assert all(tuple(int(n) for n in re.findall(r"\d+", base)[:2]) >= lowest for base in bases)


def test_the_image_installs_what_is_pinned_and_does_not_run_as_root():
    """No package version is chosen at build time, and a break-in does not start as root."""
    assert "--constraint constraints.txt" in DOCKERFILE
    user = re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)[-1]
    assert int(user) > 0
    assert 'ENTRYPOINT ["wardstream"]' in DOCKERFILE


def test_what_the_dockerfile_copies_is_in_the_build_context():
    """.dockerignore lets nothing through but what is named: a forgotten line would break every build."""
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    copied = set()
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE):
        copied |= {each.rstrip("/") for each in line.split()[:-1]}
    assert copied == allowed
    assert all((ROOT / each).exists() for each in copied)


def test_the_engine_s_image_carries_the_version_of_the_package():
    """An image's tag says what is in it."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    images = {name: each["image"] for name, each in ENGINE.items()}
    assert images.pop("annotate-gpu") == f"wardstream:{version}-gpu"
    assert set(images.values()) == {f"wardstream:{version}"}


def test_images_that_are_built_otherwise_have_names_of_their_own():
    """Two builds under one name would overwrite each other."""
    builds = {}
    for service in ENGINE.values():
        builds.setdefault(service["image"], set()).add(json.dumps(service["build"]))
    assert [len(each) for each in builds.values()] == [1, 1]


def test_what_the_gpu_s_image_has_in_addition_is_pinned():
    """The libraries of CUDA come as packages, through the same constraints as all others."""
    build = SERVICES["annotate-gpu"]["build"]
    (extra,) = build["args"].values()
    assert list(build["args"]) == re.findall(r"^ARG (\w+)=$", DOCKERFILE, re.MULTILINE)
    package, extras = re.fullmatch(r"([\w-]+)\[([\w,]+)\]", extra).groups()
    pinned = {line.split("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    needed = [Requirement(text) for text in requires(package)]
    brought = {
        each.name
        for each in needed
        for name in extras.split(",")
        if each.marker and not each.marker.evaluate({"extra": ""}) and each.marker.evaluate({"extra": name})
    }
    assert brought
    assert {package, *brought} <= pinned


def test_the_broker_is_the_one_that_the_tests_run_against():
    """What is proven against one version of Kafka says little of another."""
    pom = (ROOT / "tests" / "kafka" / "pom.xml").read_text()
    tested = re.search(r"<artifactId>kafka_2\.13</artifactId>\s*<version>([\d.]+)</version>", pom)
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{tested.group(1)}"


# -- what each container needs -------------------------------------------------------------------------------


@every_service
def test_every_service_is_watched_restarted_and_bounded(name):
    """A container that hangs, ends or grows is noticed and dealt with."""
    service = SERVICES[name]
    assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert service["restart"] == "unless-stopped"
    assert re.fullmatch(r"\d+[gm]", service["deploy"]["resources"]["limits"]["memory"])


@every_service
def test_what_a_service_waits_for_exists_and_can_be_waited_for(name):
    """``service_healthy`` of a service without a health check would never come."""
    for other, how in SERVICES[name].get("depends_on", {}).items():
        assert how == {"condition": "service_healthy"}
        assert "healthcheck" in SERVICES[other]


@every_service
def test_every_volume_exists(name):
    """Named volumes are declared; files and folders of the repository are there, and read-only."""
    for volume in SERVICES[name].get("volumes", ()):
        source, _, *mode = volume.split(":")
        if source.startswith("."):
            assert (ROOT / source).exists()
            assert mode == ["ro"]
        else:
            assert source in COMPOSITION["volumes"]


def test_every_declared_volume_is_used():
    """A volume that nobody mounts is a typing error somewhere else."""
    used = {source for service in SERVICES.values() for source, _ in mounts(service) if source[0] != "."}
    assert used == set(COMPOSITION["volumes"])


@every_service
def test_every_port_is_published_on_loopback_unless_opened_on_purpose(name):
    """Nothing here asks who is calling: what is reachable from elsewhere is the site's decision."""
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", ()))


def test_mllp_and_the_console_can_be_opened():
    """The two ways in that other machines need, and no other port, follow their variables."""
    opened = composition(MLLP_BIND="192.0.2.7", CONSOLE_BIND="192.0.2.8")["services"]
    moved = {
        name: {port.rsplit(":", 2)[0] for port in service.get("ports", ())}
        for name, service in opened.items()
        if service.get("ports") != SERVICES[name].get("ports")
    }
    assert moved == {"mllp": {"192.0.2.7"}, "console": {"192.0.2.8"}}


def test_no_two_services_want_one_port_of_the_host():
    """The second one would not start."""
    taken = [port.rsplit(":", 1)[0] for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(taken) == len(set(taken))


@pytest.mark.parametrize("secret", sorted(SECRETS))
def test_nothing_starts_without_its_secrets(secret):
    """A default password is a published one."""
    with pytest.raises(KeyError, match=secret):
        composition(**{secret: ""})


def test_the_example_of_the_environment_names_what_the_file_asks_for():
    """Who fills in deploy/example.env has filled in everything, and nothing in it is without effect."""
    text = (ROOT / "docker-compose.yml").read_text()
    asked = set(re.findall(r"\$\{([A-Z_]+)", text))
    example = (ROOT / "deploy" / "example.env").read_text()
    assert set(re.findall(r"^#?([A-Z_]+)=", example, re.MULTILINE)) == asked
    assert set(re.findall(r"^([A-Z_]+)=$", example, re.MULTILINE)) == set(SECRETS)


def test_no_variable_of_the_composition_is_taken_for_a_setting():
    """The engine refuses WARDSTREAM_ names that it does not know; one in a shell's .env would stop every command."""
    assert not re.findall(r"\$\{WARDSTREAM_", (ROOT / "docker-compose.yml").read_text())


# -- the workers ---------------------------------------------------------------------------------------------


@every_worker
def test_every_variable_of_a_worker_is_a_setting(name):
    """A misspelt variable stops the engine: better here than there."""
    assert {n for n in environment_of(SERVICES[name]) if n.startswith("WARDSTREAM_")} <= set(variables())


@every_worker
def test_the_settings_of_a_worker_are_valid(name, monkeypatch):
    """File and environment together are accepted by the code that will read them."""
    settings = settings_of(SERVICES[name], monkeypatch)
    assert settings.kafka.brokers
    assert settings.observability.audit_key == SECRETS["AUDIT_KEY"]
    assert settings.kafka.embedded is False


@every_worker
def test_the_command_of_a_worker_is_understood(name):
    """The command line takes it, and its roles exist."""
    assert roles_of(name)


@every_worker
def test_the_stages_of_a_worker_can_be_made(name, monkeypatch):
    """The note reader, the overlay and all else that a stage needs at its start is there."""
    settings = settings_of(SERVICES[name], monkeypatch)
    # Whether there is a GPU where the tests run is not the composition's matter.
    settings = settings.model_copy(update={"nlp": settings.nlp.model_copy(update={"device": "auto"})})
    monkeypatch.setenv("WARDSTREAM_MAPPING__OVERLAY", str(on_host(SERVICES[name], settings.mapping.overlay)))
    monkeypatch.setenv("WARDSTREAM_FEEDS", str(on_host(SERVICES[name], settings.feeds)))
    settings = settings_of(SERVICES[name], monkeypatch)
    # Whether there is a GPU where the tests run is not the composition's matter.
    settings = settings.model_copy(update={"nlp": settings.nlp.model_copy(update={"device": "auto"})})
    stages = [role for role in roles_of(name) if role not in {Role.MLLP, Role.HTTP}]
    assert [stage.name for stage in make_stages(stages, settings)] == [role.value for role in stages]


def test_every_role_runs_somewhere():
    """A stage that nobody runs lets its topic grow until records are lost to retention."""
    assert {role for name in ENGINE for role in roles_of(name) if "profiles" not in ENGINE[name]} == set(Role)


def test_ingest_and_annotate_scale_apart():
    """Each stage that is heavy has a service of its own, with nothing that would keep a second one from starting."""
    homes = {role: [name for name in ENGINE if role in roles_of(name)] for role in Role}
    assert not set(homes[Role.ANNOTATE]) & {*homes[Role.INGEST_HL7V2], *homes[Role.INGEST_FHIR]}
    for role in (Role.INGEST_HL7V2, Role.INGEST_FHIR, Role.ANNOTATE, Role.DRIFT):
        for name in homes[role]:
            assert not {"container_name", "ports", "hostname"} & set(SERVICES[name])


def test_a_gpu_is_reserved_only_where_it_is_asked_for():
    """The profile gpu, and it alone, needs a machine with a GPU."""
    reserving = {
        name
        for name, service in SERVICES.items()
        if "devices" in service["deploy"]["resources"].get("reservations", {})
    }
    assert reserving == {name for name, service in SERVICES.items() if service.get("profiles") == ["gpu"]}
    assert [Role.ANNOTATE in roles_of(name) for name in reserving] == [True]


def test_the_gpu_s_worker_reads_notes_as_the_other_does(monkeypatch):
    """Both belong to one consumer group: two readers side by side would overwrite each other's findings."""
    cpu, gpu = (settings_of(SERVICES[name], monkeypatch).nlp for name in ("annotate", "annotate-gpu"))
    assert (cpu.extractor, cpu.models, cpu.by_language) == (gpu.extractor, gpu.models, gpu.by_language)


def test_a_model_that_finds_no_gpu_does_not_start_on_the_cpu(monkeypatch):
    """Whoever asked for the profile gpu wants to know."""
    assert settings_of(SERVICES["annotate-gpu"], monkeypatch).nlp.device == "cuda"


def test_whoever_answers_for_notes_reads_them_as_the_stage_does(monkeypatch):
    """The console serves POST /annotate: another reader there would give other answers than the feed's."""
    readers = {settings_of(SERVICES[name], monkeypatch).nlp.extractor for name in ("annotate", "console")}
    assert len(readers) == 1


@every_worker
def test_a_worker_is_given_the_time_to_stop(name, monkeypatch):
    """Docker's SIGKILL after ten seconds would cut off work that could have been confirmed."""
    given = float(SERVICES[name]["stop_grace_period"].removesuffix("s"))
    assert given > settings_of(SERVICES[name], monkeypatch).kafka.shutdown_timeout + GRACE_SECONDS


# -- addresses -----------------------------------------------------------------------------------------------


@every_worker
def test_the_brokers_of_a_worker_are_a_listener_of_the_broker(name, monkeypatch):
    """Host and port are what the broker tells its clients to use; another address connects once and then hangs."""
    advertised = environment_of(SERVICES["kafka"])["KAFKA_ADVERTISED_LISTENERS"]
    addresses = {each.split("://")[1] for each in advertised.split(",")}
    assert settings_of(SERVICES[name], monkeypatch).kafka.brokers in addresses


def test_the_broker_s_listeners_are_complete():
    """Each listener has a protocol, and each that clients use an address they can reach."""
    env = environment_of(SERVICES["kafka"])
    listeners = dict(each.split("://:") for each in env["KAFKA_LISTENERS"].split(","))
    protocols = dict(each.split(":") for each in env["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(","))
    advertised = dict(each.split("://") for each in env["KAFKA_ADVERTISED_LISTENERS"].split(","))
    controller = env["KAFKA_CONTROLLER_LISTENER_NAMES"]
    assert set(listeners) == set(protocols)
    assert set(advertised) == set(listeners) - {controller}
    assert all(address.rsplit(":", 1)[1] == listeners[name] for name, address in advertised.items())
    assert env["KAFKA_INTER_BROKER_LISTENER_NAME"] in advertised
    assert env["KAFKA_CONTROLLER_QUORUM_VOTERS"] == f"{env['KAFKA_NODE_ID']}@kafka:{listeners[controller]}"


def test_the_broker_keeps_its_data_and_leaves_the_topics_to_the_engine():
    """Its log is on a volume, under an id that stays, and no topic comes about with the broker's own settings."""
    env = environment_of(SERVICES["kafka"])
    assert ("kafka-data", env["KAFKA_LOG_DIRS"]) in mounts(SERVICES["kafka"])
    assert env["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    identity = base64.urlsafe_b64decode(env["CLUSTER_ID"] + "==")
    assert len(identity) == 16
    assert base64.urlsafe_b64encode(identity).decode().rstrip("=") == env["CLUSTER_ID"]


def test_one_broker_is_not_asked_for_more_copies_than_it_can_keep(monkeypatch):
    """The engine's topics could not be created, and the broker's own would never be ready."""
    assert settings_of(SERVICES["ingest"], monkeypatch).kafka.replication == 1
    env = environment_of(SERVICES["kafka"])
    assert {value for name, value in env.items() if "REPLICATION_FACTOR" in name or "MIN_ISR" in name} == {
        "1"
    }


def test_the_published_ports_are_those_that_are_listened_on(monkeypatch):
    """A port that leads nowhere looks like a dead engine to every sender."""
    mllp = settings_of(SERVICES["mllp"], monkeypatch).mllp
    assert {container_port(p) for p in SERVICES["mllp"]["ports"]} == {mllp.port, *mllp.more_feeds.values()}
    http = settings_of(SERVICES["console"], monkeypatch).http
    assert {container_port(p) for p in SERVICES["console"]["ports"]} == {http.port}
    exposed = {int(port) for port in re.search(r"^EXPOSE (.+)$", DOCKERFILE, re.MULTILINE).group(1).split()}
    assert exposed == {Settings().mllp.port, Settings().http.port}


def test_the_ways_in_listen_beyond_the_container(monkeypatch):
    """Listening on the container's own loopback would make a published port unreachable."""
    assert settings_of(SERVICES["mllp"], monkeypatch).mllp.host == "0.0.0.0"
    assert settings_of(SERVICES["console"], monkeypatch).http.host == "0.0.0.0"


def test_the_fhir_server_and_its_database_agree():
    """Host, database, user and password are the same on both sides, and its extra settings are mounted."""
    fhir, postgres = environment_of(SERVICES["fhir"]), environment_of(SERVICES["postgres"])
    url = urlsplit(fhir["SPRING_DATASOURCE_URL"].removeprefix("jdbc:"))
    assert url.hostname == "postgres"
    assert url.path == f"/{postgres['POSTGRES_DB']}"
    assert fhir["SPRING_DATASOURCE_USERNAME"] == postgres["POSTGRES_USER"]
    assert fhir["SPRING_DATASOURCE_PASSWORD"] == postgres["POSTGRES_PASSWORD"]
    path = fhir["SPRING_CONFIG_ADDITIONAL_LOCATION"].removeprefix("file:")
    assert yaml.safe_load(on_host(SERVICES["fhir"], path).read_text())["hapi"]["fhir"]["fhir_version"] == "R4"


# -- the site's files ----------------------------------------------------------------------------------------


def test_the_example_overlay_compiles():
    """A site that begins with the example begins with something that works."""
    assert Mapper(ROOT / "deploy" / "overlay").naming.system("KGH", "", "").startswith("https://")


def test_the_example_profiles_are_of_feeds_that_exist(monkeypatch):
    """A profile whose name is no feed's changes nothing, without a word."""
    mllp = settings_of(SERVICES["mllp"], monkeypatch).mllp
    assert set(load_profiles(ROOT / "deploy" / "feeds")) <= {mllp.feed, *mllp.more_feeds}


def test_every_worker_has_the_same_settings_file_and_overlay():
    """The edge names a patient's key and the maps name the Patient: with different tables they would disagree."""
    assert len({json.dumps(mounts(service)) for service in ENGINE.values()}) == 1
    assert len({environment_of(service)[CONFIG_VARIABLE] for service in ENGINE.values()}) == 1
