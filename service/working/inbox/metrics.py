"""What Prometheus is told about the inbox."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from persistence.inbox import CommandState
from persistence.postgres.inbox.working import Backlog

_APPLY_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_DELAY_S = (0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 6 * 3600, 86_400)

_OUTCOMES = {
    CommandState.APPLIED: "applied",
    CommandState.REFUSED: "refused",
    CommandState.DEAD: "dead",
    CommandState.WAITING: "retried",
}


class InboxMetrics:
    """Of one worker; the backlog is the whole inbox's."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._attempts = Counter(
            "stakehold_inbox_attempts",
            "Attempts to apply a command, by what came of them.",
            ("outcome",),
            registry=registry,
        )
        for outcome in _OUTCOMES.values():
            self._attempts.labels(outcome)
        self._seconds = Histogram(
            "stakehold_inbox_apply_seconds", "Time of an attempt.", buckets=_APPLY_S, registry=registry
        )
        self._delay = Histogram(
            "stakehold_inbox_delay_seconds",
            "From when a submission was accepted until one of its commands was decided.",
            buckets=_DELAY_S,
            registry=registry,
        )
        self._waiting = Gauge(
            "stakehold_inbox_waiting_commands", "Commands that are not decided.", registry=registry
        )
        self._retrying = Gauge(
            "stakehold_inbox_retrying_commands",
            "Those of them that were tried before, and are tried again.",
            registry=registry,
        )
        self._dead = Gauge(
            "stakehold_inbox_dead_letters", "Commands that were given up, of all times.", registry=registry
        )
        self._oldest = Gauge(
            "stakehold_inbox_oldest_seconds",
            "Age of the oldest submission with commands that wait.",
            registry=registry,
        )
        self._pace = Gauge(
            "stakehold_inbox_pace", "Commands a second that this worker may apply now.", registry=registry
        )
        self._partitions = Gauge(
            "stakehold_inbox_partitions", "Partitions whose commands this worker applies.", registry=registry
        )

    def count(self, state: CommandState, elapsed_s: float) -> None:
        """One attempt has ended."""
        self._attempts.labels(_OUTCOMES[state]).inc()
        self._seconds.observe(elapsed_s)

    def observe_delay(self, delay_s: float) -> None:
        self._delay.observe(delay_s)

    def see(self, backlog: Backlog) -> None:
        self._waiting.set(backlog.waiting)
        self._retrying.set(backlog.retrying)
        self._dead.set(backlog.dead)
        self._oldest.set(backlog.oldest_s)

    def see_worker(self, *, pace: float, partitions: int) -> None:
        self._pace.set(pace)
        self._partitions.set(partitions)
