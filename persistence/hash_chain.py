"""The hash chain of a partition: each entry's hash covers its content, its postings and the hash before it.

    hash = SHA-256(previous hash ‖ JSON text of [entry, posting, posting …])

An entry is the array that ``_entry_array`` makes, a posting [owner kind, owner id, bucket, currency, amount].
The text has no blanks and only ASCII, numbers are integers, times Unix milliseconds, absent fields null, and
metadata a text of its own with sorted keys; a conversion comes last, where there is one, and after it (or
after null) the slip that the entry changed. No two different entries have the same text, and an auditor can
write it in any language. The recorded time is left out: it is when the ledger learnt of the entry, not what
happened.

In the place of metadata that is sealed stands ``sha256:`` and the hexadecimal digest of a random salt and its
text. Salt and text lie beside it: both can be erased, and the hash holds. Older entries have the text itself
in the hash; once it is erased, the hash cannot be made any more, and ``erased_hash``, which has the word
``erased`` in its place, keeps the rest of the entry.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from persistence.chart_of_accounts import Leg
from persistence.outbox import OutboxEntry
from persistence.transactions import EntryId, PlayerId

_json = json.JSONEncoder(separators=(",", ":")).encode
_sorted_json = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode

FIRST_PREVIOUS_HASH = bytes(32)
"""What stands before the first entry of a partition."""

_NO_BALANCES = (None, None, None, None)


_SALT_BYTES = 16
_ERASED = "erased"


@dataclass(frozen=True, slots=True)
class MetadataSeal:
    """What of an entry's metadata is in its hash. ``salt`` is None once the metadata was erased."""

    digest: bytes
    salt: bytes | None

    @classmethod
    def new(cls, metadata: Mapping[str, str]) -> "MetadataSeal | None":
        """With a salt of its own; None where there is nothing to seal."""
        return cls.of(metadata, secrets.token_bytes(_SALT_BYTES)) if metadata else None

    @classmethod
    def of(cls, metadata: Mapping[str, str], salt: bytes) -> "MetadataSeal":
        return cls(sha256(salt + canonical_metadata(metadata).encode()).digest(), salt)

    def fits(self, metadata: Mapping[str, str]) -> bool:
        """Whether this is the metadata that was sealed; true of what was erased."""
        return self.salt is None or MetadataSeal.of(metadata, self.salt).digest == self.digest


@dataclass(frozen=True, slots=True)
class Erased:
    """That an entry's metadata was erased. ``erased_hash`` is there where the entry's hash has its text."""

    erasure_id: int
    erased_hash: bytes | None


@dataclass(frozen=True, slots=True)
class ChainedEntry:
    """An entry at its place. ``chain_position`` counts the partition's entries from 0."""

    entry_id: EntryId
    chain_position: int
    player: PlayerId
    booked_ms: int
    entry: OutboxEntry
    seal: MetadataSeal | None = None
    erased: Erased | None = None

    @property
    def is_hash_of_erased(self) -> bool:
        """Whether the hash covers a text that is not there any more."""
        return self.erased is not None and self.erased.erased_hash is not None


def entry_hash(previous_hash: bytes, chained: ChainedEntry, legs: Sequence[Leg]) -> bytes:
    """The hash of an entry with the postings that it has, 32 bytes."""
    return sha256(previous_hash + hashed_text(chained, legs).encode()).digest()


def hash_of_erased(previous_hash: bytes, chained: ChainedEntry, legs: Sequence[Leg]) -> bytes:
    """As entry_hash, but for the metadata: what an ``erased_hash`` has to be."""
    return sha256(previous_hash + text_of_erased(chained, legs).encode()).digest()


def hashed_text(chained: ChainedEntry, legs: Sequence[Leg]) -> str:
    """What stands behind the previous hash in what is hashed."""
    return _json(_parts(chained, legs, _metadata_text(chained)))


def text_of_erased(chained: ChainedEntry, legs: Sequence[Leg]) -> str:
    """As hashed_text, of an entry whose hash covers a text that is not there any more."""
    return _json(_parts(chained, legs, _ERASED))


def canonical_metadata(metadata: Mapping[str, str]) -> str:
    """Metadata as one text, whatever order the keys came in."""
    return _sorted_json(metadata) if metadata else "{}"


def _metadata_text(chained: ChainedEntry) -> str:
    if chained.seal is not None:
        return f"sha256:{chained.seal.digest.hex()}"
    return canonical_metadata(chained.entry.metadata)


def _parts(chained: ChainedEntry, legs: Sequence[Leg], metadata_text: str) -> list[list[str | int | None]]:
    parts = [_entry_array(chained, metadata_text)]
    for leg in legs:
        account = leg.account
        parts.append([account.owner_kind, account.owner_id, account.bucket, account.currency, leg.amount])
    return parts


def _entry_array(chained: ChainedEntry, metadata_text: str) -> list[str | int | None]:
    entry_id, entry = chained.entry_id, chained.entry
    change, after = entry.change, entry.after
    return [
        str(entry_id),
        chained.chain_position,
        entry.type,
        entry.operation,
        chained.player,
        entry.source,
        entry.transaction_id,
        entry.kind,
        entry.fingerprint,
        entry.currency,
        entry.amount,
        entry.version,
        change.cash,
        change.bonus,
        change.held,
        change.receivable,
        *((after.cash, after.bonus, after.held, after.receivable) if after else _NO_BALANCES),
        entry.wallet_version,
        entry.wallet_status,
        entry.credit_line,
        entry.game or None,
        entry.round or None,
        entry.reference or None,
        entry.outcome,
        entry.reason or None,
        entry.related or None,
        int(entry.late),
        int(entry.closes_round),
        entry.occurred_ms,
        chained.booked_ms,
        metadata_text,
        *_sometimes(entry),
    ]


def _sometimes(entry: OutboxEntry) -> list[str | None]:
    """What most entries do not have."""
    conversion = None if entry.conversion is None else str(entry.conversion)
    if entry.slip is not None:
        return [conversion, str(entry.slip)]
    return [] if conversion is None else [conversion]
