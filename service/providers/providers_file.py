"""The file that says which providers there are: YAML, checked as a whole before any of it is used.

Secrets are never in it, but in files that it names. What is wrong is told without what it says.
"""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from service.providers.adapter import Adapter
from service.providers.house_json import HouseJson, HouseOptions
from service.providers.http_headers import NOT_PASSED_ON
from service.providers.hub88 import Hub88, Hub88Options
from service.providers.provider import Provider
from service.providers.signatures import (
    Algorithm,
    Check,
    Encoding,
    Key,
    KeyUnusable,
    Scheme,
    Signed,
    hmac_check,
    public_key_check,
)
from service.strict_yaml import YamlRefused, load_strictly

MAX_BODY_BYTES = 512 << 10
_MOST_KEY_BYTES = 16 << 10
_MOST_FILE_BYTES = 1 << 20
_TIMESTAMPS_PER_S = {"s": 1, "ms": 1000}


def _require_passed_on(name: str) -> str:
    if name.lower() in NOT_PASSED_ON:
        raise ValueError("the edge passes no header of this name on")
    return name


_HeaderName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,63}$"), AfterValidator(_require_passed_on)
]


class ProvidersInvalid(ValueError):
    """The file, or a file that it names, cannot be used. The message says where and why."""


class AdapterKind(StrEnum):
    HUB88 = "hub88"
    HOUSE_JSON = "house-json"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class KeyEntry(_Strict):
    """Exactly one of the three says where the key is. Relative paths are beside the providers file."""

    id: str = Field(pattern=r"^[\x21-\x7e]{1,64}$")
    public_key: str | None = None
    public_key_file: Path | None = None
    secret_file: Path | None = None
    not_before: AwareDatetime | None = None
    not_after: AwareDatetime | None = None

    @model_validator(mode="after")
    def _is_somewhere(self) -> Self:
        places = (self.public_key, self.public_key_file, self.secret_file)
        if sum(place is not None for place in places) != 1:
            raise ValueError("needs one of public_key, public_key_file and secret_file")
        if self.not_before and self.not_after and self.not_after <= self.not_before:
            raise ValueError("ends before it begins")
        return self


class SignatureEntry(_Strict):
    algorithm: Algorithm
    header: _HeaderName
    encoding: Encoding = Encoding.BASE64
    signed: Signed = Signed.BODY
    timestamp_header: _HeaderName | None = None
    timestamp_unit: str = Field(default="s", pattern="^(s|ms)$")
    tolerance_s: float = Field(default=300.0, gt=0, le=3600)
    keys: tuple[KeyEntry, ...] = Field(min_length=1, max_length=16)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.signed is Signed.BODY) != (self.timestamp_header is None):
            raise ValueError("timestamp_header belongs to what is signed with a timestamp, and only to that")
        is_hmac = self.algorithm is Algorithm.HMAC_SHA256
        if any((key.secret_file is not None) != is_hmac for key in self.keys):
            raise ValueError("keys of hmac-sha256 are in secret_file, those of all others are public keys")
        if len({key.id for key in self.keys}) < len(self.keys):
            raise ValueError("two keys have one id")
        return self


class ProviderEntry(_Strict):
    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")
    adapter: AdapterKind
    source_id: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")
    sessions: bool = True
    max_body_bytes: int = Field(default=65_536, ge=1, le=MAX_BODY_BYTES)
    signature: SignatureEntry
    options: dict[str, Any] = Field(default_factory=dict)


class ProvidersFile(_Strict):
    providers: tuple[ProviderEntry, ...] = Field(max_length=256)

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        if len({provider.id for provider in self.providers}) < len(self.providers):
            raise ValueError("two providers have one id")
        return self


_ADAPTERS: dict[AdapterKind, Callable[[dict[str, Any]], Adapter]] = {
    AdapterKind.HUB88: lambda options: Hub88(Hub88Options.model_validate(options)),
    AdapterKind.HOUSE_JSON: lambda options: HouseJson(HouseOptions.model_validate(options)),
}


def read_providers(path: Path) -> dict[str, Provider]:
    """All providers, by id. Reads files. Raises ProvidersInvalid."""
    try:
        read = load_strictly(_read_file(path, _MOST_FILE_BYTES))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        said = error.problem if isinstance(error, YamlRefused) else "is no YAML"
        raise ProvidersInvalid(f"{path}{where}: {said}") from None
    try:
        file = ProvidersFile.model_validate(read)
        return {entry.id: _provider(entry, path.parent) for entry in file.providers}
    except ValidationError as invalid:
        raise ProvidersInvalid(f"{path}: {_sentence(invalid)}") from None


def _provider(entry: ProviderEntry, folder: Path) -> Provider:
    signature = entry.signature
    return Provider(
        entry.id,
        entry.source_id,
        entry.sessions,
        entry.max_body_bytes,
        Scheme(
            header=signature.header.lower(),
            encoding=signature.encoding,
            signed=signature.signed,
            timestamp_header=(signature.timestamp_header or "").lower(),
            timestamps_per_s=_TIMESTAMPS_PER_S[signature.timestamp_unit],
            tolerance_s=signature.tolerance_s,
            keys=tuple(_key(entry.id, key, signature.algorithm, folder) for key in signature.keys),
        ),
        _ADAPTERS[entry.adapter](entry.options),
    )


def _key(provider_id: str, entry: KeyEntry, algorithm: Algorithm, folder: Path) -> Key:
    try:
        check = _check(entry, algorithm, folder)
    except KeyUnusable as error:
        raise ProvidersInvalid(f"provider {provider_id}, key {entry.id}: {error}") from None
    return Key(entry.id, entry.not_before, entry.not_after, check)


def _check(entry: KeyEntry, algorithm: Algorithm, folder: Path) -> Check:
    if entry.secret_file is not None:
        return hmac_check(_read_file(folder / entry.secret_file, _MOST_KEY_BYTES).rstrip(b"\r\n"))
    if entry.public_key_file is not None:
        return public_key_check(algorithm, _read_file(folder / entry.public_key_file, _MOST_KEY_BYTES))
    return public_key_check(algorithm, (entry.public_key or "").encode())


def _read_file(path: Path, most_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise ProvidersInvalid(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > most_bytes:
        raise ProvidersInvalid(f"{path} has more than {most_bytes} bytes")
    return content


def _sentence(invalid: ValidationError) -> str:
    errors = invalid.errors(include_url=False, include_input=False, include_context=False)
    told = (f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in errors)
    return "; ".join(told)
