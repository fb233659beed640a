"""One worker of the drainer: some partitions, one connection to Postgres and one to the store."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from uuid import UUID

import structlog

from persistence.drain_batch import BrokenRecord, PartitionBatch, PartitionState, RawRecord, build_batch
from persistence.drain_metrics import DrainMetrics
from persistence.errors import CursorMoved, LedgerBroken, LedgerUnavailable, StoreUnavailable
from persistence.postgres.database import LedgerRole, ledger_connection
from persistence.postgres.ledger_writer import WRITER_SETTINGS, BetweenSteps, LedgerWriter
from persistence.valkey.outbox_reader import OutboxReader, outbox_reader

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DrainSettings:
    """Where to drain from and to, and how.

    ``batch_records`` bounds the records of one partition in one SQL transaction; each worker has one
    transaction at a time, over all of its partitions that have something.
    """

    postgres_url: str
    valkey_url: str
    batch_records: int = 1000
    worker_count: int = 2
    block_ms: int = 500
    claim_interval_s: float = 1.0
    statement_timeout_s: float = 30.0
    store_timeout_s: float = 5.0
    first_retry_delay_s: float = 0.1
    last_retry_delay_s: float = 5.0


class DrainWorker:
    """Drains the partitions that it is given, as far as nobody else does.

    All that it knows about their state it has from Postgres: whatever fails, it connects anew and goes on
    from the cursor. ``stopped`` says, for each partition that is not drained and waits for a person, why;
    ``waiting``, for each that is not because the store is not the one that the ledger took over last.
    """

    def __init__(
        self,
        settings: DrainSettings,
        partitions: Sequence[int],
        *,
        ledger_id: UUID,
        partition_count: int,
        metrics: DrainMetrics,
        now_ms: Callable[[], int],
        between_steps: BetweenSteps,
    ) -> None:
        self._settings = settings
        self._partitions = partitions
        self._ledger_id = ledger_id
        self._partition_count = partition_count
        self._metrics = metrics
        self._now_ms = now_ms
        self._between_steps = between_steps
        self._owned: dict[int, PartitionState] = {}
        self._retry_delay_s = settings.first_retry_delay_s
        self._claim_time = 0.0
        self.stopped: dict[int, str] = {}
        self.waiting: dict[int, str] = {}

    async def run(self, stop: asyncio.Event, *, until_empty: bool) -> None:
        """Drains until told to stop, or until nothing is left of what nobody else drains."""
        while not stop.is_set():
            try:
                await self._run_connected(stop, until_empty=until_empty)
                return
            except (LedgerUnavailable, StoreUnavailable) as error:
                _log.warning("drain_interrupted", partitions=self._partitions, error=str(error))
                self._metrics.retries.inc()
                await _pause(stop, self._retry_delay_s)
                self._retry_delay_s = min(self._retry_delay_s * 2, self._settings.last_retry_delay_s)

    async def _run_connected(self, stop: asyncio.Event, *, until_empty: bool) -> None:
        settings = self._settings
        async with AsyncExitStack() as stack:
            stack.callback(self._disown_all)
            connection = await stack.enter_async_context(
                ledger_connection(
                    settings.postgres_url,
                    role=LedgerRole.WRITER,
                    statement_timeout_s=settings.statement_timeout_s,
                    application="stakehold drain",
                    settings=WRITER_SETTINGS,
                )
            )
            reader = await stack.enter_async_context(
                outbox_reader(settings.valkey_url, timeout_s=settings.store_timeout_s)
            )
            writer = LedgerWriter(connection, self._between_steps)
            self._claim_time = 0.0
            while not stop.is_set():
                now = asyncio.get_running_loop().time()
                if now >= self._claim_time:
                    self._claim_time = now + settings.claim_interval_s
                    await self._claim(writer, reader)
                if await self._drain_once(writer, reader):
                    self._retry_delay_s = settings.first_retry_delay_s
                elif until_empty:
                    return
                elif not self._owned:
                    await _pause(stop, settings.claim_interval_s)

    async def _claim(self, writer: LedgerWriter, reader: OutboxReader) -> None:
        """Becomes the owner of what can be had, and looks after what is owned."""
        wanted = [partition for partition in self._partitions if partition not in self._owned]
        claimed = await writer.acquire(wanted)
        self._owned.update((state.partition, state) for state in claimed)
        stopped = {p: reason for p, reason in (await writer.stopped()).items() if p in self._partitions}
        waiting: dict[int, str] = {}
        for partition, survey in (await reader.survey(self._owned)).items():
            state = self._owned[partition]
            self._metrics.outbox_records.labels(partition).set(survey.length)
            if problem := survey.problem(self._ledger_id, state.epoch, state.cursor):
                await self._give_back(writer, partition)
                waiting[partition] = problem
        self._note_stopped(stopped)
        self._note_waiting(waiting)
        claimed = [state for state in claimed if state.partition in self._owned]
        for state in claimed:
            self._metrics.owned.labels(state.partition).set(1)
            _log.info("partition_acquired", partition=state.partition, cursor=str(state.cursor))
        await reader.trim({state.partition: state.cursor for state in claimed})

    async def _drain_once(self, writer: LedgerWriter, reader: OutboxReader) -> bool:
        """Waits for records and writes them. Whether there were any."""
        if not self._owned:
            return False
        cursors = {partition: state.cursor for partition, state in self._owned.items()}
        received = await reader.read(
            cursors, count=self._settings.batch_records, block_ms=self._settings.block_ms
        )
        if not received:
            return False
        await self._between_steps("records_read")
        try:
            broken = await self._write(writer, received)
            await reader.trim({partition: self._owned[partition].cursor for partition in received})
            await self._between_steps("trimmed")
            for partition, record in broken.items():
                await self._quarantine(writer, partition, record)
        except CursorMoved as error:
            _log.warning("partitions_lost", partitions=list(received), error=str(error))
            for partition in received:
                await self._give_back(writer, partition)
            self._claim_time = 0.0
        return True

    async def _write(
        self, writer: LedgerWriter, received: dict[int, list[RawRecord]]
    ) -> dict[int, BrokenRecord]:
        """Writes what was received, all partitions together; where one is refused, each on its own.

        Returns the records at which partitions cannot go on.
        """
        batches = [self._build(self._owned[partition], records) for partition, records in received.items()]
        await self._between_steps("batches_built")
        good = [batch for batch in batches if batch.records]
        broken = {batch.before.partition: batch.broken for batch in batches if batch.broken}
        try:
            if good:
                await writer.write(good)
                self._advance(good)
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
                await writer.write([batch])
            except CursorMoved:
                raise
            except LedgerBroken as error:
                if len(records) == 1:
                    return BrokenRecord(records[0], error)
                middle = len(records) // 2
                pending += [records[middle:], records[:middle]]
            else:
                self._advance([batch])
        return None

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
        await self._give_back(writer, partition)
        self._note_stopped({**self.stopped, partition: f"{reason}: {broken.error}"})

    def _build(self, state: PartitionState, records: Sequence[RawRecord]) -> PartitionBatch:
        return build_batch(state, records, partition_count=self._partition_count)

    def _advance(self, batches: Sequence[PartitionBatch]) -> None:
        now_ms = self._now_ms()
        for batch in batches:
            self._owned[batch.before.partition] = batch.after
            if batch.oldest_booked_ms is not None:
                self._metrics.lag.observe(max(0, now_ms - batch.oldest_booked_ms) / 1000)
        entry_count = sum(len(batch.lines) for batch in batches)
        self._metrics.entries.inc(entry_count)
        self._metrics.batch_entries.observe(entry_count)

    async def _give_back(self, writer: LedgerWriter, partition: int) -> None:
        if partition in self._owned:
            self._disown(partition)
            await writer.release(partition)

    def _disown(self, partition: int) -> None:
        del self._owned[partition]
        self._metrics.owned.labels(partition).set(0)

    def _disown_all(self) -> None:
        """What was owned was owned by a connection: nothing of it may outlive that."""
        for partition in list(self._owned):
            self._disown(partition)

    def _note_stopped(self, stopped: dict[int, str]) -> None:
        for partition in self._partitions:
            self._metrics.stopped.labels(partition).set(1 if partition in stopped else 0)
        for partition in stopped.keys() - self.stopped.keys():
            _log.error("partition_stopped", partition=partition, reason=stopped[partition])
        self.stopped = stopped

    def _note_waiting(self, waiting: dict[int, str]) -> None:
        for partition in self._partitions:
            self._metrics.waiting.labels(partition).set(1 if partition in waiting else 0)
        for partition in waiting.keys() - self.waiting.keys():
            _log.warning("partition_waits_for_adoption", partition=partition, reason=waiting[partition])
        self.waiting = waiting


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    """Sleeps, but not past being told to stop."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
