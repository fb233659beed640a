"""Sees to it, before anything is served or drained, that ledger and store are one deployment's.

A partition is opened once, in three steps: the ledger says that it is opening, the store gets its epoch, the
ledger says that it is open. From then on a store without that epoch has lost its data, or is another
deployment's; it is never set up again in silence.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from persistence.errors import SetupRefused
from persistence.postgres.database import LedgerRole, ledger_connection
from persistence.postgres.migrating import require_migrated
from persistence.postgres.partitions import LedgerPartition, PartitionStates, locked_partition_states
from persistence.valkey.outbox_reader import OutboxReader, OutboxSurvey, outbox_reader

_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class OpenedPartitions:
    """``epochs`` of the partitions that can be served, and for each of the others why it is fenced."""

    epochs: Mapping[int, int]
    fenced: Mapping[int, str]

    def require_all(self) -> None:
        """Raises SetupRefused where a partition is fenced."""
        if self.fenced:
            count = len(self.fenced) + len(self.epochs)
            raise SetupRefused(
                f"{len(self.fenced)} of {count} partitions are fenced. See to it that STAKEHOLD_VALKEY_URL "
                "and STAKEHOLD_POSTGRES_URL belong together, and that the store has its data: "
                f"{'; '.join(sorted(set(self.fenced.values())))}"
            )


async def open_partitions(
    *, postgres_url: str, valkey_url: str, timeout_s: float = _TIMEOUT_S
) -> OpenedPartitions:
    """Opens what is new and checks what is open. Any number of programs may do so at once.

    Raises LedgerUnavailable, StoreUnavailable, and SetupRefused where the database is not migrated.
    """
    async with (
        ledger_connection(
            postgres_url,
            role=LedgerRole.WRITER,
            statement_timeout_s=timeout_s,
            application="stakehold",
        ) as connection,
        outbox_reader(valkey_url, timeout_s=timeout_s) as store,
    ):
        await require_migrated(connection)
        async with locked_partition_states(connection) as states:
            return await _open(states, store)


async def _open(states: PartitionStates, store: OutboxReader) -> OpenedPartitions:
    epochs: dict[int, int] = {}
    fenced: dict[int, str] = {}
    partitions = await states.read()
    surveys = await store.survey(partition.partition for partition in partitions)
    for partition in partitions:
        problem = _problem(partition, surveys[partition.partition])
        if problem:
            fenced[partition.partition] = problem
            continue
        if partition.state != "open":
            await states.set_state(partition.partition, "opening")
            await store.plant_epoch(partition.partition, partition.epoch)
            await states.set_state(partition.partition, "open")
        epochs[partition.partition] = partition.epoch
    return OpenedPartitions(epochs, fenced)


def _problem(partition: LedgerPartition, found: OutboxSurvey) -> str | None:
    """Why the store's partition is not the one that the ledger knows, if it is not."""
    if partition.state == "new":
        if found.epoch is not None or found.last is not None:
            return "the ledger is new, but the store has data already, of another ledger"
        return None
    if partition.state == "opening" and found.epoch is None:
        return None
    return found.problem(partition.epoch, partition.cursor)
