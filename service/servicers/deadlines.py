"""How long a call may take: as its caller says, or else as the service's setting says."""

from typing import Protocol

from persistence.valkey.engine import deadline_after


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
