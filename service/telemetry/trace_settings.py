"""What every process is told about traces by the environment."""

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from persistence.errors import SetupRefused


class TraceSettings(BaseSettings):
    """Each field is read from the variable STAKEHOLD_<FIELD>."""

    model_config = SettingsConfigDict(env_prefix="STAKEHOLD_", frozen=True, hide_input_in_errors=True)

    traces_endpoint: str = Field(
        default="",
        description="Where traces are sent, OTLP over HTTP: http://collector:4318/v1/traces; empty: nowhere. "
        "A start waits as for migrations while drainers are at work that do not know them.",
    )
    traces_ratio: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="The share of calls that are traced, of those whose callers do not say themselves.",
    )
    traces_per_s: float = Field(
        default=100.0,
        gt=0,
        le=10_000,
        description="The most calls that a process traces in a second, whatever their callers say.",
    )
    traces_headers_file: Path | None = Field(
        default=None,
        description="A file with headers that go with traces, one `Name: value` a line, for who receives "
        "them to know us by.",
    )

    @field_validator("traces_endpoint")
    @classmethod
    def _is_an_address(cls, endpoint: str) -> str:
        if not endpoint:
            return endpoint
        address = urlsplit(endpoint)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError("must be an address like http://collector:4318/v1/traces")
        if address.username or address.password or address.query:
            raise ValueError("must have no credentials in it: they go into STAKEHOLD_TRACES_HEADERS_FILE")
        return endpoint


def read_trace_settings() -> TraceSettings:
    """For a command whose other settings are not the service's. Raises SetupRefused, with what to change."""
    try:
        return TraceSettings()
    except ValidationError as invalid:
        problems = (
            f"STAKEHOLD_{str(error['loc'][0]).upper()}: {error['msg'].removeprefix('Value error, ')}"
            for error in invalid.errors(include_url=False, include_input=False, include_context=False)
        )
        raise SetupRefused("; ".join(problems)) from None
