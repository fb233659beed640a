"""What a process traces that traces."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from grpc.aio import ServerInterceptor
from opentelemetry.trace import Span, SpanContext, SpanKind

from persistence.drain_tracing import DrainTracing
from persistence.tracing import current_call
from service.telemetry.calls import TracedCall
from service.telemetry.current import log_scope
from service.telemetry.drains import TracedDrains
from service.telemetry.interceptor import TraceInterceptor
from service.telemetry.sampling import Sampling
from service.telemetry.spans import Spans, remote, scope_of
from service.telemetry.trace_context import TraceContext

_SERVERS_FAULT = frozenset(
    ("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS")
)
"""Codes that make a server's span an error; the others are answers, as the conventions for RPC have it."""

_MOST_COMMANDS = 64
"""Of one traced Batch or Stream; of those behind them the usual share."""

_current_bulk: ContextVar[Span | None] = ContextVar("current_bulk", default=None)


class RecordedCall:
    """A call that came over gRPC. In bulk, its commands are what the engine is asked for, and not itself."""

    def __init__(self, spans: Spans, span: Span, *, in_bulk: bool) -> None:
        self._spans = spans
        self._span = span
        self._scope = scope_of(span)
        log_scope.set(self._scope)
        if in_bulk:
            _current_bulk.set(span)
        else:
            current_call.set(TracedCall(spans, span))

    def end(self, code: str, reason: str) -> None:
        self._scope.is_over = True
        _close(self._spans, self._span, code, reason)


class RecordedCommand:
    """Is a service.telemetry.traces.CommandTrace."""

    def __init__(self, spans: Spans, span: Span) -> None:
        self._spans = spans
        self._span = span
        self.call = TracedCall(spans, span)

    def end(self, code: str, reason: str) -> None:
        _close(self._spans, self._span, code, reason)


class RecordedCommands:
    """The first of a traced call, and a share of all others."""

    def __init__(self, spans: Spans, sampling: Sampling, method: str, parent: SpanContext | None) -> None:
        self._spans = spans
        self._sampling = sampling
        self._name = method.lstrip("/")
        self._parent = parent
        self._left = 0 if parent is None else _MOST_COMMANDS

    def begin(self, operation: str) -> RecordedCommand | None:
        if self._left:
            self._left -= 1
            taken = self._sampling.has_room()
        else:
            taken = self._sampling.takes_new()
        if not taken:
            return None
        span = self._spans.begin(f"{self._name} {operation}", parent=self._parent)
        return RecordedCommand(self._spans, span)


class RecordedTraces:
    """Is a service.telemetry.traces.Traces."""

    def __init__(self, spans: Spans, sampling: Sampling) -> None:
        self._spans = spans
        self._sampling = sampling
        self.drains: DrainTracing = TracedDrains(spans)

    def interceptors(self) -> Sequence[ServerInterceptor]:
        return (TraceInterceptor(self._sampling, self._begin),)

    def commands(self, method: str, traceparent: str = "") -> RecordedCommands:
        bulk, parent = _current_bulk.get(), TraceContext.parse(traceparent)
        context = bulk.get_span_context() if bulk is not None else remote(parent) if parent else None
        return RecordedCommands(self._spans, self._sampling, method, context)

    @contextmanager
    def incoming(self, name: str, traceparent: str = "") -> Iterator[None]:
        parent = TraceContext.parse(traceparent)
        if not self._sampling.takes(parent):
            yield
            return
        span = self._spans.begin(
            name,
            parent=None if parent is None else remote(parent),
            kind=SpanKind.INTERNAL if parent is None else SpanKind.SERVER,
        )
        scope = scope_of(span)
        tokens = log_scope.set(scope), current_call.set(TracedCall(self._spans, span))
        problem = ""
        try:
            yield
        except BaseException as error:
            problem = type(error).__name__
            raise
        finally:
            scope.is_over = True
            log_scope.reset(tokens[0])
            current_call.reset(tokens[1])
            self._spans.end(span, problem=problem)

    def _begin(
        self, method: str, parent: TraceContext | None, source: str, start_ns: int, *, in_bulk: bool
    ) -> RecordedCall:
        name = method.lstrip("/")
        attributes = {"rpc.system.name": "grpc", "rpc.method": name}
        if source:
            attributes["stakehold.source"] = source
        span = self._spans.begin(
            name,
            parent=None if parent is None else remote(parent),
            kind=SpanKind.SERVER,
            attributes=attributes,
            start_ns=start_ns,
        )
        return RecordedCall(self._spans, span, in_bulk=in_bulk)


def _close(spans: Spans, span: Span, code: str, reason: str) -> None:
    attributes = {"rpc.response.status_code": code}
    if reason:
        attributes["stakehold.reason"] = reason
    spans.end(span, problem=code if code in _SERVERS_FAULT else "", attributes=attributes)
