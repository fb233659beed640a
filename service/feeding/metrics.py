"""What Prometheus is told about a feed."""

import math
from collections.abc import Callable
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge

from service.feeding.pushing import Reception


class Failure(StrEnum):
    """Why a round came to nothing."""

    UNAVAILABLE = "unavailable"
    MALFORMED = "malformed"
    PUSH = "push"
    BUG = "bug"


class FeedMetrics:
    """Of one feed; ``source`` is the label that tells it from others."""

    def __init__(self, registry: CollectorRegistry, *, source: str, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._oldest_ms: int | None = None
        age = Gauge(
            "stakehold_feed_age_seconds",
            "Since the oldest of the wanted rates was published, as the feed told it last.",
            ("source",),
            registry=registry,
        )
        age.labels(source).set_function(self._age_s)
        failures = Counter(
            "stakehold_feed_failures",
            "Rounds that came to nothing: no answer, nonsense, the service was not told, a bug.",
            ("source", "cause"),
            registry=registry,
        )
        self._failures = {cause: failures.labels(source, cause) for cause in Failure}
        rates = Counter(
            "stakehold_feed_rates",
            "Rates that the service was told, by what became of them.",
            ("source", "reception"),
            registry=registry,
        )
        self._rates = {reception: rates.labels(source, reception) for reception in Reception}
        self._last_success = Gauge(
            "stakehold_feed_last_success_timestamp_seconds",
            "When the service was told the last time, in Unix seconds.",
            ("source",),
            registry=registry,
        ).labels(source)
        self._missing = Gauge(
            "stakehold_feed_missing_pairs",
            "Wanted pairs that the feed does not have.",
            ("source",),
            registry=registry,
        ).labels(source)

    def set_oldest_ms(self, published_ms: int) -> None:
        """The time of the oldest rate that was fetched last."""
        self._oldest_ms = published_ms

    def set_missing(self, count: int) -> None:
        self._missing.set(count)

    def count_failure(self, cause: Failure) -> None:
        """Counts one round."""
        self._failures[cause].inc()

    def count_success(self, counts: dict[Reception, int]) -> None:
        """Counts one round, and its rates."""
        for reception, count in counts.items():
            self._rates[reception].inc(count)
        self._last_success.set(self._now_ms() / 1000)

    def _age_s(self) -> float:
        return math.nan if self._oldest_ms is None else (self._now_ms() - self._oldest_ms) / 1000
