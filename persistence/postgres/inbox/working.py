"""Works the inbox off: who has which partition, what waits, and what came of it.

A lease on a partition of the inbox is like a drainer's: for some seconds, by the database's clock, the
commands of its players are one worker's. What is recorded names the lease, so a worker that was asleep for
too long records nothing any more.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from persistence.inbox import Attempt, CommandKey, WaitingCommand
from persistence.postgres.database import Pool, Row, translated_errors
from persistence.postgres.queries import query
from persistence.transactions import PlayerId

_MOST_UNFINISHED = 10_000


@dataclass(frozen=True, slots=True)
class HeldLeases:
    """Leases by partition, and how many partitions are this worker's share."""

    leases: Mapping[int, int]
    share: int


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A submission with commands that wait. ``redrives`` grows when some of them wait again.
    ``trace_context`` is the traceparent of the call that it came in; "" where that is not traced.
    """

    number: int
    redrives: int
    accepted_time: datetime
    trace_context: str


@dataclass(frozen=True, slots=True)
class Backlog:
    """The whole inbox. ``oldest_s`` is the age of the oldest submission with commands that wait."""

    waiting: int
    retrying: int
    dead: int
    oldest_s: float


class InboxLeases:
    """One worker's leases. Every method raises LedgerUnavailable where Postgres fails."""

    def __init__(self, pool: Pool, *, worker_id: str, lease_s: float) -> None:
        self._pool = pool
        self._worker_id = worker_id
        self._lease_s = lease_s

    async def plant(self, partition_count: int) -> None:
        """Sees to it that every partition can be leased."""
        with translated_errors():
            await self._pool.execute(query("plant_inbox_partitions"), partition_count)

    async def hold(self, partition_count: int) -> HeldLeases:
        """Says that this worker lives, renews its leases, and takes what is free up to its share."""
        with translated_errors():
            async with self._pool.acquire() as connection:
                workers = await connection.fetchval(query("see_worker"), self._worker_id, self._lease_s)
                rows = await connection.fetch(query("renew_inbox_leases"), self._worker_id, self._lease_s)
                share = -(-partition_count // workers)
                if (room := share - len(rows)) > 0:
                    rows += await connection.fetch(
                        query("take_inbox_leases"), self._worker_id, self._lease_s, room
                    )
        return HeldLeases({row["partition"]: row["lease"] for row in rows}, share)

    async def give_back(self, partitions: Collection[int]) -> None:
        with translated_errors():
            await self._pool.execute(query("give_back_inbox_leases"), self._worker_id, list(partitions))

    async def retire(self, partitions: Collection[int]) -> None:
        """Gives everything back and is no worker any more."""
        await self.give_back(partitions)
        with translated_errors():
            await self._pool.execute(query("retire_worker"), self._worker_id)


class InboxQueue:
    """What waits. Every method raises LedgerUnavailable where Postgres fails."""

    def __init__(self, pool: Pool, *, worker_id: str) -> None:
        self._pool = pool
        self._worker_id = worker_id

    async def unfinished(self) -> list[Unfinished]:
        """Submissions with commands that wait, oldest first."""
        with translated_errors():
            rows = await self._pool.fetch(query("unfinished_submissions"), _MOST_UNFINISHED)
        return [
            Unfinished(
                row["submission_number"], row["redrives"], row["accepted_time"], row["trace_context"] or ""
            )
            for row in rows
        ]

    async def waiting(
        self, partitions: Collection[int], *, after: CommandKey, last_number: int, limit: int
    ) -> list[WaitingCommand]:
        """The partitions' commands that wait, in order, after one and up to a submission."""
        with translated_errors():
            rows = await self._pool.fetch(
                query("waiting_commands"), *after, last_number, list(partitions), limit
            )
        return [_decode(row) for row in rows]

    async def waiting_of(self, players: Sequence[PlayerId], *, limit: int) -> list[WaitingCommand]:
        """The first commands that wait of each player, in order."""
        with translated_errors():
            rows = await self._pool.fetch(query("waiting_commands_of_players"), list(players), limit)
        return [_decode(row) for row in rows]

    async def record(
        self, attempts: Sequence[Attempt], leases: Collection[tuple[int, int]]
    ) -> set[tuple[int, int]]:
        """Writes what came of attempts, each on one of the leases, all in one transaction. Those leases that
        still are this worker's: attempts on others were not recorded. A command comes up once at most.
        """
        with translated_errors():
            async with self._pool.acquire() as connection, connection.transaction():
                wanted = sorted(leases)
                rows = await connection.fetch(
                    query("hold_inbox_leases"),
                    self._worker_id,
                    [partition for partition, _ in wanted],
                    [lease for _, lease in wanted],
                )
                held = {(row["partition"], row["lease"]) for row in rows}
                kept = {partition for partition, _ in held}
                columns = _columns([attempt for attempt in attempts if attempt.command.partition in kept])
                await connection.execute(query("record_attempts"), *columns)
        return held

    async def finish(self, number: int) -> bool:
        """Marks a submission as finished if none of its commands waits; whether it is."""
        with translated_errors():
            async with self._pool.acquire() as connection, connection.transaction():
                # The second statement sees what a redrive has committed that the first one waited for.
                await connection.execute(query("lock_unfinished_submission"), number)
                return await connection.fetchval(query("finish_submission"), number) is not None

    async def backlog(self) -> Backlog:
        """How much waits in the whole inbox."""
        with translated_errors():
            row = await self._pool.fetchrow(query("inbox_backlog"))
        assert row is not None
        return Backlog(row["waiting"], row["retrying"], row["dead"], row["oldest_s"])


def _columns(attempts: Sequence[Attempt]) -> Sequence[Sequence[object]]:
    """In the order of their keys, so that no two transactions wait for each other's rows."""
    ordered = sorted(attempts, key=lambda attempt: attempt.command.key)
    return (
        [attempt.command.key[0] for attempt in ordered],
        [attempt.command.key[1] for attempt in ordered],
        [attempt.state for attempt in ordered],
        [attempt.attempts for attempt in ordered],
        [attempt.first_attempt_time for attempt in ordered],
        [attempt.last_attempt_time for attempt in ordered],
        [attempt.retry_in_s for attempt in ordered],
        [attempt.result for attempt in ordered],
    )


def _decode(row: Row) -> WaitingCommand:
    return WaitingCommand(
        (row["submission_number"], row["command_index"]),
        row["partition"],
        PlayerId(row["player_id"]),
        row["command"],
        row["attempts"],
        row["first_attempt_time"],
        row["due_in_s"],
    )
