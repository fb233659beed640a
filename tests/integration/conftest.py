"""Fixtures for tests of the ledger and the drainer."""

from collections.abc import AsyncIterator

import pytest_asyncio
from redis.asyncio import Redis

from service.embedded import EmbeddedValkey
from service.embedded.ports import LOOPBACK
from tests.draining import Draining, draining

DATABASE, STORE_DATABASE = 5, 14
"""The service's own data are in database 0 of the shared server."""


@pytest_asyncio.fixture
async def books(valkey: EmbeddedValkey, ledger_dsn: str) -> AsyncIterator[Draining]:
    """A ledger and an outbox of this test's own."""
    async with draining(f"redis://127.0.0.1:{valkey.port}/{DATABASE}", ledger_dsn) as made:
        yield made


@pytest_asyncio.fixture
async def store_url(valkey: EmbeddedValkey) -> AsyncIterator[str]:
    """An empty store, in a database of the shared server."""
    url = f"redis://{LOOPBACK}:{valkey.port}/{STORE_DATABASE}"
    async with Redis.from_url(url) as store:
        await store.flushdb()
        yield url
        await store.flushdb()
