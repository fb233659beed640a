"""Late duplicates in the ledger: which entries are, and what is recorded of them beside the entry."""

import json
from collections.abc import Iterable, Sequence

from persistence.hash_chain import ChainedEntry, canonical_metadata
from persistence.late_duplicates import FirstBooking, LateDuplicate
from persistence.postgres.database import Connection
from persistence.postgres.queries import query
from persistence.transactions import EntryId, OutboxPosition, PlayerId, SourceId, TransactionId

_Name = tuple[PlayerId, SourceId, TransactionId]


async def find_late_duplicates(
    connection: Connection, entries: Sequence[ChainedEntry]
) -> dict[EntryId, FirstBooking]:
    """Those of the entries, which are in order and not written yet, whose ids stand in an earlier one."""
    standing = await _standing(connection, {_name(chained) for chained in entries})
    found: dict[EntryId, FirstBooking] = {}
    for chained in entries:
        entry_id = chained.entry_id
        first = standing.setdefault(_name(chained), FirstBooking(entry_id, chained.entry.fingerprint))
        if first.entry_id != entry_id:
            found[entry_id] = first
    return found


async def record_late_duplicates(connection: Connection, duplicates: Iterable[LateDuplicate]) -> None:
    """An incident for each, and what is owed back. In the transaction that writes their entries."""
    rows = [_row(duplicate) for duplicate in duplicates]
    if rows:
        await connection.execute(query("record_late_duplicates"), json.dumps(rows))


async def _standing(connection: Connection, names: set[_Name]) -> dict[_Name, FirstBooking]:
    asked = sorted(names)
    rows = await connection.fetch(
        query("standing_transactions"),
        [player for player, _, _ in asked],
        [source for _, source, _ in asked],
        [transaction for _, _, transaction in asked],
    )
    return {
        (row["player_id"], row["source_id"], row["transaction_id"]): FirstBooking(
            EntryId(row["partition"], OutboxPosition(row["epoch"], row["sequence"]), row["entry_index"]),
            row["fingerprint"],
        )
        for row in rows
    }


def _name(chained: ChainedEntry) -> _Name:
    return chained.player, chained.entry.source, chained.entry.transaction_id


def _row(duplicate: LateDuplicate) -> dict[str, object]:
    entry, reversal = duplicate.entry, duplicate.reversal
    row: dict[str, object] = {
        "entry_id": str(duplicate.entry_id),
        "partition": duplicate.entry_id.partition,
        "player_id": duplicate.player,
        "source_id": entry.source,
        "transaction_id": entry.transaction_id,
        "description": duplicate.description,
    }
    if reversal is None:
        return row
    # Numbers as texts: they may have more digits than JSON's readers agree on.
    return row | {
        "repair_source_id": reversal.source,
        "repair_transaction_id": reversal.transaction_id,
        "operation": reversal.operation,
        "kind": reversal.kind,
        "fingerprint": reversal.fingerprint,
        "currency": reversal.currency,
        "amount": str(reversal.amount or 0),
        "cash_change": str(reversal.change.cash),
        "bonus_change": str(reversal.change.bonus),
        "held_change": str(reversal.change.held),
        "receivable_change": str(reversal.change.receivable),
        "game_id": reversal.game,
        "round_id": reversal.round,
        "reference_transaction_id": reversal.reference,
        "metadata": canonical_metadata(reversal.metadata),
        "conversion": None if reversal.conversion is None else str(reversal.conversion),
    }
