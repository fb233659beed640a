"""What the drainer tells about itself."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_LAG_BUCKETS_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 3600)
_BATCH_BUCKETS = (1, 3, 10, 30, 100, 300, 1000, 3000, 10000)


class DrainMetrics:
    """Prometheus metrics of one drainer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.entries = Counter(
            "stakehold_drained_entries", "Entries written to the ledger.", registry=registry
        )
        self.records = Counter(
            "stakehold_drained_records", "Outbox records written to the ledger.", registry=registry
        )
        self.lag_ms = Gauge(
            "stakehold_drain_lag_ms",
            "Age of the oldest record that was read and is not in the ledger, in milliseconds.",
            registry=registry,
        )
        self.lag = Histogram(
            "stakehold_drain_lag_seconds",
            "From booked to recorded, of the oldest record of each batch.",
            buckets=_LAG_BUCKETS_S,
            registry=registry,
        )
        self.batch_entries = Histogram(
            "stakehold_drain_batch_entries",
            "Entries in one SQL transaction.",
            buckets=_BATCH_BUCKETS,
            registry=registry,
        )
        self.outbox_records = Gauge(
            "stakehold_outbox_records", "Records waiting to be drained.", ["partition"], registry=registry
        )
        self.owned = Gauge(
            "stakehold_drain_owned",
            "1 while this drainer drains the partition.",
            ["partition"],
            registry=registry,
        )
        self.quarantined = Counter(
            "stakehold_quarantined_records",
            "Records that could not be applied, by the reason.",
            ["reason"],
            registry=registry,
        )
        self.late_duplicates = Counter(
            "stakehold_late_duplicates",
            "Entries whose transaction id was in the ledger already, recorded under another and owed back.",
            registry=registry,
        )
        self.stopped = Gauge(
            "stakehold_drain_stopped",
            "1 while nothing of the partition is drained until it is redriven.",
            ["partition"],
            registry=registry,
        )
        self.waiting = Gauge(
            "stakehold_drain_waiting",
            "1 while the store of the partition is not the one that the ledger took over last.",
            ["partition"],
            registry=registry,
        )
        self.retries = Counter(
            "stakehold_drain_retries",
            "Times that a drainer started over because Postgres or the store failed.",
            registry=registry,
        )
