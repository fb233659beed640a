"""Whether who holds a stream may still hold it: asked again and again, for streams outlive tokens."""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol, TypeVar

import grpc

from persistence.errors import Unauthenticated
from service.callers.caller import Caller
from service.callers.identifying import Connection, Identifier, identified_at_once

_Message = TypeVar("_Message")

_GRACE_S = 5.0
"""For what is on its way to the caller when the stream is to end."""


class Held(Connection, Protocol):
    """What is asked of a stream's gRPC context."""

    def set_code(self, code: grpc.StatusCode) -> None: ...

    def set_details(self, details: str) -> None: ...


class Standing:
    """Of one stream, whose task this is made in. Once it is ``lapsed`` the task is cancelled: at once where
    the service has the word, and after a grace where an answer is on its way to the caller.
    """

    def __init__(self, identifier: Identifier, context: Held, caller: Caller, *, every_s: float) -> None:
        self._identifier = identifier
        self._context = context
        self._caller = caller
        self._every_s = every_s
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._is_sending = False
        self.lapsed: Unauthenticated | None = None
        self._next = self._loop.call_later(every_s, self._ask_again)

    def close(self) -> None:
        """Nothing is asked any more."""
        self._next.cancel()

    def sending(self) -> None:
        """From now on an answer is on its way."""
        self._is_sending = True

    def sent(self) -> None:
        """The service has the word again. Raises Unauthenticated where the standing has lapsed meanwhile."""
        self._is_sending = False
        if self.lapsed is not None:
            raise self.lapsed

    def take_cancellation(self) -> Unauthenticated | None:
        """Why this has cancelled the task; None where somebody else did."""
        if self.lapsed is None or self._task is None or self._task.uncancel() > 0:
            return None
        return self.lapsed

    def _ask_again(self) -> None:
        try:
            require_same(self._identifier, self._context, self._caller)
        except Unauthenticated as unknown:
            self._lapse(unknown)
        else:
            self._next = self._loop.call_later(self._every_s, self._ask_again)

    def _lapse(self, why: Unauthenticated) -> None:
        self.lapsed = why
        if self._is_sending:
            # Where the caller does not take it, gRPC's own part of the task is what is cancelled.
            self._context.set_code(grpc.StatusCode.UNAUTHENTICATED)
            self._context.set_details(str(why))
            self._next = self._loop.call_later(_GRACE_S, self._cancel)
        else:
            self._cancel()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


def require_same(identifier: Identifier, context: Connection, caller: Caller) -> None:
    """Raises Unauthenticated unless the connection and the call still show who they showed first."""
    if identified_at_once(identifier, context) != caller:
        raise Unauthenticated("what is known of the caller has changed: call again", cause="caller_changed")


async def while_same(
    messages: AsyncIterator[_Message],
    identifier: Identifier,
    context: Connection,
    caller: Caller,
    *,
    every_s: float,
) -> AsyncIterator[_Message]:
    """What a caller sends for one answer. Raises Unauthenticated instead of the next message, so that nothing
    is cut off in the middle of being written.
    """
    loop = asyncio.get_running_loop()
    next_s = loop.time() + every_s
    async for message in messages:
        if loop.time() >= next_s:
            require_same(identifier, context, caller)
            next_s = loop.time() + every_s
        yield message
    require_same(identifier, context, caller)
