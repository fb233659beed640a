"""The ledger's list of what is owed: records to book once more, and late duplicates to reverse."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class SalvagedRecord:
    """A record that is no part of its partition's history any more."""

    salvaged_id: int
    partition: int
    incarnation: str
    reason: str
    record: RawRecord


@dataclass(frozen=True, slots=True)
class Repair:
    """A movement that the service owes a wallet. ``is_booked`` once an entry of the ledger has its id."""

    player_id: PlayerId
    partition: int
    incident_id: int
    entry: OutboxEntry
    is_booked: bool


class RepairList:
    """Every method raises LedgerUnavailable where Postgres fails."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def salvage(
        self, partition: int, records: Sequence[RawRecord], *, incarnation: str, reason: str
    ) -> None:
        """Keeps records; those that are kept already stay as they are."""
        rows = []
        for record in records:
            position = OutboxPosition.parse(record.stream_id)
            fields = list(record.fields)
            rows.append((partition, position.epoch, position.sequence, incarnation, fields, reason))
        with translated_errors():
            await self._connection.executemany(query("salvage_record"), rows)

    async def leave_quarantine(self, partition: int) -> None:
        """What was in quarantine is kept here by now, and the partition goes on without it."""
        with translated_errors():
            await self._connection.execute(query("resolve_quarantine"), partition)

    async def to_restore(self, most: int) -> list[SalvagedRecord]:
        """In the order in which they were salvaged."""
        with translated_errors():
            rows = await self._connection.fetch(query("records_to_restore"), most)
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

    async def is_restored(self, salvaged: SalvagedRecord) -> None:
        with translated_errors():
            await self._connection.execute(query("record_is_restored"), salvaged.salvaged_id)

    async def pending(self, most: int) -> list[Repair]:
        """Those whose incidents are open, oldest first."""
        with translated_errors():
            rows = await self._connection.fetch(query("pending_repairs"), most)
        return [_repair(row) for row in rows]

    async def resolve_found(self) -> None:
        """Closes the incidents of lost answers whose ids stand in the ledger by now: a caller has asked
        again, or what a former primary answered was booked again.
        """
        with translated_errors():
            await self._connection.execute(query("resolve_what_was_found_again"))

    async def resolve(self, incident_id: int, resolution: str) -> None:
        with translated_errors():
            await self._connection.execute(query("resolve_incident"), incident_id, resolution)


def _repair(row: Row) -> Repair:
    changes = (row[f"{bucket}_change"] for bucket in ("cash", "bonus", "held", "receivable"))
    entry = OutboxEntry(
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
    )
    return Repair(PlayerId(row["player_id"]), row["partition"], row["incident_id"], entry, row["is_booked"])
