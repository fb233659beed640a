"""The ledger's table of open rounds: follows the entries, and says whose bets nothing settles."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from persistence.postgres.database import Connection, Pool, translated_errors
from persistence.postgres.queries import query
from persistence.postgres.reviews import ReviewKind
from persistence.transactions import PlayerId, SourceId, TransactionId

SWEEP_PREFIX = "§sweep:"
"""How the ids begin under which bets are given back. No caller has one like it: theirs are ASCII."""


def sweep_id(bet: TransactionId) -> TransactionId:
    """The one id under which a bet can be given back."""
    return TransactionId(f"{SWEEP_PREFIX}{bet}")


@dataclass(frozen=True, slots=True)
class OrphanedRound:
    """A round whose oldest bet was booked before ``before`` and that nothing has settled."""

    partition: int
    player_id: PlayerId
    source_id: SourceId
    game: str
    round: str
    before: datetime


class OpenRoundTable:
    """Writes over a pool of the writer's connections. Any number may: each partition is followed by one at a
    time, each round claimed by one. All methods raise LedgerUnavailable.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def partitions_to_follow(self) -> list[int]:
        """Those whose newest entries are not in the table yet."""
        with translated_errors():
            async with self._pool.acquire() as connection:
                await connection.execute(query("begin_to_follow"))
                rows = await connection.fetch(query("partitions_to_follow"))
        return [row["partition"] for row in rows]

    async def follow(self, partition: int, most: int) -> bool:
        """Takes in at most so many entries; whether there may be more. Nothing where another one is at it."""
        async with self._transaction() as connection:
            position: int | None = await connection.fetchval(query("hold_progress"), partition)
            if position is None:
                return False
            arguments = (partition, position, most, SWEEP_PREFIX)
            after: int = await connection.fetchval(query("follow_rounds"), *arguments)
            await connection.execute(query("keep_progress"), partition, after)
        return after - position >= most

    async def claim(
        self, before: Mapping[SourceId, datetime], most: int, *, now: datetime, looked_before: datetime
    ) -> list[OrphanedRound]:
        """At most so many rounds of each source whose oldest bet is of before its moment, and that nobody has
        looked at since ``looked_before``.
        """
        arguments = (list(before), list(before.values()), most, looked_before, now)
        async with self._transaction() as connection:
            rows = await connection.fetch(query("claim_orphaned_rounds"), *arguments)
        return [
            OrphanedRound(
                row["partition"],
                PlayerId(row["player_id"]),
                SourceId(row["source_id"]),
                row["game_id"],
                row["round_id"],
                row["before"],
            )
            for row in rows
        ]

    async def orphaned_bets(self, orphaned: OrphanedRound, most: int) -> Sequence[TransactionId]:
        """The round's bets of before its moment that stand, oldest first."""
        name = (orphaned.player_id, orphaned.source_id, orphaned.game, orphaned.round)
        async with self._transaction() as connection:
            rows = await connection.fetch(query("orphaned_bets"), *name, orphaned.before, most)
        return [TransactionId(row["transaction_id"]) for row in rows]

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        """In which nothing goes through a whole table, whatever it was like when the plan was made."""
        with translated_errors():
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(query("look_up_by_index"))
                yield connection

    async def tell_not_swept(self, orphaned: OrphanedRound, bet: TransactionId, why: str) -> None:
        """Raises a review, once for each bet."""
        kind = ReviewKind.BET_NOT_SWEPT
        with translated_errors():
            await self._pool.execute(
                query("raise_review"),
                f"{kind} {orphaned.source_id} {orphaned.player_id} {bet}",
                kind,
                orphaned.partition,
                orphaned.player_id,
                orphaned.source_id,
                bet,
                orphaned.game,
                orphaned.round,
                f"bet {bet} has no settlement in its round, and could not be given back: {why}",
            )
