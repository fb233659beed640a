"""What the hot path tells of calls that are traced.

Who listens is the service's affair (service/telemetry). Most calls are not traced: then there is nobody to be
told, and nothing of this is done.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import Protocol


class WorkTrace(Protocol):
    """Work that is done for many at once, from its beginning on."""

    def step(self, name: str) -> None:
        """What was done since the step before, or since the beginning."""

    def end(self, problem: str = "") -> None:
        """It is over. ``problem`` names what went wrong, and never whose money it was."""


class ScriptTrace(Protocol):
    """A script that is run for a traced call: it waits from now on."""

    def sent(self, scripts: "Sequence[ScriptTrace]", *, batch_size: int) -> WorkTrace:
        """It is sent, in one batch with these, of which it is one. Returns the batch's trace."""
        ...

    def answered(self, answer: "asyncio.Future[Sequence[bytes]]") -> None:
        """What it waited for has come, whatever that is."""


class CallTrace(Protocol):
    """A call that is traced. ``context`` is its W3C traceparent, which goes with its outbox record."""

    @property
    def context(self) -> str: ...

    def part(self, name: str) -> AbstractContextManager[None]:
        """A part of its way, as long as the context lasts."""
        ...

    def asks(self, script: str) -> ScriptTrace:
        """It has a script run now."""
        ...


current_call: ContextVar[CallTrace | None] = ContextVar("current_call", default=None)
"""The traced call for whose sake something is done. Where none is set, nothing is told."""


def part_of_call(name: str) -> AbstractContextManager[None]:
    """A part of the current call's way, if that is traced."""
    call = current_call.get()
    return nullcontext() if call is None else call.part(name)


class BetweenTraces:
    """Where nothing is traced."""

    def step(self, name: str) -> None:
        """Nobody is told."""

    def end(self, problem: str = "") -> None:
        """Nobody is told."""
