"""Every setting: typed, with its default and the reason for it.

This module holds the shapes only. ``adapters.configuration`` fills them from the environment
(``WARDSTREAM_KAFKA__BROKERS`` sets ``Settings.kafka.brokers``) and from a YAML file; the engine itself
never reads either. Durations are in seconds and sizes in bytes unless the name says otherwise.
"""

from __future__ import annotations

import re
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

MIB = 1024 * 1024


def known_zone(value: str) -> str:
    """The name of a time zone, as it is. Raises ValueError when there is none of that name."""
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: "Asia" is a folder of the database
        raise ValueError(f"{value!r} is no time zone of the IANA database, such as Asia/Singapore") from None
    return value


class Section(BaseModel):
    """A group of settings. Unknown names are refused: a typing error must not pass in silence."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Kafka(Section):
    """The log. Defaults suit one durable node; a real cluster raises replication and min_insync."""

    brokers: str = Field("", description="host:port,host:port; empty means that only --embedded can run")
    embedded: bool = Field(False, description="the brokers are the in-memory one: hold back, expect trimming")
    prefix: str = Field("wardstream.", description="prepended to every topic name and consumer group")
    replication: int = Field(1, ge=1, description="copies of a record; 3 on a real cluster")
    min_insync: int = Field(1, ge=1, description="copies that must confirm; 2 with replication 3")
    partitions: int = Field(8, ge=1, description="upper bound on how far one topic scales out")
    retention_hours: int = Field(168, ge=1, description="a week: long enough for a long weekend's outage")
    admin_timeout: float = Field(
        15.0, gt=0, description="one question to the brokers about topics or offsets"
    )

    max_message_bytes: int = Field(
        32 * MIB, ge=1024, description="largest record; must exceed mllp.max_frame_bytes"
    )
    publish_timeout: float = Field(
        30.0, gt=0, description="no confirmation by then: not safe, sender is told"
    )
    publish_linger_ms: int = Field(2, ge=0, description="wait for company; 2 ms costs no user anything")
    publish_batch_bytes: int = Field(
        128 * 1024, ge=1024, description="a full batch goes at once; Kafka's 16 KiB holds a dozen messages"
    )
    publish_buffer_bytes: int = Field(
        64 * MIB, ge=1024, description="unconfirmed bytes; brokers refuse requests of over 100 MiB"
    )

    session_timeout: float = Field(
        20.0, ge=6, le=60, description="silence after which a dead worker's partitions go to another"
    )
    commit_interval: float = Field(1.0, gt=0, description="a crash repeats at most so much finished work")
    fetch_max_bytes: int = Field(
        4 * MIB, ge=1024, description="Faust's default of 1 MiB stalls on large documents"
    )
    fetch_max_records: int = Field(256, ge=1, description="records handed over by Kafka's client at a time")
    stream_buffer: int = Field(
        64, ge=1, description="records buffered an agent; Faust's 4096 x 1 MB is gigabytes"
    )
    in_flight: int = Field(32, ge=1, description="records of one partition between read and confirmed")
    in_flight_bytes: int = Field(
        32 * MIB, ge=1024, description="and their bytes; one record may be larger if it is alone"
    )
    handler_timeout: float = Field(120.0, gt=0, description="one record; past it the record is a dead letter")
    handler_attempts: int = Field(3, ge=1, description="tries of a retryable error before the dead letter")
    retry_backoff: float = Field(0.5, gt=0, description="first pause between tries; doubles each time")
    beside_over_bytes: int = Field(
        256 * 1024,
        ge=0,
        description="larger records are mapped in a thread: a quarter of a second of ACKs saved",
    )
    rebalance_drain: float = Field(
        5.0, ge=0, description="time given to work under way when partitions move; the rest is repeated"
    )
    stall_timeout: float = Field(
        180.0, gt=0, description="work waiting and none finished: the watchdog ends us"
    )
    shutdown_timeout: float = Field(20.0, gt=0, description="one deadline shared by all steps of a stop")

    holdback_bytes: int = Field(
        2 * MIB, ge=1024, le=2 * MIB, description="unread bytes a partition on the embedded broker"
    )
    holdback_timeout: float = Field(60.0, gt=0, description="readers this far behind: the feed is told no")
    embedded_record_bytes: int = Field(
        2 * MIB, ge=1024, le=2 * MIB, description="the embedded broker loses larger records (it keeps 5 MiB)"
    )
    embedded_start_timeout: float = Field(20.0, gt=0, description="the embedded broker's process to answer")

    @model_validator(mode="after")
    def _enough_copies(self) -> Kafka:
        # Kafka itself lowers min.insync.replicas to the number of copies without a word.
        if self.min_insync > self.replication:
            raise ValueError(
                f"min_insync {self.min_insync} is over replication {self.replication}: "
                "so many copies can never confirm"
            )
        return self


class Mllp(Section):
    """The listener feeds push to."""

    host: str = Field("127.0.0.1", description="loopback; a site opens it on purpose")
    port: int = Field(2575, ge=0, le=65535, description="the IANA port of HL7; 0 picks a free one")
    feed: str = Field("mllp", description="name of the feed when the port has no other")
    max_frame_bytes: int = Field(
        16 * MIB, ge=64, description="an MDM with a scanned document; larger is refused"
    )
    max_connections: int = Field(256, ge=1, description="an interface engine opens few; more is a fault")
    idle_timeout: float = Field(600.0, gt=0, description="quiet feeds keep a connection; ten minutes is long")
    frame_timeout: float = Field(30.0, gt=0, description="from a frame's first byte to its last")
    write_timeout: float = Field(10.0, gt=0, description="a client that doesn't read its ACK")
    more_feeds: dict[str, int] = Field(
        default_factory=dict, description="further listeners: feed name to port; each port is one feed"
    )
    pipeline: int = Field(32, ge=1, description="frames of one connection waiting for Kafka at one time")
    lenient: bool = Field(
        False, description="take HL7 without <SB> as a message; a cut-off one then passes as whole"
    )
    head_bytes: int = Field(
        4096, ge=64, description="kept of a frame that is too large: its MSH, to answer it"
    )
    trailer_timeout: float = Field(
        0.25, gt=0, description="a sender that leaves out the <CR> after <EB> waits this long"
    )
    answer_timeout: float = Field(
        45.0, gt=0, description="no verdict on a frame by then: no ACK; above kafka.publish_timeout"
    )
    max_held_bytes: int = Field(
        256 * MIB, ge=64, description="received and not yet answered, all connections together"
    )
    max_faults: int = Field(
        16, ge=1, description="broken pieces in a row: the client speaks no MLLP and is disconnected"
    )
    backlog: int = Field(128, ge=1, description="connections the kernel holds until we accept them")
    accept_pause: float = Field(1.0, gt=0, description="after accept fails, usually for lack of file handles")
    stop_timeout: float = Field(
        15.0, gt=0, description="a stop lets frames under way finish; within kafka.shutdown_timeout"
    )
    linger_timeout: float = Field(
        1.0, gt=0, description="for the last ACK to be read before a close that the client didn't ask for"
    )
    tls_cert: str = Field("", description="PEM file of our certificate chain; empty: no TLS")
    tls_key: str = Field("", description="PEM file of its private key")
    tls_client_ca: str = Field("", description="PEM file of CAs; clients must then show a certificate")
    tls_handshake_timeout: float = Field(10.0, gt=0, description="a client that connects and says nothing")
    send_connect_timeout: float = Field(5.0, gt=0, description="our side as a sender: one try to connect")
    send_attempts: int = Field(5, ge=1, description="tries to connect before send() fails")
    send_backoff: float = Field(0.5, gt=0, description="pause after the first failed try; doubles each time")
    send_backoff_max: float = Field(8.0, gt=0, description="the longest pause between tries")
    send_ack_timeout: float = Field(
        60.0, gt=0, description="above the receiver's own limit, so that it decides"
    )
    send_silence: float = Field(
        3.0, gt=0, description="silence that is success where a message asks for errors alone (MSH-15 ER)"
    )
    send_window: int = Field(
        1, ge=1, description="frames sent ahead of their ACK; MLLP receivers need not cope with more than one"
    )
    send_max_ack_bytes: int = Field(1 * MIB, ge=64, description="an ACK with a long list of ERR segments")

    @model_validator(mode="after")
    def _fits_together(self) -> Mllp:
        if self.max_held_bytes < self.max_frame_bytes:
            raise ValueError(
                "max_held_bytes must be at least max_frame_bytes, or no large frame could ever end"
            )
        if bool(self.tls_cert) != bool(self.tls_key):
            raise ValueError("tls_cert and tls_key belong together: set both or neither")
        if self.tls_client_ca and not self.tls_cert:
            raise ValueError("tls_client_ca asks clients for certificates, which needs tls_cert and tls_key")
        return self


class Http(Section):
    """FHIR in, health, metrics and the console."""

    host: str = Field("127.0.0.1", description="loopback; a site opens it on purpose")
    port: int = Field(8600, ge=0, le=65535, description="0 picks a free one")
    feed: str = Field("http", description="name of the feed when the caller names none")
    max_body_bytes: int = Field(16 * MIB, ge=64, description="same reason as mllp.max_frame_bytes")
    body_timeout: float = Field(30.0, gt=0, description="a client that sends slowly")
    max_requests: int = Field(64, ge=1, description="under way at one time; more get 429")


class Read(Section):
    """Limits of the readers."""

    max_message_bytes: int = Field(32 * MIB, ge=64, description="one message in a file")
    max_segments: int = Field(200_000, ge=1, description="10,000 OBX are seen; 20 times that is an attack")
    max_json_depth: int = Field(
        64, ge=8, le=200, description="FHIR nests about 20 deep; parsers fall over at 1,000"
    )


class Mapping(Section):
    """HL7 v2 to FHIR."""

    overlay: str = Field("", description="folder of site tables that win over the built-in ones")
    provenance: Literal["off", "message", "segment"] = Field(
        "segment",
        description="what Provenance tells: nothing; the message and the version of the tables that resources "
        "were made by; also the segment that made each",
    )
    canonical_fhir: bool = Field(
        False, description="give FHIR input the code systems and identifier systems that HL7 v2 gets"
    )
    remembered_values: int = Field(
        8192, ge=16, description="values whose FHIR is kept, and as many again that are going; some 2 KB each"
    )
    remembered_chars: int = Field(200, ge=0, description="longer values are not kept: they do not come again")
    base_uri: str = Field(
        "urn:wardstream:", description="root of the systems we must invent; a site sets its own https URL"
    )

    @field_validator("base_uri")
    @classmethod
    def _has_scheme(cls, value: str) -> str:
        if ":" not in value:
            raise ValueError("must be an absolute URI such as https://hospital.example/wardstream/")
        return value


class Nlp(Section):
    """Reading notes."""

    extractor: str = Field(
        "both",
        description="both (the model for publications, the rules first in notes of wards), default (the promoted or shipped model "
        "alone), rules, or a folder",
    )
    max_note_chars: int = Field(200_000, ge=100, description="a very long discharge letter has 60,000")
    min_note_chars: int = Field(12, ge=1, description="shorter texts are values, not notes")
    min_score: float = Field(0.5, ge=0, le=1, description="below it an entity is not emitted as FHIR")
    by_language: dict[str, str] = Field(
        default_factory=dict,
        description="further readers: BCP 47 primary tag to rules, or an artifact's folder, or its name in models",
    )
    models: str = Field(
        "", description="folder of a site's own models; what is promoted there is the default"
    )
    models_poll: float = Field(
        5.0, gt=0, description="how often running workers look whether another model was promoted there"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="auto takes CUDA where it works; cuda refuses to start where it does not"
    )
    threads: int = Field(
        0, ge=0, le=256, description="CPU threads of the model; 0 takes the cores we may use"
    )
    batch_pieces: int = Field(
        2048, ge=64, description="padded word pieces in a batch on the CPU; more gains nothing there"
    )
    batch_pieces_cuda: int = Field(
        32_768, ge=64, description="the same on a GPU, which needs more to be busy: 128 windows of 256"
    )
    batch_wait: float = Field(
        0.005,
        ge=0,
        le=1,
        description="how long a note waits for company: 5 ms is nothing beside a model's run",
    )
    queue_pieces: int = Field(
        262_144,
        ge=1024,
        description="word pieces that may wait: some 400 long notes, a minute's work of two cores",
    )
    timeout: float = Field(
        60.0,
        gt=0,
        description="one call of the note reader; below kafka.handler_timeout, so that it is retried",
    )
    gate_points: float = Field(
        10.0, ge=0, le=100, description="F1 points a promoted model is above the rules"
    )
    gate_stratum_points: float = Field(
        10.0,
        ge=0,
        le=100,
        description="F1 points a stratum may lie below the whole before promotion is refused",
    )
    gate_stratum_entities: int = Field(
        50, ge=1, description="annotated entities below which a stratum says too little to refuse anything"
    )

    @field_validator("by_language")
    @classmethod
    def _are_tags(cls, value: dict[str, str]) -> dict[str, str]:
        wrong = [tag for tag in value if not re.fullmatch(r"[a-z]{2,3}", tag)]
        if wrong:
            raise ValueError(
                f"{', '.join(map(repr, wrong))}: use primary tags of two or three small letters, as ms or zh"
            )
        return value


class Drift(Section):
    """Watching."""

    window_messages: int = Field(
        50, ge=1, description="a telemetry window closes after so many messages of a feed"
    )
    window_seconds: float = Field(30.0, gt=0, description="or after so long, if it holds any")
    adwin_delta: float = Field(
        0.002, gt=0, lt=1, description="ADWIN's chance of a false alarm, its authors' default"
    )
    min_samples: int = Field(60, ge=1, description="no alarm before so many observations of a monitor")
    max_known_codes: int = Field(20_000, ge=100, description="codes remembered a feed and table")
    max_flagged_models: int = Field(
        32,
        ge=1,
        description="readers whose flags are watched; flags on further ones are kept and not watched",
    )


class Observability(Section):
    """Logs and metrics."""

    level: str = Field("info", description="debug, info, warning or error")
    json_logs: bool = Field(False, description="one JSON object a line, for log collectors")
    metrics: bool = Field(True, description="serve /metrics on the HTTP side")
    audit_key: str = Field(
        "", description="key of the text hashes in audit lines; empty: one made at each start"
    )


class Settings(Section):
    """All of it. ``Settings()`` is a working configuration for the embedded broker."""

    kafka: Kafka = Kafka()
    mllp: Mllp = Mllp()
    http: Http = Http()
    read: Read = Read()
    mapping: Mapping = Mapping()
    nlp: Nlp = Nlp()
    drift: Drift = Drift()
    observability: Observability = Observability()
    timezone: str = Field("Asia/Singapore", description="zone of times without offset, unless the feed says")
    feeds: str = Field(
        "feeds",
        description="folder of feed profiles, one YAML file a feed; only the default one may be missing",
    )

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        return known_zone(value)
