"""What slipped in as new, and was not, is undone, each once."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio

from persistence.errors import LedgerUnavailable, RefusalReason, StoreUnavailable
from persistence.forgetting import Forgetter
from persistence.transactions import PlayerId, partition_of
from persistence.valkey.hot_wallets import HotWallets
from persistence.valkey.hydration import Hydration
from service.embedded import EmbeddedValkey
from tests.drained_ledger import PARTITION_COUNT, rollback
from tests.repairs import PARTITION, PLAYER, Evening, bet, deposit, repaired_evening, win


@pytest_asyncio.fixture
async def evening(valkey: EmbeddedValkey, ledger_dsn: str) -> AsyncIterator[Evening]:
    async with repaired_evening(valkey, ledger_dsn) as made:
        yield made


@pytest.fixture
def ledger_away(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Nobody can ask the ledger about an id, until it is undone."""

    async def away(*_: object) -> None:
        raise LedgerUnavailable("away")

    monkeypatch.setattr(Hydration, "_ask_ledger", away)
    return monkeypatch


async def test_a_late_duplicate_is_reversed_once(evening: Evening, ledger_away: pytest.MonkeyPatch) -> None:
    await evening.wallets.move(PLAYER, bet("b1", 10))
    await evening.forget()
    await evening.wallets.move(PLAYER, bet("b1", 10))
    ledger_away.undo()
    assert await evening.cash() == 80

    await evening.repair()
    await evening.repair()

    assert await evening.cash() == 90
    await evening.require_memory_of_the_ledger()
    assert await evening.open_incidents() == []


async def test_late_duplicates_of_a_partition_that_cannot_be_reached_hold_up_no_others(
    evening: Evening, ledger_away: pytest.MonkeyPatch
) -> None:
    lost = next(p for n in range(100) if partition_of(p := PlayerId(f"p{n}"), PARTITION_COUNT) != PARTITION)
    await evening.wallets.open(lost, credit_line=100)
    for player in (lost, PLAYER):
        await evening.wallets.move(player, bet("b1", 10))
    await evening.wallets.drain()
    await evening.oblivion.forget_fields([lost, PLAYER])
    for player in (lost, PLAYER):
        await evening.wallets.move(player, bet("b1", 10))
    await evening.wallets.drain()
    ledger_away.undo()
    residences = HotWallets.residences

    async def without_one(self: HotWallets, players: Sequence[PlayerId]) -> dict[PlayerId, str]:
        if lost in players:
            raise StoreUnavailable("its shard is down")
        return await residences(self, players)

    ledger_away.setattr(HotWallets, "residences", without_one)
    await evening.repair()
    assert (await evening.cash(), evening.repairing.counts.reversed) == (90, 1)

    ledger_away.undo()
    await evening.repair()
    assert evening.repairing.counts.reversed == 2


async def test_money_that_is_spent_is_taken_back_all_the_same(
    evening: Evening, ledger_away: pytest.MonkeyPatch
) -> None:
    await evening.wallets.move(PLAYER, win("w1", 50))
    await evening.forget()
    await evening.wallets.move(PLAYER, win("w1", 50))
    await evening.wallets.move(PLAYER, bet("b1", 180))
    ledger_away.undo()

    await evening.wallets.drain()
    await evening.repair()

    assert await evening.cash() == -30
    assert await evening.refusal(bet("b2", 1)) is RefusalReason.INSUFFICIENT_FUNDS
    await evening.wallets.move(PLAYER, deposit("d1", 31), source="cashier")
    await evening.wallets.move(PLAYER, bet("b3", 1))


@pytest.mark.parametrize("before", ["rolled back", "refused", "forestalled"])
async def test_a_late_duplicate_that_its_caller_rolled_back_is_not_undone_twice(
    evening: Evening, ledger_away: pytest.MonkeyPatch, before: str
) -> None:
    if before == "refused":
        assert await evening.refusal(bet("b1", 1000)) is RefusalReason.INSUFFICIENT_FUNDS
        await evening.wallets.move(PLAYER, deposit("more", 1000), source="cashier")
    else:
        steps = [bet("b1", 1000), rollback("u1", "b1")] if before == "rolled back" else [rollback("u1", "b1")]
        await evening.wallets.move(PLAYER, deposit("more", 1000), source="cashier")
        for step in steps:
            await evening.wallets.move(PLAYER, step)
    await evening.forget()
    await evening.wallets.move(PLAYER, bet("b1", 1000))
    await evening.wallets.move(PLAYER, rollback("u2", "b1"))
    ledger_away.undo()

    await evening.wallets.drain()
    await evening.repair()

    assert await evening.cash() == 1100
    assert await evening.open_incidents() == []


async def test_a_late_duplicate_of_a_bet_that_is_rolled_back_in_the_end_is_reversed(
    evening: Evening, ledger_away: pytest.MonkeyPatch
) -> None:
    await evening.wallets.move(PLAYER, bet("b1", 10))
    await evening.forget()
    await evening.wallets.move(PLAYER, bet("b1", 10))
    await evening.wallets.move(PLAYER, rollback("u1", "b1"))
    ledger_away.undo()

    await evening.wallets.drain()
    await evening.repair()

    assert await evening.cash() == 100


async def test_a_rollback_after_the_reversal_finds_what_the_ledger_has(
    evening: Evening, ledger_away: pytest.MonkeyPatch
) -> None:
    await evening.wallets.move(PLAYER, bet("b1", 10))
    await evening.wallets.move(PLAYER, rollback("u1", "b1"))
    await evening.forget()
    await evening.wallets.move(PLAYER, bet("b1", 10))
    ledger_away.undo()
    await evening.wallets.drain()

    await evening.repairing.run_once()
    await evening.wallets.move(PLAYER, rollback("u2", "b1"))
    await evening.repair()

    assert await evening.cash() == 100


async def test_a_rollback_that_comes_before_the_player_is_forgotten_takes_the_reversals_place(
    evening: Evening, ledger_away: pytest.MonkeyPatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    await evening.wallets.move(PLAYER, bet("b1", 10))
    await evening.wallets.move(PLAYER, rollback("u1", "b1"))
    await evening.forget()
    await evening.wallets.move(PLAYER, bet("b1", 10))
    ledger_away.undo()
    await evening.wallets.drain()
    forget = Forgetter.forget

    async def forget_a_little_later(self: Forgetter, *what: Any) -> object:
        await evening.wallets.move(PLAYER, rollback("u2", "b1"))
        await evening.wallets.drain()
        return await forget(self, *what)

    monkeypatch.setattr(Forgetter, "forget", forget_a_little_later)
    await evening.repair()

    assert await evening.cash() == 100
    assert await evening.open_incidents() == []


async def test_nothing_is_reversed_before_the_player_is_forgotten(
    evening: Evening, ledger_away: pytest.MonkeyPatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    await evening.wallets.move(PLAYER, bet("b1", 10))
    await evening.forget()
    await evening.wallets.move(PLAYER, bet("b1", 10))
    ledger_away.undo()
    await evening.wallets.drain()

    async def nobody_is_drained(*_: object) -> set[object]:
        return set()

    monkeypatch.setattr(Forgetter, "forget", nobody_is_drained)
    await evening.repair()
    assert await evening.cash() == 80
    assert len(await evening.open_incidents()) == 1
    monkeypatch.undo()
    await evening.repair()

    assert await evening.cash() == 90


async def test_a_reversal_that_cannot_be_booked_is_told_and_goes_on(
    evening: Evening, ledger_away: pytest.MonkeyPatch
) -> None:
    most = 10**36 - 1
    await evening.wallets.move(PLAYER, bet("b1", 100))
    await evening.forget()
    await evening.wallets.move(PLAYER, deposit("d1", 100), source="cashier")
    await evening.wallets.move(PLAYER, bet("b1", 100))
    await evening.wallets.move(PLAYER, deposit("d2", most), source="cashier")
    ledger_away.undo()
    await evening.wallets.drain()

    await evening.repair()

    [_, story] = await evening.open_incidents()
    assert "could not be booked" in story
    assert evening.repairing.counts.reversed == 0
    await evening.wallets.move(PLAYER, bet("b2", most), source="cashier")
    await evening.repair()
    assert await evening.cash() == 100
    assert await evening.open_incidents() == []
