"""The ledger's side of taking a partition's store over."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import asyncpg

from persistence.acknowledged import Told
from persistence.adoption_plan import LedgerEpoch, LedgerPartition, TakeOver
from persistence.events import any_set
from persistence.postgres.database import Connection, Row, translated_errors
from persistence.postgres.queries import query
from persistence.transactions import EntryType, OutboxPosition, PlayerId, SourceId, TransactionId

TransactionName = tuple[PlayerId, SourceId, TransactionId]
_Done = TypeVar("_Done")

ALONE_WITHIN_S = 3.0
"""Others take a partition over in moments. Who repairs one holds up nobody who has others to look after."""

STAY_EVERY_S = 2.0
"""Well within what the server lets a session be idle that takes partitions over."""


class IncidentKind(StrEnum):
    """What a person must know of."""

    MEMORY_LOST = "memory_lost"
    ACKNOWLEDGED_LOST = "acknowledged_lost"
    HISTORY_FORKED = "history_forked"
    LATE_DUPLICATE = "late_duplicate"


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that went wrong. ``key`` names the occurrence: it is raised once, whoever sees it.

    ``told`` is what the ledger has to have of the transaction, for the incident to be over.
    """

    key: str
    kind: IncidentKind
    partition: int
    description: str
    transaction: TransactionName | None = None
    entry_id: str | None = None
    told: Told | None = None


class AdoptingLedger:
    """Reads and writes partitions, epochs, vouchers and incidents.

    Every method raises LedgerUnavailable where Postgres fails: the connection is then of no more use.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def partitions(self, partitions: Sequence[int] | None = None) -> list[LedgerPartition]:
        """Those that are asked for, or all."""
        asked = None if partitions is None else list(partitions)
        with translated_errors():
            rows = await self._connection.fetch(query("adoptable_partitions"), asked)
            epochs = await self._epochs(asked)
        return [_partition(row, epochs[row["partition"]]) for row in rows]

    @asynccontextmanager
    async def alone(self, partition: int) -> AsyncIterator[bool]:
        """Nobody else takes the partition over meanwhile. False where somebody does, and is not done soon."""
        is_alone = await self._lock_adoption(partition)
        try:
            yield is_alone
        finally:
            if is_alone:
                with translated_errors():
                    await self._connection.execute(query("unlock_adoption"), partition)

    async def _lock_adoption(self, partition: int) -> bool:
        with translated_errors():
            await self._connection.execute(query("wait_for_adoption_lock"), f"{ALONE_WITHIN_S * 1000:.0f}ms")
            try:
                await self._connection.execute(query("lock_adoption"), partition)
            except asyncpg.LockNotAvailableError:
                return False
            finally:
                await self._connection.execute(query("wait_for_adoption_lock"), "0")
        return True

    async def meanwhile(self, work: Coroutine[object, object, _Done]) -> _Done:
        """Does something that takes its time and asks nothing of this connection, which stays: it would be
        ended as one whose program is frozen, and with it ``alone``. Should it end, so does the work.
        """
        over = asyncio.Event()
        working = asyncio.create_task(work)
        staying = asyncio.create_task(self._stay(over))
        staying.add_done_callback(lambda _: working.cancel())
        try:
            return await working
        finally:
            over.set()
            await staying  # says why the work was ended, if it was

    async def _stay(self, over: asyncio.Event) -> None:
        while not over.is_set():
            await any_set(over, timeout_s=STAY_EVERY_S)
            with translated_errors():
                await self._connection.execute(query("still_adopting"))

    @asynccontextmanager
    async def locked(self, partition: int) -> AsyncIterator[LedgerPartition]:
        """One partition, while its cursor and its epoch stay as they are. Committed when it is left."""
        with translated_errors():
            async with self._connection.transaction():
                row = await self._connection.fetchrow(query("lock_partition"), partition)
                assert row is not None
                yield _partition(row, (await self._epochs([partition]))[partition])

    async def other_voucher(
        self, partition: int, incarnation: str, *, server_id: str, within_s: float
    ) -> str | None:
        """Another server that reached this store a moment ago."""
        with translated_errors():
            found = await self._connection.fetchval(
                query("other_vouchers"), partition, incarnation, server_id, within_s
            )
        return None if found is None else str(found)

    async def start_epoch(self, partition: int, plan: TakeOver) -> None:
        """The partition is in the plan's epoch; nobody may serve it before ``open``."""
        witness, follows = plan.witness, plan.follows
        with translated_errors():
            await self._connection.execute(
                query("start_epoch"),
                partition,
                witness.epoch,
                follows.epoch,
                follows.sequence,
                witness.generation,
                witness.incarnation,
                plan.reason,
            )
            await self._connection.execute(query("open_epoch"), partition, witness.epoch)

    async def open(self, partition: int, epoch: int) -> None:
        """The store has the epoch's witness."""
        with translated_errors():
            await self._connection.execute(query("epoch_is_open"), partition, epoch)

    async def redrive(self, partition: int) -> None:
        """Nothing stops the partition's drain any more."""
        with translated_errors():
            await self._connection.execute(query("redrive_partition"), partition)

    async def raise_incidents(self, incidents: Sequence[Incident]) -> None:
        """All of them or none; those that were raised before stay as they are."""
        rows = [
            (
                incident.key,
                incident.kind,
                incident.partition,
                *(incident.transaction or (None, None, None)),
                incident.entry_id,
                incident.description,
                *(incident.told or (None, None)),
            )
            for incident in incidents
        ]
        with translated_errors():
            await self._connection.executemany(query("raise_incident"), rows)

    async def try_to_keep_house(self) -> bool:
        """Whether this connection may forget and repair: one in all programs may, as long as it lives."""
        with translated_errors():
            return bool(await self._connection.fetchval(query("try_to_keep_house")))

    async def still_keep_house(self) -> None:
        """Raises LedgerUnavailable where the connection is gone: others may keep house then."""
        with translated_errors():
            await self._connection.execute(query("still_keep_house"))

    async def vouch(self, server_id: str, reached: dict[int, str]) -> None:
        """The server reaches these partitions' incarnations, and no others."""
        with translated_errors():
            partitions = list(reached)
            await self._connection.execute(query("vouch"), server_id, partitions, list(reached.values()))
            await self._connection.execute(query("vouch_no_more"), server_id, partitions)

    async def forget_old_vouchers(self) -> None:
        with translated_errors():
            await self._connection.execute(query("forget_old_vouchers"))

    async def known(
        self, transactions: Sequence[TransactionName]
    ) -> dict[TransactionName, tuple[Told, OutboxPosition]]:
        """Which of these ids are in the ledger, as what and where."""
        columns = list(zip(*transactions, strict=True)) or [(), (), ()]
        with translated_errors():
            rows = await self._connection.fetch(query("known_transactions"), *map(list, columns))
        return {
            (row["player_id"], row["source_id"], row["transaction_id"]): (
                Told(EntryType(row["entry_type"]), row["fingerprint"]),
                OutboxPosition(row["epoch"], row["sequence"]),
            )
            for row in rows
        }

    async def _epochs(self, partitions: Sequence[int] | None) -> dict[int, list[LedgerEpoch]]:
        epochs: dict[int, list[LedgerEpoch]] = defaultdict(list)
        for row in await self._connection.fetch(query("epochs_of_partitions"), partitions):
            follows = OutboxPosition(row["follows_epoch"], row["follows_sequence"])
            epochs[row["partition"]].append(
                LedgerEpoch(row["epoch"], follows, row["generation"], row["incarnation"])
            )
        return epochs


def _partition(row: Row, epochs: Sequence[LedgerEpoch]) -> LedgerPartition:
    return LedgerPartition(
        row["partition"],
        row["epoch"],
        row["state"],
        OutboxPosition(row["cursor_epoch"], row["cursor_sequence"]),
        epochs,
    )
