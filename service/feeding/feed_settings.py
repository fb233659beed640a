"""What `stakehold feed` is told by the environment."""

import ipaddress
import re
from enum import StrEnum
from pathlib import Path
from typing import Literal, Self

import httpx
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from fx.feeds.ecb import DAILY_RATES_URL
from fx.feeds.feed import FeedMalformed, PairName, read_code

ALL_PAIRS = "all"

_TARGET = re.compile(r"\S+:[0-9]{1,5}")

_TOKEN = re.compile(r"[\x21-\x7e]+")


class FeedKind(StrEnum):
    ECB = "ecb"
    HTTP_JSON = "http_json"
    STATIC_FILE = "static_file"


class TimeUnit(StrEnum):
    SECONDS = "s"
    MILLISECONDS = "ms"


class FeedSettings(BaseSettings):
    """Each field is read from the variable STAKEHOLD_FEED_<FIELD>; a few are those of the other commands."""

    model_config = SettingsConfigDict(
        env_prefix="STAKEHOLD_FEED_", frozen=True, hide_input_in_errors=True, populate_by_name=True
    )

    kind: FeedKind = Field(
        description="ecb: the European Central Bank's daily rates of the euro; http_json: any server that "
        "answers in one of two shapes; static_file: a file, as JSON or CSV."
    )
    url: SecretStr | None = Field(
        default=None, description=f"Of ecb and http_json: the document; ecb's is {DAILY_RATES_URL}."
    )
    path: Path | None = Field(default=None, description="Of static_file: the file.")
    pairs: str = Field(
        default=ALL_PAIRS, description="Which rates are wanted, like EUR/USD,EUR/BRL; or all that there are."
    )
    source: str = Field(
        default="",
        pattern=r"^([a-z0-9][a-z0-9_.-]{0,63})?$",
        description="As whose rates they are pushed: up to 64 of a-z, 0-9, -, _ and .; default: the kind.",
    )
    target: str = Field(
        default="", description="Where the service is, host:port; default: where STAKEHOLD_ADDRESS says."
    )
    every_s: float = Field(default=60.0, gt=0, le=86_400, description="How often the feed is asked.")
    timeout_s: float = Field(default=10.0, gt=0, le=600, description="The longest that an answer may take.")
    push_timeout_s: float = Field(
        default=10.0, gt=0, le=600, description="The longest that the service may take for a batch."
    )
    batch_rates: int = Field(default=100, ge=1, le=500, description="The most rates in one push.")
    token: SecretStr | None = Field(
        default=None, description="Of ecb and http_json: sent as Authorization: Bearer, over https only."
    )
    token_file: Path | None = Field(
        default=None, description="The file that the token is in instead; it is read each time."
    )
    price_field: str = Field(
        default="price", min_length=1, description="Of http_json's tickers: where the price is."
    )
    time_field: str = Field(
        default="timestamp",
        description="Of http_json: where it says when a rate was published; empty: when the server answered, "
        "by its Date header.",
    )
    time_unit: TimeUnit = Field(
        default=TimeUnit.SECONDS, description="Of http_json's times that are numbers: s or ms since 1970."
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

    @field_validator("pairs")
    @classmethod
    def _pairs_can_be_read(cls, text: str) -> str:
        pairs = read_pairs(text) or frozenset()
        symbols = {pair.base + pair.quote for pair in pairs}
        if len(symbols) < len(pairs):
            raise ValueError("two of the pairs make the same symbol; have two feeds")
        return text

    @field_validator("target")
    @classmethod
    def _target_has_a_port(cls, text: str) -> str:
        if text and not _TARGET.fullmatch(text):
            raise ValueError("must be host:port")
        return text

    @field_validator("url")
    @classmethod
    def _url_is_of_the_web(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            _read_url(url)
        return url

    @field_validator("token")
    @classmethod
    def _token_fits_a_header(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None:
            require_token(token.get_secret_value())
        return token

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.kind is FeedKind.STATIC_FILE and self.path is None:
            raise ValueError("STAKEHOLD_FEED_PATH: must be set for static_file")
        if self.kind is FeedKind.HTTP_JSON and self.url is None:
            raise ValueError("STAKEHOLD_FEED_URL: must be set for http_json")
        if self.token is not None and self.token_file is not None:
            raise ValueError("STAKEHOLD_FEED_TOKEN_FILE: is one token too many beside STAKEHOLD_FEED_TOKEN")
        if self.has_token() and not _keeps_secrets(_read_url(self.document_url())):
            raise ValueError("STAKEHOLD_FEED_URL: must begin with https:// where a token is sent")
        return self

    def document_url(self) -> SecretStr:
        """Where the document is, of a feed that has one."""
        return self.url or SecretStr(DAILY_RATES_URL)

    def has_token(self) -> bool:
        return self.token is not None or self.token_file is not None

    def source_name(self) -> str:
        """As whose rates they are pushed."""
        return self.source or self.kind.value

    def wanted_pairs(self) -> frozenset[PairName] | None:
        """None for all that there are."""
        return read_pairs(self.pairs)

    def origin(self) -> str:
        """Where rates come from, for logs: addresses may have secrets behind the host's name."""
        return str(self.path) if self.kind is FeedKind.STATIC_FILE else _read_url(self.document_url()).host


def read_pairs(text: str) -> frozenset[PairName] | None:
    """Reads "EUR/USD,EUR/BRL", or "all" as None. Raises ValueError."""
    if text.strip() == ALL_PAIRS:
        return None
    return frozenset(_read_pair(word.strip()) for word in text.split(","))


def _read_pair(word: str) -> PairName:
    base, separator, quote = word.partition("/")
    try:
        pair = PairName(read_code(base), read_code(quote))
    except FeedMalformed as error:
        raise ValueError(f"{word!r} is no pair like EUR/USD") from error
    if not separator or base == quote:
        raise ValueError(f"{word!r} is no pair like EUR/USD")
    return pair


def require_token(token: str) -> str:
    """The token itself. Raises ValueError, which does not say what it was."""
    if not _TOKEN.fullmatch(token):
        raise ValueError("must be printable ASCII without blanks")
    return token


def _read_url(url: SecretStr) -> httpx.URL:
    """Raises ValueError, which does not say what it was."""
    try:
        read = httpx.URL(url.get_secret_value())
    except httpx.InvalidURL as error:
        raise ValueError("is no address") from error
    if read.scheme not in {"http", "https"} or not read.host:
        raise ValueError("must begin with https:// or http://, and a host")
    return read


def _keeps_secrets(url: httpx.URL) -> bool:
    """Whether nobody on the way can read what is sent."""
    if url.scheme == "https" or url.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(url.host).is_loopback
    except ValueError:
        return False
