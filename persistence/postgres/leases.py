"""Leases: for a few seconds, by the database's clock, a partition is one drainer's.

A lease that is not renewed runs out, and the partition is anybody's. Its number grows with each drainer that
gets it, and a commit names the number: whoever was asleep for too long writes nothing any more.
"""

from collections.abc import Collection, Iterable

from persistence.lease_plan import LeasedPartition
from persistence.outbox import REVISION
from persistence.postgres.database import Connection, translated_errors
from persistence.postgres.partition_rows import decode_leased_partition
from persistence.postgres.queries import query

_SEEN_LATELY_S = 15.0
"""A drainer says much more often that it is there."""


async def drainers_that_read_less(connection: Connection, revision: int) -> int:
    """How many drainers are at work that cannot read records of this revision. Raises LedgerUnavailable."""
    with translated_errors():
        count = await connection.fetchval(query("drainers_that_read_less"), revision, _SEEN_LATELY_S)
    assert isinstance(count, int)
    return count


def session_name(drainer_id: str) -> str:
    """What a drainer's sessions are called in Postgres: how others find them if they have to end them."""
    return f"stakehold drain {drainer_id}"


class Leases:
    """One drainer's leases. Every method raises LedgerUnavailable where Postgres fails.

    Rows that a batch is being written to are passed over rather than waited for: a batch renews its leases.
    """

    def __init__(self, connection: Connection, *, drainer_id: str, lease_s: float) -> None:
        self._connection = connection
        self._drainer_id = drainer_id
        self._lease_s = lease_s

    async def count_drainers(self) -> int:
        """How many drainers live, this one included: it says so by asking."""
        with translated_errors():
            count = await self._connection.fetchval(
                query("see_drainer"), self._drainer_id, self._lease_s, REVISION
            )
        assert isinstance(count, int)
        return count

    async def partitions(self) -> dict[int, LeasedPartition]:
        """All that there are."""
        return await self._read(None)

    async def renew(self, partitions: Iterable[int]) -> None:
        """Those that are still this drainer's."""
        with translated_errors():
            await self._connection.execute(
                query("renew_leases"), self._drainer_id, list(partitions), self._lease_s
            )

    async def take(self, partitions: Collection[int], *, limit: int) -> list[LeasedPartition]:
        """New leases on partitions that are free or this drainer's own."""
        with translated_errors():
            rows = await self._connection.fetch(
                query("take_leases"), self._drainer_id, list(partitions), self._lease_s, limit
            )
        taken = [row["partition"] for row in rows]
        return list((await self._read(taken)).values()) if taken else []

    async def end_silent_sessions(self, partitions: Collection[int]) -> int:
        """Ends the sessions of drainers whose leases on these have run out and that are silent; how many.

        A drainer that freezes while it sends rows holds the partitions' rows locked, and no timeout of the
        server's ends that. Needs the login that the other drainer has.
        """
        with translated_errors():
            rows = await self._connection.fetch(
                query("sessions_of_silent_drainers"), list(partitions), self._lease_s
            )
            if rows:
                async with self._connection.transaction():
                    await self._connection.execute(query("as_who_logged_in"))
                    await self._connection.execute(query("end_sessions"), [row["pid"] for row in rows])
        return len(rows)

    async def give_back(self, partitions: Collection[int]) -> None:
        with translated_errors():
            await self._connection.execute(query("give_back_leases"), self._drainer_id, list(partitions))

    async def retire(self) -> None:
        """Gives everything back and is no drainer any more."""
        with translated_errors():
            async with self._connection.transaction():
                await self._connection.execute(query("give_back_leases"), self._drainer_id, None)
                await self._connection.execute(query("retire_drainer"), self._drainer_id)

    async def _read(self, partitions: list[int] | None) -> dict[int, LeasedPartition]:
        with translated_errors():
            rows = await self._connection.fetch(query("partition_states"), partitions)
        return {row["partition"]: decode_leased_partition(row) for row in rows}
