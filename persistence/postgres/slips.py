"""Slips in the ledger: each as its newest entry left it, beside the entries that say how it came to be."""

import json
from collections.abc import Iterable

from persistence.hash_chain import ChainedEntry
from persistence.postgres.copy_rows import timestamp
from persistence.postgres.database import Connection
from persistence.postgres.queries import query
from persistence.slips import Slip
from persistence.transactions import PlayerId, SourceId, TransactionId

_Name = tuple[PlayerId, SourceId, TransactionId]


async def record_slips(connection: Connection, entries: Iterable[ChainedEntry]) -> None:
    """What these entries, in their order, made of slips. In the transaction that writes them."""
    rows: dict[_Name, dict[str, object]] = {}
    for chained in entries:
        slip = chained.entry.slip
        if slip is not None:
            name = (chained.player, chained.entry.source, slip.slip_id)
            rows[name] = rows.get(name, _opened(chained, slip)) | _changed(chained, slip)
    if rows:
        await connection.execute(query("record_slips"), json.dumps(list(rows.values())))


def _opened(chained: ChainedEntry, slip: Slip) -> dict[str, object]:
    """What stays as it is; of use only where this is the entry that opened the slip."""
    entry = chained.entry
    return {
        "player_id": chained.player,
        "source_id": entry.source,
        "slip_id": slip.slip_id,
        "partition": chained.entry_id.partition,
        "kind": entry.kind,
        "currency": entry.currency,
        "slip_currency": slip.currency,
        "opened_time": timestamp(chained.booked_ms),
    }


def _changed(chained: ChainedEntry, slip: Slip) -> dict[str, object]:
    """Numbers are texts: they may have more digits than JSON's readers agree on."""
    return {
        "version": slip.version,
        "state": slip.state,
        "held": str(slip.held),
        "staked": str(slip.staked),
        "live": str(slip.live),
        "paid": str(slip.paid),
        "cashed": str(slip.cashed),
        "held_worth": str(slip.held_worth),
        "live_worth": str(slip.live_worth),
        "paid_worth": str(slip.paid_worth),
        "expires_time": None if slip.expires_ms is None else timestamp(slip.expires_ms),
        "changed_time": timestamp(chained.booked_ms),
        "last_transaction_id": slip.last,
        "undone_by_transaction_id": slip.undone or None,
    }
