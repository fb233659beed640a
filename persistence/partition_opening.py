"""Opens partitions for the first time, and finds those whose store is not the one that the ledger knows.

A new partition is opened in three steps, each redone after a crash: the ledger says "opening", the store gets
the first epoch, the ledger says "open". From then on a store without the ledger's epoch has lost its data or
belongs to another deployment. It is never given an epoch again by starting: the partition is fenced.
"""

from collections.abc import Mapping

import structlog

from persistence.postgres.database import Connection, translated_errors
from persistence.postgres.queries import query
from persistence.valkey.epochs import StoredEpochs, stored_epochs

_log = structlog.get_logger(__name__)

FIRST_EPOCH = 1


async def open_partitions(
    connection: Connection, valkey_url: str, *, timeout_s: float = 5.0
) -> Mapping[int, int]:
    """The epoch of each partition that may be served, opening new ones. Fenced partitions are left out.

    ``connection`` needs the writer's role. Raises LedgerUnavailable and StoreUnavailable.
    """
    async with stored_epochs(valkey_url, timeout_s=timeout_s) as store:
        with translated_errors():
            await connection.execute(query("lock_partition_opening"))
            try:
                await _open_new(connection, store)
                rows = await connection.fetch(query("partition_epochs"))
            finally:
                await connection.execute(query("unlock_partition_opening"))
        epochs: dict[int, int] = {row["partition"]: row["epoch"] for row in rows}
        found = await store.read(list(epochs))
    for partition, epoch in list(epochs.items()):
        if found[partition] != epoch:
            _log.error(
                "partition_fenced", partition=partition, ledger_epoch=epoch, store_epoch=found[partition]
            )
            del epochs[partition]
    return epochs


async def _open_new(connection: Connection, store: StoredEpochs) -> None:
    await connection.execute(query("begin_opening_partitions"))
    opening = [row["partition"] for row in await connection.fetch(query("partitions_being_opened"))]
    if opening:
        await store.plant(opening, FIRST_EPOCH)
        await connection.execute(query("finish_opening_partitions"))
        _log.info("partitions_opened", count=len(opening))
