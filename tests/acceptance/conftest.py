"""The shared service, and the books checked after each module."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.acceptance.seat import Seat, seated
from tests.deployment import Deployment
from tests.wallet_api import WalletApi, wallet_api


@pytest_asyncio.fixture(scope="session")
async def api(deployment: Deployment) -> AsyncIterator[WalletApi]:
    async with wallet_api(deployment.address) as opened:
        yield opened


@pytest_asyncio.fixture
async def seat(api: WalletApi) -> Seat:
    """A new player with 100.00 EUR at a new source."""
    return await seated(api)


@pytest_asyncio.fixture(scope="module", autouse=True)
async def books_agree_afterwards(deployment: Deployment) -> AsyncIterator[None]:
    """All that a module's tests did must reach the ledger, and the audit must find nothing."""
    yield
    await deployment.require_agreement()
