"""The cashier's desk for one player, and what it has moved."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from stakehold.v1 import ledger_service_pb2 as ledger_pb
from stakehold.v1.ledger_service_pb2_grpc import LedgerServiceStub
from tests.acceptance.seat import Seat
from tests.cashier_api import (
    TIMEOUT_S,
    CashierApi,
    cashier_api,
)
from tests.deployment import Deployment
from tests.waiting import until


@asynccontextmanager
async def at_the_desk(seat: Seat, deployment: Deployment) -> AsyncIterator[CashierApi]:
    async with cashier_api(deployment.address, seat.source_id, seat.player_id) as opened:
        yield opened


async def money(seat: Seat) -> tuple[str, str, str]:
    balance = await seat.balance()
    return balance.cash, balance.bonus, balance.held


async def entries_of(deployment: Deployment, player: str, count: int) -> list[ledger_pb.Entry]:
    """The player's entries, oldest first, once there are so many."""
    found: list[ledger_pb.Entry] = []
    async with grpc.aio.insecure_channel(deployment.address) as channel:
        stub = LedgerServiceStub(channel)

        async def there() -> bool:
            request = ledger_pb.ListEntriesRequest(player_id=player, page_size=100)
            found[:] = (await stub.ListEntries(request, timeout=TIMEOUT_S)).entries
            return len(found) >= count

        await until(there, what=f"{count} entries of {player}")
    return found
