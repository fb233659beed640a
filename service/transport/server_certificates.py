"""The server's certificate and key, and whom it trusts with clients' certificates: read as they change."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import grpc
import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from persistence.errors import SetupRefused
from service.transport.complaints import Complaints
from service.transport.doors import taken

MAX_FILE_BYTES = 1 << 20

_log = structlog.get_logger(__name__)


class CertificatesUnusable(Exception):
    """The files do not make a pair, or are not valid now. The text has nothing of the key."""


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where they are. ``client_ca`` is None where no client certificates are asked for."""

    certificate: Path
    key: Path
    client_ca: Path | None


@dataclass(frozen=True, slots=True)
class ServerCertificates:
    """What was read, checked to fit together. ``chain`` and ``client_ca`` are PEM, as ``key`` is."""

    chain: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None
    authorities: tuple[x509.Certificate, ...]
    expires_s: float
    serial_number: int


def read_certificates(files: CertificateFiles, now: datetime) -> ServerCertificates:
    """Blocks. Raises CertificatesUnusable."""
    chain, key = _read(files.certificate), _read(files.key)
    first = _chain_of(chain, files.certificate)[0]
    if not _fit(first, key, files.key):
        raise CertificatesUnusable(f"{files.key} is not the key of the certificate in {files.certificate}")
    if not first.not_valid_before_utc <= now < first.not_valid_after_utc:
        raise CertificatesUnusable(
            f"the certificate in {files.certificate} is valid from {first.not_valid_before_utc.isoformat()} "
            f"to {first.not_valid_after_utc.isoformat()}, and not now"
        )
    client_ca = None if files.client_ca is None else _read(files.client_ca)
    authorities: Sequence[x509.Certificate] = ()
    if files.client_ca is not None and client_ca is not None:
        authorities = _chain_of(client_ca, files.client_ca)
    return ServerCertificates(
        chain,
        key,
        client_ca,
        tuple(authorities),
        first.not_valid_after_utc.timestamp(),
        first.serial_number,
    )


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise CertificatesUnusable(f"{path} cannot be read: {error.strerror}") from error
    if len(text) > MAX_FILE_BYTES:
        raise CertificatesUnusable(f"{path} is larger than {MAX_FILE_BYTES} bytes")
    return text


def _chain_of(text: bytes, path: Path) -> Sequence[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(text)
    except ValueError:
        raise CertificatesUnusable(f"{path} holds no certificates as PEM") from None


def _fit(certificate: x509.Certificate, key: bytes, path: Path) -> bool:
    try:
        public_key = load_pem_private_key(key, password=None).public_key()
    except (ValueError, TypeError):  # TypeError: it has a password
        raise CertificatesUnusable(f"{path} holds no private key as PEM, without a password") from None
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return public_key.public_bytes(*form) == certificate.public_key().public_bytes(*form)


class WatchedCertificates:
    """Those in use. Connections that are made after a change get the new ones; others go on as they are.

    Raises SetupRefused where the first ones cannot be used.
    """

    def __init__(
        self,
        files: CertificateFiles,
        *,
        on_change: Callable[[ServerCertificates], None],
        on_failure: Callable[[], None],
    ) -> None:
        self._files = files
        self._on_change = on_change
        self._on_failure = on_failure
        self._complaints = Complaints()
        try:
            self.current = read_certificates(files, datetime.now(UTC))
        except CertificatesUnusable as unusable:
            raise SetupRefused(
                f"{unusable}: STAKEHOLD_TLS_CERT_FILE, STAKEHOLD_TLS_KEY_FILE and "
                "STAKEHOLD_TLS_CLIENT_CA_FILE name the files"
            ) from unusable
        on_change(self.current)

    def look_again(self) -> Callable[[], None]:
        """Reads the files, which blocks; what is returned is to be called in the event loop."""
        try:
            found = read_certificates(self._files, datetime.now(UTC))
        except CertificatesUnusable as unusable:
            refused = str(unusable)
            return lambda: self._refuse(refused)
        return lambda: self._use(found)

    def _use(self, found: ServerCertificates) -> None:
        self._complaints.settled()
        if found == self.current:
            return
        self.current = found
        self._on_change(found)
        _log.info(
            "tls_certificates_changed",
            serial_number=f"{found.serial_number:x}",
            expires=datetime.fromtimestamp(found.expires_s, UTC).isoformat(),
            authorities=[authority.subject.rfc4514_string() for authority in found.authorities],
        )

    def _refuse(self, why: str) -> None:
        """The old ones stay in use."""
        if self._complaints.is_due(why):
            self._on_failure()
            _log.error(
                "tls_certificates_unusable", reason=why, still_in_use=f"{self.current.serial_number:x}"
            )

    def credentials(self) -> grpc.ServerCredentials:
        """For one listener: gRPC asks for new ones before each handshake, on threads of its own."""
        given = self.current

        def newer() -> grpc.ServerCertificateConfiguration | None:
            nonlocal given
            newest = self.current
            if newest is given:
                return None
            given = newest
            return _configuration(newest)

        return grpc.dynamic_ssl_server_credentials(
            _configuration(given),
            cast("Callable[[], grpc.ServerCertificateConfiguration]", newer),  # None is no change
            require_client_authentication=self._files.client_ca is not None,
        )


def _configuration(certificates: ServerCertificates) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(certificates.key, certificates.chain)], root_certificates=certificates.client_ca
    )


class TlsDoor:
    """TLS 1.2 or newer, with the ciphers that gRPC allows: forward secret and authenticated ones only."""

    def __init__(self, certificates: WatchedCertificates) -> None:
        self._certificates = certificates
        self._kept: list[grpc.ServerCredentials] = []

    def open(self, server: grpc.aio.Server, listen: str, *, setting: str) -> int:
        """Raises SetupRefused."""
        credentials = self._certificates.credentials()
        self._kept.append(credentials)  # gRPC's core knows them by their address alone
        try:
            return server.add_secure_port(listen, credentials)
        except RuntimeError as error:
            raise taken(listen, setting, error) from error
