"""Sees to it, before anything is served or drained, that ledger and store are one deployment's.

A partition is opened once, in three steps: the ledger says that it is opening, the store gets its witness,
the ledger says that it is open. From then on a store without that witness has lost its data, or is another
deployment's; it is never set up again in silence.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from persistence.errors import SetupRefused
from persistence.postgres.database import LedgerRole, ledger_connection
from persistence.postgres.ledger_settings import read_settings
from persistence.postgres.migrating import require_migrated
from persistence.postgres.partitions import LedgerPartition, PartitionStates, locked_partition_states
from persistence.valkey.outbox_reader import OutboxReader, OutboxSurvey, outbox_reader
from persistence.witness import Witness

_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class OpenedPartitions:
    """``witnesses`` of the partitions that can be served, and for each of the others why it is fenced."""

    witnesses: Mapping[int, str]
    fenced: Mapping[int, str]

    def require_all(self) -> None:
        """Raises SetupRefused where a partition is fenced."""
        if self.fenced:
            count = len(self.fenced) + len(self.witnesses)
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
        ledger_id = (await read_settings(connection)).ledger_id
        async with locked_partition_states(connection) as states:
            return await _open(states, store, ledger_id)


async def _open(states: PartitionStates, store: OutboxReader, ledger_id: UUID) -> OpenedPartitions:
    witnesses: dict[int, str] = {}
    fenced: dict[int, str] = {}
    partitions = await states.read()
    surveys = await store.survey(partition.partition for partition in partitions)
    for partition in partitions:
        witness = Witness(partition.epoch, ledger_id)
        problem = _problem(partition, witness, surveys[partition.partition])
        if problem:
            fenced[partition.partition] = problem
            continue
        if partition.state != "open":
            await states.set_state(partition.partition, "opening")
            await store.plant_witness(partition.partition, witness)
            await states.set_state(partition.partition, "open")
        witnesses[partition.partition] = str(witness)
    return OpenedPartitions(witnesses, fenced)


def _problem(partition: LedgerPartition, witness: Witness, found: OutboxSurvey) -> str | None:
    """Why the store's partition is not the one that the ledger knows, if it is not."""
    if partition.state == "new":
        if found.witness is not None or found.last is not None:
            return "the ledger is new, but the store has data already, of another ledger"
        return None
    if partition.state == "opening" and found.witness is None:
        return None
    return found.problem(witness, partition.cursor)
