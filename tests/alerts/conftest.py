"""Stores and ledgers that tests of alerts break."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from service.embedded import EmbeddedValkey
from tests.draining import Draining, draining
from tests.serving import Grounds


@pytest.fixture
def ground(private_valkey: EmbeddedValkey, ledger_dsn: str) -> Grounds:
    return Grounds(private_valkey.url, ledger_dsn)


@pytest_asyncio.fixture
async def books(private_valkey: EmbeddedValkey, ledger_dsn: str) -> AsyncIterator[Draining]:
    async with draining(private_valkey.url, ledger_dsn) as made:
        yield made
