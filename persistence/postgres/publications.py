"""How far a sink was told, partition by partition, and who tells it.

As with drainers, a lease makes a partition of a sink one publisher's for a while, by the database's clock.
Its number grows with each publisher that gets it, and progress names the number: whoever was asleep for too
long notes nothing any more, and what it sent late was sent by its successor, too.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from persistence.postgres.database import Connection, translated_errors
from persistence.postgres.queries import query

PUBLISHER_SETTINGS = {
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    # Who freezes in the middle of a transaction holds its rows no longer than this.
    "idle_in_transaction_session_timeout": "2s",
}


@dataclass(frozen=True, slots=True)
class Publication:
    """A partition that is this publisher's: the next place to tell, and the lease under which."""

    position: int
    lease: int


class Publications:
    """One publisher's hand in one sink's progress. Every method raises LedgerUnavailable."""

    def __init__(self, connection: Connection, *, sink: str, publisher_id: str, lease_s: float) -> None:
        self._connection = connection
        self._sink = sink
        self._publisher_id = publisher_id
        self._lease_s = lease_s

    async def plant(self, *, at_end: bool) -> None:
        """Where the sink is new, it begins with the first entry, or with the first that is still to come."""
        with translated_errors():
            await self._connection.execute(query("plant_publications"), self._sink, at_end)

    async def hold(self) -> dict[int, Publication]:
        """Renews the leases, takes what is free up to this publisher's share, and gives back what is above.

        The share is what is left for each when all who publish to the sink have about as many partitions.
        """
        own = self._sink, self._publisher_id
        with translated_errors():
            count = await self._connection.fetchval(query("see_publisher"), *own, self._lease_s)
            async with self._connection.transaction():
                rows = await self._connection.fetch(query("hold_publications"), *own, self._lease_s, count)
                held = {row["partition"]: Publication(row["position"], row["lease"]) for row in rows}
                await self._connection.execute(query("give_back_publications"), *own, list(held))
        return held

    async def advance(self, held: Mapping[int, Publication], beyond: Mapping[int, int]) -> set[int]:
        """Notes what the sink has confirmed; the partitions that are this publisher's no more.

        ``beyond`` has the next place of each partition that was told something.
        """
        moved = sorted(beyond)
        with translated_errors():
            rows = await self._connection.fetch(
                query("advance_publications"),
                self._sink,
                self._publisher_id,
                self._lease_s,
                moved,
                [held[partition].lease for partition in moved],
                [held[partition].position for partition in moved],
                [beyond[partition] for partition in moved],
            )
        return set(moved) - {row["partition"] for row in rows}

    async def retire(self) -> None:
        """Gives everything back and publishes no more."""
        with translated_errors():
            async with self._connection.transaction():
                await self._connection.execute(
                    query("give_back_publications"), self._sink, self._publisher_id, []
                )
                await self._connection.execute(query("retire_publisher"), self._publisher_id)
