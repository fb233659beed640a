"""What Prometheus is told about jobs."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge


class JobMetrics:
    """Of all jobs of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._running = Gauge(
            "stakehold_job_running", "1 while the job runs, 0 while it is down.", ("job",), registry=registry
        )
        self._failures = Counter(
            "stakehold_job_failures",
            "Times that the job ended by itself and was begun again.",
            ("job",),
            registry=registry,
        )

    @contextmanager
    def running(self, job: str) -> Iterator[None]:
        self._failures.labels(job)
        self._running.labels(job).set(1)
        try:
            yield
        finally:
            self._running.labels(job).set(0)

    def count_failure(self, job: str) -> None:
        self._failures.labels(job).inc()
