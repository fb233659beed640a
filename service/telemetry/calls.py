"""The traces of calls: the spans of one call, and of the batches in which its scripts are sent."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opentelemetry.trace import Span, SpanContext, SpanKind

from persistence.tracing import ScriptTrace, WorkTrace
from service.telemetry.spans import MOST_LINKS, Spans, context_of, now_ns


class TracedCall:
    """Tells a span's way through the hot path. Is a persistence.tracing.CallTrace."""

    def __init__(self, spans: Spans, span: Span) -> None:
        self._spans = spans
        self._span = span
        self.context = str(context_of(span))

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        part = self._spans.begin(name, parent=self._span.get_span_context())
        problem = ""
        try:
            yield
        except BaseException as error:
            problem = type(error).__name__
            raise
        finally:
            self._spans.end(part, problem=problem)

    def asks(self, script: str) -> "TracedScript":
        return TracedScript(self._spans, self._span.get_span_context(), script)


class TracedScript:
    """A script's waiting, and its run. Is a persistence.tracing.ScriptTrace."""

    def __init__(self, spans: Spans, call: SpanContext, script: str) -> None:
        self._spans = spans
        self._script = script
        self._asked_ns = now_ns()
        self._sent_ns: int | None = None
        self._batch: tuple[SpanContext, ...] = ()
        self.call = call

    def sent(self, scripts: Sequence[ScriptTrace], *, batch_size: int) -> WorkTrace:
        together = [script for script in scripts if isinstance(script, TracedScript)]
        batch = TracedWork(
            self._spans,
            "store.batch",
            "store.batch.",
            kind=SpanKind.CLIENT,
            links=[script.call for script in together[:MOST_LINKS]],
            attributes={
                "db.system.name": "valkey",
                "db.operation.name": "EVALSHA",
                "db.operation.batch.size": batch_size,
            },
        )
        for script in together:
            script.go_with(batch.context)
        return batch

    def go_with(self, batch: SpanContext) -> None:
        """It is sent now, in this batch."""
        self._batch, self._sent_ns = (batch,), now_ns()

    def answered(self, answer: "asyncio.Future[Sequence[bytes]]") -> None:
        """Makes both spans: only now it is known how long they were."""
        end_ns = now_ns()
        sent_ns = end_ns if self._sent_ns is None else self._sent_ns
        self._spans.past(
            "store.wait", parent=self.call, start_ns=self._asked_ns, end_ns=sent_ns, links=self._batch
        )
        if self._sent_ns is None:
            return
        self._spans.past(
            "store.script",
            parent=self.call,
            start_ns=sent_ns,
            end_ns=end_ns,
            links=self._batch,
            attributes={"stakehold.script": self._script, "stakehold.reply": _word(answer)},
        )


class TracedWork:
    """A span of its own trace, linked to those of all that it is done for; each step is a child of it."""

    def __init__(
        self,
        spans: Spans,
        name: str,
        prefix: str,
        *,
        kind: SpanKind,
        links: Sequence[SpanContext],
        attributes: dict[str, str | int],
    ) -> None:
        self._spans = spans
        self._prefix = prefix
        self.span = spans.begin(name, kind=kind, links=links, attributes=attributes)
        self._since_ns = now_ns()

    @property
    def context(self) -> SpanContext:
        return self.span.get_span_context()

    def step(self, name: str) -> None:
        since_ns, self._since_ns = self._since_ns, now_ns()
        self._spans.past(self._prefix + name, parent=self.context, start_ns=since_ns, end_ns=self._since_ns)

    def end(self, problem: str = "") -> None:
        self._spans.end(self.span, problem=problem)


def _word(answer: "asyncio.Future[Sequence[bytes]]") -> str:
    """What the script's reply begins with, or what was raised in its place."""
    if answer.cancelled():
        return "CancelledError"
    error = answer.exception()
    if error is not None:
        return type(error).__name__
    reply = answer.result()
    return reply[0].decode("ascii", errors="replace") if reply and isinstance(reply[0], bytes) else ""
