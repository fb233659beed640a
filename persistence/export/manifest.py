"""What is said of an exported file, and the signature under it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from persistence.errors import SetupRefused

FORMAT = "stakehold-export-1"
SUFFIX = ".manifest.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """A file with the entries of a partition from ``first`` up to, and without, ``end``.

    ``previous_hash`` is that of the entry before the first, ``last_hash`` that of the last one; ``sums`` is
    what was posted of each currency, all positive amounts and all negative ones together; ``erased_count``
    counts entries whose hash covers what was erased. ``file_digest`` is the SHA-256 of the file as it lies
    there. ``folder_ends`` says up to which place the folder has each partition, by its number, once the run
    is done that wrote this file; None in manifests from before that was said. Hashes are hexadecimal, times
    UTC.
    """

    ledger_id: str
    partition: int
    first: int
    end: int
    previous_hash: str
    last_hash: str
    entry_count: int
    posting_count: int
    erased_count: int
    sums: Mapping[str, tuple[str, str]]
    file: str
    file_digest: str
    file_bytes: int
    created_time: str
    key_id: str
    folder_ends: Mapping[str, int] | None = None
    format: str = FORMAT

    def text(self) -> bytes:
        """What is signed: JSON without blanks, keys sorted."""
        return _canonical(asdict(self))

    def signed_text(self, signature: bytes) -> bytes:
        """What lies in a manifest's file."""
        return _canonical({"manifest": asdict(self), "signature": signature.hex()}) + b"\n"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """Signs with Ed25519."""

    private: Ed25519PrivateKey

    @property
    def key_id(self) -> str:
        return key_id_of(self.private.public_key())

    def sign(self, manifest: Manifest) -> bytes:
        return manifest.signed_text(self.private.sign(manifest.text()))


def key_id_of(public: Ed25519PublicKey) -> str:
    """Names a key: the beginning of the SHA-256 of its 32 bytes."""
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return sha256(raw).hexdigest()[:16]


def read_private_key(path: Path) -> SigningKey:
    """From PEM without a password. Raises SetupRefused for anything else."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise SetupRefused(f"{path} has no private key that can be read: {type(error).__name__}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise SetupRefused(f"{path} has another key than one of Ed25519")
    return SigningKey(key)


def read_public_key(path: Path) -> Ed25519PublicKey:
    """From PEM. Raises SetupRefused for anything else."""
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SetupRefused(f"{path} has no public key that can be read: {type(error).__name__}") from None
    if not isinstance(key, Ed25519PublicKey):
        raise SetupRefused(f"{path} has another key than one of Ed25519")
    return key


def read_manifest(path: Path, public: Ed25519PublicKey) -> Manifest:
    """Raises ValueError where it is none, or nobody with this key signed it."""
    try:
        signed = json.loads(path.read_bytes())
        told, signature = signed["manifest"], bytes.fromhex(signed["signature"])
        public.verify(signature, _canonical(told))
        if told["format"] != FORMAT:
            raise ValueError(f"its format is {told['format']!r}, which this version does not know")
        manifest = Manifest(**{**told, "sums": {code: tuple(sums) for code, sums in told["sums"].items()}})
        UUID(manifest.ledger_id)
    except InvalidSignature:
        raise ValueError("its signature is not this key's, or it was changed") from None
    except (KeyError, TypeError, UnicodeDecodeError, AttributeError) as error:
        raise ValueError(f"it is no manifest: {error!r}") from None
    return manifest


def manifest_path(file: Path) -> Path:
    """Where the manifest of a file is."""
    return file.with_name(file.name.partition(".jsonl")[0] + SUFFIX)


def _canonical(told: object) -> bytes:
    return json.dumps(told, sort_keys=True, separators=(",", ":")).encode()
