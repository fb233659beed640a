"""What `stakehold edge` is told by the environment."""

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.providers.providers_file import MAX_BODY_BYTES


class EdgeSettings(BaseSettings):
    """Each field is read from the variable STAKEHOLD_EDGE_<FIELD>; a few are those of the other commands."""

    model_config = SettingsConfigDict(
        env_prefix="STAKEHOLD_EDGE_", frozen=True, hide_input_in_errors=True, populate_by_name=True
    )

    listen: str = Field(
        default="127.0.0.1:8088",
        pattern=r"^\S+:[0-9]{1,5}$",
        description="Where HTTP is served, host:port; TLS is for what stands before it. Port 0 takes any.",
    )
    max_body_bytes: int = Field(
        default=65_536, ge=1, le=MAX_BODY_BYTES, description="The largest body that is read."
    )
    max_requests: int = Field(
        default=256,
        ge=1,
        description="Requests that may wait for their answers before others are told 503. Those whose bodies "
        "are still being read are bounded by MAX_CONNECTIONS and MAX_BODY_BYTES.",
    )
    max_connections: int = Field(
        default=1024, ge=1, description="Connections beyond that are closed at once."
    )
    header_timeout_s: float = Field(
        default=10.0,
        gt=0,
        le=600,
        description="The longest that a connection may take for a request's headers, or be idle.",
    )
    body_timeout_s: float = Field(
        default=5.0, gt=0, le=600, description="The longest that a request may take for its body."
    )
    answer_timeout_s: float = Field(
        default=3.0,
        gt=0,
        le=60,
        description="The longest that the service may take for an answer; then the provider is told 503, and "
        "sends it again.",
    )
    peer_header: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9-]{0,64}$",
        description="The header in which the proxy before it says who called, such as X-Real-IP; empty: the "
        "connection says so. For the record only.",
    )
    shutdown_grace_s: float = Field(
        default=10.0,
        ge=0,
        validation_alias="STAKEHOLD_SHUTDOWN_GRACE_S",
        description="How long requests in flight may take when it stops.",
    )
    metrics_listen: str = Field(
        default="",
        validation_alias="STAKEHOLD_METRICS_LISTEN",
        description="Where Prometheus metrics are served, host:port; empty: nowhere.",
    )
    health_listen: str = Field(
        default="",
        validation_alias="STAKEHOLD_HEALTH_LISTEN",
        description="Where probes are answered, host:port: grpc.health.v1 in plain text; empty: nowhere.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", validation_alias="STAKEHOLD_LOG_LEVEL", description="debug, info, warning or error."
    )
    log_format: Literal["json", "console"] = Field(
        default="json",
        validation_alias="STAKEHOLD_LOG_FORMAT",
        description="json, one object a line, or console.",
    )
