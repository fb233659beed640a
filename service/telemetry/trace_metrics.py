"""What Prometheus is told about traces."""

from prometheus_client import CollectorRegistry, Counter


class TraceMetrics:
    """Of one process that traces."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.exported = Counter(
            "stakehold_trace_spans_exported", "Spans that a collector has taken.", registry=registry
        )
        self._dropped = Counter(
            "stakehold_trace_spans_dropped",
            "Spans that are lost: the queue was full, the collector did not take them, or the process ended.",
            ("cause",),
            registry=registry,
        )
        self.dropped_full = self._dropped.labels("queue")
        self.dropped_refused = self._dropped.labels("export")
        self.dropped_at_end = self._dropped.labels("shutdown")
        self.capped = Counter(
            "stakehold_traces_capped",
            "Calls that were to be traced and were not: more than STAKEHOLD_TRACES_PER_S.",
            registry=registry,
        )
