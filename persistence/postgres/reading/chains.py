"""The partitions' chains, read forward from any place: what events are made of.

A partition has one drainer at a time, which holds its row while it commits. So its entries become visible in
the order of their places, which are 0, 1, 2 … without a gap, and up to the row's entry count all are there.
Nothing here rests on an order among partitions: their commits overlap.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from persistence.errors import CursorNotInLedger, LedgerUnavailable
from persistence.hash_chain import ChainedEntry
from persistence.postgres.database import Connection, Pool, translated_errors
from persistence.postgres.ledger_settings import LedgerSettings, read_settings
from persistence.postgres.queries import query
from persistence.postgres.reading.entries import RecordedEntry, entries_as_committed
from persistence.postgres.reading.entry_lists import kind_condition
from persistence.postgres.timed_transactions import timed_transaction
from persistence.transactions import Operation, TransactionKind

_FIRST_FILTER_PARAMETER = 5


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which entries. What is empty does not matter; a rollback has no other kind than ROLLBACK here."""

    player_id: str = ""
    source_id: str = ""
    kinds: tuple[TransactionKind, ...] = ()

    def admits(self, chained: ChainedEntry) -> bool:
        """The same as the query's conditions."""
        entry = chained.entry
        kind = TransactionKind.ROLLBACK if entry.operation is Operation.ROLLBACK else entry.kind
        return (
            (not self.player_id or chained.player == self.player_id)
            and (not self.source_id or entry.source == self.source_id)
            and (not self.kinds or kind in self.kinds)
        )


EVERYTHING = EventFilter()


@dataclass(frozen=True, slots=True)
class ChainPage:
    """Entries by partition, then place; ``positions`` is how far each partition was looked through: the next
    place that was not.
    """

    entries: Sequence[RecordedEntry]
    positions: Mapping[int, int]


class ChainReader:
    """Reads chains. The pool's connections need no more than LedgerRole.READER.

    Every method raises LedgerUnavailable.
    """

    def __init__(self, pool: Pool, *, timeout_s: float) -> None:
        self._pool = pool
        self._timeout_s = timeout_s

    async def settings(self) -> LedgerSettings:
        """Raises SetupRefused where there are none yet."""
        with translated_errors():
            async with self._pool.acquire(timeout=self._timeout_s) as connection:
                return await read_settings(connection)

    async def ends(self) -> dict[int, int]:
        """How many entries each partition has."""
        with translated_errors():
            async with asyncio.timeout(self._timeout_s), self._pool.acquire() as connection:
                rows = await connection.fetch(query("chain_ends"))
        return {row["partition"]: row["entry_count"] for row in rows}

    async def read(
        self, starts: Mapping[int, int], *, limit: int, wanted: EventFilter = EVERYTHING
    ) -> ChainPage:
        """Looks through at most ``limit`` entries of each partition, from these places on.

        Raises CursorNotInLedger where the ledger has not even so many entries as a start says.
        """
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        async with timed_transaction(self._pool, deadline, snapshot=True) as connection:
            rows = await connection.fetch(query("chain_ends_of"), list(starts))
            ends = {row["partition"]: row["entry_count"] for row in rows}
            require_within(starts, ends)
            positions = {p: min(start + limit, ends[p]) for p, start in starts.items()}
            entries = await _read_stretches(connection, starts, positions, limit, wanted)
        if wanted == EVERYTHING:
            _require_complete(entries, starts, positions)
        return ChainPage(entries, positions)


def require_within(positions: Mapping[int, int], ends: Mapping[int, int]) -> None:
    """Raises CursorNotInLedger where a position is beyond the end of its chain."""
    for partition, position in positions.items():
        if position > ends.get(partition, 0):
            raise CursorNotInLedger(
                f"the cursor is after entry {position - 1} of partition {partition}, and the ledger has only "
                f"{ends.get(partition, 0)}: has it been restored from a backup?",
                cause="ahead",
            )


async def _read_stretches(
    connection: Connection,
    starts: Mapping[int, int],
    positions: Mapping[int, int],
    limit: int,
    wanted: EventFilter,
) -> Sequence[RecordedEntry]:
    unread = [partition for partition in sorted(starts) if positions[partition] > starts[partition]]
    if not unread:
        return ()
    statement, arguments = stretches_query(wanted)
    rows = await connection.fetch(
        statement,
        unread,
        [starts[partition] for partition in unread],
        [positions[partition] for partition in unread],
        limit,
        *arguments,
    )
    rows.sort(key=lambda row: (row["partition"], row["chain_position"]))
    return await entries_as_committed(connection, rows)


def stretches_query(wanted: EventFilter) -> tuple[str, list[object]]:
    """The query for a filter, and its arguments from the fifth on; the first are stretches and a limit."""
    conditions: list[tuple[str, object]] = [
        ("player_id = {}", wanted.player_id),
        ("source_id = {}", wanted.source_id),
        (kind_condition(wanted.kinds), list(wanted.kinds)),
    ]
    asked = [(condition, argument) for condition, argument in conditions if argument]
    filters = "".join(
        f" AND {condition.format(f'${number}')}"
        for number, (condition, _) in enumerate(asked, _FIRST_FILTER_PARAMETER)
    )
    return query("entries_of_chains").replace("-- filters", filters), [argument for _, argument in asked]


def _require_complete(
    entries: Sequence[RecordedEntry], starts: Mapping[int, int], positions: Mapping[int, int]
) -> None:
    """That nothing is missing in between is the ledger's promise; whoever tells entries on relies on it."""
    expected = [
        (partition, place)
        for partition in sorted(starts)
        for place in range(starts[partition], positions[partition])
    ]
    found = [(entry.chained.entry_id.partition, entry.chained.chain_position) for entry in entries]
    if found != expected:
        missing = sorted(set(expected) - set(found))[:3]
        raise LedgerUnavailable(f"the ledger does not show all entries that it counts: {missing} are missing")
