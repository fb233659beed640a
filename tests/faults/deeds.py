"""What a fault's doing looks like, whatever it is done to."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from tests.faults.cast import Cast
from tests.faults.schedule import Fault

_UNDRAINED_S = 0.5
"""How long drainers are held before a loss, so that there is something to lose."""

Deed = Callable[[Cast, Fault], AbstractAsyncContextManager[str]]
"""Breaks something when entered, mends it when left, and says what."""


@asynccontextmanager
async def undrained(cast: Cast) -> AsyncIterator[None]:
    """Holds the drainers for a while, so that there is a tail that is not in the ledger."""
    for part in cast.drainers:
        part.program.freeze()
    await asyncio.sleep(_UNDRAINED_S)
    yield
    for part in cast.drainers:
        part.program.thaw()
