"""Repairs and sweeps beside each other: neither waits for the other, or ends with it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import asyncpg
import pytest
import pytest_asyncio
from pydantic import SecretStr
from redis.asyncio import Redis

from persistence.adoption import adoption
from persistence.errors import StoreUnavailable
from persistence.forgetting import Forgetter, Pace
from persistence.postgres.adopting import AdoptingLedger
from persistence.repairing import Repairing
from persistence.salvage import Salvage
from persistence.transactions import PlayerId, TransactionKind, partition_of
from persistence.valkey.engine import deadline_after
from service import housekeeping
from service.embedded import EmbeddedValkey
from service.embedded.ports import LOOPBACK
from service.housekeeping import keep_house
from service.settings import Settings
from tests.drained_ledger import PARTITION_COUNT, TIMEOUT_S, Wallets, movement, wallets
from tests.waiting import until

DATABASE = 13
"""Of the shared server; the service's own data are in database 0."""
PLAYER = PlayerId("player-1")
NEVER_S = 3600.0


@dataclass(slots=True)
class Evening:
    """A player with 100 cents, and how often a sweep began."""

    money: Wallets
    ledger: "asyncpg.Connection[asyncpg.Record]"
    settings: Settings
    sweeps: int = 0
    pause_s: float = NEVER_S

    def pace(self, window_s: float) -> Pace:
        self.sweeps += 1
        return Pace(window_s, batch_players=1, pause_s=self.pause_s)

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        keeper = asyncio.create_task(keep_house(self.settings, stop))
        try:
            yield
        finally:
            stop.set()
            await asyncio.wait_for(keeper, TIMEOUT_S)

    async def owe_a_bet(self) -> None:
        """A bet of 10 cents that was answered is no part of the history any more."""
        await self.money.move(PLAYER, movement(TransactionKind.BET, "b1", 10))
        postgres_url, valkey_url = self.money.ledger_dsn, self.money.valkey_url
        async with adoption(postgres_url=postgres_url, valkey_url=valkey_url) as adopting:
            partition = partition_of(PLAYER, PARTITION_COUNT)
            await Salvage(postgres_url, valkey_url, adopting).cut_off(partition, dry_run=False)

    async def until_repaired(self) -> None:
        async def is_restored() -> bool:
            waiting = "SELECT count(*) FROM ledger.salvaged WHERE restored_time IS NULL"
            return bool(await self.ledger.fetchval(waiting) == 0)

        await until(is_restored, what="what was lost is booked again")
        view = await self.money.engine.read_player(PLAYER, deadline=deadline_after(TIMEOUT_S))
        assert view.balances[0].buckets.cash == 90

    async def until_swept(self, times: int) -> None:
        async def have_begun() -> bool:
            return self.sweeps >= times

        await until(have_begun, what="a sweep is under way")

    async def let_go(self) -> int:
        """Ends the connection that holds the lock; how many there were."""
        ended = await self.ledger.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
            "AND classid = hashtext('stakehold housekeeping')::bigint & 4294967295"
        )
        return len(ended)


@pytest_asyncio.fixture
async def evening(
    valkey: EmbeddedValkey, ledger_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Evening]:
    url = f"redis://{LOOPBACK}:{valkey.port}/{DATABASE}"
    settings = Settings(valkey_url=SecretStr(url), postgres_url=SecretStr(ledger_dsn), forget_every_s=0.01)
    ledger = await asyncpg.connect(ledger_dsn)
    async with Redis.from_url(url) as store:
        await store.flushdb()
    try:
        async with wallets(url, ledger_dsn) as money:
            await money.open(PLAYER)
            await money.move(PLAYER, movement(TransactionKind.DEPOSIT, "d1", 100), source="cashier")
            await money.drain()
            made = Evening(money, ledger, settings)
            monkeypatch.setattr(housekeeping, "Pace", made.pace)
            monkeypatch.setattr(housekeeping, "_RETRY_S", 0.01)
            yield made
    finally:
        await ledger.close()


def failing(error: Exception) -> Callable[..., object]:
    async def fail(*_: object, **__: object) -> None:
        raise error

    return fail


async def test_a_repair_is_carried_out_while_a_sweep_is_under_way(evening: Evening) -> None:
    async with evening.kept():
        await evening.until_swept(1)

        await evening.owe_a_bet()
        await evening.until_repaired()

        assert evening.sweeps == 1


@pytest.mark.parametrize("error", [StoreUnavailable("a shard is down"), RuntimeError("a mistake")], ids=repr)
async def test_repairs_go_on_while_every_sweep_fails(
    evening: Evening, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    await evening.owe_a_bet()
    monkeypatch.setattr(Forgetter, "sweep", failing(error))

    async with evening.kept():
        await evening.until_repaired()


@pytest.mark.parametrize("error", [StoreUnavailable("away"), RuntimeError("a mistake")], ids=repr)
async def test_sweeps_go_on_while_every_repair_fails(
    evening: Evening, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(Repairing, "run_once", failing(error))
    evening.pause_s = 0.0

    async with evening.kept():
        await evening.until_swept(3)


async def test_who_lost_the_lock_sweeps_no_longer_and_begins_anew_with_it(evening: Evening) -> None:
    async with evening.kept():
        await evening.until_swept(1)

        assert await evening.let_go() == 1

        await evening.until_swept(2)


async def test_one_of_two_keeps_house(evening: Evening, monkeypatch: pytest.MonkeyPatch) -> None:
    evening.pause_s = 0.0
    refused = asyncio.Event()
    ask = AdoptingLedger.try_to_keep_house

    async def tell(ledger: AdoptingLedger) -> bool:
        may = await ask(ledger)
        if not may:
            refused.set()
        return may

    monkeypatch.setattr(AdoptingLedger, "try_to_keep_house", tell)
    await evening.ledger.fetchval("SELECT pg_advisory_lock(hashtext('stakehold housekeeping'), 0)")

    async with evening.kept():
        await asyncio.wait_for(refused.wait(), TIMEOUT_S)
        assert evening.sweeps == 0

        await evening.ledger.fetchval("SELECT pg_advisory_unlock(hashtext('stakehold housekeeping'), 0)")
        await evening.until_swept(1)


async def test_a_sweep_that_missed_its_cancellation_ends_all_the_same(
    evening: Evening, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept = asyncio.Event()

    async def miss_one(*_: object) -> None:
        swept.set()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(NEVER_S)
        await asyncio.sleep(NEVER_S)

    monkeypatch.setattr(Forgetter, "sweep", miss_one)
    async with evening.kept():
        await asyncio.wait_for(swept.wait(), TIMEOUT_S)
