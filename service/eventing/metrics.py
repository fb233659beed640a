"""What Prometheus is told about subscriptions."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge


class EventMetrics:
    """Of one server."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._told = Counter("stakehold_events_told", "Events that subscribers took.", registry=registry)
        self._fell_behind = Counter(
            "stakehold_subscribers_fell_behind",
            "Times that a subscriber was too slow to be told live.",
            registry=registry,
        )
        self._stalled = Counter(
            "stakehold_subscribers_stalled",
            "Subscribers that were ended because they took no message for too long.",
            registry=registry,
        )

    def watch_subscribers(self, count: Callable[[], float]) -> None:
        """Reports how many subscribe whenever it is asked for."""
        Gauge("stakehold_subscribers", "Who subscribes now.", registry=self._registry).set_function(count)

    def count_told(self) -> None:
        self._told.inc()

    def count_fell_behind(self) -> None:
        self._fell_behind.inc()

    def count_stalled(self) -> None:
        self._stalled.inc()
