"""The hash chain of a partition: each entry's hash covers its content, its postings and the hash before it.

    hash = SHA-256(previous hash ‖ entry text ‖ one posting text for each posting, in order)

A text is its fields as netstrings, ``<characters>:<field>,``, and ``-`` for a field that is absent: no two
different entries have the same text. Numbers are decimal, times Unix milliseconds, booleans 0 or 1, metadata
JSON with sorted keys. The recorded time is left out: it is when the ledger learnt of the entry, not what
happened.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from persistence.chart_of_accounts import Leg
from persistence.outbox import OutboxEntry
from persistence.transactions import EntryId, PlayerId

FIRST_PREVIOUS_HASH = bytes(32)
"""What stands before the first entry of a partition."""


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
    texts = [_entry_text(chained)]
    for leg in legs:
        account = leg.account
        texts.append(
            _netstrings(
                (account.owner_kind, account.owner_id, account.bucket, account.currency, str(leg.amount))
            )
        )
    return sha256(previous_hash + "".join(texts).encode()).digest()


def canonical_metadata(metadata: Mapping[str, str]) -> str:
    """Metadata as one text, whatever order the keys came in."""
    return json.dumps(metadata, sort_keys=True, separators=(",", ":")) if metadata else "{}"


def _entry_text(chained: ChainedEntry) -> str:
    entry_id, entry = chained.entry_id, chained.entry
    change, after = entry.change, entry.after
    afters = (after.cash, after.bonus, after.held, after.receivable) if after else (None, None, None, None)
    return _netstrings(
        (
            str(entry_id),
            _number(chained.chain_position),
            entry.type,
            entry.operation,
            chained.player,
            entry.source,
            entry.transaction_id,
            entry.kind,
            entry.fingerprint,
            entry.currency,
            _number(entry.amount),
            _number(entry.version),
            _number(change.cash),
            _number(change.bonus),
            _number(change.held),
            _number(change.receivable),
            *map(_number, afters),
            _number(entry.wallet_version),
            entry.wallet_status,
            _number(entry.credit_line),
            entry.game or None,
            entry.round or None,
            entry.reference or None,
            entry.outcome,
            entry.reason or None,
            entry.related or None,
            "1" if entry.late else "0",
            "1" if entry.closes_round else "0",
            _number(entry.occurred_ms),
            _number(chained.booked_ms),
            canonical_metadata(entry.metadata),
        )
    )


def _number(number: int | None) -> str | None:
    return None if number is None else str(number)


def _netstrings(fields: Iterable[str | None]) -> str:
    return "".join(["-" if field is None else f"{len(field)}:{field}," for field in fields])
