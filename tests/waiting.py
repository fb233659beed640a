"""Waiting for a state, never for a time to pass."""

import asyncio
import time
from collections.abc import Awaitable, Callable

POLL_S = 0.01


async def until(
    holds: Callable[[], Awaitable[bool]], *, what: str, deadline_s: float = 20.0, poll_s: float = POLL_S
) -> None:
    """Asks again and again, and fails with ``what`` was waited for when it does not hold in time."""
    end = time.monotonic() + deadline_s
    while not await holds():
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s:.0f} s: {what}")
        await asyncio.sleep(poll_s)
