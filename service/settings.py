"""All settings, read from the environment here and nowhere else."""

from enum import StrEnum
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from persistence.calls import RateLimit
from service.telemetry.trace_settings import TraceSettings


class Durability(StrEnum):
    """What an answer promises.

    FSYNC: the write is on the store's disk. REPLICATED: it is on the disks of replicas, too; an answer that
    they do not confirm in time is OUTCOME_UNKNOWN.
    """

    FSYNC = "fsync"
    REPLICATED = "replicated"


class Recovery(StrEnum):
    """What happens to a partition whose store was started again, replaced or emptied.

    AUTOMATIC: it is taken over at once. MANUAL: it is fenced until `stakehold recover` does it.
    """

    AUTOMATIC = "automatic"
    MANUAL = "manual"


class Settings(TraceSettings):
    """Each field is read from the variable STAKEHOLD_<FIELD>."""

    model_config = SettingsConfigDict(env_prefix="STAKEHOLD_", frozen=True)

    valkey_url: SecretStr = Field(
        description="The hot path's store: redis://[user:password@]host:port/0, or a Cluster by some of its "
        "nodes, redis+cluster://[user:password@]host:port,host:port/; rediss for TLS."
    )
    postgres_url: SecretStr = Field(description="The ledger: postgresql://user:password@host:port/database.")
    migration_postgres_url: SecretStr | None = Field(
        default=None, description="The ledger as its owner, for `stakehold migrate`; default: postgres_url."
    )
    erase_postgres_url: SecretStr | None = Field(
        default=None,
        description="The ledger as somebody who may erase a player's data, for `stakehold erase`; default: "
        "postgres_url.",
    )
    listen: str = Field(default="127.0.0.1:50051", description="Where gRPC is served; port 0 takes any.")
    admin_listen: str = Field(
        default="",
        description="Where AdminService and AccessService are served, and then only there; empty: beside the "
        "others.",
    )
    tls_cert_file: str = Field(
        default="",
        description="The server's certificate and those in between, as PEM; read again when it changes.",
    )
    tls_key_file: str = Field(
        default="", description="The certificate's private key, as PEM; read again when it changes."
    )
    tls_client_ca_file: str = Field(
        default="",
        description="Whose client certificates are trusted, as PEM; read again when it changes.",
    )
    tls_client_certificates: Literal["required", "optional"] = Field(
        default="required",
        description="required: who has no trusted certificate gets no connection; optional: none is asked "
        "for, and callers are known by tokens alone.",
    )
    callers_file: str = Field(
        default="",
        description="Who may call, how each is known, and who vouches for tokens, as YAML "
        "(docs/security.md); read again when it changes.",
    )
    reload_s: float = Field(
        default=1.0, gt=0, description="How often the files of certificates, keys and callers are looked at."
    )
    caller_recheck_s: float = Field(
        default=1.0,
        gt=0,
        description="How often it is asked again who holds a stream: whose token has ended, or who was "
        "removed, holds it no longer.",
    )
    insecure_development: bool = Field(
        default=False,
        description="true: no TLS, and nobody is asked who they are. For a developer's own machine: refused "
        "unless every address that is listened on is a loopback one.",
    )
    metrics_listen: str = Field(
        default="", description="Where Prometheus metrics are served, host:port; empty: nowhere."
    )
    health_listen: str = Field(
        default="",
        description="Where probes are answered, host:port: grpc.health.v1 in plain text, and nothing else; "
        "empty: nowhere.",
    )
    migration_wait_s: float = Field(
        default=0.0,
        ge=0,
        le=86_400,
        description="For how long a start waits, unready, where the ledger lacks migrations or is away; then "
        "it is refused.",
    )
    partitions: int | None = Field(
        default=None,
        ge=1,
        le=4096,
        description="How many partitions a new ledger gets (default 16); an existing one must have as many.",
    )
    durability: Durability = Field(
        default=Durability.FSYNC,
        description="What an answer promises: fsync, on the store's disk; replicated, on its replicas' too.",
    )
    replicas: int = Field(
        default=1,
        ge=1,
        description="How many replicas of each primary confirm an answer where the durability is replicated; "
        "with all that it has, whichever is promoted knows all that was answered.",
    )
    recovery: Recovery = Field(
        default=Recovery.AUTOMATIC,
        description="Whether a store that was started again, replaced or emptied is taken over at once.",
    )
    window_s: float = Field(
        default=86_400.0,
        gt=0,
        description="How long the store remembers ids and idle players itself; older ones are in the ledger.",
    )
    forget_every_s: float = Field(
        default=60.0, gt=0, description="How often the drainer looks for what the store may forget."
    )
    call_timeout_s: float = Field(
        default=5.0, gt=0, description="The longest that a call may take where its caller sets no deadline."
    )
    store_timeout_s: float = Field(default=2.0, gt=0, description="The longest round trip to the store.")
    max_waiting_calls: int = Field(
        default=4096, ge=1, description="Calls that may wait for the store before others are shed."
    )
    max_connections: int = Field(
        default=1000, ge=1, description="Connections that a server takes; others are closed at once."
    )
    connection_age_s: float = Field(
        default=0.0,
        ge=0,
        description="After how long a connection is asked to end, so that its caller finds servers that are "
        "new; calls on it have a minute more. 0: never.",
    )
    max_calls_in_flight: int = Field(
        default=1024,
        ge=1,
        description="Calls that may be under way before others are shed; shared among the sources that call.",
    )
    source_calls_per_s: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="Calls a second that this server takes of a source that has no rate limit of its own; "
        "0: as many as come.",
    )
    source_burst: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="How many of them may come at once after a pause; 0: as many as in a second.",
    )
    max_commands_under_way: int = Field(
        default=512,
        ge=1,
        description="Commands of one Batch or Stream that may be under way; of a Stream also those that are "
        "answered and not read by the caller: then no more of it is read.",
    )
    max_bulk_calls: int = Field(
        default=64,
        ge=1,
        description="Batches and Streams that may be under way before others are shed.",
    )
    outbox_high_records: int = Field(
        default=100_000,
        ge=1,
        description="Records that may wait in a partition's outbox before debits and new wallets are shed.",
    )
    outbox_hard_records: int = Field(
        default=400_000,
        ge=1,
        description="Records that may wait in a partition's outbox before everything but reads is shed.",
    )
    registry_refresh_s: float = Field(
        default=1.0, gt=0, description="How often currencies and sources are read again."
    )
    quote_longest_s: float = Field(
        default=300.0, ge=1, le=3600, description="The longest that a quote may be asked to hold."
    )
    quote_grace_s: float = Field(
        default=2.0, ge=0, le=60, description="For how long after its end a quote's exchange still counts."
    )
    stop_notice_s: float = Field(
        default=0.5,
        ge=0,
        le=60,
        description="How long a server that is told to stop goes on taking calls after it has said so to who "
        "watches its health: callers that balance are gone before anything is refused.",
    )
    shutdown_grace_s: float = Field(
        default=10.0, ge=0, description="How long calls in flight may take when the service stops."
    )
    drain_batch_records: int = Field(
        default=300, ge=1, description="The most outbox records of a partition in one SQL transaction."
    )
    event_poll_s: float = Field(
        default=0.01,
        gt=0,
        le=60,
        description="How often the ledger is asked for new entries while any subscribe.",
    )
    event_tail_entries: int = Field(
        default=4096,
        ge=1,
        description="How many of the newest entries a server keeps for its subscribers; who falls further "
        "behind is told from the ledger.",
    )
    event_heartbeat_s: float = Field(
        default=5.0, gt=0, description="The longest that a subscriber is told nothing, not even its cursor."
    )
    event_patience_s: float = Field(
        default=60.0,
        gt=0,
        description="How long a subscriber may leave a message untaken before it is ended.",
    )
    max_subscribers: int = Field(
        default=100, ge=1, description="How many may subscribe to a server's events at once."
    )
    work_rate: float = Field(
        default=1000.0,
        gt=0,
        description="Submitted commands that a worker applies in a second, at most; fewer where live play "
        "would suffer.",
    )
    work_nice: int = Field(
        default=10,
        ge=0,
        le=19,
        description="How far a worker stands back for other programs of its machine, as nice(1); 0: not at "
        "all, and its pace does not mind busy processors.",
    )
    work_missing_s: float = Field(
        default=900.0,
        ge=0,
        description="For how long a submitted command is tried that names what is not there (a bet, a "
        "wallet), before it is a dead letter.",
    )
    work_retry_s: float = Field(
        default=86_400.0,
        ge=0,
        description="For how long a submitted command is tried while something is down, overloaded or "
        "stale, before it is a dead letter.",
    )
    second_approval_above: str = Field(
        default="",
        pattern=r"^([A-Za-z0-9]{2,16}=[0-9]+(\.[0-9]+)?(,[A-Za-z0-9]{2,16}=[0-9]+(\.[0-9]+)?)*)?$",
        description="Withdrawals of more than so much take two persons' approval: EUR=1000,BTC=0.5. A "
        "currency that is not named has no limit.",
    )
    deposit_expiry_s: float = Field(
        default=86_400.0,
        gt=0,
        le=31_536_000,
        description="How long a deposit may stay announced where its caller names no end.",
    )
    providers_file: Path | None = Field(
        default=None,
        description="The YAML file that says which providers may hand over callbacks, and whose word is good "
        "for them; read again whenever it changes.",
    )
    callback_retention_days: float = Field(
        default=180.0,
        gt=0,
        le=36_500,
        description="After so long `stakehold work` erases what callbacks contained; their ids and digests "
        "stay.",
    )
    submission_retention_days: float = Field(
        default=365.0,
        gt=0,
        le=36_500,
        description="After so long `stakehold work` takes away what decided commands of submissions "
        "contained, and raw records that were repaired; ids, results and money stay.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="debug, info, warning or error."
    )
    log_format: Literal["json", "console"] = Field(
        default="json", description="json, one object a line, or console."
    )

    def confirming_replicas(self) -> int:
        """How many replicas are asked before an answer leaves."""
        return self.replicas if self.durability is Durability.REPLICATED else 0

    def default_rate_limit(self) -> RateLimit | None:
        """Of sources that have none of their own."""
        if not self.source_calls_per_s:
            return None
        return RateLimit(self.source_calls_per_s, self.source_burst or self.source_calls_per_s)

    def service_login(self) -> str | None:
        """As whom the service logs in to the ledger, where that is not its owner."""
        if self.migration_postgres_url is None:
            return None
        login = urlsplit(self.postgres_url.get_secret_value()).username
        owner = urlsplit(self.migration_postgres_url.get_secret_value()).username
        return unquote(login) if login and login != owner else None

    def owner_postgres_url(self) -> str:
        """The ledger's address for migrations."""
        return (self.migration_postgres_url or self.postgres_url).get_secret_value()

    def eraser_postgres_url(self) -> str:
        """The ledger's address for erasing a player's data."""
        return (self.erase_postgres_url or self.postgres_url).get_secret_value()
