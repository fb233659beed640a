"""What Prometheus is told about a publisher."""

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge


class PublishMetrics:
    """Of one publisher; ``sink`` is the label that tells it from others. Lags are those of its partitions."""

    def __init__(
        self, registry: CollectorRegistry, *, sink: str, now_s: Callable[[], float] = time.time
    ) -> None:
        self._now_s = now_s
        self._oldest_s: float | None = None
        self.is_ready = False
        self._published = Counter(
            "stakehold_published_events", "Events that the sink confirmed.", ("sink",), registry=registry
        ).labels(sink)
        self._failures = Counter(
            "stakehold_publish_failures",
            "Times that the sink did not confirm, or could not be reached.",
            ("sink",),
            registry=registry,
        ).labels(sink)
        self._lag_events = Gauge(
            "stakehold_publish_lag_events",
            "Entries of the ledger that the sink has not confirmed.",
            ("sink",),
            registry=registry,
        ).labels(sink)
        Gauge(
            "stakehold_publish_lag_seconds",
            "Age of the oldest entry of the ledger that the sink has not confirmed.",
            ("sink",),
            registry=registry,
        ).labels(sink).set_function(self._lag_s)
        self._partitions = Gauge(
            "stakehold_publish_partitions",
            "Partitions that are this publisher's.",
            ("sink",),
            registry=registry,
        ).labels(sink)
        Gauge(
            "stakehold_publish_ready",
            "1 while ledger and sink could be reached when they were asked last.",
            ("sink",),
            registry=registry,
        ).labels(sink).set_function(lambda: self.is_ready)

    def set_held(self, count: int) -> None:
        self._partitions.set(count)

    def set_lag(self, events: int) -> None:
        """How many wait; of none there is no oldest."""
        self._lag_events.set(events)
        if not events:
            self._oldest_s = None

    def set_oldest(self, recorded_s: float) -> None:
        """When the oldest that waits was recorded, in Unix seconds."""
        self._oldest_s = recorded_s

    def count_published(self, count: int) -> None:
        self._published.inc(count)

    def count_failure(self) -> None:
        self._failures.inc()
        self.is_ready = False

    def _lag_s(self) -> float:
        return 0.0 if self._oldest_s is None else max(0.0, self._now_s() - self._oldest_s)
