"""Walks through entries in bounded batches, with their postings, and checks each."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import LiteralString

from persistence.audit.counts import AuditCounts
from persistence.audit.entry_checks import ChainCheck, StoredEntry, check_content, check_postings
from persistence.audit.findings import Finding, FindingKind
from persistence.postgres.database import Connection
from persistence.postgres.queries import query
from persistence.postgres.reading.entries import Row, decode_entry, entry_id_of, legs_of_entries
from persistence.transactions import PlayerId


@dataclass(frozen=True, slots=True)
class UnreadableEntry:
    """A row with words or times that no version of this service writes."""

    row: Row
    problem: str

    def finding(self) -> Finding:
        entry_id = str(entry_id_of(self.row))
        return Finding(
            FindingKind.CHAIN_BROKEN,
            self.row["partition"],
            f"entry {entry_id} cannot be read: {self.problem}",
            entry_id=entry_id,
            player_id=self.row["player_id"],
            currency=self.row["currency"] or "",
        )


async def check_chain(
    connection: Connection, partition: int, *, batch_size: int, counts: AuditCounts
) -> AsyncIterator[Finding]:
    """All entries of a partition: their places in the chain, their content and their postings."""
    chain = ChainCheck(partition)
    async for batch in walk(connection, query("audit_chain"), partition, batch_size=batch_size):
        for entry in batch:
            if isinstance(entry, UnreadableEntry):
                chain.skip(entry.row["chain_position"], hash_=entry.row["hash"])
                yield entry.finding()
                continue
            counts.add(entry)
            for finding in (*chain.check(entry), *check_postings(entry)):
                yield finding
        counts.entry_count += len(batch)


async def check_entries_of_player(
    connection: Connection, player_id: PlayerId, *, batch_size: int, counts: AuditCounts
) -> AsyncIterator[Finding]:
    """A player's entries: their content and their postings, but not their places in the chain."""
    async for batch in walk(connection, query("audit_entries_of_player"), player_id, batch_size=batch_size):
        for entry in batch:
            if isinstance(entry, UnreadableEntry):
                yield entry.finding()
                continue
            counts.add(entry)
            for finding in (*check_content(entry), *check_postings(entry)):
                yield finding
        counts.entry_count += len(batch)


async def walk(
    connection: Connection, statement: LiteralString, *arguments: object, batch_size: int
) -> AsyncIterator[Sequence[StoredEntry | UnreadableEntry]]:
    """The entries that a query finds, with their postings, in its order. Inside a transaction."""
    cursor = await connection.cursor(statement, *arguments)
    while rows := await cursor.fetch(batch_size):
        try:
            batch = await _read(connection, rows)
        except ValueError:
            batch = [await _read_alone(connection, row) for row in rows]
        yield batch


async def _read(connection: Connection, rows: Sequence[Row]) -> list[StoredEntry | UnreadableEntry]:
    chained = [decode_entry(row) for row in rows]
    for row in rows:
        _require_whole_milliseconds(row)
    legs = await legs_of_entries(connection, [entry.entry_id for entry in chained])
    return [
        StoredEntry(entry, legs.get(entry.entry_id, ()), row["previous_hash"], row["hash"])
        for entry, row in zip(chained, rows, strict=True)
    ]


async def _read_alone(connection: Connection, row: Row) -> StoredEntry | UnreadableEntry:
    try:
        (entry,) = await _read(connection, [row])
    except ValueError as error:
        return UnreadableEntry(row, str(error))
    return entry


def _require_whole_milliseconds(row: Row) -> None:
    """The hash covers milliseconds, and nothing finer is ever written."""
    for column in ("booked_time", "occurred_time"):
        if row[column] is not None and row[column].microsecond % 1000:
            raise ValueError(f"its {column} has parts of a millisecond")
