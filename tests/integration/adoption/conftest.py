"""A ledger and a store for each test."""

from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio
from redis.asyncio import Redis

from service.embedded import EmbeddedValkey
from service.embedded.ports import LOOPBACK
from tests.integration.adoption.pairs import Pair

DATABASE, OTHER_DATABASE = 8, 9
"""Of the shared server; the service's own data are in database 0."""


@pytest_asyncio.fixture
async def pair(valkey: EmbeddedValkey, ledger_dsn: str) -> AsyncIterator[Pair]:
    url, other_url = (f"redis://{LOOPBACK}:{valkey.port}/{number}" for number in (DATABASE, OTHER_DATABASE))
    ledger = await asyncpg.connect(ledger_dsn)
    try:
        async with Redis.from_url(url) as store, Redis.from_url(other_url) as other:
            await store.flushdb()
            await other.flushdb()
            yield Pair(ledger_dsn, url, other_url, ledger, store)
    finally:
        await ledger.close()
