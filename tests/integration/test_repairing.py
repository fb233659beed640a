"""What was answered and cut off is booked again, what slipped in is undone: each once."""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from persistence.adoption import Adoption, adopt_partitions, adoption
from persistence.adoption_plan import TakeOver
from persistence.calls import Step
from persistence.errors import LedgerUnavailable, RefusalReason, Refused, SetupRefused, StoreUnavailable
from persistence.forgetting import Forgetter
from persistence.outbox import OutboxEntry
from persistence.postgres.adopting import AdoptingLedger
from persistence.postgres.database import Connection, LedgerRole, ledger_connection
from persistence.postgres.repairs import RepairList
from persistence.repairing import Repairing
from persistence.salvage import Salvage
from persistence.transactions import PlayerId, TransactionKind, WalletStatus, partition_of
from persistence.valkey.engine import Engine, deadline_after
from persistence.valkey.hot_wallets import HotWallets
from persistence.valkey.hydration import Hydration
from persistence.valkey.keys import player_keys
from persistence.valkey.outbox_reader import OutboxReader
from service.embedded import EmbeddedValkey
from service.embedded.ports import LOOPBACK
from tests.drained_ledger import PARTITION_COUNT, TIMEOUT_S, USD, Wallets, movement, rollback, wallets
from tests.forgetful import Oblivion, oblivion
from tests.integration.test_ledger_memory import SOURCES, some_step

DATABASE = 11
"""Of the shared server; the service's own data are in database 0."""
PLAYER = PlayerId("player-1")
PARTITION = partition_of(PLAYER, PARTITION_COUNT)
CALLS, NO_LIMIT = 300, 1_000_000

bet = partial(movement, TransactionKind.BET, game="g")
win = partial(movement, TransactionKind.WIN)
deposit = partial(movement, TransactionKind.DEPOSIT)


class Crash(Exception):
    """The program ends here."""


@dataclass(frozen=True, slots=True)
class Evening:
    """One player with 100 cents, and whoever repairs."""

    wallets: Wallets
    repairing: Repairing
    oblivion: Oblivion
    ledger: Connection
    store: Redis

    async def repair(self) -> None:
        """Until nothing is left to do."""
        for _ in range(3):
            await self.repairing.run_once()
            await self.wallets.drain()

    async def cut_off(self) -> None:
        """As an operator does where the ledger cannot follow the store."""
        postgres_url, valkey_url = self.wallets.ledger_dsn, self.wallets.valkey_url
        async with adoption(postgres_url=postgres_url, valkey_url=valkey_url) as adopting:
            await Salvage(postgres_url, valkey_url, adopting).cut_off(PARTITION, dry_run=False)

    async def forget(self) -> None:
        """As after a day."""
        await self.wallets.drain()
        await self.oblivion.forget_fields([PLAYER])

    async def cash(self) -> int:
        """In the store, and in the ledger, which has everything by now."""
        view = await self.wallets.engine.read_player(PLAYER, deadline=deadline_after(TIMEOUT_S))
        await self.wallets.drain()
        [memory] = await self.oblivion.memory.players([PLAYER], since_ms=0, most_ids=1000, most_older=1000)
        wallet = view.balances[0]
        assert memory.wallets["EUR"].split("\x1f")[2] == str(wallet.buckets.cash)
        return wallet.buckets.cash

    async def require_memory_of_the_ledger(self, *, complete: bool = True) -> None:
        """The store remembers of ids and rounds what the ledger would tell it, to the letter: all of it, or
        what it has not forgotten.
        """
        [memory] = await self.oblivion.memory.players([PLAYER], since_ms=0, most_ids=NO_LIMIT, most_older=0)
        keys = player_keys(PARTITION, PLAYER)
        for key, told in ((keys.ids, memory.ids), (keys.rounds, memory.rounds)):
            remembered = await self._texts(key)
            assert remembered == (told if complete else {name: told[name] for name in remembered})

    async def play_at_random(self, dice: random.Random) -> None:
        """Calls of all sources, some of them refused, that leave something of everything behind."""
        asked: defaultdict[str, list[Step]] = defaultdict(list)
        for _ in range(CALLS):
            source = dice.choice(tuple(SOURCES))
            steps = [some_step(dice, asked[source]) for _ in range(dice.choice((1, 1, 1, 2, 3)))]
            with suppress(Refused):
                await self.wallets.move(PLAYER, *steps, source=source)
            if dice.random() < 0.02:
                await self.wallets.set_status(PLAYER, dice.choice((*WalletStatus, WalletStatus.ACTIVE)), USD)

    async def balances(self) -> object:
        return (await self.wallets.engine.read_player(PLAYER, deadline=deadline_after(TIMEOUT_S))).balances

    async def refusal(self, step: object, **where: str) -> RefusalReason:
        with pytest.raises(Refused) as caught:
            await self.wallets.move(PLAYER, step, **where)  # type: ignore[arg-type]
        return caught.value.details.reason

    async def open_incidents(self) -> list[str]:
        """Of what went wrong with transactions."""
        rows = await self.ledger.fetch(
            "SELECT description FROM ledger.incidents WHERE resolved_time IS NULL AND kind <> 'memory_lost' "
            "ORDER BY incident_id"
        )
        return [row["description"] for row in rows]

    async def waiting_records(self) -> int:
        count = await self.ledger.fetchval("SELECT count(*) FROM ledger.salvaged WHERE restored_time IS NULL")
        return int(count)

    async def stories(self, kind: str) -> list[str]:
        rows = await self.ledger.fetch(
            "SELECT description FROM ledger.incidents WHERE kind = $1 ORDER BY incident_id", kind
        )
        return [row["description"] for row in rows]

    async def _texts(self, key: str) -> dict[str, str]:
        texts = cast("dict[bytes, bytes]", await self.store.hgetall(key))
        return {name.decode(): text.decode() for name, text in texts.items()}


@pytest_asyncio.fixture
async def evening(valkey: EmbeddedValkey, ledger_dsn: str) -> AsyncIterator[Evening]:
    url = f"redis://{LOOPBACK}:{valkey.port}/{DATABASE}"
    async with Redis.from_url(url) as store:
        await store.flushdb()
        async with (
            wallets(url, ledger_dsn, sources=SOURCES) as hot,
            oblivion(url, ledger_dsn) as forgetting,
            ledger_connection(ledger_dsn, role=LedgerRole.WRITER, statement_timeout_s=TIMEOUT_S) as sql,
        ):
            repairing = Repairing(hot.engine, AdoptingLedger(sql), RepairList(sql), forgetting.forgetter)
            await hot.open(PLAYER)
            await hot.move(PLAYER, deposit("start", 100), source="cashier")
            await hot.drain()
            yield Evening(hot, repairing, forgetting, sql, store)


@pytest.fixture
def ledger_away(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Nobody can ask the ledger about an id, until it is undone."""

    async def away(*_: object) -> None:
        raise LedgerUnavailable("away")

    monkeypatch.setattr(Hydration, "_ask_ledger", away)
    return monkeypatch


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
    async with adoption(
        postgres_url=evening.wallets.ledger_dsn, valkey_url=evening.wallets.valkey_url
    ) as adopting:
        await Salvage(evening.wallets.ledger_dsn, evening.wallets.valkey_url, adopting).save_all(
            dry_run=False
        )
    await evening.repairing.run_once()
    assert await evening.waiting_records() == 1

    await evening.repair()

    assert await evening.waiting_records() == 0
    assert await evening.open_incidents() == []
    assert await evening.cash() == 90


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
