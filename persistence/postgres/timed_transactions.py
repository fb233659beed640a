"""Transactions that end with their caller's deadline."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from persistence.postgres.database import Connection, Pool, translated_errors


@asynccontextmanager
async def timed_transaction(
    pool: Pool, deadline: float, *, snapshot: bool = False
) -> AsyncIterator[Connection]:
    """A transaction, rolled back at the deadline, which is in the event loop's time.

    As a snapshot it sees one moment, and only reads. Raises LedgerUnavailable.
    """
    with translated_errors():
        async with (
            asyncio.timeout_at(deadline),
            pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read" if snapshot else None, readonly=snapshot),
        ):
            yield connection
