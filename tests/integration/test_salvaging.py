"""What was answered and cut off is booked again, each once."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from persistence.adoption import Adoption, adopt_partitions, adoption
from persistence.adoption_plan import TakeOver
from persistence.errors import SetupRefused
from persistence.outbox import OutboxEntry
from persistence.postgres.adopting import AdoptingLedger
from persistence.postgres.repairs import RepairList
from persistence.salvage import Salvage
from persistence.slips import SlipState
from persistence.transactions import PlayerId, WalletStatus, partition_of
from persistence.valkey.engine import Engine, deadline_after
from persistence.valkey.outbox_reader import OutboxReader
from service.embedded import EmbeddedValkey
from service.telemetry.opening import open_traces
from service.telemetry.trace_settings import TraceSettings
from tests.drained_ledger import PARTITION_COUNT, TIMEOUT_S, USD, rollback
from tests.repairs import (
    PARTITION,
    PLAYER,
    Crash,
    Evening,
    bet,
    deposit,
    repaired_evening,
)
from tests.slip_steps import capture, hold, release, settle


@pytest_asyncio.fixture
async def evening(valkey: EmbeddedValkey, ledger_dsn: str) -> AsyncIterator[Evening]:
    async with repaired_evening(valkey, ledger_dsn) as made:
        yield made


async def test_what_is_kept_is_not_taken_for_known_by_the_store_that_is_about_to_be_cut_off(
    evening: Evening, monkeypatch: pytest.MonkeyPatch
) -> None:
    await evening.wallets.move(PLAYER, bet("b1", 10))
    abandon = Adoption.abandon

    async def abandon_after_a_repair(self: Adoption, number: int, why: str) -> TakeOver:
        await evening.repairing.run_once()
        return await abandon(self, number, why)

    monkeypatch.setattr(Adoption, "abandon", abandon_after_a_repair)

    await evening.cut_off()
    await evening.repair()

    assert await evening.cash() == 90
    [story] = await evening.stories("history_forked")
    assert story.endswith("it was booked again under its id")


async def test_a_record_whose_call_was_traced_is_booked_again_like_any_other(evening: Evening) -> None:
    settings = TraceSettings(traces_endpoint="http://127.0.0.1:1/v1/traces", traces_ratio=1.0)
    async with open_traces(settings, CollectorRegistry(), role="tests") as traces:
        with traces.incoming("a game"):
            await evening.wallets.move(PLAYER, bet("b1", 10))

    await evening.cut_off()
    await evening.repair()

    assert await evening.cash() == 90
    [replay] = await evening.wallets.move(PLAYER, bet("b1", 10))
    assert replay.replayed
    [story] = await evening.stories("history_forked")
    assert story.endswith("it was booked again under its id")


async def test_only_the_store_that_goes_on_is_cut_off(
    evening: Evening, private_valkey: EmbeddedValkey
) -> None:
    await evening.wallets.move(PLAYER, bet("b1", 10))
    postgres_url, valkey_url = evening.wallets.ledger_dsn, evening.wallets.valkey_url

    async with adoption(postgres_url=postgres_url, valkey_url=valkey_url) as adopting:
        with pytest.raises(SetupRefused, match="another store"):
            await Salvage(postgres_url, private_valkey.url, adopting).cut_off(PARTITION, dry_run=False)

    assert await evening.cash() == 90


@pytest.mark.parametrize("step", ["take_over", "trim"])
async def test_a_crash_while_an_outbox_is_cut_off_loses_nothing(
    evening: Evening, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    await evening.wallets.move(PLAYER, bet("b1", 10))

    async def crash(*_: object, **__: object) -> None:
        raise Crash

    monkeypatch.setattr(OutboxReader, step, crash)
    with pytest.raises(Crash):
        await evening.cut_off()
    monkeypatch.undo()
    await evening.wallets.move(PLAYER, bet("b2", 5))

    adopted = await adopt_partitions(
        postgres_url=evening.wallets.ledger_dsn, valkey_url=evening.wallets.valkey_url
    )
    adopted.require_all()
    await evening.repairing.run_once()
    await evening.cut_off()
    await evening.repair()

    assert await evening.cash() == 85
    [replay] = await evening.wallets.move(PLAYER, bet("b1", 10))
    assert replay.replayed


@pytest.mark.parametrize(("seed", "is_old"), [(1, False), (2, False), (3, True), (4, True)])
async def test_what_is_booked_again_is_remembered_as_if_it_had_never_been_lost(
    evening: Evening, seed: int, *, is_old: bool
) -> None:
    dice = random.Random(seed)
    await evening.wallets.open(PLAYER, USD, credit_line=500)
    await evening.play_at_random(dice)
    await evening.wallets.drain()
    await evening.play_at_random(dice)
    before = await evening.balances()

    await evening.cut_off()
    if is_old:
        await evening.cash()
        await evening.forget()
    await evening.repairing.run_once()

    assert evening.repairing.counts.failed == 0
    assert await evening.balances() == before
    await evening.wallets.drain()
    await evening.require_memory_of_the_ledger(complete=not is_old)


async def test_a_record_that_cannot_be_booked_holds_nobody_up(
    evening: Evening, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = next(
        p for n in range(100) if partition_of(p := PlayerId(f"other-{n}"), PARTITION_COUNT) == PARTITION
    )
    await evening.wallets.open(other)
    await evening.wallets.move(other, deposit("o1", 7), source="cashier")
    await evening.wallets.move(PLAYER, bet("b1", 10))
    await evening.wallets.move(PLAYER, rollback("u1", "b1"))
    await evening.wallets.move(other, deposit("o2", 7), source="cashier")
    await evening.cut_off()
    restore = Engine.restore

    async def stumble(self: Engine, player_id: PlayerId, entry: OutboxEntry, *, deadline: float) -> object:
        if entry.transaction_id == "b1":
            raise RuntimeError("a mistake in the script")
        return await restore(self, player_id, entry, deadline=deadline)

    monkeypatch.setattr(Engine, "restore", stumble)
    await evening.repair()
    await evening.repair()

    view = await evening.wallets.engine.read_player(other, deadline=deadline_after(TIMEOUT_S))
    assert view.balances[0].buckets.cash == 14
    assert any("a mistake in the script" in story for story in await evening.open_incidents())
    monkeypatch.undo()
    await evening.repair()
    assert await evening.cash() == 100
    assert not any("a mistake" in story for story in await evening.open_incidents())


async def test_a_status_of_a_wallet_that_is_not_there_is_told(evening: Evening) -> None:
    await evening.wallets.open(PLAYER, USD)
    await evening.wallets.set_status(PLAYER, WalletStatus.DEBITS_FROZEN, USD)
    await evening.cut_off()
    await evening.ledger.execute(
        "UPDATE ledger.salvaged SET restored_time = now() "
        "WHERE salvaged_id = (SELECT min(salvaged_id) FROM ledger.salvaged)"
    )

    await evening.repair()

    [story] = await evening.open_incidents()
    assert story.endswith("there is no such wallet, and it could not be booked again")


async def test_what_was_kept_and_drained_after_all_is_settled(evening: Evening) -> None:
    await evening.wallets.move(PLAYER, bet("b1", 10))
    await evening.wallets.open(PLAYER, USD)
    await evening.wallets.set_status(PLAYER, WalletStatus.DEBITS_FROZEN, USD)
    await evening.wallets.move(PLAYER, bet("b2", 1), rollback("u2", "b2"), rollback("u3", "b3"))
    await evening.refusal(bet("b4", 1000))
    await evening.wallets.move(PLAYER, hold("s", 5), capture("c", "s", 5))
    async with adoption(
        postgres_url=evening.wallets.ledger_dsn, valkey_url=evening.wallets.valkey_url
    ) as adopting:
        await Salvage(evening.wallets.ledger_dsn, evening.wallets.valkey_url, adopting).save_all(
            dry_run=False
        )
    await evening.repairing.run_once()
    assert await evening.waiting_records() == 6

    await evening.repair()

    assert await evening.waiting_records() == 0
    assert await evening.open_incidents() == []
    assert await evening.cash() == 85


@pytest.mark.parametrize("survived", [0, 1, 2])
async def test_a_crash_between_entries_books_each_once(
    evening: Evening, monkeypatch: pytest.MonkeyPatch, survived: int
) -> None:
    await evening.wallets.move(PLAYER, bet("b1", 10), bet("b2", 20), rollback("u1", "b1"))
    await evening.cut_off()
    restore, left = Engine.restore, survived

    async def crash(self: Engine, player_id: PlayerId, entry: OutboxEntry, *, deadline: float) -> object:
        nonlocal left
        outcome = await restore(self, player_id, entry, deadline=deadline)
        if left == 0:
            raise asyncio.CancelledError
        left -= 1
        return outcome

    monkeypatch.setattr(Engine, "restore", crash)
    with pytest.raises(asyncio.CancelledError):
        await evening.repairing.run_once()
    monkeypatch.undo()
    await evening.repair()

    assert await evening.cash() == 80
    assert await evening.waiting_records() == 0
    assert await evening.stories("late_duplicate") == []


@pytest.mark.parametrize(
    ("owner", "method"), [(AdoptingLedger, "raise_incidents"), (RepairList, "is_restored")]
)
async def test_a_crash_behind_the_entries_books_each_once(
    evening: Evening, monkeypatch: pytest.MonkeyPatch, owner: type, method: str
) -> None:
    await evening.wallets.move(PLAYER, bet("b1", 10), bet("b2", 20), rollback("u1", "b1"))
    await evening.cut_off()

    async def crash(*_: object, **__: object) -> None:
        raise Crash

    monkeypatch.setattr(owner, method, crash)
    with pytest.raises(Crash):
        await evening.repairing.run_once()
    monkeypatch.undo()
    await evening.repair()

    assert await evening.cash() == 80
    assert await evening.waiting_records() == 0
    assert await evening.stories("late_duplicate") == []


async def test_answers_on_a_slip_that_were_cut_off_are_booked_again(evening: Evening) -> None:
    await evening.wallets.move(PLAYER, hold("s", 60))
    await evening.wallets.drain()
    await evening.wallets.move(PLAYER, capture("c", "s", 20), release("r", "s"))
    await evening.wallets.move(PLAYER, settle("w", "s", 45))

    await evening.cut_off()
    await evening.repair()

    assert await evening.cash() == 125
    [replay] = await evening.wallets.move(PLAYER, settle("w", "s", 45))
    assert replay.replayed
    assert replay.slip is not None
    assert (replay.slip.state, replay.slip.held, replay.slip.paid) == (SlipState.SETTLED, 0, 45)
    await evening.wallets.drain()
    await evening.require_memory_of_the_ledger(complete=True)


async def test_of_a_slip_that_has_changed_otherwise_since_nothing_is_booked_again_and_all_is_told(
    evening: Evening,
) -> None:
    await evening.wallets.move(PLAYER, hold("s", 60))
    await evening.wallets.drain()
    await evening.wallets.move(PLAYER, capture("c1", "s", 20))
    await evening.wallets.move(PLAYER, capture("c2", "s", 20))

    await evening.cut_off()
    await evening.wallets.move(PLAYER, release("r", "s", 50))
    await evening.repair()

    assert await evening.cash() == 90
    stories = await evening.stories("history_forked")
    assert len(stories) == 2
    assert all("its slip has changed otherwise since" in story for story in stories)
    [released] = await evening.wallets.move(PLAYER, release("r2", "s"))
    assert released.slip is not None
    assert (released.slip.state, await evening.cash()) == (SlipState.RELEASED, 100)
