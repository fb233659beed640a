"""A player at the cashier's desk."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.acceptance.cashier.desk import at_the_desk
from tests.acceptance.seat import Seat
from tests.cashier_api import CashierApi
from tests.deployment import Deployment


@pytest_asyncio.fixture(loop_scope="session")
async def desk(seat: Seat, deployment: Deployment) -> AsyncIterator[CashierApi]:
    """A player with 100.00 EUR."""
    async with at_the_desk(seat, deployment) as opened:
        yield opened
