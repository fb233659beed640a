"""What Prometheus is told about the edge."""

from collections.abc import Callable
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Passage(StrEnum):
    """What became of a request."""

    ANSWERED = "answered"
    """By the service, in the provider's words."""
    UNKNOWN = "unknown"
    """Nobody's path, or no provider's."""
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"
    """No answer of the service: the provider sends it again."""


class EdgeMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        requests = Counter(
            "stakehold_edge_requests",
            "Requests of providers, by what became of them.",
            ("outcome",),
            registry=registry,
        )
        self._requests = {passage: requests.labels(passage.value) for passage in Passage}
        self._seconds = Histogram(
            "stakehold_edge_answer_seconds",
            "Time that the service took for an answer.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._under_way = Gauge(
            "stakehold_edge_requests_under_way", "Requests that are read or answered.", registry=registry
        )

    def count(self, passage: Passage) -> None:
        self._requests[passage].inc()

    def observe(self, seconds: float) -> None:
        self._seconds.observe(seconds)

    def watch_under_way(self, count: Callable[[], int]) -> None:
        self._under_way.set_function(count)
