"""The file that names the callers: how each is known, what it may do, and who vouches for tokens.

Read strictly: a word that is not known, a name that stands twice, or an identity that two callers share is
refused, and the file with it.
"""

import ipaddress
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

import yaml
from cryptography import x509
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from service.callers.caller import DEVELOPMENT, Caller, Identification, Role
from service.strict_yaml import load_strictly

MAX_FILE_BYTES = 1 << 20

_SPIFFE_ID = re.compile(r"spiffe://[a-z0-9._-]{1,255}(/[A-Za-z0-9._-]+)+")
_DNS_NAME = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


class CallersFileRefused(Exception):
    """The file cannot be used. The text says what is wrong, and where."""


def _require_spiffe_id(text: str) -> str:
    if len(text) > 2048 or not _SPIFFE_ID.fullmatch(text) or re.search(r"/\.{1,2}(/|$)", text):
        raise ValueError("must be a SPIFFE id such as spiffe://casino.example/games/slots")
    return text


def _require_subject(text: str) -> str:
    """As certificates' subjects are written here, whatever the file's escapes."""
    try:
        subject = x509.Name.from_rfc4514_string(text).rfc4514_string()
    except ValueError:
        subject = ""
    if not subject:
        raise ValueError("must be a name of RFC 4514 such as CN=slots,O=Casino, without blanks between")
    return subject


def _require_dns_name(text: str) -> str:
    name = text.lower()
    if len(name) > 253 or not _DNS_NAME.fullmatch(name):
        raise ValueError("must be a host's full name, without *")
    return name


def _require_keys_url(url: str) -> str:
    """Whoever can change what is answered there can be anybody."""
    parts = urlsplit(url)
    is_private = parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname or ""))
    if not is_private or not parts.hostname or parts.username or parts.password or parts.fragment:
        raise ValueError("must begin with https://, or http:// and a loopback address, and hold no password")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class TokenSubject(_Strict):
    """Who a token says that its bearer is: only both together name somebody."""

    issuer: str = Field(min_length=1, max_length=2048)
    subject: str = Field(min_length=1, max_length=255)


_Text = Annotated[str, Field(min_length=1, max_length=128)]


class CallerEntry(_Strict):
    """One service or person. ``carries_tokens``: others' tokens may come over its connections."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")
    roles: tuple[Annotated[Role, Field(strict=False)], ...] = Field(default=(), strict=False)
    sources: Literal["all"] | Annotated[tuple[_Text, ...], Field(strict=False)] = ()
    spiffe_ids: Annotated[
        tuple[Annotated[str, AfterValidator(_require_spiffe_id)], ...], Field(strict=False)
    ] = ()
    certificate_subjects: Annotated[
        tuple[Annotated[str, AfterValidator(_require_subject)], ...], Field(strict=False)
    ] = ()
    certificate_dns_names: Annotated[
        tuple[Annotated[str, AfterValidator(_require_dns_name)], ...], Field(strict=False)
    ] = ()
    tokens: Annotated[tuple[TokenSubject, ...], Field(strict=False)] = ()
    carries_tokens: bool = False

    @model_validator(mode="after")
    def _is_known_somehow(self) -> Self:
        if not any(self.identities()):
            raise ValueError(
                "nothing says how it is known: spiffe_ids, certificate_subjects, "
                "certificate_dns_names or tokens"
            )
        if self.name == DEVELOPMENT.name:
            raise ValueError(f"{self.name} is what a caller is called where nobody is asked")
        return self

    def identities(self) -> Iterator[tuple[str, ...]]:
        """All that it is known by, each of one kind."""
        yield from (("SPIFFE id", spiffe_id) for spiffe_id in self.spiffe_ids)
        yield from (("subject", subject) for subject in self.certificate_subjects)
        yield from (("DNS name", name) for name in self.certificate_dns_names)
        yield from (("token of", token.issuer, token.subject) for token in self.tokens)

    def caller(self, identification: Identification) -> Caller:
        sources = None if self.sources == "all" else frozenset(self.sources)
        return Caller(self.name, frozenset(self.roles), sources, identification)


class TokenIssuer(_Strict):
    """Who vouches for tokens, and where its keys are. Times are in seconds."""

    issuer: str = Field(min_length=1, max_length=2048)
    audience: str = Field(min_length=1, max_length=2048)
    jwks_url: Annotated[str, AfterValidator(_require_keys_url)] | None = None
    jwks_file: str | None = Field(default=None, min_length=1)
    jwks_ca_file: str | None = Field(default=None, min_length=1)
    algorithms: Annotated[tuple[Algorithm, ...], Field(strict=False, min_length=1)] = (
        "RS256",
        "ES256",
        "EdDSA",
    )
    token_types: Annotated[tuple[Literal["jwt", "at+jwt"], ...], Field(strict=False, min_length=1)] = (
        "jwt",
        "at+jwt",
    )
    leeway_s: float = Field(default=30.0, ge=0, le=300)
    longest_life_s: float = Field(default=86_400.0, gt=0)
    refresh_s: float = Field(default=300.0, gt=0)
    refetch_s: float = Field(default=10.0, gt=0)
    keys_max_age_s: float = Field(default=86_400.0, gt=0)

    @model_validator(mode="after")
    def _keys_are_in_one_place(self) -> Self:
        if (self.jwks_url is None) == (self.jwks_file is None):
            raise ValueError("must have a jwks_url or a jwks_file, and not both")
        if self.jwks_ca_file is not None and not (self.jwks_url or "").startswith("https://"):
            raise ValueError("a jwks_ca_file is of no use without a jwks_url of https://")
        return self


class CallersFile(_Strict):
    """All of it."""

    callers: Annotated[tuple[CallerEntry, ...], Field(strict=False, min_length=1)]
    issuers: Annotated[tuple[TokenIssuer, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _everybody_is_one(self) -> Self:
        _require_different("callers are called", (entry.name for entry in self.callers))
        _require_different("issuers are called", (issuer.issuer for issuer in self.issuers))
        _require_different(
            "callers are known by",
            (" ".join(identity) for entry in self.callers for identity in entry.identities()),
        )
        known = {issuer.issuer for issuer in self.issuers}
        for entry in self.callers:
            for token in entry.tokens:
                if token.issuer not in known:
                    raise ValueError(
                        f"{entry.name} has tokens of {token.issuer}, which is not among the issuers"
                    )
        return self


def _require_different(what: str, texts: Iterator[str]) -> None:
    seen: set[str] = set()
    for text in texts:
        if text in seen:
            raise ValueError(f"two {what} {text}")
        seen.add(text)


def read_callers_file(path: Path) -> CallersFile:
    """Blocks. Raises CallersFileRefused."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise CallersFileRefused(f"{path} cannot be read: {error.strerror}") from error
    if len(text) > MAX_FILE_BYTES:
        raise CallersFileRefused(f"{path} is larger than {MAX_FILE_BYTES} bytes")
    return parse_callers(text, name=str(path))


def parse_callers(text: bytes, *, name: str) -> CallersFile:
    """Raises CallersFileRefused."""
    try:
        return CallersFile.model_validate(load_strictly(text))
    except yaml.YAMLError as error:
        raise CallersFileRefused(f"{name} is no YAML: {' '.join(str(error).split())}") from error
    except ValidationError as invalid:
        raise CallersFileRefused(f"{name}: {'; '.join(_sentences(invalid))}") from invalid


def _sentences(invalid: ValidationError) -> Iterator[str]:
    for error in invalid.errors(include_url=False, include_input=False, include_context=False):
        where = ".".join(str(part) for part in error["loc"])
        yield f"{where}: {error['msg']}" if where else error["msg"]
