"""How far behind a drainer is, and how fast it comes nearer."""

from collections.abc import Callable, Collection, Mapping

import structlog

from persistence.drain_batch import PartitionBatch
from persistence.drain_metrics import DrainMetrics

_log = structlog.get_logger(__name__)

BACKLOG_RECORDS = 10_000
"""From how many waiting records on it is told how long they will take."""

TELL_EVERY_MS = 10_000


class DrainProgress:
    """One for a drainer. What it knows of a partition stays while the ledger is away: then it counts most."""

    def __init__(self, metrics: DrainMetrics, now_ms: Callable[[], int]) -> None:
        self._metrics = metrics
        self._now_ms = now_ms
        self._oldest_booked_ms: dict[int, int] = {}
        self._record_count = 0
        self._told_ms: int | None = None
        self._told_record_count = 0
        metrics.lag_ms.set_function(self.lag_ms)

    def lag_ms(self) -> int:
        """The age of the oldest record that was read and is not in the ledger; 0 where there is none."""
        oldest_ms = min(self._oldest_booked_ms.values(), default=None)
        return 0 if oldest_ms is None else max(0, self._now_ms() - oldest_ms)

    def read(self, batches: Collection[PartitionBatch]) -> None:
        """These were read and are not written yet."""
        for batch in batches:
            if batch.oldest_booked_ms is not None:
                self._oldest_booked_ms[batch.before.partition] = batch.oldest_booked_ms

    def wrote(self, batches: Collection[PartitionBatch], *, full_at: int) -> None:
        """These are in the ledger. Of one with as many records as ``full_at`` there may be more to come."""
        now_ms = self._now_ms()
        for batch in batches:
            if batch.oldest_booked_ms is not None:
                self._metrics.lag.observe(max(0, now_ms - batch.oldest_booked_ms) / 1000)
            if batch.lines and len(batch.records) >= full_at:
                self._oldest_booked_ms[batch.before.partition] = batch.lines[-1].chained.booked_ms
            else:
                self._oldest_booked_ms.pop(batch.before.partition, None)
        record_count = sum(len(batch.records) for batch in batches)
        entry_count = sum(len(batch.lines) for batch in batches)
        self._record_count += record_count
        self._metrics.records.inc(record_count)
        self._metrics.entries.inc(entry_count)
        self._metrics.batch_entries.observe(entry_count)

    def found_nothing(self, partitions: Collection[int]) -> None:
        """Nothing waits in these."""
        for partition in partitions:
            self._oldest_booked_ms.pop(partition, None)

    def waits(self, lengths: Mapping[int, int]) -> None:
        """How many records wait in each partition that this drainer, or nobody, has."""
        for partition in self._oldest_booked_ms.keys() - lengths.keys():
            del self._oldest_booked_ms[partition]
        self._metrics.outbox_records.clear()
        for partition, length in lengths.items():
            self._metrics.outbox_records.labels(partition).set(length)
        self._tell(sum(lengths.values()))

    def _tell(self, backlog: int) -> None:
        now_ms = self._now_ms()
        if backlog <= BACKLOG_RECORDS:
            self._told_ms = None
            return
        if self._told_ms is None:
            self._told_ms, self._told_record_count = now_ms, self._record_count
            return
        elapsed_ms = now_ms - self._told_ms
        if elapsed_ms < TELL_EVERY_MS:
            return
        per_s = (self._record_count - self._told_record_count) * 1000 // elapsed_ms
        _log.info(
            "drain_backlog",
            records=backlog,
            records_per_s=per_s,
            seconds_left=backlog // per_s if per_s else None,
        )
        self._told_ms, self._told_record_count = now_ms, self._record_count
