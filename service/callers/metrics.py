"""What Prometheus is told about callers and certificates."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge


class CallerMetrics:
    """Of one server."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._unknown = Counter(
            "stakehold_unauthenticated_calls",
            "Calls of whom it was not known who they are, by the cause that they were told.",
            ("cause",),
            registry=registry,
        )
        self._tls_failures = Counter(
            "stakehold_tls_reload_failures",
            "Times that new certificates, keys or authorities could not be used, and the old ones stayed.",
            registry=registry,
        )
        self._callers_failures = Counter(
            "stakehold_callers_reload_failures",
            "Times that a new callers file could not be used, and the old one stayed.",
            registry=registry,
        )
        self._keys_failures = Counter(
            "stakehold_issuer_keys_failures",
            "Times that the keys of a token issuer could not be fetched.",
            registry=registry,
        )

    def count_unknown(self, cause: str) -> None:
        self._unknown.labels(cause).inc()

    def count_tls_failure(self) -> None:
        self._tls_failures.inc()

    def count_callers_failure(self) -> None:
        self._callers_failures.inc()

    def count_keys_failure(self) -> None:
        self._keys_failures.inc()

    def watch_expiry(self, expires_s: Callable[[], float]) -> None:
        """Reports when the certificate in use ends, whenever it is asked for."""
        Gauge(
            "stakehold_tls_certificate_expiry_timestamp_seconds",
            "When the server's certificate that is in use ends, in Unix seconds.",
            registry=self._registry,
        ).set_function(expires_s)
