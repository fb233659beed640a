"""The public keys of those who vouch for tokens: fetched, kept while their server is away, dropped."""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any, Final

import httpx
import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from persistence.errors import Unauthenticated
from service.callers.callers_file import TokenIssuer
from service.callers.identifying import KeyUnknown
from service.callers.metrics import CallerMetrics

MAX_KEYS_BYTES = 256 << 10
_LEAST_RSA_BITS = 2048
_FETCH_TIMEOUT_S = 5.0
_RETRY_S = 10.0
_FILE_EVERY_S = 1.0

_log = structlog.get_logger(__name__)

_ALGORITHMS: Final[Mapping[tuple[str, str], frozenset[str]]] = {
    ("RSA", ""): frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-384"): frozenset({"ES384"}),
    ("EC", "P-521"): frozenset({"ES512"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA"}),
}
"""What a key is good for, by its type and curve. No secret keys: whoever checks with one can sign with it."""

Keys = Mapping[str, Mapping[str, jwt.PyJWK]]
"""By their id, and by the algorithm that they are used with."""


class KeysUnavailable(Exception):
    """The keys could not be fetched, or are none. The text says no more than where they should be."""


class IssuerKeys:
    """Those of one issuer. ``revision`` changes whenever a key may have gone."""

    def __init__(
        self,
        issuer: TokenIssuer,
        metrics: CallerMetrics,
        *,
        fetch: Callable[[TokenIssuer], Awaitable[bytes]] | None = None,
        now_s: Callable[[], float] = monotonic,
    ) -> None:
        self.issuer = issuer
        self.revision = 0
        self._metrics = metrics
        self._fetch_body = fetch or fetch_keys
        self._now_s = now_s
        self._keys: Keys = {}
        self._body = b""
        self._failure = ""
        self._fetched_s: float | None = None
        self._begun_s: float | None = None
        self._fetching: asyncio.Task[None] | None = None

    def are_usable(self) -> bool:
        """Whether keys are there, and not older than they may become."""
        return self._fetched_s is not None and self._now_s() - self._fetched_s <= self.issuer.keys_max_age_s

    def key(self, key_id: str, algorithm: str) -> jwt.PyJWK:
        """Raises Unauthenticated, and KeyUnknown. Never waits: what is missing is asked for meanwhile."""
        known = self._keys.get(key_id)
        if not self.are_usable() or known is None:
            self._ask_soon()
            raise KeyUnknown(self.arrival, are_there=self.are_usable())
        key = known.get(algorithm)
        if key is None:
            raise Unauthenticated("the token's key is not for its algorithm", cause="token_signature")
        return key

    async def keep_fresh(self) -> None:
        """Until it is cancelled."""
        every_s = self.issuer.refresh_s if self.issuer.jwks_url else _FILE_EVERY_S
        while True:
            fetched_s = self._fetched_s
            self.begin()
            await self.arrival()
            is_new = self._fetched_s != fetched_s
            await asyncio.sleep(every_s if is_new else min(every_s, _RETRY_S))

    async def close(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    def _ask_soon(self) -> None:
        """Once for all who miss a key, and not again for a while: key ids are easily made up."""
        if self._begun_s is None or self._now_s() - self._begun_s >= self.issuer.refetch_s:
            self.begin()

    def begin(self) -> None:
        """Fetches them, unless they are being fetched."""
        if self._fetching is None:
            self._begun_s = self._now_s()
            self._fetching = asyncio.create_task(self._fetch(), name="issuer-keys")

    async def arrival(self) -> None:
        """Waits for the fetch that is under way, if any; whoever gives up does not stop it."""
        if self._fetching is not None:
            await asyncio.wait({self._fetching})

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(_FETCH_TIMEOUT_S):
                body = await self._fetch_body(self.issuer)
            if body != self._body:
                self._keys = read_keys(body, self.issuer)
                self._body = body
                self.revision += 1
                _log.info("issuer_keys_changed", issuer=self.issuer.issuer, key_ids=sorted(self._keys))
            self._fetched_s = self._now_s()
            self._failure = ""
        except (
            Exception
        ) as error:  # whatever it is: the keys that are known stay in use until they are too old
            self._metrics.count_keys_failure()
            said = str(error) if isinstance(error, KeysUnavailable) else type(error).__name__
            if said != self._failure:  # once for each thing that is wrong
                self._failure = said
                _log.warning("issuer_keys_unavailable", issuer=self.issuer.issuer, reason=said)
        finally:
            self._fetching = None


async def fetch_keys(issuer: TokenIssuer) -> bytes:
    """The document as it is now. Raises KeysUnavailable."""
    if issuer.jwks_file is not None:
        return await asyncio.to_thread(_read_file, Path(issuer.jwks_file))
    assert issuer.jwks_url is not None
    context = await asyncio.to_thread(
        _trust_of, issuer.jwks_ca_file
    )  # it reads more than a loop may wait for
    try:
        # No redirects: a key's place is the one that was configured.
        async with (
            httpx.AsyncClient(verify=context, timeout=_FETCH_TIMEOUT_S, headers=_HEADERS) as client,
            client.stream("GET", issuer.jwks_url) as answer,
        ):
            if answer.status_code != 200:
                raise KeysUnavailable(f"their server answered {answer.status_code}")
            body = b""
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > MAX_KEYS_BYTES:
                    raise KeysUnavailable(f"more than {MAX_KEYS_BYTES} bytes")
            return body
    except httpx.HTTPError as error:
        raise KeysUnavailable(f"their server did not answer: {type(error).__name__}") from error


def _trust_of(ca_file: str | None) -> ssl.SSLContext:
    try:
        return httpx.create_ssl_context() if ca_file is None else ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise KeysUnavailable(f"{ca_file} cannot be used: {error.strerror}") from error


_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "stakehold"}


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            body = file.read(MAX_KEYS_BYTES + 1)
    except OSError as error:
        raise KeysUnavailable(f"{path} cannot be read: {error.strerror}") from error
    if len(body) > MAX_KEYS_BYTES:
        raise KeysUnavailable(f"{path} has more than {MAX_KEYS_BYTES} bytes")
    return body


def read_keys(body: bytes, issuer: TokenIssuer) -> Keys:
    """Those keys of a JWKS that the issuer's tokens may be signed with. Raises KeysUnavailable.

    What is for something else, or of a kind that is not allowed, is left out. An empty set is one: it says
    that no key is good any more.
    """
    try:
        listed = json.loads(body)["keys"]
        if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
            raise TypeError
    except (ValueError, TypeError, KeyError, RecursionError):
        raise KeysUnavailable("what was answered is no set of keys") from None
    keys: dict[str, Mapping[str, jwt.PyJWK]] = {}
    for one in listed:
        usable = _usable_key(one, frozenset(issuer.algorithms))
        if not usable:
            continue
        key_id = one["kid"]
        if key_id in keys:
            raise KeysUnavailable("two keys have the same id")
        keys[key_id] = usable
    return keys


def _usable_key(one: Mapping[str, Any], allowed: frozenset[str]) -> Mapping[str, jwt.PyJWK]:
    """By algorithm; empty where it is of no use."""
    key_id, kind, curve = one.get("kid"), one.get("kty"), one.get("crv", "")
    is_public = not {"d", "k"} & one.keys()
    uses = one.get("key_ops", ["verify"])
    is_to_verify = one.get("use", "sig") == "sig" and isinstance(uses, list) and "verify" in uses
    is_named = isinstance(key_id, str) and key_id != "" and key_id.isprintable()
    if not (is_named and is_public and is_to_verify):
        return {}
    algorithms = allowed & _ALGORITHMS.get((str(kind), str(curve)), frozenset())
    if "alg" in one:
        algorithms &= {str(one["alg"])}
    try:
        usable = {algorithm: jwt.PyJWK(dict(one), algorithm) for algorithm in sorted(algorithms)}
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return {}
    if any(
        isinstance(key.key, RSAPublicKey) and key.key.key_size < _LEAST_RSA_BITS for key in usable.values()
    ):
        return {}
    return usable
