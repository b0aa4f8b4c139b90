"""The composition root: settings to a running engine. The one module that knows engine, adapters and models together."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from enum import StrEnum
from typing import Any

import structlog

from adapters.clock import WallClock
from adapters.composition import Profiles, make_intake, make_mapper, software_version
from adapters.http.notes import NoteRoute
from adapters.http.server import HttpServer
from adapters.http.watching import Watching
from adapters.kafka.publisher import KafkaPublisher
from adapters.kafka.run import Run, readers_of
from adapters.mllp.server import MllpServer
from adapters.note_readers import NoteReaders
from adapters.observability.metrics import Metrics
from adapters.reception import Reception
from engine.errors import SettingsError
from engine.pipeline import Pipeline
from engine.ports import Stage
from engine.records import Kind
from engine.settings import Kafka, Settings
from engine.stages.annotate import AnnotateStage
from engine.stages.ingest import IngestStage
from engine.stages.watch import WatchStage

log = structlog.get_logger(__name__)


class Role(StrEnum):
    """What one process may do. Each stage is a consumer group of its own, so that any role scales apart."""

    MLLP = "mllp"
    HTTP = "http"
    INGEST_HL7V2 = "ingest-hl7v2"
    INGEST_FHIR = "ingest-fhir"
    ANNOTATE = "annotate"
    DRIFT = "drift"


ALL_ROLES = tuple(Role)
#: Stages that only compute: the runner may put their large records into a thread.
_NEVER_AWAIT = frozenset({Role.INGEST_HL7V2.value, Role.INGEST_FHIR.value})
_STAGE_ROLES = (Role.INGEST_HL7V2, Role.INGEST_FHIR, Role.ANNOTATE, Role.DRIFT)


def parse_roles(text: str) -> tuple[Role, ...]:
    """``all`` or names separated by commas. Raises SettingsError that lists what there is."""
    if text.strip() == "all":
        return ALL_ROLES
    roles = []
    for name in filter(None, (part.strip() for part in text.split(","))):
        try:
            roles.append(Role(name))
        except ValueError:
            raise SettingsError(
                f"There is no role {name!r}",
                location="--roles",
                action=f"Use all, or some of {', '.join(ALL_ROLES)}.",
            ) from None
    if not roles:
        raise SettingsError(
            "No role was named", location="--roles", action=f"Use all, or some of {', '.join(ALL_ROLES)}."
        )
    return tuple(dict.fromkeys(roles))


def make_stages(
    roles: Sequence[Role],
    settings: Settings,
    readers: NoteReaders | None = None,
    audit_key: bytes | None = None,
) -> list[Stage]:
    """The stages of the roles, each with its own copy of what it needs but for the note readers."""
    stages: list[Stage] = []
    pipeline: Pipeline | None = None
    for role in roles:
        if role in {Role.INGEST_HL7V2, Role.INGEST_FHIR}:
            if pipeline is None:
                pipeline = Pipeline(settings, make_mapper(settings), Profiles(settings), software_version())
            kind = Kind.HL7V2 if role is Role.INGEST_HL7V2 else Kind.FHIR
            stages.append(IngestStage(kind, pipeline, settings))
        elif role is Role.ANNOTATE:
            stages.append(
                AnnotateStage(
                    (readers or NoteReaders(settings)).load(),
                    settings,
                    audit_key=audit_key or make_audit_key(settings),
                    clock=WallClock(),
                    perf_counter=time.perf_counter,
                    on_audit=lambda line: log.info("inference", **line),
                )
            )
        elif role is Role.DRIFT:
            stages.append(WatchStage(settings))
    return stages


def make_audit_key(settings: Settings) -> bytes:
    """The configured key, or one for this process alone."""
    if settings.observability.audit_key:
        return settings.observability.audit_key.encode("utf-8")
    log.warning(
        "no audit key is set: hashes in audit records can't be compared after a restart",
        action="set WARDSTREAM_OBSERVABILITY__AUDIT_KEY",
    )
    return secrets.token_bytes(32)


class Engine:
    """A running engine: its addresses are known once it is ready.

    Attributes:
        listeners: MLLP listeners by feed, if it has that role.
        http: the HTTP side, if it has that role.
    """

    def __init__(self, roles: Sequence[Role], settings: Settings) -> None:
        self.roles = tuple(roles)
        self.settings = settings
        self.listeners: dict[str, MllpServer] = {}
        self.http: HttpServer | None = None

    @property
    def mllp_ports(self) -> dict[str, int]:
        """Ports listened on, by feed."""
        return {feed: server.port for feed, server in self.listeners.items()}

    async def run(
        self,
        kafka: Kafka,
        *,
        extra_readers: dict[str, list[str]] | None = None,
        jobs: Sequence[Callable[[Engine], Coroutine[Any, Any, object]]] = (),
        on_ready: Callable[[Engine], None] = lambda _engine: None,
    ) -> int:
        """Run until told to stop; returns the exit code.

        Args:
            kafka: the log: the settings' own, or an embedded broker's.
            extra_readers: further consumer groups by topic that an embedded broker must hold records for.
            jobs: coroutines to run beside; the run ends when one returns.
            on_ready: called when everything is up.
        """
        if not kafka.brokers:
            raise SettingsError(
                "No Kafka is configured",
                location="kafka.brokers",
                action="Set WARDSTREAM_KAFKA__BROKERS, or use --embedded for the in-memory broker.",
            )
        note_readers = NoteReaders(self.settings)
        reads = {Role.ANNOTATE, Role.HTTP} & {*self.roles}
        audit_key = make_audit_key(self.settings) if reads else b""
        roles = [role for role in self.roles if role in _STAGE_ROLES]
        stages = make_stages(roles, self.settings, note_readers, audit_key)
        # Whoever reads, reads in some process: an embedded broker must hold back for all of them.
        readers = readers_of(kafka, stages)
        for topic, groups in (extra_readers or {}).items():
            readers.setdefault(topic, []).extend(groups)
        async with AsyncExitStack() as stack:
            publisher = await stack.enter_async_context(KafkaPublisher(kafka, readers))
            notes = NoteRoute(self.settings, note_readers.get, publisher, WallClock(), audit_key)
            services = [note_readers, *self._services(kafka, publisher, notes)]
            run = Run(
                stages,
                kafka,
                publisher,
                services=services,
                beside_loop=_NEVER_AWAIT,
                jobs=[job(self) for job in jobs],
                on_ready=lambda: on_ready(self),
            )
            if self.http is not None:
                self.http.watch(run)
            return await run.until_stopped()

    def _services(self, kafka: Kafka, publisher: KafkaPublisher, notes: NoteRoute) -> list[Any]:
        metrics = Metrics()
        services: list[Any] = []
        if Role.MLLP in self.roles:
            intake = make_intake(self.settings)
            mllp = self.settings.mllp
            for feed, port in {mllp.feed: mllp.port, **mllp.more_feeds}.items():
                reception = Reception(intake, publisher, WallClock(), feed, self.settings.drift)
                server = MllpServer(mllp.model_copy(update={"feed": feed, "port": port}), reception)
                self.listeners[feed] = server
                metrics.add(f"mllp_{feed}", server.stats)
                services.append(server)
        if Role.HTTP in self.roles:
            watching = Watching(kafka)
            self.http = HttpServer(self.settings, publisher, WallClock(), metrics, watching, notes)
            services += [watching, self.http]
        return services
