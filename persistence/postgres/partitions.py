"""The partitions' rows: which are open, in which epoch, drained up to where."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from persistence.postgres.database import Connection, translated_errors
from persistence.postgres.queries import query
from persistence.transactions import OutboxPosition

OpeningState = Literal["new", "opening", "open"]


@dataclass(frozen=True, slots=True)
class LedgerPartition:
    """A partition as the ledger knows it."""

    partition: int
    epoch: int
    state: OpeningState
    cursor: OutboxPosition


class PartitionStates:
    """Reads and sets the partitions' states."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def read(self) -> list[LedgerPartition]:
        with translated_errors():
            rows = await self._connection.fetch(query("partition_openings"))
        return [
            LedgerPartition(
                row["partition"],
                row["epoch"],
                row["state"],
                OutboxPosition(row["cursor_epoch"], row["cursor_sequence"]),
            )
            for row in rows
        ]

    async def set_state(self, partition: int, state: OpeningState) -> None:
        """Committed at once."""
        with translated_errors():
            await self._connection.execute(query("set_partition_state"), partition, state)


@asynccontextmanager
async def locked_partition_states(connection: Connection) -> AsyncIterator[PartitionStates]:
    """The partitions' states, while nobody else sets them."""
    with translated_errors():
        await connection.execute(query("lock_openings"))
    try:
        yield PartitionStates(connection)
    finally:
        with translated_errors():
            await connection.execute(query("unlock_openings"))
