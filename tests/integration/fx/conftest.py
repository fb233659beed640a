"""A server for tests of rates, and a pair for each."""

from collections.abc import AsyncIterator

import pytest_asyncio

from service.embedded import EmbeddedValkey
from tests.fx_api import FxApi, PairApi, fx_api
from tests.ledgers import Ledgers
from tests.serving import Grounds, grounds


@pytest_asyncio.fixture(scope="module")
async def ground(ledgers: Ledgers, valkey: EmbeddedValkey) -> AsyncIterator[Grounds]:
    async with grounds(ledgers, valkey) as made:
        yield made


@pytest_asyncio.fixture(scope="module")
async def api(ground: Grounds) -> AsyncIterator[FxApi]:
    """It reads rates by itself so seldom that what it knows, it did itself."""
    async with ground.serving(registry_refresh_s=3600) as server, fx_api(server.address) as opened:
        yield opened


@pytest_asyncio.fixture
async def pair(api: FxApi) -> PairApi:
    """A pair of two new currencies."""
    return await api.pair()
