"""Waiting for one of several events."""

import asyncio


async def any_set(*events: asyncio.Event, timeout_s: float) -> None:
    """Waits until one of them is set, but not for longer than the timeout."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for future in waiting:
            future.cancel()
