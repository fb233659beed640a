"""Books of played entries, and the brokers that they are published to."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from fx.currencies import initial_currencies
from persistence.postgres.database import LedgerRole, ledger_pool
from persistence.postgres.registry import PostgresRegistry
from tests.brokers import Broker, broker
from tests.draining import Draining

KINDS = ("nats", "kafka")


@pytest_asyncio.fixture
async def books(books: Draining) -> Draining:
    """With the currencies that any server would have planted."""
    url = books.ledger_dsn
    async with ledger_pool(url, role=LedgerRole.REGISTRAR, size=1, statement_timeout_s=10.0) as pool:
        await PostgresRegistry(pool).plant_currencies(initial_currencies())
    return books


@pytest_asyncio.fixture(params=KINDS)
async def sink(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Broker]:
    async with broker(request.param, tmp_path / "broker") as made:
        yield made


@pytest_asyncio.fixture
async def jetstream(tmp_path: Path) -> AsyncIterator[Broker]:
    async with broker("nats", tmp_path / "broker") as made:
        yield made
