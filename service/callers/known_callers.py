"""Knows callers by their connection's certificate and their call's token, as the callers file says."""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from persistence.errors import Unauthenticated
from service.callers.caller import Caller, Identification
from service.callers.callers_file import CallerEntry, CallersFile
from service.callers.certificates import ClientTrust, ShownCertificate, read_certificate
from service.callers.identifying import Connection
from service.callers.issuer_keys import IssuerKeys
from service.callers.metrics import CallerMetrics
from service.callers.tokens import VerifiedToken, bearer_token, verify_token

_MOST_REMEMBERED = 10_000
_PEM = "x509_pem_cert"

Issuers = Mapping[str, IssuerKeys]
_Known = TypeVar("_Known")


class Directory:
    """Who is known by what. Identities are compared as they are, to the letter."""

    def __init__(self, file: CallersFile) -> None:
        self._entries = {identity: entry for entry in file.callers for identity in entry.identities()}

    def of_certificate(self, shown: ShownCertificate) -> CallerEntry:
        """Raises Unauthenticated for nobody's, and for one that would be two callers'."""
        identities = [("SPIFFE id", shown.spiffe_id), ("subject", shown.subject)]
        identities += [("DNS name", name) for name in shown.dns_names]
        found = {entry.name: entry for identity in identities if (entry := self._entries.get(identity))}
        if len(found) != 1:
            raise Unauthenticated(
                "the connection's certificate is nobody's that the service was told of"
                if not found
                else "the connection's certificate is that of several callers",
                cause="certificate_unknown",
            )
        return next(iter(found.values()))

    def of_token(self, token: VerifiedToken) -> CallerEntry:
        """Raises Unauthenticated."""
        entry = self._entries.get(("token of", token.issuer, token.subject))
        if entry is None:
            raise Unauthenticated(
                "the token is of nobody that the service was told of", cause="token_subject_unknown"
            )
        return entry


@dataclass(frozen=True, slots=True)
class _Certified:
    """A certificate that was looked at, under a revision of whom is trusted."""

    shown: ShownCertificate
    entry: CallerEntry
    caller: Caller
    trust_revision: int


@dataclass(frozen=True, slots=True)
class _Tokened:
    token: VerifiedToken
    entry: CallerEntry
    caller: Caller


class KnownCallers:
    """A token, where one is borne, says who calls; else the connection's certificate does.

    Over a connection with a certificate only the caller's own token may come, or somebody's whose connection
    carries tokens. What was found out of a certificate or a token is kept until the file, the authorities or
    the issuer's keys change; times are looked at in every call.
    """

    def __init__(
        self,
        directory: Directory,
        issuers: Issuers,
        trust: ClientTrust,
        metrics: CallerMetrics,
        *,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._issuers = issuers
        self._trust = trust
        self._metrics = metrics
        self._now_s = now_s
        self._certified: dict[bytes, _Certified] = {}
        self._tokened: dict[bytes, _Tokened] = {}

    def use(self, directory: Directory, issuers: Issuers) -> None:
        """From now on these are known and no others."""
        self._directory, self._issuers = directory, issuers
        self._certified.clear()
        self._tokened.clear()

    def identify(self, context: Connection) -> Caller:
        """Raises Unauthenticated."""
        try:
            return self._identify(context)
        except Unauthenticated as unknown:
            self._metrics.count_unknown(unknown.cause)
            raise

    def _identify(self, context: Connection) -> Caller:
        now_s = self._now_s()
        certified = None
        for pem in context.auth_context().get(_PEM, ()):
            certified = self._look_at_certificate(pem, now_s)
        token = bearer_token(context.invocation_metadata())
        if token is None:
            if certified is None:
                raise Unauthenticated(
                    "neither a certificate nor a token says who calls", cause="no_credentials"
                )
            return certified.caller
        tokened = self._look_at_token(token, now_s)
        if certified is not None and not (
            certified.entry.carries_tokens or certified.entry.name == tokened.entry.name
        ):
            raise Unauthenticated(
                "the connection's certificate is of somebody who carries nobody else's tokens",
                cause="token_not_allowed",
            )
        return tokened.caller

    def _look_at_certificate(self, pem: bytes, now_s: float) -> _Certified:
        known = self._certified.get(pem)
        if known is None or known.trust_revision != self._trust.revision:
            known = self._read_certificate(pem)
            _remember(self._certified, pem, known)
        # TLS looked at the times when the connection was made: that may be long ago.
        if not known.shown.not_before_s <= now_s < known.shown.not_after_s:
            raise Unauthenticated(
                "the connection's certificate is not valid any more", cause="certificate_expired"
            )
        return known

    def _read_certificate(self, pem: bytes) -> _Certified:
        shown = read_certificate(pem)
        if self._trust.is_withdrawn(shown.certificate):
            raise Unauthenticated(
                "who issued the connection's certificate is not trusted any more",
                cause="certificate_untrusted",
            )
        entry = self._directory.of_certificate(shown)
        return _Certified(shown, entry, entry.caller(Identification.CERTIFICATE), self._trust.revision)

    def _look_at_token(self, token: str, now_s: float) -> _Tokened:
        digest = hashlib.sha256(token.encode()).digest()  # so that no token lies about in memory
        known = self._tokened.get(digest)
        if known is not None and known.token.revision == known.token.keys.revision:
            if known.token.keys.are_usable():
                known.token.require_valid(now_s)
                return known
            del self._tokened[digest]
        verified = verify_token(token, self._issuers, now_s)
        entry = self._directory.of_token(verified)
        known = _Tokened(verified, entry, entry.caller(Identification.TOKEN))
        _remember(self._tokened, digest, known)
        return known


def _remember(memory: dict[bytes, _Known], key: bytes, known: _Known) -> None:
    """Only what is genuine gets here: nobody can fill it with what was made up."""
    if len(memory) >= _MOST_REMEMBERED:
        memory.clear()
    memory[key] = known
