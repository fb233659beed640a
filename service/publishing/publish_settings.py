"""What `stakehold publish` is told by the environment."""

import re
from enum import StrEnum
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_SUBJECT = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_STREAM = re.compile(r"[A-Za-z0-9_-]{1,255}")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


class SinkKind(StrEnum):
    NATS = "nats"
    KAFKA = "kafka"


class Encoding(StrEnum):
    """STRUCTURED: the whole event is one JSON document. BINARY: attributes are headers, data are protobuf."""

    STRUCTURED = "structured"
    BINARY = "binary"


class SinkStart(StrEnum):
    """With what a new sink begins."""

    BEGINNING = "beginning"
    NOW = "now"


class PublishSettings(BaseSettings):
    """Each field is read from the variable STAKEHOLD_PUBLISH_<FIELD>; a few are those of other commands."""

    model_config = SettingsConfigDict(
        env_prefix="STAKEHOLD_PUBLISH_", frozen=True, hide_input_in_errors=True, populate_by_name=True
    )

    kind: SinkKind = Field(description="nats: NATS JetStream; kafka: a broker that speaks Kafka's protocol.")
    servers: SecretStr = Field(
        description="Where the sink is: nats://host:port or tls://host:port; host:port for kafka; several "
        "with commas."
    )
    sink: str = Field(
        default="",
        pattern=r"^([a-z0-9][a-z0-9_.-]{0,63})?$",
        description="The name that progress is kept under: up to 64 of a-z, 0-9, -, _ and .; default: the "
        "kind. Another name begins anew.",
    )
    start: SinkStart = Field(
        default=SinkStart.BEGINNING,
        description="With what a new sink begins: beginning, the ledger's first entry; now, the next one.",
    )
    encoding: Encoding = Field(
        default=Encoding.STRUCTURED,
        description="structured: CloudEvents as JSON; binary: attributes as headers, the entry as protobuf.",
    )
    subject: str = Field(
        default="stakehold.entries",
        description="Of nats: what subjects begin with; .<partition>.<kind> follows.",
    )
    stream: str = Field(default="STAKEHOLD_ENTRIES", description="Of nats: the JetStream stream.")
    topic: str = Field(default="stakehold.entries", description="Of kafka: the topic.")
    topic_partitions: int = Field(
        default=16, ge=1, le=10_000, description="Of kafka: how many partitions a new topic gets."
    )
    replicas: int = Field(
        default=1, ge=1, le=7, description="How many copies a new stream or topic keeps of everything."
    )
    create: bool = Field(default=True, description="Whether a stream or topic that is missing is made.")
    username: str = Field(default="", description="As whom to log in; empty: as nobody.")
    password: SecretStr = Field(default=SecretStr(""), description="The password.")
    password_file: Path | None = Field(default=None, description="The file that the password is in instead.")
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="Of kafka: how to log in: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."
    )
    tls: bool = Field(default=False, description="Of kafka: whether the connection is encrypted.")
    ca_file: Path | None = Field(
        default=None,
        description="The certificates that vouch for the broker's; default: the machine's.",
    )
    timeout_s: float = Field(
        default=5.0, gt=0, le=60, description="The longest that the broker may take to confirm."
    )
    lease_s: float = Field(
        default=20.0,
        gt=0,
        le=600,
        description="For how long partitions stay with a publisher that is not heard of any more.",
    )
    page_events: int = Field(default=500, ge=1, le=10_000, description="The most events under way at once.")
    poll_s: float = Field(
        default=0.02, gt=0, le=60, description="How often the ledger is asked for new entries."
    )
    postgres_url: SecretStr = Field(
        validation_alias="STAKEHOLD_POSTGRES_URL",
        description="The ledger: postgresql://user:password@host:port/database.",
    )
    metrics_listen: str = Field(
        default="",
        validation_alias="STAKEHOLD_METRICS_LISTEN",
        description="Where Prometheus metrics, and /ready, are served, host:port; empty: nowhere.",
    )
    health_listen: str = Field(
        default="",
        validation_alias="STAKEHOLD_HEALTH_LISTEN",
        description="Where probes are answered, host:port: grpc.health.v1 in plain text; empty: nowhere.",
    )
    migration_wait_s: float = Field(
        default=0.0,
        ge=0,
        le=86_400,
        validation_alias="STAKEHOLD_MIGRATION_WAIT_S",
        description="For how long a start waits, unready, where the ledger lacks migrations or is away.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", validation_alias="STAKEHOLD_LOG_LEVEL", description="debug, info, warning or error."
    )
    log_format: Literal["json", "console"] = Field(
        default="json",
        validation_alias="STAKEHOLD_LOG_FORMAT",
        description="json, one object a line, or console.",
    )

    @field_validator("subject")
    @classmethod
    def _subject_has_no_wildcards(cls, text: str) -> str:
        if not _SUBJECT.fullmatch(text):
            raise ValueError("must be words of letters, digits, - and _, with dots between them")
        return text

    @field_validator("stream")
    @classmethod
    def _stream_can_be_named(cls, text: str) -> str:
        if not _STREAM.fullmatch(text):
            raise ValueError("must be letters, digits, - and _")
        return text

    @field_validator("topic")
    @classmethod
    def _topic_can_be_named(cls, text: str) -> str:
        if not _TOPIC.fullmatch(text):
            raise ValueError("must be letters, digits, -, _ and .")
        return text

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.password.get_secret_value() and self.password_file is not None:
            raise ValueError("STAKEHOLD_PUBLISH_PASSWORD_FILE: is one password too many")
        if self.has_password() and not self.username:
            raise ValueError("STAKEHOLD_PUBLISH_USERNAME: must be set where there is a password")
        if self.lease_s < 4 * self.timeout_s:
            raise ValueError("STAKEHOLD_PUBLISH_LEASE_S: must be at least four times the timeout")
        return self

    def sink_name(self) -> str:
        return self.sink or self.kind.value

    def server_list(self) -> list[str]:
        return [word.strip() for word in self.servers.get_secret_value().split(",") if word.strip()]

    def has_password(self) -> bool:
        return bool(self.password.get_secret_value()) or self.password_file is not None

    def read_password(self) -> str:
        """Raises OSError where its file cannot be read."""
        if self.password_file is not None:
            return self.password_file.read_text(encoding="utf-8").strip()
        return self.password.get_secret_value()
