"""Which span whatever is done now belongs to, for the log."""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class LogScope:
    """The ids of a span as texts. A task may live longer than what it was begun for: then it is over."""

    trace_id: str
    span_id: str
    is_over: bool = False


log_scope: ContextVar[LogScope | None] = ContextVar("log_scope", default=None)
