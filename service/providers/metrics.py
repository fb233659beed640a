"""What Prometheus is told about callbacks. Providers are as many as the file names, so they may be labels."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from service.providers.signatures import SignatureFault

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

DONE = "done"
"""The outcome of a callback without a problem."""


class ProviderMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._callbacks = Counter(
            "stakehold_provider_callbacks",
            "Callbacks that were answered, by what became of them.",
            ("provider", "outcome"),
            registry=registry,
        )
        self._duplicates = Counter(
            "stakehold_provider_callback_duplicates",
            "Callbacks that had come before, byte for byte.",
            ("provider",),
            registry=registry,
        )
        self._signature_failures = Counter(
            "stakehold_provider_signature_failures",
            "Callbacks that nobody knows to be the provider's; nothing is recorded of them.",
            ("provider", "fault"),
            registry=registry,
        )
        self._seconds = Histogram(
            "stakehold_provider_callback_seconds",
            "Time to answer a callback whose signature is good.",
            ("provider",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._unnoted = Counter(
            "stakehold_provider_answers_not_noted",
            "Answers that left without a record of what they were; what was moved is in the ledger.",
            registry=registry,
        )
        self._file_unusable = Gauge(
            "stakehold_providers_file_unusable",
            "1: the providers file cannot be used as it is now; what was read before stays in use.",
            registry=registry,
        )

    def count_callback(self, provider_id: str, outcome: str, seconds: float) -> None:
        self._callbacks.labels(provider_id, outcome).inc()
        self._seconds.labels(provider_id).observe(seconds)

    def count_turned_away(self, provider_id: str, outcome: str) -> None:
        """One that was not looked into."""
        self._callbacks.labels(provider_id, outcome).inc()

    def count_duplicate(self, provider_id: str) -> None:
        self._duplicates.labels(provider_id).inc()

    def count_signature_failure(self, provider_id: str, fault: SignatureFault) -> None:
        self._signature_failures.labels(provider_id, fault.value).inc()

    def count_unnoted(self, count: int) -> None:
        self._unnoted.inc(count)

    def note_file(self, *, is_usable: bool) -> None:
        self._file_unusable.set(0 if is_usable else 1)
