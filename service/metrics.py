"""What Prometheus is told about calls. One registry for each process, made by the composition root."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from persistence.errors import SetupRefused, Shortage
from persistence.outbox_pressure import Pressure
from persistence.partition_guard import GuardView
from persistence.valkey.hydration import HydrationCounts
from persistence.valkey.stages import Stage
from service.telemetry.transaction_metrics import TransactionMetrics

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_STAGE_SECONDS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


_WATCHED_CODES = ("OK", "UNAVAILABLE", "INTERNAL", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED")
"""What alerts are about begins at 0 for a method: of what begins higher, no increase is seen."""


class CallMetrics:
    """Calls by method and code, their times, and the hot path's batches."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Counter("stakehold_calls", "Answered calls.", ("method", "code"), registry=registry)
        self._seconds = Histogram(
            "stakehold_call_seconds", "Time to answer.", ("method",), buckets=_SECONDS, registry=registry
        )
        self._batch_size = Histogram(
            "stakehold_batch_calls", "Calls in one batch to the store.", buckets=_SIZES, registry=registry
        )
        self._commands = Counter(
            "stakehold_commands",
            "Commands that came in bulk and were answered.",
            ("method", "code"),
            registry=registry,
        )
        self._command_seconds = Histogram(
            "stakehold_command_seconds",
            "Time to decide a command that came in bulk.",
            ("method",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._waiting = Gauge("stakehold_waiting_calls", "Calls that wait for the store.", registry=registry)

        self._unconfirmed = Counter(
            "stakehold_unconfirmed_batches",
            "Batches that replicas did not confirm in time: their calls' outcome is unknown.",
            registry=registry,
        )
        self._durability = Gauge(
            "stakehold_durability_info",
            "1: what an answer promises, and how many replicas confirm it.",
            ("level", "replicas"),
            registry=registry,
        )
        self._shed = Counter(
            "stakehold_shed_calls",
            "Calls that were told to come again later, by what there is too little of.",
            ("cause",),
            registry=registry,
        )
        for cause in Shortage:
            self._shed.labels(cause)
        stages = Histogram(
            "stakehold_stage_seconds",
            "Where the time of a batch goes: queue (its oldest call's wait), script (the store's answer, its "
            "own sync included), confirmation (of replicas).",
            ("stage",),
            buckets=_STAGE_SECONDS,
            registry=registry,
        )
        self._stages = {stage: stages.labels(stage) for stage in Stage}
        self.transactions = TransactionMetrics(registry)
        self._registry = registry

    def observe_stage(self, stage: Stage, seconds: float) -> None:
        self._stages[stage].observe(seconds)

    def count_shed(self, cause: Shortage) -> None:
        """Counts one call that was shed."""
        self._shed.labels(cause).inc()

    def observer_of(self, method: str) -> Callable[[str, float], None]:
        """Counts one answer of a method: its code's name, and seconds."""
        return _observer(self._calls, self._seconds, method)

    def command_observer_of(self, method: str) -> Callable[[str, float], None]:
        """The same for one command among many."""
        return _observer(self._commands, self._command_seconds, method)

    def observe_batch(self, size: int) -> None:
        self._batch_size.observe(size)

    def count_unconfirmed(self) -> None:
        """Counts one batch that replicas did not confirm."""
        self._unconfirmed.inc()

    def set_durability(self, level: str, replicas: int) -> None:
        self._durability.labels(level, str(replicas)).set(1)

    def watch_waiting(self, count: Callable[[], float]) -> None:
        """Reports the queue's length whenever it is asked for."""
        self._waiting.set_function(count)

    def watch_in_flight(self, count: Callable[[], float]) -> None:
        """Reports how many calls are under way whenever it is asked for."""
        self._watch("stakehold_calls_in_flight", "Calls that came in and are not over.", count)

    def watch_guard(self, view: Callable[[], GuardView]) -> None:
        """Reports what the guard saw last whenever it is asked for."""
        self._watch(
            "stakehold_fenced_partitions",
            "Partitions that take no calls because their store is not the ledger's.",
            lambda: view().fenced,
        )
        self._watch(
            "stakehold_acknowledged_lost",
            "Transactions that this server answered and the store lost; the ledger's incidents name them.",
            lambda: view().acknowledged_lost,
        )
        self._watch(
            "stakehold_answers_let_go",
            "Answers that this server forgot before the ledger had them: were they lost, it could not say.",
            lambda: view().answers_let_go,
        )
        self._watch("stakehold_adoptions", "Stores that this server took over.", lambda: view().adoptions)

    def watch_pressure(self, counts: Callable[[], Mapping[Pressure, int]]) -> None:
        """Reports how many partitions are under which pressure whenever it is asked for."""
        gauge = Gauge(
            "stakehold_outbox_pressure",
            "Partitions that take everything (none), no debits (high), nothing (hard).",
            ("level",),
            registry=self._registry,
        )
        for level in Pressure:
            gauge.labels(level.name.lower()).set_function(partial(_count_of, counts, level))

    def watch_store(self, *, waiting_records: Callable[[], float], memory_share: Callable[[], float]) -> None:
        """Reports how full the store is whenever it is asked for."""
        self._watch(
            "stakehold_outbox_waiting_records",
            "Records that wait in the outboxes of all partitions, as this server sees them.",
            waiting_records,
        )
        self._watch(
            "stakehold_store_memory_ratio",
            "Of the fullest primary: its memory in use over its limit; 0 without a limit.",
            memory_share,
        )

    def watch_hydration(self, counts: Callable[[], HydrationCounts]) -> None:
        """Reports what was brought back into the store's memory."""
        self._watch("stakehold_loaded_players", "Players loaded from the ledger.", lambda: counts().loaded)
        self._watch("stakehold_recalled_calls", "Calls that asked the ledger.", lambda: counts().recalled)
        self._watch(
            "stakehold_unchecked_calls",
            "Calls applied without asking the ledger, because it was away.",
            lambda: counts().unchecked,
        )

    def _watch(self, name: str, help_: str, value: Callable[[], float]) -> None:
        Gauge(name, help_, registry=self._registry).set_function(value)


def _observer(calls: Counter, times: Histogram, method: str) -> Callable[[str, float], None]:
    seconds = times.labels(method)
    counters = {code: calls.labels(method, code) for code in _WATCHED_CODES}

    def observe(code: str, elapsed_s: float) -> None:
        counter = counters.get(code)
        if counter is None:
            counter = counters[code] = calls.labels(method, code)
        counter.inc()
        seconds.observe(elapsed_s)

    return observe


def _count_of(counts: Callable[[], Mapping[Pressure, int]], level: Pressure) -> float:
    return counts()[level]


@contextmanager
def served_metrics(
    listen: str, registry: CollectorRegistry, *, is_ready: Callable[[], bool] | None = None
) -> Iterator[None]:
    """Serves a registry over HTTP at host:port; with ``is_ready``, /ready too, which answers 200 or 503.

    Raises SetupRefused where that is taken or no address.
    """
    host, _, port = listen.rpartition(":")
    try:
        http_server, thread = start_http_server(int(port), addr=host.strip("[]"), registry=registry)
    except (OSError, ValueError) as error:
        raise SetupRefused(
            f"metrics cannot be served at {listen}: {error}; set STAKEHOLD_METRICS_LISTEN to a free one"
        ) from error
    if is_ready is not None:
        http_server.set_app(_with_readiness(http_server.get_app(), is_ready))
    try:
        yield
    finally:
        http_server.shutdown()
        http_server.server_close()
        thread.join()


def _with_readiness(metrics: Any, is_ready: Callable[[], bool]) -> Any:
    def answer(environ: Mapping[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] != "/ready":
            return metrics(environ, start_response)
        ready = is_ready()
        start_response("200 OK" if ready else "503 Service Unavailable", [("Content-Type", "text/plain")])
        return [b"ready\n" if ready else b"not ready\n"]

    return answer
