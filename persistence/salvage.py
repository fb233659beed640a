"""Keeps outbox records that are no part of their partition's history any more: they were answered.

Two ways to get there: a store that was primary before and went on answering while another one was taken
over; and an outbox that the ledger cannot follow, because the store's wallets are not what the ledger's
entries make them.
"""

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from persistence.adoption import Adoption
from persistence.drain_batch import RawRecord
from persistence.errors import OutboxRecordMalformed, SetupRefused
from persistence.outbox import decode_record
from persistence.postgres.adopting import AdoptingLedger, TransactionName
from persistence.postgres.database import Connection, LedgerRole, ledger_connection
from persistence.postgres.ledger_writer import redrive
from persistence.postgres.repairs import RepairList
from persistence.transactions import OutboxPosition
from persistence.valkey.outbox_reader import outbox_reader

_TIMEOUT_S = 10.0
_AT_ONCE = 1000
_BEFORE_ALL = OutboxPosition(1, -1)


@dataclass(frozen=True, slots=True)
class Salvaged:
    """How many records of a partition are kept."""

    partition: int
    records: int


class Salvage:
    """Reads the outboxes of one store. Raises LedgerUnavailable and StoreUnavailable."""

    def __init__(self, postgres_url: str, valkey_url: str, adopting: Adoption) -> None:
        self._postgres_url = postgres_url
        self._valkey_url = valkey_url
        self._adopting = adopting

    async def save_all(self, *, dry_run: bool) -> list[Salvaged]:
        """Whatever the store has and the ledger has not, of all partitions."""
        async with (
            self._ledger() as connection,
            outbox_reader(self._valkey_url, timeout_s=_TIMEOUT_S) as store,
        ):
            ledger = AdoptingLedger(connection)
            salvaged = []
            for partition in await ledger.partitions():
                number = partition.partition
                reason = "another store was taken over before it was drained"
                missing = await _missing(ledger, await store.read_all(number, _BEFORE_ALL))
                if missing:
                    incarnation = (await store.survey([number]))[number].incarnation
                    if not dry_run:
                        await RepairList(connection).salvage(
                            number, missing, incarnation=incarnation, reason=reason
                        )
                    salvaged.append(Salvaged(number, len(missing)))
            return salvaged

    async def cut_off(self, partition: int, *, dry_run: bool) -> Salvaged:
        """Keeps what waits in a partition's outbox, and lets its history go on after the cursor.

        Raises SetupRefused where this is not the store that goes on: what waits there would be lost.
        """
        async with (
            self._ledger() as connection,
            outbox_reader(self._valkey_url, timeout_s=_TIMEOUT_S) as store,
        ):
            incarnation = (await store.survey([partition]))[partition].incarnation
            await self._require_going_on(partition, incarnation)
            [found] = await AdoptingLedger(connection).partitions([partition])
            reason = "the ledger could not follow the store"

            async def keep(before_epoch: int | None = None) -> int:
                count = 0
                async for records in store.slices(partition, found.cursor, before_epoch=before_epoch):
                    count += len(records)
                    if not dry_run:
                        await RepairList(connection).salvage(
                            partition, records, incarnation=incarnation, reason=reason
                        )
                return count

            # First without anybody being fenced, as it may be much; then what was answered meanwhile.
            count = await self._adopting.meanwhile(keep())
            if dry_run:
                return Salvaged(partition, count)
            plan = await self._adopting.abandon(partition, reason)
            count = await self._adopting.meanwhile(keep(plan.witness.epoch))
            await store.trim({partition: OutboxPosition(plan.witness.epoch, -1)})
            await RepairList(connection).leave_quarantine(partition)
            await redrive(connection, partition)
            return Salvaged(partition, count)

    async def _require_going_on(self, partition: int, incarnation: str) -> None:
        adopted = await self._adopting.adopt_all(dry_run=True)
        plan = adopted.left_alone.get(partition)
        witness = plan.witness if plan else adopted.witnesses.get(partition)
        if witness is None:
            raise SetupRefused(f"partition {partition} is fenced: {adopted.fenced.get(partition)}")
        if witness.incarnation != incarnation:
            raise SetupRefused(
                f"partition {partition} goes on in another store than the one that is to be cut off"
            )

    def _ledger(self) -> AbstractAsyncContextManager[Connection]:
        return ledger_connection(
            self._postgres_url,
            role=LedgerRole.WRITER,
            statement_timeout_s=_TIMEOUT_S,
            application="stakehold recover",
        )


async def _missing(ledger: AdoptingLedger, records: Sequence[RawRecord]) -> list[RawRecord]:
    """Those of which the ledger lacks an id. What cannot be read is kept too, for a person to look at."""
    missing = []
    for start in range(0, len(records), _AT_ONCE):
        some = records[start : start + _AT_ONCE]
        names = {record.stream_id: _names(record) for record in some}
        known = await ledger.known([name for of_record in names.values() for name in of_record or ()])
        missing += [record for record in some if not _is_known(names[record.stream_id], known)]
    return missing


def _is_known(names: list[TransactionName] | None, known: Collection[TransactionName]) -> bool:
    return names is not None and all(name in known for name in names)


def _names(record: RawRecord) -> list[TransactionName] | None:
    try:
        decoded = decode_record(record.stream_id, record.fields)
    except OutboxRecordMalformed:
        return None
    return [(decoded.player, entry.source, entry.transaction_id) for entry in decoded.entries]
