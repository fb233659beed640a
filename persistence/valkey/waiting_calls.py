"""A call that waits for the store: to be sent, then to be answered."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import structlog
from redis.exceptions import RedisError

from lua import Script
from persistence.errors import DeadlineExceeded, OutcomeUnknown, StoreUnavailable
from persistence.tracing import ScriptTrace, WorkTrace
from persistence.valkey.server_errors import said_by, says_unrun

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class WaitingCall:
    """``command`` is packed; ``key`` says where it runs, ``incarnation`` in which life of a primary alone,
    ``came`` when it began to wait (time.perf_counter).
    Only the first of what settles a call counts.
    """

    command: bytes
    script: Script
    key: str
    answer: asyncio.Future[Sequence[bytes]]
    deadline: float
    incarnation: str | None
    came: float = 0.0
    sent: bool = False
    trace: ScriptTrace | None = None

    def reply(self, reply: Sequence[bytes]) -> None:
        if not self.answer.done():
            self.answer.set_result(reply)

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)

    def expire(self) -> None:
        """Ends the waiting: whoever is told so by now has no use for the answer."""
        if self.sent:
            self.fail(OutcomeUnknown("the deadline passed before the store's answer came"))
        else:
            self.fail(DeadlineExceeded("the deadline passed while the call was waiting"))

    def refuse(self, error: RedisError) -> None:
        """The server answered with an error instead of a reply."""
        if says_unrun(error):
            self.fail(StoreUnavailable(f"the store takes no writes now: {said_by(error)}"))
        elif not self.answer.done():
            _log.error("script_failed", script=self.script.name, error=str(error))
            self.fail(OutcomeUnknown(f"script {self.script.name} failed: {error}"))


def trace_batch(batch: Sequence[WaitingCall]) -> WorkTrace | None:
    """Begins the trace of a batch in which some call is traced; it is sent now."""
    scripts = [call.trace for call in batch if call.trace is not None]
    return scripts[0].sent(scripts, batch_size=len(batch)) if scripts else None


def settle(calls: Iterable[WaitingCall], error: Callable[[], Exception]) -> None:
    """Fails the calls that have no answer yet."""
    for call in calls:
        if not call.answer.done():
            call.fail(error())
