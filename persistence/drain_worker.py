"""One worker of the drainer: some partitions, one connection to Postgres and one to the store."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack

import structlog

from persistence.drain_batch import (
    NO_FIRSTS,
    BrokenRecord,
    PartitionBatch,
    PartitionState,
    RawRecord,
    build_batch,
)
from persistence.drain_metrics import DrainMetrics
from persistence.drain_progress import DrainProgress
from persistence.drain_settings import DrainSettings
from persistence.drain_tracing import UNTRACED, DrainTrace, DrainTracing
from persistence.errors import (
    CursorMoved,
    LedgerBroken,
    LedgerUnavailable,
    StoreUnavailable,
    TransactionIdTaken,
)
from persistence.events import any_set
from persistence.late_duplicates import FirstBooking
from persistence.postgres.database import LedgerRole, ledger_connection
from persistence.postgres.leases import session_name
from persistence.postgres.ledger_writer import WRITER_SETTINGS, BetweenSteps, LedgerWriter
from persistence.transactions import EntryId
from persistence.valkey.outbox_reader import OutboxReader, outbox_reader

_log = structlog.get_logger(__name__)


class DrainWorker:
    """Drains the partitions that it is handed.

    All that it knows about their state was read from Postgres with the lease: whatever fails, it lets go of
    them, and goes on with what it is handed anew. ``on_change`` is called when it holds fewer partitions, or
    could hold some again.
    """

    def __init__(
        self,
        settings: DrainSettings,
        *,
        drainer_id: str,
        partition_count: int,
        metrics: DrainMetrics,
        progress: DrainProgress,
        between_steps: BetweenSteps,
        tracing: DrainTracing,
    ) -> None:
        self._settings = settings
        self._drainer_id = drainer_id
        self._partition_count = partition_count
        self._metrics = metrics
        self._progress = progress
        self._batch_records = settings.batch_records
        self._after_step = between_steps
        self._tracing = tracing
        self._trace: DrainTrace = UNTRACED
        self._owned: dict[int, PartitionState] = {}
        self._handed: dict[int, PartitionState] = {}
        self._asked_back: set[int] = set()
        self._told = asyncio.Event()
        self._finished = False
        self._found_nothing = False
        self._retry_delay_s = settings.first_retry_delay_s
        self.is_connected = False
        self.ended = asyncio.Event()
        self.on_change: Callable[[], None] = lambda: None

    @property
    def leases(self) -> Mapping[int, int]:
        """The partitions that it has, and the numbers of their leases."""
        return {partition: state.lease for partition, state in (self._owned | self._handed).items()}

    @property
    def is_idle(self) -> bool:
        """Whether it found nothing when it looked last, in all that it has."""
        return (
            self.is_connected
            and not self._handed
            and not self._asked_back
            and (self._found_nothing or not self._owned)
        )

    def hand(self, state: PartitionState) -> None:
        """Drain this partition too, from this state on."""
        self._handed[state.partition] = state
        self._told.set()

    def ask_back(self, partitions: Iterable[int]) -> None:
        """Let go of these, after the batch that is under way."""
        if own := self.leases.keys() & set(partitions):
            self._asked_back |= own
            self._told.set()

    def finish(self) -> None:
        """End after the batch that is under way."""
        self._finished = True
        self._told.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Drains until told to stop or to finish."""
        try:
            while not self._is_over(stop):
                try:
                    await self._run_connected(stop)
                except (LedgerUnavailable, StoreUnavailable) as error:
                    # A ledger that is too slow for so much in one statement may not be for less.
                    self._batch_records = max(1, self._batch_records // 2)
                    _log.warning("drain_interrupted", error=str(error))
                    self._metrics.retries.inc()
                    await any_set(stop, timeout_s=self._retry_delay_s)
                    self._retry_delay_s = min(self._retry_delay_s * 2, self._settings.last_retry_delay_s)
        finally:
            self.ended.set()

    def _is_over(self, stop: asyncio.Event) -> bool:
        return self._finished or stop.is_set()

    async def _run_connected(self, stop: asyncio.Event) -> None:
        settings = self._settings
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(
                ledger_connection(
                    settings.postgres_url,
                    role=LedgerRole.WRITER,
                    statement_timeout_s=settings.statement_timeout_s,
                    application=session_name(self._drainer_id),
                    settings=WRITER_SETTINGS,
                )
            )
            reader = await stack.enter_async_context(
                outbox_reader(settings.valkey_url, timeout_s=settings.store_timeout_s)
            )
            writer = LedgerWriter(
                connection,
                drainer_id=self._drainer_id,
                lease_s=settings.lease_s,
                between_steps=self._between_steps,
            )
            stack.callback(self._disconnect)
            self.is_connected = True
            self.on_change()
            while not self._is_over(stop):
                self._told.clear()
                await self._take_up(reader)
                if not self._owned:
                    await any_set(stop, self._told, timeout_s=settings.claim_interval_s)
                elif await self._drain_once(writer, reader):
                    self._retry_delay_s = settings.first_retry_delay_s

    async def _take_up(self, reader: OutboxReader) -> None:
        """Lets go of what is asked back, and begins with what was handed."""
        asked_back, self._asked_back = self._asked_back, set()
        self._let_go(asked_back)
        handed, self._handed = self._handed, {}
        if not handed:
            return
        self._owned |= handed
        self._found_nothing = False
        for state in handed.values():
            self._metrics.owned.labels(state.partition).set(1)
            _log.info(
                "partition_acquired",
                partition=state.partition,
                cursor=str(state.cursor),
                epoch=state.epoch,
                lease=state.lease,
            )
        await reader.trim({state.partition: state.cursor for state in handed.values()})

    async def _drain_once(self, writer: LedgerWriter, reader: OutboxReader) -> bool:
        """Waits for records and writes them. Whether there were any."""
        cursors = {partition: state.cursor for partition, state in self._owned.items()}
        received = await reader.read(cursors, count=self._batch_records, block_ms=self._settings.block_ms)
        self._found_nothing = not received
        self._progress.found_nothing(cursors.keys() - received.keys() - reader.unreached.keys())
        if reader.unreached:
            _log.warning("partitions_unreached", partitions=sorted(reader.unreached))
            self._let_go(reader.unreached)
        if not received:
            return False
        try:
            with self._tracing.turn(received) as self._trace:
                await self._carry(writer, reader, received)
        finally:
            self._trace = UNTRACED
        return True

    async def _carry(
        self, writer: LedgerWriter, reader: OutboxReader, received: dict[int, list[RawRecord]]
    ) -> None:
        """Writes what was received, and cuts it off the outbox."""
        await self._between_steps("records_read")
        try:
            broken = await self._write(writer, received)
            await reader.trim({partition: self._owned[partition].cursor for partition in received})
            await self._between_steps("trimmed")
            for partition, record in broken.items():
                await self._quarantine(writer, partition, record)
        except CursorMoved as error:
            _log.warning("partitions_lost", partitions=list(received), error=str(error))
            self._let_go(received)

    async def _between_steps(self, name: str) -> None:
        self._trace.step(name)
        await self._after_step(name)

    async def _write(
        self, writer: LedgerWriter, received: dict[int, list[RawRecord]]
    ) -> dict[int, BrokenRecord]:
        """Writes what was received, all partitions together; where one is refused, each on its own.

        Returns the records at which partitions cannot go on.
        """
        batches = [self._build(self._owned[partition], records) for partition, records in received.items()]
        self._progress.read(batches)
        await self._between_steps("batches_built")
        good = [batch for batch in batches if batch.records]
        broken = {batch.before.partition: batch.broken for batch in batches if batch.broken}
        try:
            if good:
                self._advance(await self._write_batches(writer, good))
        except CursorMoved:
            raise
        except LedgerBroken:
            for batch in good:
                if found := await self._write_up_to_broken(writer, batch):
                    broken[batch.before.partition] = found
        return broken

    async def _write_up_to_broken(self, writer: LedgerWriter, refused: PartitionBatch) -> BrokenRecord | None:
        """Writes all records before the one that the ledger refuses, by halves, and returns that one."""
        pending = [refused.records]
        while pending:
            records = pending.pop()
            batch = self._build(self._owned[refused.before.partition], records)
            try:
                written = await self._write_batches(writer, [batch])
            except CursorMoved:
                raise
            except LedgerBroken as error:
                if len(records) == 1:
                    return BrokenRecord(records[0], error)
                middle = len(records) // 2
                pending += [records[middle:], records[:middle]]
            else:
                self._advance(written)
        return None

    async def _write_batches(
        self, writer: LedgerWriter, batches: Sequence[PartitionBatch]
    ) -> Sequence[PartitionBatch]:
        """Writes batches as they are, or with late duplicates displaced. Returns what was written."""
        try:
            await writer.write(batches)
        except TransactionIdTaken:
            firsts = await writer.find_late_duplicates(batches)
            if not firsts:
                raise
            batches = [self._build(batch.before, batch.records, firsts) for batch in batches]
            await writer.write(batches)
        return batches

    async def _quarantine(self, writer: LedgerWriter, partition: int, broken: BrokenRecord) -> None:
        await writer.quarantine(self._owned[partition], broken)
        reason = type(broken.error).__name__
        self._metrics.quarantined.labels(reason).inc()
        _log.error(
            "record_quarantined",
            partition=partition,
            record=broken.record.stream_id,
            reason=reason,
            problem=str(broken.error),
        )
        self._let_go([partition])

    def _build(
        self,
        state: PartitionState,
        records: Sequence[RawRecord],
        firsts: Mapping[EntryId, FirstBooking] = NO_FIRSTS,
    ) -> PartitionBatch:
        return build_batch(state, records, partition_count=self._partition_count, firsts=firsts)

    def _advance(self, batches: Sequence[PartitionBatch]) -> None:
        for batch in batches:
            self._owned[batch.before.partition] = batch.after
            self._trace.wrote(batch.before.partition, batch.records)
            for duplicate in batch.late_duplicates:
                self._metrics.late_duplicates.inc()
                _log.error("late_duplicate", entry=str(duplicate.entry_id), problem=duplicate.description)
        self._progress.wrote(batches, full_at=self._batch_records)
        self._batch_records = min(self._batch_records * 2, self._settings.batch_records)

    def _let_go(self, partitions: Iterable[int]) -> None:
        """Has these no more. Whoever hands them out looks at them again."""
        gone = self.leases.keys() & set(partitions)
        for partition in gone:
            self._handed.pop(partition, None)
            if self._owned.pop(partition, None):
                self._metrics.owned.labels(partition).set(0)
        if gone:
            self.on_change()

    def _disconnect(self) -> None:
        """Without connections it has nothing."""
        self.is_connected = False
        self._asked_back.clear()
        self._let_go(list(self.leases))
