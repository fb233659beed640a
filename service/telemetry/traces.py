"""What a process can have traced, and the traces of a process that traces nothing."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from grpc.aio import ServerInterceptor

from persistence.drain_tracing import DrainTracing, NoDrainTracing
from persistence.tracing import CallTrace
from service.telemetry.current import log_scope
from service.telemetry.trace_context import TRACEPARENT, TraceContext


class CommandTrace(Protocol):
    """One of the commands that came in bulk. Over it is with its gRPC code's name, and the reason."""

    @property
    def call(self) -> CallTrace: ...

    def end(self, code: str, reason: str) -> None: ...


class CommandTraces(Protocol):
    """Of the commands of one Batch or Stream, or of what is like them."""

    def begin(self, operation: str) -> CommandTrace | None:
        """None for a command that is not traced."""
        ...


class Traces(Protocol):
    """What a process has traced. One for each process."""

    @property
    def drains(self) -> DrainTracing:
        """For the drainer."""
        ...

    def interceptors(self) -> Sequence[ServerInterceptor]:
        """For a gRPC server, before all others."""
        ...

    def commands(self, method: str, traceparent: str = "") -> CommandTraces | None:
        """For the commands of the current call, or of one that had this context; None where nothing is ever
        traced.
        """
        ...

    def incoming(self, name: str, traceparent: str = "") -> AbstractContextManager[None]:
        """Something that begins here, or that somebody asks for with a traceparent; as long as the context
        lasts, it is what engine, log and ``outgoing_metadata`` know as current. What leaves the context
        as an exception is its error.
        """
        ...


class NoTraces:
    """Traces nothing, at no cost."""

    drains: DrainTracing = NoDrainTracing()

    def interceptors(self) -> Sequence[ServerInterceptor]:
        return ()

    def commands(self, method: str, traceparent: str = "") -> CommandTraces | None:
        return None

    def incoming(self, name: str, traceparent: str = "") -> AbstractContextManager[None]:
        return nullcontext()


def outgoing_metadata() -> tuple[tuple[str, str], ...]:
    """The metadata, or HTTP headers, by which a call that is made now goes on with the current trace."""
    scope = log_scope.get()
    if scope is None or scope.is_over:
        return ()
    context = TraceContext(int(scope.trace_id, 16), int(scope.span_id, 16), True)
    return ((TRACEPARENT, str(context)),)
