"""Slips in another currency than the wallet's: one rate from first to last, and nothing is lost between."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from math import floor
from random import Random

import asyncpg
import pytest
import pytest_asyncio

from persistence.audit.audit import Audit
from persistence.audit.findings import Finding
from persistence.calls import Step
from persistence.errors import RefusalReason
from persistence.slips import Slip
from persistence.transactions import PlayerId
from persistence.valkey.engine import deadline_after
from service.embedded import EmbeddedValkey
from tests.converting_house import House, opened_house
from tests.drained_ledger import EUR, USD, rollback
from tests.integration.test_foreign_transactions import Player
from tests.slip_steps import (
    capture,
    cash_out,
    hold,
    place,
    release,
    reopen,
    resettle,
    settle,
    unsettle,
    void,
)

START = 100_000
SLIP = hold("s", 1000, currency=USD)


RATE = Fraction(9237, 10_000)
"""Euros for a dollar when the slip is opened: none of its parts comes to whole cents."""


def in_euros(dollars: int) -> int:
    """Cents that a credit of so many cents of dollars comes to."""
    return floor(dollars * RATE)


@pytest_asyncio.fixture
async def house(valkey: EmbeddedValkey, ledger_dsn: str) -> AsyncIterator[House]:
    """A player with 1000.00 EUR; a dollar is 0.92 EUR."""
    async with opened_house(valkey, ledger_dsn) as made:
        yield made


@dataclass(frozen=True, slots=True)
class Amounts:
    """Of the player's wallet, in cents of euros."""

    cash: int
    held: int


async def amounts(player: Player) -> Amounts:
    read = await player.house.engine.read_player(PlayerId(player.name), deadline=deadline_after(5.0))
    [wallet] = [balance for balance in read.balances if balance.currency == EUR]
    return Amounts(wallet.buckets.cash, wallet.buckets.held)


async def moved(player: Player, step: Step) -> int:
    """How much cash a step gives. Afterwards the market is somewhere else."""
    before = await amounts(player)
    await player.one(step)
    player.market.rates["USD", "EUR"] = f"0.{Random(step.transaction_id).randrange(7000, 9999)}"
    return (await amounts(player)).cash - before.cash


async def slip_of(player: Player, opening: Step) -> Slip:
    slip = (await player.one(opening)).slip
    assert slip is not None
    return slip


async def require_balance(house: House) -> None:
    """Every entry sums to zero in every currency, and the service's own audit agrees."""
    assert set((await house.sums()).values()) == {0}
    connection = await asyncpg.connect(house.dsn)
    try:
        unbalanced = await connection.fetch(
            "SELECT transaction_id, postings.currency, sum(postings.amount) FROM ledger.entries "
            "JOIN ledger.postings USING (partition, epoch, sequence, entry_index) "
            "GROUP BY transaction_id, postings.currency HAVING sum(postings.amount) <> 0"
        )
    finally:
        await connection.close()
    assert unbalanced == []
    audit = Audit(house.dsn, valkey_url=house.player.house.valkey_url)
    assert [found async for found in audit.run() if isinstance(found, Finding)] == []


async def test_a_slip_keeps_its_rate_from_the_hold_to_the_end_wherever_the_market_is(house: House) -> None:
    player, held = house.player, 924
    player.market.rates["USD", "EUR"] = str(RATE)
    assert await moved(player, SLIP) == -held
    assert await amounts(player) == Amounts(START - held, held)

    taken = []
    for number, part in enumerate((333, 333, 334)):
        before = (await amounts(player)).held
        assert await moved(player, capture(f"c{number}", "s", part, currency=USD)) == 0
        taken.append(before - (await amounts(player)).held)
    assert sum(taken) == held
    assert (await amounts(player)).held == 0

    paid = [0, 1234, 1235]
    first, second = (in_euros(later) - in_euros(earlier) for earlier, later in pairwise(paid))
    assert await moved(player, settle("w1", "s", 1234, is_final=False, currency=USD)) == first
    assert await moved(player, settle("w2", "s", 1, currency=USD)) == second
    assert await moved(player, rollback("x", "w2")) == -second
    assert await moved(player, rollback("xx", "x")) == second
    assert await moved(player, resettle("w3", "s", 2500, USD)) == in_euros(2500) - in_euros(1235)
    assert await moved(player, resettle("w4", "s", 0, USD)) == -in_euros(2500)
    assert await moved(player, rollback("y", "w4")) == in_euros(2500)
    assert await moved(player, unsettle("u", "s")) == -in_euros(2500)

    assert await moved(player, cash_out("o", "s", 350, stake=400, currency=USD)) == in_euros(350)
    live = (await slip_of(player, SLIP)).live_worth
    assert live <= held - in_euros(400)
    assert await moved(player, void("v", "s")) == live
    assert await moved(player, reopen("r", "s")) == -live
    assert await moved(player, rollback("z", "r")) == live

    assert await amounts(player) == Amounts(START - held + in_euros(350) + live, 0)
    await require_balance(house)


@pytest.mark.parametrize("seed", range(3))
async def test_parts_of_a_hold_come_to_exactly_what_it_took(house: House, seed: int) -> None:
    dice, player = Random(seed), house.player
    for number in range(6):
        name, left = f"s{number}", dice.randrange(100, 2000)
        took = -await moved(player, hold(name, left, currency=USD))
        taken = freed = 0
        for part in range(4):
            size = dice.randrange(2, left // 3)
            left -= size
            before = (await amounts(player)).held
            if dice.random() < 0.7:
                assert await moved(player, capture(f"{name}-c{part}", name, size, currency=USD)) == 0
                taken += before - (await amounts(player)).held
            else:
                freed += await moved(player, release(f"{name}-r{part}", name, size, USD))
            assert taken + freed + (await amounts(player)).held == took
        await moved(player, capture(f"{name}-last", name, left, currency=USD))
        assert (await amounts(player)).held == 0
    await require_balance(house)


UNDONE: dict[str, tuple[Sequence[Step], Step]] = {
    "a final capture": ([SLIP], capture("t", "s", 333, is_final=True, currency=USD)),
    "a release": ([SLIP], release("t", "s", 333, USD)),
    "a settlement": ([place("s", 1000, USD)], settle("t", "s", 333, currency=USD)),
    "a cash-out": ([place("s", 1000, USD)], cash_out("t", "s", 333, stake=100, currency=USD)),
    "a void": ([place("s", 1000, USD)], void("t", "s")),
    "a resettlement": (
        [place("s", 1000, USD), settle("w", "s", 999, currency=USD)],
        resettle("t", "s", 333, USD),
    ),
}


@pytest.mark.parametrize(("before", "step"), UNDONE.values(), ids=UNDONE)
async def test_a_rollback_is_exact_in_both_currencies(
    house: House, before: Sequence[Step], step: Step
) -> None:
    player = house.player
    for earlier in before:
        await moved(player, earlier)
    was = await amounts(player), await slip_of(player, before[0])

    there = await moved(player, step)
    back = await moved(player, rollback("x", "t"))

    assert there == -back
    slip = await slip_of(player, before[0])
    assert (await amounts(player), replace(slip, version=1, undone="", seal="")) == (
        was[0],
        replace(was[1], version=1, undone="", seal=""),
    )
    there_legs, back_legs = await player.legs("t"), await player.legs("x")
    assert {account: -amount for account, amount in there_legs.items()} == back_legs
    await require_balance(house)


async def test_a_part_in_another_currency_than_the_slip_s_is_refused(house: House) -> None:
    await house.player.one(SLIP)
    reason = await house.player.refused(capture("c", "s", 1, currency=EUR))
    assert reason is RefusalReason.REFERENCE_MISMATCH


async def test_a_result_is_corrected_by_less_than_the_wallet_can_tell(house: House) -> None:
    player = house.player
    await player.one(place("s", 1000, USD))
    await player.one(settle("w", "s", 1000, currency=USD))
    before = await amounts(player)
    for name, total in (("x1", 1001), ("x2", 1000), ("x3", 1001)):
        await player.one(resettle(name, "s", total, USD))
        assert abs((await amounts(player)).cash - before.cash) <= 1
    assert (await player.one(resettle("x4", "s", 1000, USD))).slip is not None
    assert await amounts(player) == before
    await house.player.house.drain()
    await require_balance(house)
