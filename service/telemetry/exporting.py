"""Sends spans to a collector, from a thread of its own: whatever becomes of them, no call waits for it."""

import threading
from collections import deque
from collections.abc import Mapping

import structlog
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from service.telemetry.trace_metrics import TraceMetrics

_log = structlog.get_logger(__name__)

MOST_WAITING = 4096
"""Spans; some ten megabytes."""
_SENT_AT_ONCE = 64
"""Few, for while they are written out the calls' thread gets less of the processor."""
_EVERY_S = 0.5
_TIMEOUT_S = 5.0


def otlp_exporter(endpoint: str, headers: Mapping[str, str]) -> SpanExporter:
    return OTLPSpanExporter(
        endpoint, headers=dict(headers), timeout=_TIMEOUT_S, compression=Compression.NoCompression
    )


class SpanSender(SpanProcessor):
    """A bounded queue, and the thread that empties it. What does not fit, or is not taken, is counted.

    The thread is a daemon: it keeps no process alive, however long a collector keeps it waiting.
    """

    def __init__(self, exporter: SpanExporter, metrics: TraceMetrics) -> None:
        self._exporter = exporter
        self._metrics = metrics
        self._queue: deque[ReadableSpan] = deque()
        self._wake = threading.Event()
        self._under_way = 0
        self._stopping = False
        self._given_up = False
        self._failing = False
        self._thread = threading.Thread(target=self._work, name="span-sender", daemon=True)
        self._thread.start()

    def on_end(self, span: ReadableSpan) -> None:
        if self._stopping:
            self._metrics.dropped_at_end.inc()
        elif len(self._queue) >= MOST_WAITING:
            self._metrics.dropped_full.inc()
        else:
            self._queue.append(span)
            if len(self._queue) == _SENT_AT_ONCE:
                self._wake.set()

    def close(self, timeout_s: float) -> None:
        """Sends what waits, but for no longer than this; the rest is lost, and counted."""
        self._stopping = True
        self._wake.set()
        self._thread.join(timeout_s)
        self._given_up = True
        self._metrics.dropped_at_end.inc(len(self._queue) + self._under_way)
        self._queue.clear()
        self._exporter.shutdown()

    def shutdown(self) -> None:
        """Nothing: see ``close``."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing: what waits is sent in less than a second, or not at all."""
        return True

    def _work(self) -> None:
        while not self._stopping:
            self._wake.wait(_EVERY_S)
            self._wake.clear()
            self._send_all()
        self._send_all()

    def _send_all(self) -> None:
        while self._queue and not self._given_up:
            self._send([self._queue.popleft() for _ in range(min(_SENT_AT_ONCE, len(self._queue)))])

    def _send(self, spans: list[ReadableSpan]) -> None:
        self._under_way = len(spans)
        try:
            done = self._exporter.export(spans) is SpanExportResult.SUCCESS
        except Exception:
            done = False
        if self._given_up:  # counted already
            return
        self._under_way = 0
        if done:
            self._metrics.exported.inc(len(spans))
        else:
            self._metrics.dropped_refused.inc(len(spans))
        self._tell(failing=not done)

    def _tell(self, *, failing: bool) -> None:
        """Once, when it begins and when it is over: a collector that is away is not news every second."""
        if failing != self._failing:
            self._failing = failing
            if failing:
                _log.warning("traces_not_taken", what_to_do="look at the collector; calls are not affected")
            else:
                _log.info("traces_taken_again")
