"""How long a call may take: as its caller says, and never longer than the service allows."""

from typing import Protocol

from persistence.valkey.engine import deadline_after


class CallContext(Protocol):
    """What the servicers need of a gRPC context."""

    def time_remaining(self) -> float | None: ...


class Deadlines:
    """Turns callers' deadlines into moments of the event loop's time."""

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s

    def of(self, context: CallContext) -> float:
        remaining_s = context.time_remaining()
        if remaining_s is None or remaining_s > self._longest_s:
            remaining_s = self._longest_s
        return deadline_after(remaining_s)
