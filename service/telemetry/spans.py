"""Makes spans. What is traced was decided before: here every span is recorded."""

import time
from collections.abc import Mapping, Sequence

import structlog
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from service.telemetry.current import LogScope
from service.telemetry.trace_context import TraceContext

_log = structlog.get_logger(__name__)

MOST_LINKS = 128
Attributes = Mapping[str, str | int | bool]

_NO_PARENT = Context()
_LIMITS = SpanLimits(
    max_links=MOST_LINKS, max_span_attributes=32, max_events=32, max_span_attribute_length=256
)


class Spans:
    """Times are Unix nanoseconds; where none is given it is now.

    Nothing here raises: money must not stand still because of a trace. What goes wrong is told once, and the
    span is missing.
    """

    def __init__(self, resource: Resource, processor: SpanProcessor) -> None:
        provider = TracerProvider(
            sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False, span_limits=_LIMITS
        )
        provider.add_span_processor(processor)
        self._tracer = provider.get_tracer("stakehold")
        self._has_told = False

    def begin(
        self,
        name: str,
        *,
        parent: SpanContext | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        links: Sequence[SpanContext] = (),
        attributes: Attributes | None = None,
        start_ns: int | None = None,
    ) -> Span:
        try:
            return self._tracer.start_span(
                name,
                context=_NO_PARENT
                if parent is None
                else set_span_in_context(NonRecordingSpan(parent), _NO_PARENT),
                kind=kind,
                links=[Link(context) for context in links[:MOST_LINKS]],
                attributes=attributes,
                start_time=start_ns,
            )
        except Exception:
            self._tell()
            return INVALID_SPAN

    def past(
        self,
        name: str,
        *,
        parent: SpanContext,
        start_ns: int,
        end_ns: int,
        kind: SpanKind = SpanKind.INTERNAL,
        links: Sequence[SpanContext] = (),
        attributes: Attributes | None = None,
    ) -> None:
        """A span of what is over."""
        span = self.begin(
            name, parent=parent, kind=kind, links=links, attributes=attributes, start_ns=start_ns
        )
        self.end(span, end_ns=max(start_ns, end_ns))

    def end(
        self,
        span: Span,
        *,
        problem: str = "",
        attributes: Attributes | None = None,
        end_ns: int | None = None,
    ) -> None:
        """``problem`` is a word, never a sentence: sentences name players."""
        try:
            if attributes:
                span.set_attributes(attributes)
            if problem:
                span.set_attribute("error.type", problem)
                span.set_status(Status(StatusCode.ERROR))
            span.end(end_ns)
        except Exception:
            self._tell()

    def _tell(self) -> None:
        if not self._has_told:
            self._has_told = True
            _log.exception("tracing_failed")


def context_of(span: Span) -> TraceContext:
    context = span.get_span_context()
    return TraceContext(context.trace_id, context.span_id, True)


def remote(context: TraceContext) -> SpanContext:
    return SpanContext(
        context.trace_id,
        context.span_id,
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED if context.is_sampled else TraceFlags.DEFAULT),
    )


def scope_of(span: Span) -> LogScope:
    context = span.get_span_context()
    return LogScope(f"{context.trace_id:032x}", f"{context.span_id:016x}")


def now_ns() -> int:
    return time.time_ns()
