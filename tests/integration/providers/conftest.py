"""A house with three providers, for tests that only call."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from service.embedded import EmbeddedValkey
from tests.ledgers import Ledgers
from tests.providers_house import ARCADE, HUB88, ProviderApi, provider_api, write_file
from tests.serving import grounds

DATABASE = 14
"""Its house stands while other tests of the package have one of their own."""


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def house(valkey: EmbeddedValkey, ledgers: Ledgers, run_folder: Path) -> AsyncIterator[ProviderApi]:
    """Sources are put; players are each test's own."""
    path = write_file(run_folder / "providers")
    async with (
        grounds(ledgers, valkey, database=DATABASE) as ground,
        ground.serving(providers_file=path) as server,
        provider_api(server.address) as api,
    ):
        for source in (HUB88, ARCADE, "cashier"):
            await api.wallets.put_source(source)
        yield api
