"""What Prometheus is told about subscriptions."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_DELAY_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0, 600.0)


class EventMetrics:
    """Of one server."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._told = Counter("stakehold_events_told", "Events that subscribers took.", registry=registry)
        self._delay = Histogram(
            "stakehold_event_delay_seconds",
            "From when an entry was booked until a subscriber that is not behind took it.",
            buckets=_DELAY_S,
            registry=registry,
        )
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

    def observe_delay(self, seconds: float) -> None:
        """Of an event that was told live; the clocks are those of two machines."""
        self._delay.observe(max(0.0, seconds))

    def count_fell_behind(self) -> None:
        self._fell_behind.inc()

    def count_stalled(self) -> None:
        self._stalled.inc()
