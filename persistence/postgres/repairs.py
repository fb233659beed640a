"""The ledger's list of what is owed: records to book once more, and late duplicates to reverse."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

from fx.conversions import Conversion
from persistence.drain_batch import RawRecord
from persistence.outbox import OutboxEntry
from persistence.postgres.database import Connection, Row, translated_errors
from persistence.postgres.queries import query
from persistence.transactions import (
    Buckets,
    CurrencyCode,
    EntryType,
    Operation,
    OutboxPosition,
    Outcome,
    PlayerId,
    SourceId,
    TransactionId,
    TransactionKind,
)

SALVAGED_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class SalvagedRecord:
    """A record that is no part of its partition's history any more."""

    salvaged_id: int
    partition: int
    incarnation: str
    reason: str
    record: RawRecord


@dataclass(frozen=True, slots=True)
class ToldDuplicate:
    """A late duplicate whose incident is open, and the ``reversal`` that the service owes the wallet for it:
    None where nothing moved.

    ``is_reversed`` once an entry of the ledger has the reversal's id. ``undone_by`` is the rollback by which
    the caller undid the duplicate, so that nothing is owed any more; "" for none.
    """

    incident_id: int
    entry_id: str
    partition: int
    player_id: PlayerId
    reversal: OutboxEntry | None
    is_reversed: bool
    undone_by: str


class RepairList:
    """Every method raises LedgerUnavailable where Postgres fails."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def salvage(
        self, partition: int, records: Sequence[RawRecord], *, incarnation: str, reason: str
    ) -> None:
        """Keeps records, in their order; those that are kept already stay as they are.

        A partition may have more than the server writes in the time that a statement has: what was kept of
        them before it is broken off stays so.
        """
        for start in range(0, len(records), SALVAGED_AT_ONCE):
            rows = []
            for record in records[start : start + SALVAGED_AT_ONCE]:
                position = OutboxPosition.parse(record.stream_id)
                fields = list(record.fields)
                rows.append((partition, position.epoch, position.sequence, incarnation, fields, reason))
            with translated_errors():
                await self._connection.executemany(query("salvage_record"), rows)

    async def leave_quarantine(self, partition: int) -> None:
        """What was in quarantine is kept here by now, and the partition goes on without it."""
        with translated_errors():
            await self._connection.execute(query("resolve_quarantine"), partition)

    async def in_places_of_history(self, most: int, *, after: int = 0) -> list[SalvagedRecord]:
        """Those in whose place the ledger has a record, which may be another one, in the order in which they
        were salvaged, after one of them.
        """
        return await self._salvaged(query("salvaged_in_places_of_history"), after, most)

    async def to_restore(self, most: int, *, after: int = 0) -> list[SalvagedRecord]:
        """In the order in which they were salvaged, those after one of them."""
        return await self._salvaged(query("records_to_restore"), after, most)

    async def _salvaged(self, statement: LiteralString, after: int, most: int) -> list[SalvagedRecord]:
        with translated_errors():
            rows = await self._connection.fetch(statement, after, most)
        return [
            SalvagedRecord(
                row["salvaged_id"],
                row["partition"],
                row["incarnation"],
                row["reason"],
                RawRecord(str(OutboxPosition(row["epoch"], row["sequence"])), row["fields"]),
            )
            for row in rows
        ]

    async def is_restored(self, *salvaged: SalvagedRecord) -> None:
        """None of these is to be booked again."""
        with translated_errors():
            ids = [one.salvaged_id for one in salvaged]
            await self._connection.execute(query("records_are_restored"), ids)

    async def late_duplicates(self, most: int, *, after: int = 0) -> list[ToldDuplicate]:
        """Those whose incidents are open, oldest first, after one of these."""
        with translated_errors():
            rows = await self._connection.fetch(query("late_duplicates_to_undo"), after, most)
        return [_told_duplicate(row) for row in rows]

    async def resolve_found(self) -> None:
        """Closes the incidents of lost answers whose ids stand in the ledger by now: a caller has asked
        again, or what a former primary answered was booked again.
        """
        with translated_errors():
            await self._connection.execute(query("resolve_what_was_found_again"))

    async def resolve(self, incident_key: str, resolution: str) -> None:
        """Closes an incident, if there is one under the key that is open."""
        with translated_errors():
            await self._connection.execute(query("resolve_incident"), incident_key, resolution)


def _told_duplicate(row: Row) -> ToldDuplicate:
    return ToldDuplicate(
        row["incident_id"],
        row["entry_id"],
        row["partition"],
        PlayerId(row["player_id"]),
        _reversal(row) if row["transaction_id"] else None,
        row["is_booked"],
        row["undone_by"] or "",
    )


def _reversal(row: Row) -> OutboxEntry:
    changes = (row[f"{bucket}_change"] for bucket in ("cash", "bonus", "held", "receivable"))
    return OutboxEntry(
        type=EntryType.APPLIED,
        operation=Operation(row["operation"]),
        source=SourceId(row["source_id"]),
        transaction_id=TransactionId(row["transaction_id"]),
        kind=TransactionKind(row["kind"]),
        fingerprint=row["fingerprint"],
        currency=CurrencyCode(row["currency"]),
        amount=int(row["amount"]),
        version=None,
        change=Buckets(*map(int, changes)),
        after=None,
        wallet_version=None,
        wallet_status=None,
        credit_line=None,
        game=row["game_id"],
        round=row["round_id"],
        reference=row["reference_transaction_id"],
        outcome=Outcome.APPLIED,
        reason="",
        related="",
        late=False,
        closes_round=False,
        occurred_ms=None,
        metadata=json.loads(row["metadata"]),
        conversion=Conversion.parse(row["conversion"]) if row["conversion"] else None,
    )
