"""Whether who holds a stream may still hold it: asked again and again, for streams outlive tokens."""

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

from persistence.errors import Unauthenticated
from service.callers.caller import Caller
from service.callers.identifying import Connection, Identifier, identified_at_once

_Message = TypeVar("_Message")


class Standing:
    """Of one stream, whose task this is made in. Once it has ``lapsed`` the task is cancelled where it waits;
    while a message is out of its hands, it is told as soon as it has the word again.
    """

    def __init__(
        self, identifier: Identifier, context: Connection, caller: Caller, *, every_s: float
    ) -> None:
        self._identifier = identifier
        self._context = context
        self._caller = caller
        self._every_s = every_s
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._is_out_of_hands = False
        self.lapsed: Unauthenticated | None = None
        self._next = self._loop.call_later(every_s, self._ask_again)

    def close(self) -> None:
        """Nothing is asked any more."""
        self._next.cancel()

    def hand_over(self) -> None:
        """From now on a message is in somebody else's hands."""
        self._is_out_of_hands = True

    def take_back(self) -> None:
        """The word is here again. Raises Unauthenticated where the standing has lapsed meanwhile."""
        self._is_out_of_hands = False
        self._task = asyncio.current_task()
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
            self.lapsed = unknown
            if self._task is not None and not self._is_out_of_hands:
                self._task.cancel()
        else:
            self._next = self._loop.call_later(self._every_s, self._ask_again)


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
    """What a caller sends, for as long as it may.

    Raises Unauthenticated in place of a message: so nothing is cut off in the middle of being done, and what
    came before can still be answered.
    """
    standing = Standing(identifier, context, caller, every_s=every_s)
    try:
        coming = aiter(messages)
        while True:
            try:
                message = await anext(coming)
            except StopAsyncIteration:
                break
            except asyncio.CancelledError:
                if lapsed := standing.take_cancellation():
                    raise lapsed from None
                raise
            standing.hand_over()
            yield message
            standing.take_back()
        require_same(identifier, context, caller)
    finally:
        standing.close()
