"""A player at one source: what tests of the rules call."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import pytest

from stakehold.v1 import wallet_service_pb2
from tests.answers import Balance, Done, Refused
from tests.reference import Policies, Step
from tests.steps import deposit
from tests.wallet_api import WalletApi, new_name

_Answer = TypeVar("_Answer")

CASHIER = "cashier"
"""The source of starting balances, so that a test's own source sees only the test's own ids."""


@dataclass(frozen=True, slots=True)
class Seat:
    """Calls are for this player and from this source."""

    api: WalletApi
    source_id: str
    player_id: str

    async def play(self, *steps: Step) -> list[Done]:
        """One call."""
        return await self.api.transact(self.source_id, self.player_id, steps)

    async def one(self, step: Step) -> Done:
        """One call of one step."""
        [done] = await self.play(step)
        return done

    async def refused(self, *steps: Step) -> Refused:
        """One call that has to be refused."""
        with pytest.raises(Refused) as caught:
            await self.play(*steps)
        return caught.value

    async def balance(self, currency: str = "EUR") -> Balance:
        balances = {balance.currency: balance for balance in await self.api.balances(self.player_id)}
        return balances[currency]

    async def cash(self, currency: str = "EUR") -> str:
        return (await self.balance(currency)).cash

    async def look_up(self, transaction_id: str) -> wallet_service_pb2.GetTransactionResponse:
        return await self.api.transaction(self.source_id, self.player_id, transaction_id)


async def seated(
    api: WalletApi,
    *,
    start: str = "100",
    currency: str = "EUR",
    credit_line: str = "",
    policies: Policies | None = None,
) -> Seat:
    """A new player with money at a new source; with ``start`` empty the wallet is opened only."""
    seat = Seat(api, new_name("games"), new_name("player"))
    await answered(lambda: api.put_source(seat.source_id, policies))
    await answered(lambda: api.open_wallet(seat.player_id, currency, credit_line=credit_line))
    if start:
        await answered(lambda: api.put_source(CASHIER))
        await answered(lambda: api.transact(CASHIER, seat.player_id, [deposit("start", start, currency)]))
    return seat


async def answered(call: Callable[[], Awaitable[_Answer]], *, tries: int = 20) -> _Answer:
    """Sends the same again where nothing was done, as every caller has to: set-up is no test of that."""
    for _ in range(tries - 1):
        try:
            return await call()
        except Refused as refusal:
            if refusal.code != "UNAVAILABLE":
                raise
            await asyncio.sleep((refusal.details.retry_delay_ms or 0) / 1000)
    return await call()
