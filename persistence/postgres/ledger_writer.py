"""Writes batches of outbox records into the ledger, each exactly once."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from io import BytesIO

from persistence.drain_batch import BrokenRecord, PartitionBatch, PartitionState
from persistence.errors import (
    CursorMoved,
    DriftDetected,
    EntryRefused,
    LedgerBroken,
    TransactionIdTaken,
    VersionGap,
)
from persistence.late_duplicates import FirstBooking
from persistence.postgres.account_ids import AccountIds, PlacedAccount
from persistence.postgres.copy_rows import ENTRY_COLUMNS, POSTING_COLUMNS, entry_line, posting_lines
from persistence.postgres.database import Connection, RecordRefused, translated_errors
from persistence.postgres.late_duplicates import find_late_duplicates, record_late_duplicates
from persistence.postgres.partition_rows import is_as_expected
from persistence.postgres.queries import query
from persistence.postgres.slips import record_slips
from persistence.transactions import EntryId, OutboxPosition

BetweenSteps = Callable[[str], Awaitable[None]]
"""Called with the name of the step that was just done. Tests stop the drainer there."""


WRITER_SETTINGS = {
    # Everything is looked up by index: plans live as long as the connection, and are made on empty tables.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    # The connection of a machine that vanished is given up within half a minute.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    # One that freezes in the middle of a transaction holds its partitions' rows no longer than this: a store
    # that has to be taken over meanwhile waits for them.
    "idle_in_transaction_session_timeout": "2s",
}


async def go_on(step: str) -> None:
    """Between steps nothing happens."""


class LedgerWriter:
    """One worker's hand in the ledger: a connection that belongs to it alone.

    It writes only under the leases that the batches' states name, and a batch renews them. Every method
    raises LedgerUnavailable where Postgres fails: the connection is then of no more use, and what became of
    the last batch is for the cursor to say.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        drainer_id: str,
        lease_s: float,
        between_steps: BetweenSteps = go_on,
    ) -> None:
        self._connection = connection
        self._drainer_id = drainer_id
        self._lease_s = lease_s
        self._between_steps = between_steps
        self._account_ids = AccountIds()

    async def write(self, batches: Sequence[PartitionBatch]) -> None:
        """Writes all batches in one transaction, or nothing.

        Raises CursorMoved where a partition is not in the state that its batch starts from,
        TransactionIdTaken where there are late duplicates that the batches do not know of, and another
        LedgerBroken where the ledger's rules refuse one of the records; which one, the caller finds out.
        """
        try:
            with translated_errors():
                async with self._connection.transaction():
                    await self._write(batches)
            self._account_ids.keep()
        except RecordRefused as error:
            raise _broken(error) from error
        finally:
            self._account_ids.forget()
        await self._between_steps("committed")

    async def find_late_duplicates(self, batches: Sequence[PartitionBatch]) -> dict[EntryId, FirstBooking]:
        """The entries whose transaction ids were booked before, and where."""
        with translated_errors():
            return await find_late_duplicates(
                self._connection, [line.chained for batch in batches for line in batch.lines]
            )

    async def quarantine(self, state: PartitionState, broken: BrokenRecord) -> None:
        """Keeps a record that cannot be applied and stops its partition, which must be in this state.

        Raises CursorMoved where it is not: then the record may be somebody else's, and fine.
        """
        position = OutboxPosition.parse(broken.record.stream_id)
        reason, problem = type(broken.error).__name__, str(broken.error)
        with translated_errors():
            async with self._connection.transaction():
                await self._require_states([state])
                await self._connection.execute(
                    query("quarantine_record"),
                    state.partition,
                    position.epoch,
                    position.sequence,
                    list(broken.record.fields),
                    reason,
                    problem,
                )
                await self._connection.execute(
                    query("stop_partition"), state.partition, f"{reason}: {problem}"
                )

    async def _write(self, batches: Sequence[PartitionBatch]) -> None:
        await self._require_states([batch.before for batch in batches])
        await self._between_steps("cursors_locked")
        account_ids = await self._account_ids.resolve(
            self._connection,
            (
                (batch.before.partition, leg.account)
                for batch in batches
                for line in batch.lines
                for leg in line.legs
            ),
        )
        await self._between_steps("accounts_resolved")
        await self._copy_entries(batches)
        await self._between_steps("entries_copied")
        await self._copy_postings(batches, account_ids)
        await self._between_steps("postings_copied")
        await record_late_duplicates(
            self._connection, (duplicate for batch in batches for duplicate in batch.late_duplicates)
        )
        await record_slips(self._connection, (line.chained for batch in batches for line in batch.lines))
        await self._require_no_drift(batches)
        await self._between_steps("balances_compared")
        await self._move_cursors(batches)
        await self._between_steps("cursors_moved")

    async def _require_states(self, expected: Sequence[PartitionState]) -> None:
        """Locks the partitions' rows until the end of the transaction."""
        partitions = [state.partition for state in expected]
        rows = await self._connection.fetch(query("lock_partitions"), partitions)
        found = {row["partition"]: row for row in rows}
        for state in expected:
            row = found[state.partition]
            if not is_as_expected(row, state, self._drainer_id):
                raise CursorMoved(
                    f"partition {state.partition} was at {state.cursor} in epoch {state.epoch} under lease "
                    f"{state.lease} and is at {row['cursor_epoch']}-{row['cursor_sequence']} in epoch "
                    f"{row['epoch']} under lease {row['lease']} of {row['leased_by'] or 'nobody'} now"
                )

    async def _copy_entries(self, batches: Sequence[PartitionBatch]) -> None:
        lines = [
            entry_line(line.chained, previous_hash=line.previous_hash, hash_=line.hash)
            for batch in batches
            for line in batch.lines
        ]
        await self._copy("entries", ENTRY_COLUMNS, lines)

    async def _copy_postings(
        self, batches: Sequence[PartitionBatch], account_ids: Mapping[PlacedAccount, int]
    ) -> None:
        lines: list[str] = []
        for batch in batches:
            partition = batch.before.partition
            for line in batch.lines:
                ids = [account_ids[partition, leg.account] for leg in line.legs]
                lines += posting_lines(line.chained.entry_id, line.legs, ids)
        await self._copy("postings", POSTING_COLUMNS, lines)

    async def _copy(self, table: str, columns: Sequence[str], lines: Sequence[str]) -> None:
        if lines:
            await self._connection.copy_to_table(
                table,
                schema_name="ledger",
                columns=columns,
                source=BytesIO("\n".join(lines).encode()),
                format="text",
            )

    async def _require_no_drift(self, batches: Sequence[PartitionBatch]) -> None:
        wallets = [(wallet, buckets) for batch in batches for wallet, buckets in batch.wallets.items()]
        if not wallets:
            return
        drifted = await self._connection.fetchrow(
            query("drifted_wallet"),
            [wallet[0] for wallet, _ in wallets],
            [wallet[1] for wallet, _ in wallets],
            [str(buckets.cash) for _, buckets in wallets],
            [str(buckets.bonus) for _, buckets in wallets],
            [str(buckets.held) for _, buckets in wallets],
            [str(buckets.receivable) for _, buckets in wallets],
        )
        if drifted is not None:
            raise DriftDetected(
                "the {currency} wallet of player {player_id} says cash {expected_cash}, "
                "bonus {expected_bonus}, held {expected_held}, receivable {expected_receivable}, but its "
                "postings sum to cash {cash}, bonus {bonus}, held {held}, receivable {receivable}".format(
                    **drifted
                )
            )

    async def _move_cursors(self, batches: Sequence[PartitionBatch]) -> None:
        states = [batch.after for batch in batches]
        await self._connection.execute(
            query("move_cursors"),
            [state.partition for state in states],
            [state.cursor.epoch for state in states],
            [state.cursor.sequence for state in states],
            [state.entry_count for state in states],
            [state.chain_hash for state in states],
            self._lease_s,
        )


def _broken(error: RecordRefused) -> LedgerBroken:
    if error.constraint == "versions_of_a_wallet_are_contiguous":
        return VersionGap(str(error))
    if error.constraint == "a_transaction_id_takes_effect_once":
        return TransactionIdTaken(str(error))
    return EntryRefused(str(error))


async def redrive(connection: Connection, partition: int) -> bool:
    """Lets a stopped partition try its record again. Whether it was stopped."""
    with translated_errors():
        done = await connection.execute(query("redrive_partition"), partition)
    return done == "UPDATE 1"
