"""What Prometheus is told about the access log."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge

_REASONS = ("UNAUTHENTICATED", "SOURCE_NOT_PERMITTED", "VERB_NOT_PERMITTED")


class AccessMetrics:
    """Of one server."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._denied = Counter(
            "stakehold_denied_calls",
            "Calls, and commands that came in bulk, that were denied.",
            ("reason",),
            registry=registry,
        )
        for reason in _REASONS:
            self._denied.labels(reason)
        self._unlisted = Counter(
            "stakehold_denied_calls_unlisted",
            "Of these, how many are only counted in the access log, for there were too many.",
            registry=registry,
        )
        self._failures = Counter(
            "stakehold_access_log_failures",
            "Times that the access log could not be written in the background.",
            registry=registry,
        )

    def count_denied(self, reason: str) -> None:
        self._denied.labels(reason).inc()

    def count_unlisted(self) -> None:
        self._unlisted.inc()

    def count_failure(self) -> None:
        self._failures.inc()

    def watch_unwritten(self, count: Callable[[], float]) -> None:
        """Reports how many denials and outcomes wait to be written whenever it is asked for."""
        gauge = Gauge(
            "stakehold_access_records_unwritten",
            "Denied calls, and outcomes of administrative calls, that are not in the access log yet.",
            registry=self._registry,
        )
        gauge.set_function(count)
