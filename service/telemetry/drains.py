"""The traces of what the drainer does: a span for each turn, and one in the trace of each call in it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from opentelemetry.trace import SpanContext, SpanKind

from persistence.drain_batch import RawRecord
from persistence.drain_tracing import UNTRACED, DrainTrace
from persistence.outbox import trace_note
from service.telemetry.calls import TracedWork
from service.telemetry.current import log_scope
from service.telemetry.spans import MOST_LINKS, Spans, now_ns, remote, scope_of
from service.telemetry.trace_context import TraceContext

_BOOKED_TIME = 3
"""Where a record's fields have it."""

_STEPS = {
    "batches_built": "ledger.build",
    "cursors_locked": "ledger.lock_cursors",
    "accounts_resolved": "ledger.resolve_accounts",
    "entries_copied": "ledger.copy_entries",
    "postings_copied": "ledger.copy_postings",
    "balances_compared": "ledger.compare_balances",
    "cursors_moved": "ledger.move_cursors",
    "committed": "ledger.commit",
    "trimmed": "outbox.trim",
}
"""What was done, by the name of the step when it is done."""


class TracedDrains:
    """Traces a turn where some record in it says that its call is traced."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans

    @contextmanager
    def turn(self, received: Mapping[int, Sequence[RawRecord]]) -> Iterator[DrainTrace]:
        calls = _calls_of(received)
        if not calls:
            yield UNTRACED
            return
        turn = TracedTurn(self._spans, received, calls)
        scope = scope_of(turn.span)
        token = log_scope.set(scope)
        problem = ""
        try:
            yield turn
        except BaseException as error:
            problem = type(error).__name__
            raise
        finally:
            scope.is_over = True
            log_scope.reset(token)
            turn.end(problem)


class TracedTurn(TracedWork):
    """One turn. Is a persistence.drain_tracing.DrainTrace."""

    def __init__(
        self,
        spans: Spans,
        received: Mapping[int, Sequence[RawRecord]],
        calls: Mapping[tuple[int, str], SpanContext],
    ) -> None:
        super().__init__(
            spans,
            "ledger.drain",
            "",
            kind=SpanKind.CONSUMER,
            links=list(calls.values()),
            attributes={
                "stakehold.records": sum(map(len, received.values())),
                "stakehold.partitions": len(received),
            },
        )
        self._calls = calls

    def step(self, name: str) -> None:
        if name != "records_read":  # that was before
            super().step(_STEPS.get(name, f"ledger.{name}"))

    def wrote(self, partition: int, records: Iterable[RawRecord]) -> None:
        """In the trace of each call: how long its record was on its way to the ledger, by two clocks."""
        end_ns = now_ns()
        for record in records:
            call = self._calls.get((partition, record.stream_id))
            if call is not None:
                self._spans.past(
                    "outbox.wait",
                    parent=call,
                    kind=SpanKind.CONSUMER,
                    start_ns=min(_booked_ns(record), end_ns),
                    end_ns=end_ns,
                    links=[self.context],
                    attributes={"stakehold.partition": partition},
                )


def _calls_of(received: Mapping[int, Sequence[RawRecord]]) -> dict[tuple[int, str], SpanContext]:
    """The spans of the calls that are traced, by their records; no more than links are kept."""
    calls: dict[tuple[int, str], SpanContext] = {}
    for partition, records in received.items():
        for record in records:
            if (note := trace_note(record.fields)) and (context := TraceContext.parse(note)) is not None:
                calls[partition, record.stream_id] = remote(context)
                if len(calls) == MOST_LINKS:
                    return calls
    return calls


def _booked_ns(record: RawRecord) -> int:
    try:
        return int(record.fields[_BOOKED_TIME]) * 1_000_000
    except (IndexError, ValueError):
        return now_ns()
