"""The hash chain of a partition: each entry's hash covers its content, its postings and the hash before it.

    hash = SHA-256(previous hash ‖ JSON text of [entry, posting, posting …])

An entry is the array that ``_entry_array`` makes, a posting [owner kind, owner id, bucket, currency, amount].
The text has no blanks and only ASCII, numbers are integers, times Unix milliseconds, absent fields null, and
metadata a text of its own with sorted keys; a conversion comes last, where there is one, and after it (or
after null) the slip that the entry changed. No two different entries have the same text, and an auditor can
write it in any language. The recorded time is left out: it is when the ledger learnt of the entry, not what
happened.
"""

import json
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


@dataclass(frozen=True, slots=True)
class ChainedEntry:
    """An entry at its place. ``chain_position`` counts the partition's entries from 0."""

    entry_id: EntryId
    chain_position: int
    player: PlayerId
    booked_ms: int
    entry: OutboxEntry


def entry_hash(previous_hash: bytes, chained: ChainedEntry, legs: Sequence[Leg]) -> bytes:
    """The hash of an entry with the postings that it has, 32 bytes."""
    parts = [_entry_array(chained)]
    for leg in legs:
        account = leg.account
        parts.append([account.owner_kind, account.owner_id, account.bucket, account.currency, leg.amount])
    return sha256(previous_hash + _json(parts).encode()).digest()


def canonical_metadata(metadata: Mapping[str, str]) -> str:
    """Metadata as one text, whatever order the keys came in."""
    return _sorted_json(metadata) if metadata else "{}"


def _entry_array(chained: ChainedEntry) -> list[str | int | None]:
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
        canonical_metadata(entry.metadata),
        *_sometimes(entry),
    ]


def _sometimes(entry: OutboxEntry) -> list[str | None]:
    """What most entries do not have."""
    conversion = None if entry.conversion is None else str(entry.conversion)
    if entry.slip is not None:
        return [conversion, str(entry.slip)]
    return [] if conversion is None else [conversion]
