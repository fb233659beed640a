"""What a client's certificate says. That it is genuine, TLS has checked when the connection was made."""

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from persistence.errors import Unauthenticated


@dataclass(frozen=True, slots=True)
class ShownCertificate:
    """``spiffe_id`` is empty where there is none; times are Unix seconds."""

    certificate: x509.Certificate
    spiffe_id: str
    subject: str
    dns_names: frozenset[str]
    not_before_s: float
    not_after_s: float


def read_certificate(pem: bytes) -> ShownCertificate:
    """Raises Unauthenticated for one that nobody can read, or that claims several SPIFFE ids."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        uris, dns_names = _alternative_names(certificate)
        subject = certificate.subject.rfc4514_string()
    except ValueError as error:
        raise Unauthenticated("the certificate cannot be read", cause="certificate_unknown") from error
    spiffe_ids = [uri for uri in uris if uri.startswith("spiffe://")]
    if spiffe_ids and len(uris) > 1:
        raise Unauthenticated(
            "a certificate with a SPIFFE id must have no other URI", cause="certificate_unknown"
        )
    return ShownCertificate(
        certificate,
        spiffe_ids[0] if spiffe_ids else "",
        subject,
        frozenset(name.lower() for name in dns_names),
        certificate.not_valid_before_utc.timestamp(),
        certificate.not_valid_after_utc.timestamp(),
    )


def _alternative_names(certificate: x509.Certificate) -> tuple[list[str], list[str]]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return [], []
    return (
        names.get_values_for_type(x509.UniformResourceIdentifier),
        names.get_values_for_type(x509.DNSName),
    )


class ClientTrust:
    """Whose certificates are trusted now. Connections outlive a change of that; answers given here do not."""

    def __init__(self) -> None:
        self.revision = 0
        self._trusted: Sequence[x509.Certificate] = ()
        self._removed: list[x509.Certificate] = []

    def trust(self, authorities: Sequence[x509.Certificate]) -> None:
        """From now on these and no others."""
        gone = [old for old in self._trusted if old not in authorities]
        self._removed = [old for old in self._removed if old not in authorities] + gone
        self._trusted = tuple(authorities)
        self.revision += 1

    def is_withdrawn(self, certificate: x509.Certificate) -> bool:
        """Whether it was issued by somebody who was trusted once and is not any more.

        Of one that an intermediate authority has issued that is not known here: the connection does not tell
        who that was. Such connections last until they are made anew.
        """
        if any(_has_issued(authority, certificate) for authority in self._trusted):
            return False
        return any(_has_issued(authority, certificate) for authority in self._removed)


def _has_issued(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
