"""Partitions' rows as the drainer reads them."""

from persistence.drain_batch import PartitionState
from persistence.epochs import EpochHistory, EpochStart
from persistence.lease_plan import LeasedPartition
from persistence.postgres.database import Row
from persistence.transactions import OutboxPosition


def decode_leased_partition(row: Row) -> LeasedPartition:
    """A row of the query ``partition_states``."""
    return LeasedPartition(
        _decode_state(row), row["state"], row["stopped_reason"], row["leased_by"], row["is_free"]
    )


def _decode_state(row: Row) -> PartitionState:
    return PartitionState(
        row["partition"],
        EpochHistory(row["epoch"], {start.epoch: start for start in _starts(row)}),
        OutboxPosition(row["cursor_epoch"], row["cursor_sequence"]),
        row["entry_count"],
        row["chain_hash"],
        row["lease"],
    )


def is_as_expected(row: Row, state: PartitionState, drainer_id: str) -> bool:
    """Whether a row of the query ``lock_partitions`` is still the one that the state was made from, and under
    the same lease.

    Of the epochs only the newest is compared: none is ever changed, and whoever adds one raises it.
    """
    return (
        row["epoch"],
        row["cursor_epoch"],
        row["cursor_sequence"],
        row["entry_count"],
        row["chain_hash"],
        row["lease"],
        row["leased_by"],
    ) == (
        state.epoch,
        state.cursor.epoch,
        state.cursor.sequence,
        state.entry_count,
        state.chain_hash,
        state.lease,
        drainer_id,
    )


def _starts(row: Row) -> list[EpochStart]:
    columns = row["epochs"], row["follow_epochs"], row["follow_sequences"]
    return [
        EpochStart(epoch, OutboxPosition(follows_epoch, follows_sequence))
        for epoch, follows_epoch, follows_sequence in zip(*columns, strict=True)
    ]
