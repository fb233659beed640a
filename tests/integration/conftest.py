"""Fixtures for tests of the ledger and the drainer."""

from collections.abc import AsyncIterator

import pytest_asyncio

from service.embedded import EmbeddedValkey
from tests.draining import Draining, draining

DATABASE = 5
"""The service's own data are in database 0 of the shared server."""


@pytest_asyncio.fixture
async def books(valkey: EmbeddedValkey, ledger_dsn: str) -> AsyncIterator[Draining]:
    """A ledger and an outbox of this test's own."""
    async with draining(f"redis://127.0.0.1:{valkey.port}/{DATABASE}", ledger_dsn) as made:
        yield made
