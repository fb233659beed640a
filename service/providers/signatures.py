"""Whose word a callback is: signatures over the bytes as they came, checked before anything is read.

A provider may have several keys, each with its time, so that one can follow another without a gap. A
callback that comes again within the window of its timestamp is let through: ids make it harmless.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

_LONGEST_SIGNATURE = 2048
_MIN_RSA_BITS = 2048
_MIN_SECRET_BYTES = 16
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")
_TIMESTAMP = re.compile(r"[0-9]{1,16}")

Headers = Mapping[str, Sequence[str]]
"""All values of each header, by its name in small letters."""


class Algorithm(StrEnum):
    HMAC_SHA256 = "hmac-sha256"
    RSA_SHA256 = "rsa-sha256"
    """PKCS #1 v1.5."""
    RSA_PSS_SHA256 = "rsa-pss-sha256"
    ED25519 = "ed25519"


class Encoding(StrEnum):
    BASE64 = "base64"
    HEX = "hex"


class Signed(StrEnum):
    """What a signature is over. A timestamp is the text of its header, a path what follows the provider's id.

    Where the path is not signed, it takes the transactions' ids to keep a bet from being shown as a win.
    """

    BODY = "body"
    TIMESTAMP_AND_BODY = "timestamp.body"
    TIMESTAMP_PATH_AND_BODY = "timestamp.path.body"


class SignatureFault(StrEnum):
    """Told to Prometheus, never to who sent it."""

    MISSING = "missing"
    MALFORMED = "malformed"
    STALE = "stale"
    NO_KEY = "no_key"
    """No key is valid now."""
    MISMATCH = "mismatch"


class SignatureBad(Exception):
    """It is not known to be the provider's."""

    def __init__(self, fault: SignatureFault) -> None:
        super().__init__(fault.value)
        self.fault = fault


class KeyUnusable(ValueError):
    """A key that cannot be used; the message does not say what is in it."""


Check = Callable[[bytes, bytes], bool]
"""Whether a signature is good for a message."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key, from ``not_before`` until just before ``not_after``; None: without a limit."""

    key_id: str
    not_before: datetime | None
    not_after: datetime | None
    check: Check = field(repr=False)

    def is_valid_at(self, now: datetime) -> bool:
        return (self.not_before is None or self.not_before <= now) and (
            self.not_after is None or now < self.not_after
        )


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a provider signs. Header names are in small letters; ``tolerance_s`` counts to both sides."""

    header: str
    encoding: Encoding
    signed: Signed
    timestamp_header: str
    timestamps_per_s: int
    tolerance_s: float
    keys: tuple[Key, ...]

    def verify(self, headers: Headers, path: str, body: bytes, *, now: datetime) -> str:
        """The id of the key that has signed it. Raises SignatureBad."""
        signature = self._read_signature(_single(headers, self.header))
        message = body
        if self.signed is not Signed.BODY:
            timestamp = _single(headers, self.timestamp_header)
            self._require_fresh(timestamp, now)
            signed_path = path.encode() + b"." if self.signed is Signed.TIMESTAMP_PATH_AND_BODY else b""
            message = timestamp.encode() + b"." + signed_path + body
        valid = [key for key in self.keys if key.is_valid_at(now)]
        if not valid:
            raise SignatureBad(SignatureFault.NO_KEY)
        for key in valid:
            if key.check(signature, message):
                return key.key_id
        raise SignatureBad(SignatureFault.MISMATCH)

    def headers_that_matter(self) -> frozenset[str]:
        """Without which nobody could check it again."""
        return frozenset({self.header, self.timestamp_header} - {""})

    def _read_signature(self, text: str) -> bytes:
        if len(text) > _LONGEST_SIGNATURE:
            raise SignatureBad(SignatureFault.MALFORMED)
        try:
            if self.encoding is Encoding.BASE64:
                return base64.b64decode(text, validate=True)
            if _HEX.fullmatch(text):
                return bytes.fromhex(text)
        except (binascii.Error, ValueError):
            pass
        raise SignatureBad(SignatureFault.MALFORMED)

    def _require_fresh(self, timestamp: str, now: datetime) -> None:
        if not _TIMESTAMP.fullmatch(timestamp):
            raise SignatureBad(SignatureFault.MALFORMED)
        age_s = now.timestamp() - int(timestamp) / self.timestamps_per_s
        if abs(age_s) > self.tolerance_s:
            raise SignatureBad(SignatureFault.STALE)


def hmac_check(secret: bytes) -> Check:
    """Raises KeyUnusable."""
    if len(secret) < _MIN_SECRET_BYTES:
        raise KeyUnusable(f"a secret must have at least {_MIN_SECRET_BYTES} bytes")

    def check(signature: bytes, message: bytes) -> bool:
        return hmac.compare_digest(hmac.digest(secret, message, hashlib.sha256), signature)

    return check


def public_key_check(algorithm: Algorithm, pem: bytes) -> Check:
    """Raises KeyUnusable, also for a key of another algorithm."""
    try:
        key = load_pem_public_key(pem)
    except Exception as error:  # the library raises all kinds for what is no key
        raise KeyUnusable(f"is no public key in PEM: {type(error).__name__}") from None
    match algorithm:
        case Algorithm.ED25519 if isinstance(key, Ed25519PublicKey):
            return _ed25519_check(key)
        case Algorithm.RSA_SHA256 | Algorithm.RSA_PSS_SHA256 if isinstance(key, RSAPublicKey):
            if key.key_size < _MIN_RSA_BITS:
                raise KeyUnusable(f"an RSA key must have at least {_MIN_RSA_BITS} bits")
            return _rsa_check(key, is_pss=algorithm is Algorithm.RSA_PSS_SHA256)
        case _:
            raise KeyUnusable(f"is no key for {algorithm.value}")


def _ed25519_check(key: Ed25519PublicKey) -> Check:
    def check(signature: bytes, message: bytes) -> bool:
        try:
            key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    return check


def _rsa_check(key: RSAPublicKey, *, is_pss: bool) -> Check:
    scheme: padding.AsymmetricPadding = padding.PKCS1v15()
    if is_pss:
        scheme = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.AUTO)

    def check(signature: bytes, message: bytes) -> bool:
        try:
            key.verify(signature, message, scheme, hashes.SHA256())
        except InvalidSignature:
            return False
        return True

    return check


def _single(headers: Headers, name: str) -> str:
    """The one value of a header: two of them would mean two things to two readers."""
    values = headers.get(name, ())
    if not values:
        raise SignatureBad(SignatureFault.MISSING)
    if len(values) > 1 or not values[0].isascii():
        raise SignatureBad(SignatureFault.MALFORMED)
    return values[0]
