"""What was answered and cut off is booked again, what slipped in is undone: each once."""

import random
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import cast

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from persistence.adoption import Adoption, adopt_partitions, adoption
from persistence.adoption_plan import TakeOver
from persistence.calls import Step
from persistence.errors import LedgerUnavailable, RefusalReason, Refused
from persistence.postgres.adopting import AdoptingLedger
from persistence.postgres.database import Connection, LedgerRole, ledger_connection
from persistence.postgres.repairs import RepairList
from persistence.repairing import Repairing
from persistence.salvage import Salvage
from persistence.transactions import PlayerId, TransactionKind, WalletStatus, partition_of
from persistence.valkey.engine import deadline_after
from persistence.valkey.hydration import Hydration
from persistence.valkey.keys import player_keys
from persistence.valkey.outbox_reader import OutboxReader
from service.embedded import EmbeddedValkey
from service.embedded.ports import LOOPBACK
from tests.drained_ledger import PARTITION_COUNT, TIMEOUT_S, USD, Wallets, movement, wallets
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
