"""Partitions' rows as the drainer reads them."""

from persistence.drain_batch import PartitionState
from persistence.epochs import EpochHistory, EpochStart
from persistence.postgres.database import Row
from persistence.transactions import OutboxPosition


def decode_state(row: Row) -> PartitionState:
    """A row of the query ``partition_states``."""
    return PartitionState(
        row["partition"],
        EpochHistory(row["epoch"], {start.epoch: start for start in _starts(row)}),
        OutboxPosition(row["cursor_epoch"], row["cursor_sequence"]),
        row["entry_count"],
        row["chain_hash"],
    )


def is_as_expected(row: Row, state: PartitionState) -> bool:
    """Whether a row of the query ``lock_partitions`` is still the one that the state was made from.

    Of the epochs only the newest is compared: none is ever changed, and whoever adds one raises it.
    """
    return (
        row["epoch"],
        row["cursor_epoch"],
        row["cursor_sequence"],
        row["entry_count"],
        row["chain_hash"],
    ) == (state.epoch, state.cursor.epoch, state.cursor.sequence, state.entry_count, state.chain_hash)


def _starts(row: Row) -> list[EpochStart]:
    columns = ("epochs", "follow_epochs", "follow_sequences", "generations", "incarnations")
    return [
        EpochStart(epoch, OutboxPosition(follows_epoch, follows_sequence), generation, incarnation)
        for epoch, follows_epoch, follows_sequence, generation, incarnation in zip(
            *(row[column] for column in columns), strict=True
        )
    ]
