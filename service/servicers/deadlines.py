"""How long a call may take: as its caller says, or else as the service's setting says."""

from typing import Protocol

from persistence.valkey.engine import deadline_after

_ANSWER_S = 0.2
"""For an answer to be written and to reach its caller."""


class CallContext(Protocol):
    """What the servicers need of a gRPC context."""

    def time_remaining(self) -> float | None: ...


class Deadlines:
    """Turns callers' deadlines into moments of the event loop's time."""

    def __init__(self, default_s: float) -> None:
        self._default_s = default_s

    def of(self, context: CallContext) -> float:
        remaining_s = context.time_remaining()
        return deadline_after(self._default_s if remaining_s is None else remaining_s)

    def to_answer_before(self, context: CallContext) -> float:
        """A little earlier than its caller's, so that an answer that says what was not done in time still
        reaches it.
        """
        remaining_s = context.time_remaining()
        if remaining_s is None:
            return deadline_after(self._default_s)
        return deadline_after(remaining_s - min(_ANSWER_S, remaining_s / 10))

    def of_one_more(self, latest: float | None) -> float:
        """For one command of many that come over time, none of which may last longer than ``latest``."""
        deadline = deadline_after(self._default_s)
        return deadline if latest is None else min(latest, deadline)
