"""An id that comes again after any time gets the first answer, whatever the store has forgotten since."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from persistence.calls import Step
from persistence.drainer import wall_clock_ms
from persistence.errors import RefusalDetails, RefusalReason, Refused
from persistence.forgetting import Pace
from persistence.transactions import PlayerId, TransactionKind, partition_of
from persistence.valkey.keys import player_keys
from service.embedded import EmbeddedValkey
from service.embedded.ports import LOOPBACK
from tests.drained_ledger import PARTITION_COUNT, WINDOW_S, Wallets, movement, rollback, wallets
from tests.forgetful import Oblivion, oblivion

DATABASE = 13
"""Of the shared server; the service's own data are in database 0."""
PLAYER = PlayerId("player-1")
KEYS = player_keys(partition_of(PLAYER, PARTITION_COUNT), PLAYER)

bet = partial(movement, TransactionKind.BET, round_id="r1", game="g")
deposit = partial(movement, TransactionKind.DEPOSIT)


@dataclass(slots=True)
class Clock:
    """Runs ahead of the true time."""

    ahead: timedelta = timedelta()

    def now_ms(self) -> int:
        return wall_clock_ms() + round(1000 * self.ahead.total_seconds())


@dataclass(frozen=True, slots=True)
class Years:
    """One player, and all the time in the world."""

    wallets: Wallets
    clock: Clock
    oblivion: Oblivion
    store: Redis

    async def pass_by(self, time: timedelta) -> None:
        """Everything is drained, time passes, and the store is swept."""
        await self.wallets.drain()
        self.clock.ahead += time
        await self.oblivion.forgetter.sweep(self.clock.now_ms, Pace(WINDOW_S, pause_s=0.0))

    async def remembered_ids(self) -> int:
        """How many the store knows by itself."""
        return int(await self.store.hlen(KEYS.ids))

    async def refusal(self, step: Step) -> RefusalDetails:
        with pytest.raises(Refused) as caught:
            await self.wallets.move(PLAYER, step)
        return caught.value.details

    async def require_first_answers_again(self, cash: int) -> None:
        """To all that was asked at first; and nothing is moved."""
        [again] = await self.wallets.move(PLAYER, bet("b1", 10))
        assert again.replayed
        assert again.balance_after is not None
        assert again.balance_after.buckets.cash == 90
        assert again.balance_now is not None
        assert again.balance_now.buckets.cash == cash
        assert (await self.refusal(bet("b1", 11))).reason is RefusalReason.TRANSACTION_ID_CONFLICT
        refused = await self.refusal(bet("b2", 1000))
        assert (refused.reason, refused.replayed) == (RefusalReason.INSUFFICIENT_FUNDS, True)
        assert (await self.refusal(bet("b3", 1))).reason is RefusalReason.TRANSACTION_ROLLED_BACK


@pytest_asyncio.fixture
async def years(valkey: EmbeddedValkey, ledger_dsn: str) -> AsyncIterator[Years]:
    url = f"redis://{LOOPBACK}:{valkey.port}/{DATABASE}"
    clock = Clock()
    async with Redis.from_url(url) as store:
        await store.flushdb()
        async with (
            wallets(url, ledger_dsn, now_ms=clock.now_ms) as money,
            oblivion(url, ledger_dsn) as forgetting,
        ):
            await money.open(PLAYER)
            await money.move(PLAYER, deposit("start", 100), source="cashier")
            yield Years(money, clock, forgetting, store)


@pytest.mark.parametrize(
    "age",
    [timedelta(hours=25), timedelta(days=122), timedelta(days=731)],
    ids=["25 hours", "4 months", "2 years"],
)
async def test_a_duplicate_is_a_replay_however_late_it_comes(years: Years, age: timedelta) -> None:
    await years.wallets.move(PLAYER, bet("b1", 10))
    await years.refusal(bet("b2", 1000))
    await years.wallets.move(PLAYER, rollback("u3", "b3"))

    await years.pass_by(age)
    assert await years.remembered_ids() == 0
    await years.require_first_answers_again(cash=90)

    await years.wallets.move(PLAYER, bet("b4", 10))
    await years.pass_by(age)
    assert await years.remembered_ids() == 0
    await years.require_first_answers_again(cash=80)


async def test_within_the_window_the_store_knows_by_itself(years: Years) -> None:
    await years.wallets.move(PLAYER, bet("b1", 10))

    await years.pass_by(timedelta(hours=23))

    assert await years.remembered_ids() == 2
