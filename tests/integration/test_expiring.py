"""Deadlines of holds: each fires once, whatever was lost, restarted or asked at the same time."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio

from persistence.calls import Call, StepResult, TransactionRecord
from persistence.drainer import wall_clock_ms
from persistence.errors import OutcomeUnknown, StoreUnavailable
from persistence.expiring import Expiring, expiry_id
from persistence.postgres.database import LedgerRole, Pool, ledger_pool
from persistence.postgres.reading.slips import SlipFilter, SlipPage, SlipReader
from persistence.slips import SlipState
from persistence.transactions import Buckets, PlayerId, SourceId, TransactionId, TransactionKind
from persistence.valkey.engine import deadline_after
from service.embedded import EmbeddedValkey
from tests.drained_ledger import TIMEOUT_S, Wallets, movement, rollback, wallets
from tests.forgetful import Oblivion, oblivion
from tests.slip_steps import capture, hold, place, settle

pytestmark = pytest.mark.asyncio(loop_scope="session")

ADA = PlayerId("ada")
GAMES = SourceId("games")
SLIP = TransactionId("s")


@dataclass(slots=True)
class House:
    """Ada's wallet, and whoever looks for deadlines."""

    money: Wallets
    reading: Pool
    oblivion: Oblivion
    time_s: float = 0.0

    def expiring(self, engine: Any = None) -> Expiring:
        return Expiring(engine or self.money.engine, SlipReader(self.reading), now_s=lambda: self.time_s)

    async def expire(self, expiring: Expiring | None = None) -> Expiring:
        """Drains, and looks until there is nothing more to do at once."""
        await self.money.drain()
        expiring = expiring or self.expiring()
        while await expiring.run_once():
            pass
        return expiring

    async def buckets(self) -> Buckets:
        view = await self.money.engine.read_player(ADA, deadline=deadline_after(TIMEOUT_S))
        return view.balances[0].buckets

    async def slip(self) -> TransactionRecord:
        view = await self.money.engine.read_player(
            ADA, transaction=(GAMES, SLIP), deadline=deadline_after(TIMEOUT_S)
        )
        assert view.transaction is not None
        return view.transaction

    async def listed(self, **wanted: Any) -> SlipPage:
        await self.money.drain()
        return await SlipReader(self.reading).list_slips(
            SlipFilter(ADA, **wanted), page_size=10, page_token="", deadline=deadline_after(TIMEOUT_S)
        )


@pytest_asyncio.fixture(loop_scope="session")
async def house(private_valkey: EmbeddedValkey, ledger_dsn: str) -> AsyncIterator[House]:
    """Ada with 100 cents."""
    async with AsyncExitStack() as stack:
        money = await stack.enter_async_context(wallets(private_valkey.url, ledger_dsn))
        reading = await stack.enter_async_context(
            ledger_pool(ledger_dsn, role=LedgerRole.READER, size=4, statement_timeout_s=TIMEOUT_S)
        )
        forgetting = await stack.enter_async_context(oblivion(private_valkey.url, ledger_dsn))
        await money.open(ADA)
        await money.move(ADA, movement(TransactionKind.DEPOSIT, "start", 100))
        yield House(money, reading, forgetting)


def due_ms() -> int:
    return wall_clock_ms() - 1


async def test_what_is_held_past_its_time_is_given_back_once(house: House) -> None:
    await house.money.move(ADA, hold("s", 60, expires_ms=due_ms()))
    first = await house.expire()
    assert first.counts.expired == 1
    assert await house.buckets() == Buckets(cash=100)
    slip = (await house.slip()).slip
    assert slip is not None
    assert (slip.state, slip.last) == (SlipState.EXPIRED, expiry_id(SLIP))
    again = await house.expire()
    assert again.counts.expired == 0


async def test_a_hold_whose_time_has_not_come_is_left_alone(house: House) -> None:
    await house.money.move(ADA, hold("s", 60, expires_ms=wall_clock_ms() + 3_600_000))
    await house.money.move(ADA, hold("s2", 10))
    assert (await house.expire()).counts.expired == 0
    assert await house.buckets() == Buckets(cash=30, held=70)


async def test_what_was_captured_in_time_stays_so(house: House) -> None:
    soon_ms = wall_clock_ms() + 1_000
    await house.money.move(ADA, hold("s", 60, expires_ms=soon_ms), capture("c", "s", 45))
    while wall_clock_ms() <= soon_ms:
        await asyncio.sleep(0.05)
    await house.expire()
    slip = (await house.slip()).slip
    assert slip is not None
    assert slip.state is SlipState.OPEN
    assert await house.buckets() == Buckets(cash=55)
    await house.money.move(ADA, settle("w", "s", 90))
    assert await house.buckets() == Buckets(cash=145)


@pytest.mark.parametrize("forget", ["ids and rounds", "the player"])
async def test_a_deadline_outlives_the_store_s_memory(house: House, forget: str) -> None:
    await house.money.move(ADA, hold("s", 60, expires_ms=due_ms()))
    await house.money.drain()
    if forget == "the player":
        await house.oblivion.forget_players([ADA])
    else:
        await house.oblivion.forget_fields([ADA])
    assert (await house.expire()).counts.expired == 1
    assert await house.buckets() == Buckets(cash=100)


async def test_many_at_once_give_it_back_once(house: House) -> None:
    await house.money.move(ADA, hold("s", 60, expires_ms=due_ms()))
    await house.money.drain()
    many = [house.expiring() for _ in range(8)]
    await asyncio.gather(*(expiring.run_once() for expiring in many))
    assert sum(expiring.counts.expired for expiring in many) == 1
    assert await house.buckets() == Buckets(cash=100)


class LosesAnswers:
    """An engine that does what it is told, and whose first answer is lost."""

    def __init__(self, engine: Any, error: Exception, *, applies: bool) -> None:
        self._engine, self._errors, self._applies = engine, [error], applies

    async def transact(self, call: Call, *, deadline: float) -> tuple[StepResult, ...]:
        if self._errors and not self._applies:
            raise self._errors.pop()
        results: tuple[StepResult, ...] = await self._engine.transact(call, deadline=deadline)
        if self._errors:
            raise self._errors.pop()
        return results


LOST: Mapping[str, tuple[Exception, bool]] = {
    "lost after it was done": (OutcomeUnknown("lost"), True),
    "lost before it was done": (OutcomeUnknown("lost"), False),
    "nothing done": (StoreUnavailable("away"), False),
}


@pytest.mark.parametrize(("error", "applies"), LOST.values(), ids=LOST)
async def test_a_lost_answer_is_asked_for_again_and_the_others_do_not_wait(
    house: House, error: Exception, applies: bool
) -> None:
    await house.money.move(ADA, hold("s", 60, expires_ms=due_ms()))
    expiring = house.expiring(LosesAnswers(house.money.engine, error, applies=applies))
    await house.expire(expiring)
    assert expiring.counts.expired == 0
    await house.expire(expiring)  # its partition rests
    assert (await house.buckets()).held == (0 if applies else 60)
    house.time_s += 60
    await house.expire(expiring)
    assert await house.buckets() == Buckets(cash=100)


async def test_a_hold_that_a_rollback_brings_back_is_due(house: House) -> None:
    soon_ms = wall_clock_ms() + 1_000
    await house.money.move(ADA, hold("s", 60, expires_ms=soon_ms), capture("c", "s", 60))
    while wall_clock_ms() <= soon_ms:
        await asyncio.sleep(0.05)
    assert (await house.expire()).counts.expired == 0
    await house.money.move(ADA, rollback("r", "c"))
    assert await house.buckets() == Buckets(cash=40, held=60)
    assert (await house.expire()).counts.expired == 1
    assert await house.buckets() == Buckets(cash=100)


async def test_the_ledger_lists_slips_as_they_are(house: House) -> None:
    await house.money.move(ADA, hold("s", 60, expires_ms=due_ms()))
    await house.money.move(ADA, place("p", 10), settle("w", "p", 25))
    await house.expire()
    listed = {each.slip.slip_id: each for each in (await house.listed()).slips}
    assert {name: each.slip.state for name, each in listed.items()} == {
        "s": SlipState.EXPIRED,
        "p": SlipState.SETTLED,
    }
    slip = (await house.slip()).slip
    assert slip is not None
    assert listed[SLIP].slip == replace(slip, seal="")
    assert (listed[SLIP].source_id, listed[SLIP].wallet_currency) == ("games", "EUR")
    settled = await house.listed(states=(SlipState.SETTLED,))
    assert [each.slip.slip_id for each in settled.slips] == ["p"]
    assert not (await house.listed(source_id="others")).slips
