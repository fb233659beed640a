"""Entries as they stand in the ledger, with their postings and whatever undid them."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import asyncpg

from fx.conversions import Conversion
from persistence.chart_of_accounts import Account, Bucket, Leg, OwnerKind
from persistence.hash_chain import ChainedEntry, Erased, MetadataSeal
from persistence.outbox import OutboxEntry
from persistence.postgres.database import Connection
from persistence.postgres.queries import query
from persistence.slips import Slip
from persistence.transactions import (
    Buckets,
    CurrencyCode,
    EntryId,
    EntryType,
    Operation,
    OutboxPosition,
    Outcome,
    PlayerId,
    SourceId,
    TransactionId,
    TransactionKind,
    WalletStatus,
)

Row = asyncpg.Record

_PAGE_BYTES = 3_000_000
_ENTRY_BYTES = 2_500
"""More than an entry with the longest ids has in an answer, without its metadata."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class RecordedEntry:
    """An entry of the ledger. ``rolled_back_by`` is the transaction that undid or forestalled it, or ""."""

    chained: ChainedEntry
    legs: tuple[Leg, ...]
    previous_hash: bytes
    hash: bytes
    recorded_time: datetime
    rolled_back_by: str


def fitting_page(rows: Sequence[Row], page_size: int) -> Sequence[Row]:
    """As many rows as a page holds: ``page_size``, or fewer where their metadata would make an answer too
    large for a caller with gRPC's usual limit of 4 MiB. At least one.
    """
    room = _PAGE_BYTES
    for count, row in enumerate(rows[:page_size]):
        room -= _ENTRY_BYTES + len(row["metadata"].encode())
        if room < 0 and count:
            return rows[:count]
    return rows[:page_size]


async def complete_entries(connection: Connection, rows: Sequence[Row]) -> list[RecordedEntry]:
    """Rows of ``ledger.entries`` with what belongs to them, in the rows' order. Two queries for all."""
    chained = [decode_entry(row) for row in rows]
    legs = await legs_of_entries(connection, [entry.entry_id for entry in chained])
    return _recorded(rows, chained, legs, await _rollbacks(connection, chained))


async def entries_as_committed(connection: Connection, rows: Sequence[Row]) -> list[RecordedEntry]:
    """As complete_entries, but without what came later: the same however often, and whenever, it is read."""
    chained = [decode_entry(row) for row in rows]
    legs = await legs_of_entries(connection, [entry.entry_id for entry in chained])
    return _recorded(rows, chained, legs, _forestalled(chained))


def _recorded(
    rows: Sequence[Row],
    chained: Sequence[ChainedEntry],
    legs: Mapping[EntryId, tuple[Leg, ...]],
    rollbacks: Mapping[EntryId, str],
) -> list[RecordedEntry]:
    return [
        RecordedEntry(
            entry,
            legs.get(entry.entry_id, ()),
            row["previous_hash"],
            row["hash"],
            row["recorded_time"],
            rollbacks.get(entry.entry_id, ""),
        )
        for entry, row in zip(chained, rows, strict=True)
    ]


async def legs_of_entries(
    connection: Connection, entry_ids: Sequence[EntryId]
) -> dict[EntryId, tuple[Leg, ...]]:
    """The postings of entries, in their order. Entries without any are left out."""
    if not entry_ids:
        return {}
    rows = await connection.fetch(
        query("postings_of_entries"),
        [entry_id.partition for entry_id in entry_ids],
        [entry_id.position.epoch for entry_id in entry_ids],
        [entry_id.position.sequence for entry_id in entry_ids],
        [entry_id.index for entry_id in entry_ids],
    )
    legs: defaultdict[EntryId, list[Leg]] = defaultdict(list)
    for row in rows:
        account = Account(
            OwnerKind(row["owner_kind"]),
            row["owner_id"],
            Bucket(row["bucket"]),
            CurrencyCode(row["currency"]),
        )
        legs[entry_id_of(row)].append(Leg(account, int(row["amount"])))
    return {entry_id: tuple(of_entry) for entry_id, of_entry in legs.items()}


async def _rollbacks(connection: Connection, entries: Sequence[ChainedEntry]) -> dict[EntryId, str]:
    """The transactions that undid entries, by the entries' ids."""
    found = _forestalled(entries)
    reversible = {
        (chained.player, chained.entry.source, chained.entry.transaction_id): chained.entry_id
        for chained in entries
        if chained.entry.type is EntryType.APPLIED
        and (chained.entry.operation is not Operation.ROLLBACK or chained.entry.slip is not None)
    }
    if reversible:
        players, sources, transactions = zip(*reversible, strict=True)
        for row in await connection.fetch(query("rollbacks_of_entries"), players, sources, transactions):
            original = (row["player_id"], row["source_id"], row["reference_transaction_id"])
            found[reversible[original]] = row["transaction_id"]
    return found


def _forestalled(entries: Sequence[ChainedEntry]) -> dict[EntryId, str]:
    """The rollbacks that came before their originals, by the tombstones' ids."""
    return {
        chained.entry_id: chained.entry.related
        for chained in entries
        if chained.entry.type is EntryType.TOMBSTONE
    }


def entry_id_of(row: Row) -> EntryId:
    position = OutboxPosition(row["epoch"], row["sequence"])
    return EntryId(row["partition"], position, row["entry_index"])


def decode_entry(row: Row) -> ChainedEntry:
    """A row of ``ledger.entries``. Raises ValueError for words that no version of this service writes."""
    return ChainedEntry(
        entry_id_of(row),
        row["chain_position"],
        PlayerId(row["player_id"]),
        unix_ms(row["booked_time"]),
        OutboxEntry(
            type=EntryType(row["entry_type"]),
            operation=Operation(row["operation"]) if row["operation"] else None,
            source=SourceId(row["source_id"]),
            transaction_id=TransactionId(row["transaction_id"]),
            kind=TransactionKind(row["kind"]) if row["kind"] else None,
            fingerprint=row["fingerprint"],
            currency=CurrencyCode(row["currency"]) if row["currency"] else None,
            amount=_number(row["amount"]),
            version=row["version"],
            change=decode_buckets(row, "change"),
            after=None if row["cash_after"] is None else decode_buckets(row, "after"),
            wallet_version=row["wallet_version"],
            wallet_status=WalletStatus(row["wallet_status"]) if row["wallet_status"] else None,
            credit_line=_number(row["credit_line"]),
            game=row["game_id"] or "",
            round=row["round_id"] or "",
            reference=row["reference_transaction_id"] or "",
            outcome=Outcome(row["outcome"]) if row["outcome"] else None,
            reason=row["refusal_reason"] or "",
            related=row["related_transaction_id"] or "",
            late=row["late"],
            closes_round=row["closes_round"],
            occurred_ms=None if row["occurred_time"] is None else unix_ms(row["occurred_time"]),
            metadata=json.loads(row["metadata"]),
            conversion=Conversion.parse(row["conversion"]) if row["conversion"] else None,
            slip=Slip.parse(row["slip"]) if row["slip"] else None,
        ),
        None
        if row["metadata_digest"] is None
        else MetadataSeal(row["metadata_digest"], row["metadata_salt"]),
        None if row["erasure_id"] is None else Erased(row["erasure_id"], row["erased_hash"]),
    )


def decode_buckets(row: Row, of: str) -> Buckets:
    """The four amounts of a row: ``of`` is "change" or "after"."""
    return Buckets(*(int(row[f"{bucket}_{of}"]) for bucket in ("cash", "bonus", "held", "receivable")))


def unix_ms(time: datetime) -> int:
    return (time - _EPOCH) // _MILLISECOND


def _number(number: Decimal | None) -> int | None:
    return None if number is None else int(number)
